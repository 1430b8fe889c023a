"""Estimators with an open unit in front, and in which order the other units come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_scalar

from gnorm.estimators.base import GatedEstimator, check_selectors, unit_selectors
from gnorm.estimators.data import TrainingData
from gnorm.estimators.selection import PathCV, on_part, path_of
from gnorm.gates import JoinedGates, OpenGates, SelectedGates
from gnorm.gates.base import unit_names
from gnorm.solvers.path import least_C

__all__ = [
    "check_between",
    "check_count_of_units",
    "entries",
    "first_units",
    "fitted",
    "of_units",
    "restricted",
    "unshrunk_C",
    "with_open_unit",
]

_DECADES = 4  # of the path on which units come, from the least C worth solving for
_STEPS = 6  # of each of them
# Steps upwards at a time, half a decade: beyond the units asked for a path would get slow.
_AHEAD = 3
# Times the least C worth solving for, where outputs are those without shrinkage up to 1e-4 of their
# spread (54 to 126 weights on 200 to 500 samples) and double precision still solves.
_UNSHRUNK = 1e8


def with_open_unit(estimator: Any) -> Any:
    """Clone of an estimator whose gates have an open unit in front, of weight 1 in the norm."""
    is_fit = isinstance(estimator, GatedEstimator) and not isinstance(estimator, PathCV)
    if not is_fit:
        raise TypeError(
            "expected an estimator of gnorm at a given C, such as GLNNormRegressor(), "
            f"got {estimator!r}"
        )
    model = clone(estimator)
    gates = model._default_gates() if model.gates is None else model.gates
    model.set_params(gates=JoinedGates([OpenGates(), gates]), warm_start=False)
    if model.unit_features is not None:
        model.set_params(unit_features=[slice(None), *unit_selectors(model.unit_features)])
    if (weights := _weights(model)) is not None:
        model.set_params(norm=replace(model.norm, unit_weights=(1.0, *weights)))
    return model


def _weights(model: Any) -> tuple[float, ...] | None:
    """Weights of the units in the norm, None for a norm that has none."""
    return getattr(model.norm, "unit_weights", None)


def of_units(model: Any, units: Sequence[int]) -> Any:
    """Let an estimator have, for each of these units, what it has for a unit; return it."""
    if model.unit_features is not None:
        model.set_params(unit_features=[model.unit_features[h] for h in units])
    if (weights := _weights(model)) is not None:
        some = tuple(weights[h] for h in units)
        model.set_params(norm=replace(model.norm, unit_weights=some))
    return model


def fitted(model: Any, data: TrainingData) -> tuple[Any, TrainingData, np.ndarray]:
    """Clone with gates fitted to all samples, these samples, and the names of the units.

    What the estimator has for each unit is checked here, where the open unit is not counted.
    """
    whole, part = on_part(model, data, np.arange(len(data.kept)))
    n_units = len(whole.gates_.is_shared_) - 1
    names = np.array(unit_names(whole.gates_.gates_[1], n_units), dtype=object)
    if model.unit_features is not None:
        check_selectors(model.unit_features[1:], len(names))
    if (weights := _weights(model)) is not None:
        replace(model.norm, unit_weights=weights[1:]).weights(len(names))
    return whole, part, names


def restricted(model: Any, units: np.ndarray) -> Any:
    """Clone whose gates are the fitted open unit and some of the others."""
    kept = [0, *map(int, units)]
    gates = SelectedGates(FrozenEstimator(model.gates_), kept)
    return of_units(clone(model).set_params(gates=gates), kept)


def unshrunk_C(model: Any, part: TrainingData) -> float:
    """Return a C at which nothing is shrunk any more, for an estimator yet to be fitted."""
    model, part = on_part(model, part, np.arange(len(part.kept)))
    _, least = _beginning(model, part)
    return _UNSHRUNK * least if np.isfinite(least) else 1.0  # where zero is best for every C


# -- the order of the units ------------------------------------------------------------------------


def entries(model: Any, part: TrainingData, most: int) -> np.ndarray:
    """Positions of the first units to come with C, for an estimator with fitted gates.

    Those that come at the same step of the path are in the order of their importance there.
    """
    prepared, least = _beginning(model, part)
    if not np.isfinite(least):
        return np.empty(0, dtype=np.intp)
    order: list[np.intp] = []
    for first in range(0, _DECADES * _STEPS, _AHEAD):
        Cs = least * 10.0 ** (np.arange(first, first + _AHEAD) / _STEPS)
        steps = [_come(model) for _ in path_of(model, part, Cs, prepared=prepared)]
        for coming in steps[::-1]:
            order += [h for h in coming if h not in order]
        if len(order) >= most:
            break
    return np.array(order[:most], dtype=np.intp)


def first_units(
    model: Any, part: TrainingData, most: int, near: int = _AHEAD
) -> tuple[np.ndarray, int]:
    """Positions of the first units to come with C, in no order, and the step at which they do.

    Only the step is solved for at which there are enough, and the one before. It is sought from one
    step beyond ``near`` downwards, each solution from the one before, as a path is.
    """
    prepared, least = _beginning(model, part)
    if not np.isfinite(least):
        return np.empty(0, dtype=np.intp), near
    last = _DECADES * _STEPS - 1
    top = min(near + 1, last)
    while True:
        enough, few = None, np.empty(0, dtype=np.intp)
        Cs = least * 10.0 ** (np.arange(top + 1) / _STEPS)
        path = path_of(model, part, Cs, prepared=prepared)
        for step, _ in zip(range(top, -1, -1), path, strict=True):
            come = _come(model)
            if len(come) < most:
                few = come
                break
            enough = step, come
        if enough is not None:
            step, come = enough
            return np.append(few, come[~np.isin(come, few)])[:most], step
        if top == last:  # so many are never there at once
            return entries(model, part, most), last
        top = min(top + _AHEAD, last)


def _beginning(model: Any, part: TrainingData) -> tuple[tuple[Any, Any], float]:
    """Design and distinct samples of a path, and the least C worth solving for."""
    loss = model._loss_of(part)
    design, merged = model._prepare(part)
    least = min(least_C(design, merged, y, loss) for y in model._problems(part))
    return (design, merged), least


def _come(model: Any) -> np.ndarray:
    """Units whose importance is more than an inexact solution may leave, the largest first."""
    importances = model.unit_importances_
    # a gap leaves of a unit that the optimum drops up to gap / (1 - |V_h|^2 / max |V|^2)
    least = 10 * model.tol * np.linalg.norm(model.norm_)
    order = np.argsort(-importances, kind="stable")
    return order[importances[order] > least]


# -- checks ----------------------------------------------------------------------------------------


def check_between(value: Any, name: str, least: float, most: float) -> None:
    """Raise unless this is a number between two others, one of which it may be; NaN is none."""
    check_scalar(value, name, Real, min_val=least, max_val=most)
    if np.isnan(value):
        raise ValueError(f"{name} must be a number, got {value}")


def check_count_of_units(n_units_to_select: int, n_units: int) -> None:
    """Raise if more units are to be selected than there are."""
    if n_units_to_select > n_units:
        raise ValueError(
            f"expected n_units_to_select of at most {n_units}, the units of the gates, "
            f"got {n_units_to_select}"
        )
