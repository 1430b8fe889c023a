"""Gates from hyperplanes, random ones or those of a trained network."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils import check_array, check_random_state, check_scalar

from gnorm.gates.base import BoolArray, FloatArray, Gates

__all__ = ["HyperplaneGates", "ReLUGates", "weighted_quantiles"]

CUTOFFS = ("median", "random", "zero")
DIRECTIONS = ("normal", "differences")
# Standard deviations in the paper's experiments. Only their ratio matters, for random cutoffs.
SCALE = 36.0  # of the hyperplane weights
CUTOFF_SCALE = 9.0  # of the random cutoffs
EPS = float(np.finfo(np.float64).eps)

# A median cutoff passes through a fitting sample, so rounding decides on which side that sample
# lies; and a matrix product rounds the same row differently at another position, in another batch
# or stored sparse. Moving the cutoff off the sample would protect it at the price of another
# definition. Here one value of <w, x> is declared the true one instead: the sum over the features
# in index order, rounded after each product and each sum. IEEE arithmetic makes it a function of
# the row alone, and zeros do not enter it. With it the plain definition holds bit for bit, ties
# included: b is the median of these values, and a gate opens where the value is >= b. The fast
# product is only a filter: its error is bounded, so only rows within the bound of a cutoff need
# the slow sum, about one per hyperplane when the samples have no ties.


def _sum_in_order(X: Any, hyperplanes: FloatArray) -> FloatArray:
    """<w, x> of shape (n_samples, n_hyperplanes), summed over the features in index order."""
    columns = sparse.csc_array(X)
    projections = np.zeros((X.shape[0], len(hyperplanes)))
    for feature in np.flatnonzero(np.diff(columns.indptr)):
        entries = slice(columns.indptr[feature], columns.indptr[feature + 1])
        products = columns.data[entries, None] * hyperplanes[:, feature]
        projections[columns.indices[entries]] += products
    return projections


def _project(
    X: Any, hyperplanes: FloatArray, find_levels: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """<w, x> of shape (n_samples, n_hyperplanes), summed in order wherever a level is near.

    `find_levels` takes the fast product and gives one level per hyperplane, with an error no
    larger than the largest of that product.
    """
    abs_max = max(X.max(), -X.min())
    with np.errstate(over="ignore"):
        size = abs_max * np.abs(hyperplanes).sum(axis=1)
    if not np.isfinite(size).all():
        raise ValueError(
            "X must be small enough for <w, x> to be finite in float64, "
            f"got an entry of absolute value {abs_max}"
        )
    # Two sums of D products, each in any order, differ by at most about D * eps * sum_i |w_i x_i|
    # (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1), and a level may
    # be off by as much again; the other factor of 2 covers higher orders. Too wide a margin costs
    # time, nothing else.
    margin = 4 * hyperplanes.shape[1] * EPS * size
    projections: FloatArray = X @ hyperplanes.T
    near = (np.abs(projections - find_levels(projections)) <= margin).any(axis=1)
    if near.any():
        projections[near] = _sum_in_order(X[near], hyperplanes)
    return projections


def _is_beyond(X: Any, hyperplanes: FloatArray, cutoffs: FloatArray) -> BoolArray:
    """Whether <w, x> - b >= 0, of shape (n_samples, n_hyperplanes)."""
    return _project(X, hyperplanes, lambda _: cutoffs) >= cutoffs


def weighted_quantiles(values: FloatArray, weights: FloatArray, shares: ArrayLike) -> FloatArray:
    """Smallest values whose cumulative weight reaches these shares of the total.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Values.
    weights : ndarray of shape (n_samples,)
        Their weights, non-negative.
    shares : array-like of shape (n_shares,)
        Shares between 0 and 1.

    Returns
    -------
    ndarray of shape (n_shares,)
        The quantiles, by the inverted CDF.
    """
    order = np.argsort(values)
    cumulative = np.cumsum(_summable(weights)[order])
    # Less the rounding of the sum: equal weights of 0.1 have the median of equal weights of 1.
    levels = (np.asarray(shares) - len(weights) * EPS) * cumulative[-1]
    return values[order[np.searchsorted(cumulative, levels)]]


def _summable(weights: FloatArray) -> FloatArray:
    """Weights up to 1, divided by a power of two: no sum overflows, and no digit changes."""
    return np.asarray(np.ldexp(weights, -np.frexp(np.max(weights))[1]))


def _weighted_median(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Of each column, the smallest value whose cumulative weight reaches half the total."""
    return np.array([weighted_quantiles(column, weights, 0.5) for column in values.T])


def _differences(X: Any, weights: FloatArray, n_pairs: int, random: Any) -> FloatArray:
    """Differences of two samples that are not equal, drawn by weight; zeros if all are equal.

    Weights are copies, and the order does not matter: the samples are drawn by the inverse of their
    cumulative weight along a random projection, in which only equal ones coincide.
    """
    direction, draws = random.normal(size=(1, X.shape[1])), random.uniform(size=(n_pairs, 2))
    kept = np.flatnonzero(weights)
    projections = _sum_in_order(X[kept], direction)[:, 0]
    _, first, group = np.unique(projections, return_index=True, return_inverse=True)
    totals = np.bincount(group.reshape(-1), _summable(weights)[kept])
    ends = np.cumsum(totals)
    if len(ends) == 1:
        return np.zeros((n_pairs, X.shape[1]))
    one = np.minimum(np.searchsorted(ends, draws[:, 0] * ends[-1], side="right"), len(ends) - 1)
    # the other by what is left without the first: it begins where that ends, and goes round
    rest = draws[:, 1] * (ends[-1] - totals[one])
    start = (ends[one] + rest) % ends[-1]
    other = np.minimum(np.searchsorted(ends, start, side="right"), len(ends) - 1)
    other = np.where(other == one, (one + 1) % len(ends), other)  # by rounding alone
    rows = [X[kept[first[chosen]]] for chosen in (one, other)]
    difference = rows[0] - rows[1]
    return np.asarray(difference.toarray() if sparse.issparse(difference) else difference)


def _draw_hyperplanes(
    X: Any,
    weights: FloatArray,
    n_hyperplanes: int,
    cutoff: str,
    random_state: int | np.random.RandomState | None,
    scale: float = SCALE,
    cutoff_scale: float = CUTOFF_SCALE,
    directions: str = "normal",
) -> tuple[FloatArray, FloatArray]:
    """Random hyperplanes (n_hyperplanes, n_features) and their cutoffs (n_hyperplanes,)."""
    if cutoff not in CUTOFFS:
        raise ValueError(f"cutoff must be one of {CUTOFFS}, got {cutoff!r}")
    if directions not in DIRECTIONS:
        raise ValueError(f"directions must be one of {DIRECTIONS}, got {directions!r}")
    for name, value in {"scale": scale, "cutoff_scale": cutoff_scale}.items():
        check_scalar(value, name, Real)
        if not 0 < value < np.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}")
    # One row of the stream is one hyperplane with its cutoff, drawn even where it is not used: so
    # the hyperplanes of a seed depend neither on how they are cut nor on how many follow.
    random = check_random_state(random_state)
    draws = random.normal(size=(n_hyperplanes, X.shape[1] + 1))
    if directions == "differences":
        draws[:, :-1] = _differences(X, weights, n_hyperplanes, random)
    hyperplanes: FloatArray = np.ascontiguousarray(scale * draws[:, :-1])
    if cutoff == "zero":
        return hyperplanes, np.zeros(n_hyperplanes)
    if cutoff == "random":
        return hyperplanes, cutoff_scale * draws[:, -1]
    projections = _project(X, hyperplanes, lambda fast: _weighted_median(fast, weights))
    return hyperplanes, _weighted_median(projections, weights)


class HyperplaneGates(Gates):
    r"""One context on per unit, from the sides of random hyperplanes.

    Unit :math:`h` has :math:`B = \log_2 C` hyperplanes, each of which gives one bit

    .. math:: k_{hj}(x) = [\langle w_{hj}, x \rangle - b_{hj} \ge 0],

    and the context that is on has the number :math:`\sum_{j=1}^B 2^{B-j} k_{hj}(x)`, counted from
    0: the first hyperplane is the high bit [1]_ (appendix A.1).

    Parameters
    ----------
    n_units : int, default=50
        Number of units.
    n_contexts : int, default=2
        Number of contexts :math:`C` per unit, a power of two. With 1 there are no hyperplanes and
        the only context is always on.
    cutoff : {"median", "random", "zero"}, default="median"
        The cutoffs :math:`b_{hj}`. "median" is the weighted median of
        :math:`\langle w_{hj}, x \rangle` over the fitting data by the inverted CDF, the smallest
        value whose cumulative weight reaches half the total, so that at least half the weight
        has bit 1. "random" is normal with standard deviation `cutoff_scale`.
    directions : {"normal", "differences"}, default="normal"
        Where the hyperplane weights :math:`w_{hj}` come from. "normal" draws their entries;
        "differences" are the differences of two training samples that are not equal, drawn by
        weight, so that hyperplanes lie across the directions in which the data vary.
    scale : float, default=36.0
        Standard deviation of normal hyperplane weights, factor of differences. It matters for
        random cutoffs only.
    cutoff_scale : float, default=9.0
        Standard deviation of random cutoffs.
    random_state : int, RandomState instance or None, default=None
        Draws the hyperplanes, then the random cutoffs.

    Attributes
    ----------
    hyperplanes_ : ndarray of shape (n_units, log2(n_contexts), n_features)
        Weights of the hyperplanes.
    cutoffs_ : ndarray of shape (n_units, log2(n_contexts))
        Cutoffs of the hyperplanes.
    n_features_in_ : int
        Number of features seen by `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` has string column names.

    See Also
    --------
    ReLUGates : On/off gates, random or of a trained network.
    FixedGates : Gates from any function.

    References
    ----------
    .. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
       generalized gated linear networks. arXiv:2202.02649.
    .. [2] J. Veness et al. (2021). Gated linear networks. AAAI. arXiv:1910.01526.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.gates import HyperplaneGates
    >>> X = np.random.default_rng(0).normal(size=(100, 5))
    >>> activations = HyperplaneGates(n_units=3, n_contexts=4, random_state=0).fit_transform(X)
    >>> activations.shape
    (100, 3, 4)
    >>> bool((activations.sum(axis=2) == 1).all())
    True
    """

    def __init__(
        self,
        n_units: int = 50,
        n_contexts: int = 2,
        *,
        cutoff: str = "median",
        directions: str = "normal",
        scale: float = SCALE,
        cutoff_scale: float = CUTOFF_SCALE,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_units = n_units
        self.n_contexts = n_contexts
        self.cutoff = cutoff
        self.directions = directions
        self.scale = scale
        self.cutoff_scale = cutoff_scale
        self.random_state = random_state

    def _learn(self, X: Any, y: Any, weights: FloatArray) -> None:
        check_scalar(self.n_units, "n_units", Integral, min_val=1)
        check_scalar(self.n_contexts, "n_contexts", Integral)
        if self.n_contexts < 1 or self.n_contexts & (self.n_contexts - 1):
            raise ValueError(f"n_contexts must be a power of two, got {self.n_contexts}")
        shape = (self.n_units, int(self.n_contexts).bit_length() - 1)
        hyperplanes, cutoffs = _draw_hyperplanes(
            X,
            weights,
            shape[0] * shape[1],
            self.cutoff,
            self.random_state,
            self.scale,
            self.cutoff_scale,
            self.directions,
        )
        self.hyperplanes_ = hyperplanes.reshape(*shape, X.shape[1])
        self.cutoffs_ = cutoffs.reshape(shape)

    def _n_units(self) -> int:
        return len(self.cutoffs_)

    def _activate(self, X: Any) -> BoolArray:
        n_bits = self.cutoffs_.shape[1]
        bits = _is_beyond(X, self.hyperplanes_.reshape(-1, X.shape[1]), self.cutoffs_.ravel())
        bits = bits.reshape(X.shape[0], *self.cutoffs_.shape)
        activations = np.ones((*bits.shape[:2], 1 << n_bits), dtype=bool)
        for context in range(1 << n_bits):
            for bit in range(n_bits):
                is_set = bool(context >> (n_bits - 1 - bit) & 1)
                activations[:, :, context] &= bits[:, :, bit] == is_set
        return activations


class ReLUGates(Gates):
    r"""On/off gates: unit :math:`h` is open where :math:`\langle w_h, x \rangle - b_h \ge 0`.

    They are the gates of a frozen ReLU network [1]_, random or those of a trained one. A ReLU
    :math:`\max(0, \langle w, x \rangle + a)` has the threshold :math:`b = -a`; at its kink the
    gate counts as open, as on a hyperplane of :class:`HyperplaneGates`.

    Parameters
    ----------
    n_units : int, default=50
        Number of random hyperplanes. Not used with `weights`.
    cutoff : {"median", "random", "zero"}, default="median"
        Cutoffs :math:`b_h` of random hyperplanes: those of :class:`HyperplaneGates` with its
        default scales, 36 and 9, so two contexts and the same `random_state` give these gates as
        their second context. Not used with `weights`.
    weights : array-like of shape (n_units, n_features), default=None
        Hyperplanes of a trained network, in place of random ones.
    thresholds : array-like of shape (n_units,), default=None
        Cutoffs that go with `weights`. None means zeros; anything else needs `weights`.
    always_open : bool, default=True
        Whether to add a last unit that never closes, so that every input opens some unit.
    random_state : int, RandomState instance or None, default=None
        Draws the hyperplanes, then the random cutoffs. Not used with `weights`.

    Attributes
    ----------
    hyperplanes_ : ndarray of shape (n_units, n_features)
        Weights of the hyperplanes; the unit that never closes has none.
    cutoffs_ : ndarray of shape (n_units,)
        Cutoffs of the hyperplanes.
    n_features_in_ : int
        Number of features seen by `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` has string column names.

    See Also
    --------
    HyperplaneGates : One of several contexts on per unit.
    FixedGates : Gates from any function.

    References
    ----------
    .. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
       generalized gated linear networks. arXiv:2202.02649.

    Examples
    --------
    >>> from gnorm.gates import ReLUGates
    >>> gates = ReLUGates(weights=[[1.0, 0.0], [0.0, 1.0]], thresholds=[0.0, 2.0])
    >>> gates.fit_transform([[1.0, 1.0], [-1.0, 2.0]])[:, :, 0]
    array([[ True, False,  True],
           [False,  True,  True]])
    """

    def __init__(
        self,
        n_units: int = 50,
        *,
        cutoff: str = "median",
        weights: ArrayLike | None = None,
        thresholds: ArrayLike | None = None,
        always_open: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_units = n_units
        self.cutoff = cutoff
        self.weights = weights
        self.thresholds = thresholds
        self.always_open = always_open
        self.random_state = random_state

    def _learn(self, X: Any, y: Any, weights: FloatArray) -> None:
        check_scalar(self.always_open, "always_open", (bool, np.bool_))
        if self.weights is not None:
            self.hyperplanes_, self.cutoffs_ = self._trained_hyperplanes(X.shape[1])
            return
        if self.thresholds is not None:
            raise ValueError("thresholds must come with weights, got weights=None")
        check_scalar(self.n_units, "n_units", Integral, min_val=1)
        self.hyperplanes_, self.cutoffs_ = _draw_hyperplanes(
            X, weights, self.n_units, self.cutoff, self.random_state
        )

    def _trained_hyperplanes(self, n_features: int) -> tuple[FloatArray, FloatArray]:
        # Copies, so that the gates stay as they are while their network trains on.
        weights = check_array(self.weights, dtype=np.float64, copy=True, input_name="weights")
        n_units = len(weights)
        if weights.shape[1] != n_features:
            raise ValueError(
                f"weights must have {n_features} features as X, got {weights.shape[1]}"
            )
        if self.thresholds is None:
            return weights, np.zeros(n_units)
        thresholds = check_array(
            self.thresholds, dtype=np.float64, copy=True, ensure_2d=False, input_name="thresholds"
        )
        if thresholds.shape != (n_units,):
            raise ValueError(f"thresholds must have shape ({n_units},), got {thresholds.shape}")
        return weights, thresholds

    def _n_units(self) -> int:
        return len(self.cutoffs_) + int(self.always_open)

    def _activate(self, X: Any) -> BoolArray:
        is_open = _is_beyond(X, self.hyperplanes_, self.cutoffs_)
        if self.always_open:
            is_open = np.column_stack([is_open, np.ones(len(is_open), dtype=bool)])
        return is_open[:, :, None]
