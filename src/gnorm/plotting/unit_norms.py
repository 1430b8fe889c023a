"""Norms of the units of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from gnorm.plotting import common

__all__ = ["UnitNormsDisplay"]


class UnitNormsDisplay:
    r"""Norms of the units, from the largest to the smallest, one curve a predictor.

    The norm of a GLN or FReLU predictor is the sum of its unit norms :math:`\|\zeta_h\|`, a penalty
    that sets many of them to exactly zero; the legend counts the units that are left.

    Parameters
    ----------
    unit_norms : array-like of shape (n_units,) or (n_problems, n_units)
        Norms of the units of each predictor.
    labels : sequence of str, default=None
        What to call the predictors in the legend; None shows the counts alone.
    title : str, default=None
        Title of the legend.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The curves.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure of the axes.

    See Also
    --------
    MarginDisplay : How far from the boundary the samples are.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gnorm import GLNNormSVC
    >>> from gnorm.plotting import UnitNormsDisplay
    >>> X, digit = load_digits(return_X_y=True)
    >>> classifier = GLNNormSVC(random_state=0).fit(X[:300] / 16, digit[:300] < 5)
    >>> display = UnitNormsDisplay.from_estimator(classifier)

    The same from the answer of :func:`gnorm.max_margin`, or from any other unit norms:

    >>> UnitNormsDisplay(unit_norms=[3.0, 0.0, 4.0]).plot().lines_[0].get_ydata()
    array([4., 3., 0.])
    """

    def __init__(
        self,
        *,
        unit_norms: ArrayLike,
        labels: Sequence[str] | None = None,
        title: str | None = None,
    ) -> None:
        self.unit_norms = unit_norms
        self.labels = labels
        self.title = title

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw the unit norms of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted estimator of :mod:`gnorm.estimators`, as it is, as the last step of a
            :class:`~sklearn.pipeline.Pipeline` or as the result of a search over parameters.
        name : str, default=None
            What to call it in the legend; None for the name of its class. Where several classes
            or targets have predictors of their own, the curves are called after these, and the
            name is the title of the legend.
        ax : matplotlib Axes, default=None
            Axes to draw into; None makes a figure.
        **kwargs : dict
            Options of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        UnitNormsDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If there is no estimator of gnorm in the estimator.
        """
        fitted = common.fitted_in(estimator)
        labels, title = common.labels(fitted, name)
        display = cls(unit_norms=fitted.unit_norms_, labels=labels, title=title)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; None makes a figure.
        **kwargs : dict
            Options of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        UnitNormsDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there are not as many labels as predictors.
        """
        unit_norms = common.checked(np.atleast_2d(np.asarray(self.unit_norms)), "unit_norms")
        n_problems, n_units = unit_norms.shape
        labels = common.checked_labels(self.labels, n_problems)
        self.ax_, self.figure_ = common.axes(ax)
        self.lines_ = []
        for norms, label in zip(unit_norms, labels, strict=True):
            count = f"{np.count_nonzero(norms)} of {n_units} active"
            style = {
                "marker": ".",
                "linewidth": 1.0,
                "label": f"{label}: {count}" if label else count,
            }
            ranks = np.arange(1, n_units + 1)
            self.lines_ += self.ax_.plot(ranks, np.sort(norms)[::-1], **(style | kwargs))
        self.ax_.set(xlabel="unit, by decreasing norm", ylabel=r"unit norm  $\|\zeta_h\|$")
        self.ax_.update_datalim([(1, 0)])  # zero is in view, and later curves still widen it
        self.ax_.autoscale_view()
        common.legend(self.ax_, "upper right", self.title)
        return self
