"""Importances of units along C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from gnorm.estimators.selection import grid_of, path_of
from gnorm.selection.units import fitted, with_open_unit

__all__ = ["UnitPath", "unit_path"]


@dataclass(frozen=True, eq=False)
class UnitPath:
    """Importances of units along C.

    Attributes
    ----------
    Cs : ndarray of shape (n_Cs,)
        Weights of the loss, increasing.
    importances : ndarray of shape (n_Cs, n_units)
        ``unit_importances_`` at each C, without the open unit.
    unit_names : ndarray of str objects of shape (n_units,)
        Names of the units.
    duality_gaps : ndarray of shape (n_Cs,)
        Largest certified gap of the problems at each C.
    """

    Cs: np.ndarray
    importances: np.ndarray
    unit_names: np.ndarray
    duality_gaps: np.ndarray


def unit_path(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    Cs: int | ArrayLike = 20,
    sample_weight: ArrayLike | None = None,
) -> UnitPath:
    """How important each unit is along C: which come first, and how they grow.

    Parameters
    ----------
    estimator : estimator
        Any of :mod:`gnorm.estimators` with a parameter `C`; it stays unfitted.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Labels or targets.
    Cs : int or array-like of float, default=20
        Weights of the loss. An int is the length of a geometric grid over four decades from the
        least C worth solving for.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative factors of ``C``.

    Returns
    -------
    UnitPath
        Importances for each C.

    Raises
    ------
    TypeError
        If the estimator is none of gnorm with a parameter `C`.
    ValueError
        For malformed input.
    """
    model = with_open_unit(estimator)
    data = model._checked(X, y, sample_weight)
    whole, part, names = fitted(model, data)
    grid = grid_of(Cs, clone(model), data)
    steps = [
        (whole.unit_importances_[1:], max(solution.duality_gap for solution in solutions))
        for solutions in path_of(whole, part, grid)
    ][::-1]
    importances, gaps = map(np.array, zip(*steps, strict=True))
    return UnitPath(grid, importances, names, gaps)
