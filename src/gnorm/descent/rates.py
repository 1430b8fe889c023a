r"""Rates at which the weights of a network can grow: its polytope of quasi-homogeneity.

A vector of rates :math:`\lambda \ge 0`, one for each array of weights, is valid if

.. math:: f(x;\, e^{\lambda s} w) = e^s f(x; w)

for all s (Kunin et al. [1]_). Then :math:`\langle \lambda w, \nabla f \rangle = f`, and gradient
flow conserves :math:`\|w\|_\Lambda^2 - \|w\|_{\Lambda'}^2`, with
:math:`\|w\|_\Lambda^2 = \sum_i \lambda_i w_i^2`, for any two of them. The layers say linear
equations between the rates, so that the valid ones are a polytope, with rays where a block of
weights is scale-invariant.

References
----------
.. [1] D. Kunin, A. Yamamura, C. Ma and S. Ganguli (2023). The asymmetric maximum margin bias of
   quasi-homogeneous neural networks. ICLR. arXiv:2210.03820.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import null_space
from scipy.optimize import linprog

from gnorm.gated import FloatArray, as_numbers

if TYPE_CHECKING:
    from gnorm.descent.network import Activations, Network

__all__ = ["RatePolytope", "Rates", "check_rates", "spread"]

Rates: TypeAlias = ArrayLike | Mapping[str, float]

TOL = 1e-9  # of a rate: rates are small rational numbers, found by linear programs right to 1e-9
_MAX_BASES = 200_000  # sets of arrays that may be a vertex, of about 20 microseconds each


@dataclass(frozen=True, eq=False)
class RatePolytope:
    r"""Rates :math:`\lambda \ge 0` with :math:`A \lambda = b`, one for each array of weights.

    Attributes
    ----------
    names : tuple of str
        Names of the arrays of weights.
    equations : ndarray of shape (n_equations, n_arrays)
        A, the last row the rate of the outputs.
    values : ndarray of shape (n_equations,)
        b: zero but for the last, which is 1.
    words : tuple of str
        What each equation says.
    degree : int or None
        Degree of homogeneity, where all rates can be equal; otherwise None.
    reason : str
        Why there is no degree; empty where there is.
    depth : int
        Largest number of weights that are multiplied on the way from input to output.

    Examples
    --------
    >>> from gnorm.descent import Network, layers
    >>> hidden = [layers.Dense(3, 5), layers.Bias(5), layers.ReLU()]
    >>> polytope = Network(3, [*hidden, layers.Dense(5, 1)]).rates()
    >>> polytope.degree
    2
    >>> polytope.vertices()  # of the first weights, their bias and the second weights
    array([[0., 0., 1.],
           [1., 1., 0.]])
    >>> polytope = Network(3, [*hidden, layers.Dense(5, 1), layers.Bias(1)]).rates()
    >>> print(polytope.reason)
    in bias_4, the bias and what it is added to must scale alike, but have degrees 1 and 2
    >>> polytope.choose()
    array([0.5, 0.5, 0.5, 1. ])
    """

    names: tuple[str, ...]
    equations: FloatArray
    values: FloatArray
    words: tuple[str, ...]
    degree: int | None
    reason: str
    depth: int

    def __repr__(self) -> str:
        return f"RatePolytope({len(self.names)} rates, {len(self.values)} equations)"

    def violation(self, rates: Rates) -> float:
        """Largest amount by which rates violate an equation or a sign.

        Parameters
        ----------
        rates : array-like of shape (n_arrays,) or dict of str to float
            One rate for each array, or all of them by name.

        Returns
        -------
        float
            0 for valid rates.
        """
        given = self._vector(rates)
        worst = float(np.abs(self.equations @ given - self.values).max())
        return max(worst, float(-given.min(initial=0.0)))

    def check(self, rates: Rates) -> FloatArray:
        """Return valid rates as an array.

        Parameters
        ----------
        rates : array-like of shape (n_arrays,) or dict of str to float
            One rate for each array, or all of them by name.

        Returns
        -------
        ndarray of shape (n_arrays,)
            The rates.

        Raises
        ------
        ValueError
            If they are not valid, with the equation that they violate most.
        """
        given = self._vector(rates)
        if given.size and given.min() < -TOL:
            worst = int(given.argmin())
            raise ValueError(f"expected rates >= 0, got {given[worst]:.4g} for {self.names[worst]}")
        differences = self.equations @ given - self.values
        worst = int(np.abs(differences).argmax())
        if abs(differences[worst]) > 1e-6:
            raise ValueError(
                f"expected rates for which {self.words[worst]}, got a difference of "
                f"{differences[worst]:.4g}"
            )
        return given

    def _vector(self, rates: Rates) -> FloatArray:
        if isinstance(rates, Mapping):
            if set(rates) != set(self.names):
                raise ValueError(f"expected rates of {list(self.names)}, got {list(rates)}")
            rates = [rates[name] for name in self.names]
        given = as_numbers(rates, "rates")
        if given.shape != (len(self.names),) or not np.isfinite(given).all():
            raise ValueError(
                f"expected a finite rate for each of {list(self.names)}, got {np.asarray(rates)}"
            )
        return given

    def choose(self) -> FloatArray:
        """Valid rates whose largest is least, and of those the next largest, and so on.

        The largest rate decides which weights have their norm minimised in the limit of training;
        of a chain of matrices all are 1 over the degree, and those of a scale-invariant block are
        0. Each level is a linear program.

        Returns
        -------
        ndarray of shape (n_arrays,)
            The rates.

        Raises
        ------
        ValueError
            If there are no valid rates: the network is not quasi-homogeneous.
        """
        n = len(self.names)
        fixed: dict[int, float] = {}
        top = self._least(None, fixed, np.inf)
        while len(fixed) < n:
            for i in [i for i in range(n) if i not in fixed]:
                # at the least largest rate, is this one forced to it?
                if self._least(i, fixed, top) > top - 10 * TOL:
                    fixed[i] = top
            top = self._least(None, fixed, np.inf)
        chosen = np.round([fixed[i] for i in range(n)], 8)
        # what the linear programs and the rounding leave, among those that are not zero
        is_positive = chosen > 0
        missing = self.values - self.equations @ chosen
        chosen[is_positive] += np.linalg.lstsq(self.equations[:, is_positive], missing, rcond=None)[
            0
        ]
        return np.round(chosen, 14)

    def _least(self, index: int | None, fixed: dict[int, float], top: float) -> float:
        """Least value of a rate, or of the largest that is not fixed, where none exceeds `top`."""
        n = len(self.names)
        cost = np.zeros(n + 1)  # the last variable bounds the rates that are not fixed
        cost[n if index is None else index] = 1.0
        bounds = [
            (max(0.0, fixed[i] - TOL), fixed[i] + TOL) if i in fixed else (0.0, None)
            for i in range(n)
        ]
        free = [i for i in range(n) if i not in fixed]
        upper = np.zeros((len(free), n + 1))
        upper[np.arange(len(free)), free] = 1.0
        upper[:, n] = -1.0
        result = linprog(
            cost,
            A_ub=upper,
            b_ub=np.zeros(len(free)),
            A_eq=np.column_stack([self.equations, np.zeros(len(self.values))]),
            b_eq=self.values,
            bounds=[*bounds, (0.0, None if np.isinf(top) else top + TOL)],
            method="highs",
        )
        if not result.success:
            raise ValueError(
                f"expected a quasi-homogeneous network, got one without valid rates: {self.reason}"
            )
        return float(result.fun)

    def vertices(self) -> FloatArray:
        """Vertices of the polytope, in lexicographic order.

        Returns
        -------
        ndarray of shape (n_vertices, n_arrays)
            Rates of which no others are averages; all valid ones are averages of them, plus
            multiples of :meth:`rays`.

        Raises
        ------
        ValueError
            If there are too many sets of arrays to try.
        """
        return _basic_solutions(self.equations, self.values)

    def rays(self) -> FloatArray:
        """Directions in which rates can grow for ever, of scale-invariant blocks of weights.

        Returns
        -------
        ndarray of shape (n_rays, n_arrays)
            Extreme rays, each with the sum 1.

        Raises
        ------
        ValueError
            If there are too many sets of arrays to try.
        """
        return _basic_solutions(
            np.vstack([self.equations, np.ones(len(self.names))]),
            np.concatenate([np.zeros(len(self.values)), [1.0]]),
        )

    def symmetries(self) -> FloatArray:
        r"""Orthonormal basis of the rates, of any sign, at which scaling changes no value.

        The differences of valid rates are among them, and those that rates >= 0 do not have: in a
        residual branch of two layers one can be multiplied and the other divided.

        Returns
        -------
        ndarray of shape (n_symmetries, n_arrays)
            Vectors :math:`\delta`, for which :math:`\sum_i \delta_i \|W_i\|^2` is conserved by
            gradient flow.
        """
        return null_space(self.equations).T


def _basic_solutions(A: FloatArray, b: FloatArray) -> FloatArray:
    """All vertices of {x >= 0: A x = b}: solutions with independent columns."""
    n = A.shape[1]
    u, s, _ = np.linalg.svd(np.column_stack([A, b]), full_matrices=False)
    rank = int(np.sum(s > TOL * s[0]))
    rows = u[:, :rank].T  # as many independent equations
    A, b = rows @ A, rows @ b
    if comb(n, rank) > _MAX_BASES:
        raise ValueError(
            f"expected a polytope of at most {_MAX_BASES} bases, got {comb(n, rank)}; choose() and "
            "symmetries() work for any"
        )
    found = []
    for columns in combinations(range(n), rank):
        square = A[:, columns]
        if np.linalg.cond(square) < 1 / TOL:
            x = np.zeros(n)
            x[list(columns)] = np.linalg.solve(square, b)
            if x.min() >= -TOL:
                found.append(np.round(x, 14) + 0.0)
    return np.unique(found, axis=0) if found else np.empty((0, n))


def assemble(network: Network) -> RatePolytope:
    """Equations of the rates of a network, from those of its layers.

    Parameters
    ----------
    network : Network
        The network.

    Returns
    -------
    RatePolytope
        The polytope.
    """
    n = len(network.names)
    own = np.eye(n)
    streams = [np.zeros(n)]  # of the input, then of every node
    equations, words, reasons = [], [], []
    for node in network.nodes:
        first, *others = (streams[p + 1] for p in node.parents)
        # of branches that disagree, the longest says the depth
        first = max([first, *others], key=lambda rate: float(rate.sum()))
        out, conditions = node.layer.rates(first, [own[i] for i in node.arrays])
        pairs = [(c.left, c.right, c.words) for c in conditions]
        pairs += [
            (streams[p + 1], first, "the branches that are summed")
            for p in node.parents
            if streams[p + 1] is not first
        ]
        for left, right, what in pairs:
            if np.array_equal(left, right):
                continue
            equations.append(left - right)
            words.append(f"{what} in {node.name} have equal rates")
            if (left - right).sum() != 0:
                reasons.append(
                    f"in {node.name}, {what} must scale alike, but have degrees "
                    f"{left.sum():g} and {right.sum():g}"
                )
        streams.append(out)
    depth = int(streams[-1].sum())
    if depth == 0:
        reasons.append("the output does not scale with the weights")
    degree = depth if not reasons else None
    return RatePolytope(
        names=network.names,
        equations=np.array([*equations, streams[-1]]).reshape(len(equations) + 1, n),
        values=np.append(np.zeros(len(equations)), 1.0),
        words=(*words, "the outputs have rate 1"),
        degree=degree,
        reason="; ".join(reasons),
        depth=depth,
    )


def spread(network: Network, rates: Rates) -> FloatArray:
    """Check rates, and give every weight that of its array.

    Parameters
    ----------
    network : Network
        The network.
    rates : array-like of shape (n_arrays,) or dict of str to float
        One rate for each array of weights, or all of them by name.

    Returns
    -------
    ndarray of shape (n_parameters,)
        Rate of every weight.

    Raises
    ------
    ValueError
        If they are not valid.
    """
    given = network.rates().check(rates)
    sizes = [W.size for W in network.split(network.parameters)]
    return np.repeat(given, sizes)


def check_rates(
    network: Network,
    rates: Rates,
    X: ArrayLike,
    activations: Activations = None,
    *,
    scales: ArrayLike = (-1.0, 0.5, 1.0),
) -> float:
    r"""Violation of quasi-homogeneity, by evaluation.

    Parameters
    ----------
    network : Network
        Network, at whose weights it is evaluated.
    rates : array-like of shape (n_arrays,) or dict of str to float
        One rate for each array of weights; they need not be valid.
    X : array-like of shape (n_samples, n_features)
        Inputs.
    activations : array-like of bool, shape (n_samples, n_units, n_contexts), or list of them
        Open gates of the layers with fixed gates; None if there are none.
    scales : array-like of shape (n_scales,), default=(-1, 0.5, 1)
        Values of s.

    Returns
    -------
    float
        Largest :math:`|e^{-s} f(x; e^{\lambda s} w) - f(x; w)|` relative to the largest
        :math:`|f(x; w)|`: rounding for valid rates.

    Raises
    ------
    ValueError
        If there are not as many rates as arrays, or inputs do not fit.
    """
    given = network.rates()._vector(rates)
    values = network.decision_function(X, activations)
    other = network.copy()
    worst = 0.0
    for s in np.atleast_1d(as_numbers(scales, "scales")):
        for W, before, rate in zip(
            other.split(other.parameters), network.split(network.parameters), given, strict=True
        ):
            W[...] = np.exp(rate * s) * before
        scaled = np.exp(-s) * other.decision_function(X, activations)
        worst = max(worst, float(np.abs(scaled - values).max()))
    size = float(np.abs(values).max())
    return worst / size if size > 0 else worst
