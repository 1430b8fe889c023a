"""How important units are, along C."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_scalar

from gnorm.plotting import common
from gnorm.selection import unit_path

__all__ = ["PathDisplay"]


class PathDisplay:
    """Norms or importances of units along C, a curve a unit.

    Parameters
    ----------
    Cs : array-like of shape (n_Cs,)
        Weights of the loss, increasing; those that are infinite are not drawn.
    importances : array-like of shape (n_Cs, n_units)
        Norm or importance of each unit.
    unit_names : sequence of str, default=None
        Names of the units, for the legend; None draws none.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The curves, in the order of the units.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure of the axes.

    See Also
    --------
    gnorm.selection.unit_path : What is drawn from an estimator.
    gnorm.gln_norm_path : Norms of units along C, for given activations.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm import CategoryGates, GLNNormRegressor
    >>> from gnorm.plotting import PathDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.integers(0, 3, (90, 4)), rng.normal(size=90)])
    >>> y = (X[:, 1] - 1) * X[:, 4]
    >>> model = GLNNormRegressor(gates=CategoryGates(), segment=slice(4))
    >>> display = PathDisplay.from_estimator(model, X, y, Cs=[1e-3, 1e-2, 1e-1])
    >>> len(display.lines_)
    4
    """

    def __init__(
        self, *, Cs: ArrayLike, importances: ArrayLike, unit_names: Sequence[str] | None = None
    ) -> None:
        self.Cs = Cs
        self.importances = importances
        self.unit_names = unit_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        Cs: int | ArrayLike = 20,
        sample_weight: ArrayLike | None = None,
        n_named: int = 5,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the importances of units along the path of an estimator.

        Parameters
        ----------
        estimator : estimator
            Any of :mod:`gnorm.estimators` with a parameter `C`; it stays unfitted.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Labels or targets.
        Cs : int or array-like of float, default=20
            As in :func:`gnorm.selection.unit_path`.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative factors of ``C``.
        n_named : int, default=5
            How many units have a colour and a name; the others are grey.
        ax : matplotlib Axes, default=None
            Axes to draw into; None makes a figure.
        **kwargs : dict
            Options of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        PathDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator is none of gnorm with a parameter `C`.
        ValueError
            For malformed input.
        """
        path = unit_path(estimator, X, y, Cs=Cs, sample_weight=sample_weight)
        names = [str(name) for name in path.unit_names]
        display = cls(Cs=path.Cs, importances=path.importances, unit_names=names)
        return display.plot(n_named=n_named, ax=ax, **kwargs)

    def plot(self, *, n_named: int = 5, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        n_named : int, default=5
            How many units have a colour and a name: those of the largest sums over the path.
        ax : matplotlib Axes, default=None
            Axes to draw into; None makes a figure.
        **kwargs : dict
            Options of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        PathDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If shapes do not fit, or ``n_named`` is negative.
        """
        check_scalar(n_named, "n_named", Integral, min_val=0)
        Cs = np.asarray(self.Cs, dtype=float)
        values = common.checked(np.asarray(self.importances), "importances")
        n_units = values.shape[1]
        if Cs.shape != (len(values),):
            raise ValueError(f"expected {len(values)} Cs, one a row, got shape {Cs.shape}")
        labels = common.checked_labels(self.unit_names, n_units)
        is_finite = np.isfinite(Cs)
        self.ax_, self.figure_ = common.axes(ax)
        named = np.argsort(-values.sum(axis=0), kind="stable")[:n_named]
        self.lines_: list[Any] = [None] * n_units
        for h in range(n_units):
            if h not in named:
                style = {"color": "0.75", "linewidth": 0.8, "linestyle": "-", "zorder": 1}
                (self.lines_[h],) = self.ax_.plot(Cs[is_finite], values[is_finite, h], **style)
        for h in named:
            style = {"label": labels[h], "linewidth": 1.6, "zorder": 2}
            (self.lines_[h],) = self.ax_.plot(
                Cs[is_finite], values[is_finite, h], **(style | kwargs)
            )
        self.ax_.set(xscale="log", xlabel="C", ylabel="importance of the unit")
        if self.unit_names is not None and len(named):
            common.legend(self.ax_, "upper left", None)
        return self
