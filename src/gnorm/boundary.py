r"""How far an input is from the other side of the decision boundary.

A predictor with hyperplane gates is linear in each piece of the inputs, and jumps where a gate
switches. In the piece of an input x, with the weights :math:`\beta` of its open contexts,

.. math:: f(x') = \langle \beta, x' \rangle + \beta_0 ,

so the other side is :math:`|f(x)| / \|\beta\|` away *within the piece*: if the foot of the
perpendicular lies in it. It need not, and across a gate the sign may change at once. The true
distance is bracketed here. With the sign s of :math:`f(x)` and :math:`\delta_{hk}` what the weights
change by if unit h switches to context k, for every x' closer than r

.. math::

    s f(x') \ge s f(x) - r \|\beta\|
        + \sum_h \min\Bigl(0, \min_{k : d_{hk} < r}
            s \Delta_{hk}(x) - r \|\delta_{hk}\| \Bigr) ,

where :math:`\Delta_{hk}(x)` is what the value at x changes by, and :math:`d_{hk}` the distance
below which context k cannot be reached: the largest of those to the hyperplanes to be crossed. The
largest r at which this is positive is a certified lower bound. The upper bound is the nearest
input of the other side that was found, by steps along :math:`-s \beta` and across the hyperplanes
whose crossing costs the decision value most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from gnorm.gated import FloatArray, check_zeta, decision_values
from gnorm.gates import HyperplaneGates, ReLUGates

__all__ = ["BoundaryDistance", "distance_to_boundary"]

_ROUNDING = 1e-12  # of the terms of a sum: more than a thousand features can lose
_FARTHEST = 1e300  # where a bound counts as infinite
_HALVINGS = 60  # of the interval that holds the lower bound: to the last digit
# How far beyond the point at which the sign changes a step ends, relative to the sizes at hand.
_BEYOND = (1e-12, 1e-9, 1e-6)


@dataclass(frozen=True, eq=False)
class BoundaryDistance:
    """Bounds of the Euclidean distance from inputs to the nearest of the other sign.

    Attributes
    ----------
    lower : ndarray of shape (n_samples,)
        Certified: no input closer than this has a decision value of the other sign or zero. Up to
        rounding errors, about 1e-12 of the terms of the decision value.
    upper : ndarray of shape (n_samples,)
        Distance to `nearest`; ``inf`` if none was found.
    within_piece : ndarray of shape (n_samples,)
        Distance at which the linear map of the own piece is zero, whatever the gates; ``inf`` if it
        is constant. It is neither an upper nor a lower bound.
    nearest : ndarray of shape (n_samples, n_features)
        An input whose decision value has the other sign or is zero; NaN if none was found.
    """

    lower: FloatArray
    upper: FloatArray
    within_piece: FloatArray
    nearest: FloatArray


def distance_to_boundary(
    X: Any, gates: Any, zeta: ArrayLike, *, constant: float | None = None
) -> BoundaryDistance:
    r"""Bound the distance from inputs to the nearest input of the other sign.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs, as the gates take them.
    gates : HyperplaneGates or ReLUGates
        Fitted gates.
    zeta : array-like of shape (n_units, n_contexts, n_features)
        Unit weights of the predictor, with one more feature if there is a constant one.
    constant : float, default=None
        Value of the constant feature that is appended to the inputs, None for no such feature.

    Returns
    -------
    BoundaryDistance
        Lower and upper bounds. Inputs with the decision value 0 are at distance 0.

    Raises
    ------
    TypeError
        If the gates are no hyperplanes.
    ValueError
        For malformed input.

    Notes
    -----
    Each input takes some dozens of least-squares problems of hyperplanes by features.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.boundary import distance_to_boundary
    >>> from gnorm.gates import ReLUGates
    >>> gates = ReLUGates(weights=[[1.0, 0.0]], always_open=True).fit(np.zeros((1, 2)))
    >>> zeta = [[[0.0, -3.0]], [[0.0, 1.0]]]  # x_2, and -2 x_2 where x_1 >= 0: it jumps at 0
    >>> distance = distance_to_boundary([[-0.1, 1.0]], gates, zeta)
    >>> distance.within_piece, distance.lower.round(6), distance.upper.round(6)
    (array([1.]), array([0.1]), array([0.1]))
    """
    check_is_fitted(gates)
    X = check_array(X, accept_sparse="csr", dtype=np.float64, input_name="X")
    weights = check_zeta(zeta)
    pieces = _Pieces(X, gates, weights, constant)
    n_samples = X.shape[0]
    lower, upper = np.empty(n_samples), np.full(n_samples, np.inf)
    within, nearest = np.empty(n_samples), np.full((n_samples, pieces.n_features), np.nan)
    for n in range(n_samples):
        x = X[[n]].toarray()[0] if sparse.issparse(X) else X[n]
        at = pieces.at(x)
        length = float(np.linalg.norm(at.beta))
        within[n] = abs(at.value) / length if length > 0 else (0.0 if at.value == 0 else np.inf)
        lower[n] = 0.0 if at.value == 0 else pieces.certified(at)
        found = x if at.value == 0 else pieces.other_side(at)
        if found is not None:
            nearest[n], upper[n] = found, np.linalg.norm(found - x)
    return BoundaryDistance(lower, np.maximum(upper, lower), within, nearest)


@dataclass(frozen=True, eq=False)
class _Place:
    """An input: its value, its piece and what other contexts would change."""

    x: FloatArray
    value: float
    sign: float
    beta: FloatArray  # (n_features,), weights of the piece
    contexts: np.ndarray  # (n_units,), context of each unit
    bits: np.ndarray  # (n_units, n_bits), side of each hyperplane
    distances: FloatArray  # (n_units, n_bits), to the hyperplanes at least, with inf for none
    responses: FloatArray  # (n_units, n_contexts), value that each context adds


class _Pieces:
    """The linear pieces of a predictor, in the bits of its hyperplanes."""

    def __init__(self, X: Any, gates: Any, zeta: FloatArray, constant: float | None) -> None:
        if not isinstance(gates, HyperplaneGates | ReLUGates):
            raise TypeError(f"expected HyperplaneGates or ReLUGates, got {gates!r}")
        self.gates, self.zeta, self.constant = gates, zeta, constant
        hyperplanes, cutoffs = gates.hyperplanes_, gates.cutoffs_
        if isinstance(gates, ReLUGates):
            hyperplanes, cutoffs = hyperplanes[:, None], cutoffs[:, None]
        n_units = len(hyperplanes)
        self.n_features = hyperplanes.shape[2]
        width = self.n_features + (constant is not None)
        expected = (*gates.transform(X[:1]).shape[1:], width)
        if zeta.shape != expected or X.shape[1] != self.n_features:
            raise ValueError(
                f"expected zeta of shape {expected} and X of {self.n_features} features, got "
                f"{zeta.shape} and {X.shape[1]}"
            )
        if isinstance(gates, ReLUGates):
            zeta, always = zeta[:n_units], zeta[n_units:].sum(axis=(0, 1))
            table = np.stack([np.zeros_like(zeta[:, 0]), zeta[:, 0]], axis=1)
        else:
            table, always = zeta, np.zeros(zeta.shape[2])
        if constant is None:
            table = np.concatenate([table, np.zeros((*table.shape[:2], 1))], axis=2)
            always = np.append(always, 0.0)
        else:
            table, always = table.copy(), always.copy()
            table[..., -1] *= constant
            always[-1] *= constant
        self.slopes, self.offsets = table[..., :-1], table[..., -1]  # of each context
        self.base_slope, self.base_offset = always[:-1], float(always[-1])
        self.hyperplanes, self.cutoffs = hyperplanes, cutoffs
        n_bits = cutoffs.shape[1]
        self.powers = 2 ** np.arange(n_bits - 1, -1, -1)  # the first hyperplane is the high bit
        #: (n_contexts, n_bits), bits of each context
        self.codes = (np.arange(2**n_bits)[:, None] // self.powers) % 2 == 1
        self.lengths = np.linalg.norm(hyperplanes, axis=2)

    def at(self, x: FloatArray) -> _Place:
        """Where an input is; its gates and value are those of the package."""
        activations = self.gates.transform(x[None])
        units = np.arange(len(self.hyperplanes))
        if isinstance(self.gates, ReLUGates):
            contexts = activations[0, : len(units), 0].astype(int)
        else:
            contexts = np.argmax(activations[0], axis=1)
        value = self.value(x)
        offsets = np.abs(self.hyperplanes @ x - self.cutoffs)
        # less what rounding may have added: cutoffs that are quantiles go through samples
        offsets -= _ROUNDING * (np.abs(self.hyperplanes) @ np.abs(x) + np.abs(self.cutoffs))
        offsets = np.maximum(offsets, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            distances = np.where(self.lengths > 0, offsets / self.lengths, np.inf)
        return _Place(
            x,
            value,
            float(np.sign(value)),
            self.slopes[units, contexts].sum(axis=0) + self.base_slope,
            contexts,
            self.codes[contexts],
            distances,
            self.slopes @ x + self.offsets,
        )

    def value(self, x: FloatArray) -> float:
        """Decision value, by the function that everybody calls."""
        row = x if self.constant is None else np.append(x, self.constant)
        return float(decision_values(row[None], self.gates.transform(x[None]), self.zeta)[0])

    # -- from below ------------------------------------------------------------------------------

    def certified(self, at: _Place) -> float:
        """Largest radius at which the bound of the module's documentation is positive."""
        units = np.arange(len(at.contexts))
        crossed = self.codes[None] != at.bits[:, None]  # (n_units, n_contexts, n_bits)
        reach = np.where(crossed, at.distances[:, None], 0.0).max(axis=2, initial=0.0)
        own = at.responses[units, at.contexts]
        change = at.sign * (at.responses - own[:, None])
        bend = np.linalg.norm(self.slopes - self.slopes[units, at.contexts][:, None], axis=2)
        length = float(np.linalg.norm(at.beta))
        size = abs(self.base_offset) + float(np.sum(np.abs(at.responses))) + abs(at.value)
        start = abs(at.value) - _ROUNDING * size  # less what rounding may have added

        def bound(radius: float) -> float:
            least = np.where(reach < radius, np.minimum(0.0, change - radius * bend), 0.0)
            return start - radius * length + float(np.sum(least.min(axis=1)))

        low, high = 0.0, 1.0
        while bound(high) > 0:
            low, high = high, 2.0 * high
            if high > _FARTHEST:
                return np.inf
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if bound(middle) > 0 else (low, middle)
        return low

    # -- from above ------------------------------------------------------------------------------

    def other_side(self, at: _Place) -> FloatArray | None:
        """Nearest input of the other side that was found, checked by its decision value."""
        best, nearest = np.inf, None
        for step in self.steps(at):
            length = float(np.linalg.norm(step))
            if not length > 0:
                continue
            for first in self.changes(at, step / length):  # on the way, or beyond
                found = self.verified(at, step / length, first) if first < best else None
                if found is not None:
                    best, nearest = float(np.linalg.norm(found - at.x)), found
                if found is not None or first >= best:
                    break
        return nearest

    def steps(self, at: _Place) -> Iterator[FloatArray]:
        """Steps that may lead to the other side, across ever more hyperplanes.

        Each is the shortest step onto the hyperplanes of a set and, if the value is not of the
        other sign there, to the zero of the linear map behind them.
        """
        if np.any(at.beta):
            yield -at.sign * at.beta
            yield at.sign * at.beta  # there may be gates on that way
        units, bits = np.nonzero(self.lengths > 0)
        switched = at.contexts[units] ^ self.powers[bits]
        own = at.responses[units, at.contexts[units]]
        gains = at.sign * (own - at.responses[units, switched])
        distances = at.distances[units, bits]
        with np.errstate(divide="ignore", invalid="ignore"):
            rankings = (-gains / distances, distances)
        for ranking in rankings:
            order = np.argsort(ranking, kind="stable")
            order = order[gains[order] > 0]
            for size in sorted({int(1.35**k) for k in range(1, 40)}):
                if size > len(order):
                    break
                yield self.across(at, units[order[:size]], bits[order[:size]])

    def across(self, at: _Place, units: np.ndarray, bits: np.ndarray) -> FloatArray:
        """Shortest step onto these hyperplanes and to the zero of the linear map behind them."""
        contexts = at.contexts.copy()
        np.bitwise_xor.at(contexts, units, self.powers[bits])
        every = np.arange(len(contexts))
        slope = self.slopes[every, contexts].sum(axis=0) + self.base_slope
        change = at.responses[every, contexts] - at.responses[every, at.contexts]
        value = at.value + float(np.sum(change))
        rows = self.hyperplanes[units, bits]
        gaps = (self.cutoffs[units, bits] - rows @ at.x) / self.lengths[units, bits]
        rows = rows / self.lengths[units, bits][:, None]
        step = np.linalg.lstsq(rows, gaps, rcond=None)[0]
        if at.sign * (value + slope @ step) > 0 and (length := np.linalg.norm(slope)) > 0:
            rows, gaps = np.vstack([rows, slope / length]), np.append(gaps, -value / length)
            step = np.linalg.lstsq(rows, gaps, rcond=None)[0]
        return step

    def verified(self, at: _Place, ray: FloatArray, first: float) -> FloatArray | None:
        """Input of the other side just beyond a step along a ray, None if it is not there."""
        size = first + float(np.linalg.norm(at.x))
        for beyond in _BEYOND:  # where rounding would leave it on this side
            found = at.x + (first + beyond * size) * ray
            if at.sign * self.value(found) <= 0:
                return found
        return None

    def changes(self, at: _Place, ray: FloatArray) -> Iterator[float]:
        """Steps along a ray at which the value stops to have the sign that it has at the start."""
        speeds = self.hyperplanes @ ray
        gaps = self.cutoffs - self.hyperplanes @ at.x
        # a gate is crossed if it moves away from the side on which x is
        leaves = np.where(at.bits, speeds < 0, speeds > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            times = np.where(leaves, np.maximum(gaps / speeds, 0.0), np.inf)
        order = np.argsort(times, axis=None)
        order = order[np.isfinite(times.ravel()[order])]
        contexts = at.contexts.copy()
        rates: FloatArray = self.slopes @ ray
        constant, rate, start, was_beyond = (
            at.sign * at.value,
            at.sign * (at.beta @ ray),
            0.0,
            False,
        )
        for which in [
            *order.tolist(),
            None,
        ]:  # the value is constant + time * rate up to the next gate
            end = float(np.inf if which is None else times.ravel()[which])
            if end > start * (1.0 + 1e-12):  # not in the midst of gates that switch together
                at_start = constant + start * rate
                if at_start <= 0 and not was_beyond:
                    yield start
                if at_start > 0 and rate < 0 and -constant / rate < end:
                    yield float(-constant / rate)
                was_beyond = bool(constant + end * rate <= 0)
                start = end
            if which is None:
                return
            h, bit = divmod(which, times.shape[1])
            old, new = contexts[h], contexts[h] ^ int(self.powers[bit])
            constant += at.sign * float(at.responses[h, new] - at.responses[h, old])
            rate += at.sign * float(rates[h, new] - rates[h, old])
            contexts[h] = new
