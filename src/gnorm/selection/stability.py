"""How surely units are selected: the same on many halves of the samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state, check_scalar

from gnorm.estimators.data import TrainingData, completed
from gnorm.estimators.selection import on_part, warn_of_gaps
from gnorm.selection.units import (
    check_between,
    check_count_of_units,
    first_units,
    fitted,
    with_open_unit,
)

__all__ = ["StabilitySelection", "stability_selection"]


@dataclass(frozen=True, eq=False)
class StabilitySelection:
    """How often units are selected in halves of the samples.

    Attributes
    ----------
    frequencies : ndarray of shape (n_units,)
        Share of the halves in which each unit is among those selected.
    unit_names : ndarray of str objects of shape (n_units,)
        Names of the units.
    selected : ndarray of int of shape (n_selected,)
        Units of at least the threshold, the most frequent first.
    threshold : float
        That share.
    n_resamples : int
        Halves that were looked at.
    mean_selected : float
        Mean number of units selected in a half.
    bound : float
        Bound on the expected number of false ones among ``selected``, infinite where the
        threshold is a half.
    """

    frequencies: np.ndarray
    unit_names: np.ndarray
    selected: np.ndarray
    threshold: float
    n_resamples: int
    mean_selected: float
    bound: float


def stability_selection(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    n_units_to_select: int | None = None,
    threshold: float = 0.9,
    n_resamples: int = 100,
    sample_weight: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> StabilitySelection:
    r"""Select the units that come first on most halves of the samples.

    On each half the q units are selected that come first along the path: those at the least step of
    it at which there are so many, of what came at this step the most important ones. With M units,
    at most

    .. math:: E[V] \le \frac{q^2}{(2 \pi - 1) M}

    false ones are expected among those that are selected in a share :math:`\pi > 1/2` of the
    halves [1]_. The bound holds if the units that change nothing are exchangeable, and found no
    worse than by chance. It is of many halves; 100 are usual.

    Parameters
    ----------
    estimator : estimator
        Any of :mod:`gnorm.estimators` with a parameter `C`, which plays no part.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Labels or targets.
    n_units_to_select : int, default=None
        Units selected on each half, q. None for :math:`\sqrt{(2 \pi - 1) M}`, rounded down and at
        least 1, with which the bound is at most 1 false unit unless q is 1.
    threshold : float, default=0.9
        Share of the halves, :math:`\pi`, between 0.5 and 1.
    n_resamples : int, default=100
        Halves, drawn in pairs that have no sample in common; of a classifier with its classes
        halved as well. An odd number leaves out the last.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative factors of ``C``, which go with their samples. A sample of weight 0 is absent;
        one of weight k is drawn as one.
    random_state : int, RandomState instance or None, default=None
        Draws the halves.
    n_jobs : int, default=None
        Halves that are worked on at the same time, in threads unless a
        :class:`joblib.parallel_config` says otherwise.
    progress : bool, default=False
        Whether to show a bar.

    Returns
    -------
    StabilitySelection
        Frequencies, what is selected, and the bound.

    Raises
    ------
    TypeError
        If the estimator is none of gnorm with a parameter `C`.
    ValueError
        For malformed input, more units to select than there are, or a class of a single sample.

    Warns
    -----
    ConvergenceWarning
        If Ctrl-C ends it early; what is returned is of the halves that were done. Once, if some of
        these ended at a gap above ``tol`` of the estimator.

    References
    ----------
    .. [1] N. Meinshausen and P. Bühlmann (2010). Stability selection. Journal of the Royal
       Statistical Society B 72, theorem 1.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm import CategoryGates, GLNNormRegressor
    >>> from gnorm.selection import stability_selection
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.integers(0, 3, (200, 20)), rng.normal(size=200)])
    >>> y = np.array([-1.0, 0.0, 2.0])[X[:, 4].astype(int)] * X[:, 20] + rng.normal(size=200) / 2
    >>> model = GLNNormRegressor(gates=CategoryGates(), segment=slice(20))
    >>> found = stability_selection(model, X, y, n_resamples=10, random_state=0)
    >>> found.selected, round(found.bound, 2)
    (array([4]), 1.0)
    """
    check_between(threshold, "threshold", 0.5, 1.0)
    check_scalar(n_resamples, "n_resamples", Integral, min_val=2)
    model = with_open_unit(estimator)
    data = model._checked(X, y, sample_weight)
    whole, part, names = fitted(model, data)
    n_units = len(names)
    if n_units_to_select is None:
        q = max(int(np.sqrt((2 * threshold - 1) * n_units)), 1)
    else:
        q = int(check_scalar(n_units_to_select, "n_units_to_select", Integral, min_val=1))
        check_count_of_units(q, n_units)
    random = check_random_state(random_state)
    halves = [half for _ in range(n_resamples // 2) for half in _halves(data, random)]
    _, near = first_units(whole, part, q)  # halves have as many at about the same step
    tasks = [partial(_selected, model, data, half, q, near) for half in halves]
    found, gaps = zip(
        *completed(n_jobs, tasks, unit="half", progress=progress, group=2), strict=True
    )
    warn_of_gaps(np.array(gaps), model.tol, "halves")
    frequencies = np.bincount(np.concatenate(found), minlength=n_units) / len(found)
    ranked = np.argsort(-frequencies, kind="stable")
    mean_selected = float(np.mean([len(selected) for selected in found]))
    excess = (2 * threshold - 1) * n_units
    return StabilitySelection(
        frequencies=frequencies,
        unit_names=names,
        selected=ranked[frequencies[ranked] >= threshold],
        threshold=float(threshold),
        n_resamples=len(found),
        mean_selected=mean_selected,
        bound=mean_selected**2 / excess if excess > 0 else np.inf,
    )


def _halves(data: TrainingData, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of the samples that have none in common, each with half of each class."""
    groups = data.y if len(data.classes) else np.zeros(len(data.kept), dtype=int)
    first, second = [], []
    for group in np.unique(groups):
        rows = random.permutation(np.flatnonzero(groups == group))
        if len(rows) < 2:
            raise ValueError(f"expected 2 samples of each class or more, got {len(rows)}")
        first.append(rows[: len(rows) // 2])
        second.append(rows[len(rows) // 2 : 2 * (len(rows) // 2)])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))


def _selected(
    model: Any, data: TrainingData, rows: np.ndarray, most: int, near: int
) -> tuple[np.ndarray, float]:
    """First units to come on some of the samples, and the gap at the end; runs in a worker.

    Gates that learn levels may know fewer of them there, but have the same units.
    """
    model, part = on_part(model, data, rows)
    units = first_units(model, part, most, near)[0] - 1
    return units, float(np.max(getattr(model, "duality_gap_", 0.0)))  # none where nothing comes
