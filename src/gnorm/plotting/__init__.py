"""Displays of fitted classifiers and training runs, in the style of scikit-learn.

A display holds the numbers that it draws; ``from_estimator`` takes them from an estimator,
``from_history`` from a training run, and draws. Further curves go into the same axes by passing
``ax=display.ax_``, or ``axes=display.axes_``. matplotlib is imported when it first draws:
``pip install gnorm[plot]``.
"""

from gnorm.plotting.effects import EffectsDisplay
from gnorm.plotting.history import HistoryDisplay
from gnorm.plotting.margin import MarginDisplay
from gnorm.plotting.path import PathDisplay
from gnorm.plotting.unit_norms import UnitNormsDisplay

__all__ = ["EffectsDisplay", "HistoryDisplay", "MarginDisplay", "PathDisplay", "UnitNormsDisplay"]
