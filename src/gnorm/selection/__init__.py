r"""Which units change the rule: how many, how surely, and against what chance would give.

The norms of gnorm set the weights of most units to zero. How many are left depends on `C`, and the
`C` that predicts best leaves too many, since the same shrinkage that drops a unit also shortens
the weights of those that stay. Here the two are parted: the path of the norm says in which order
units come, and each number of units is fitted anew with a `C` of its own, on these units alone.

A unit that is always open (:class:`gnorm.gates.OpenGates`) joins the gates of the estimator in all
of this. It carries the rule that all samples share, and is never counted.

References
----------
.. [1] N. Meinshausen (2007). Relaxed Lasso. Computational Statistics & Data Analysis 52.
.. [2] N. Meinshausen and P. Bühlmann (2010). Stability selection. Journal of the Royal Statistical
   Society B 72.
.. [3] L. Breiman, J. Friedman, R. Olshen and C. Stone (1984). Classification and Regression Trees;
   the rule of one standard error, section 3.4.3.
"""

from __future__ import annotations

from gnorm.selection.null import PermutationNull, permutation_null
from gnorm.selection.number import UnitSelectionCV
from gnorm.selection.path import UnitPath, unit_path
from gnorm.selection.stability import StabilitySelection, stability_selection

__all__ = [
    "PermutationNull",
    "StabilitySelection",
    "UnitPath",
    "UnitSelectionCV",
    "permutation_null",
    "stability_selection",
    "unit_path",
]
