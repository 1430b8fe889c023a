r"""What a norm says of itself, to the engine and to everybody else.

A norm of gated linear maps is a function of the unit weights zeta, of shape (n_units, n_contexts,
n_features), and so is its dual of the sums :math:`V_h = \sum_n b_n \phi_h(x_n)`. Of maps with
several outputs both have a fourth axis, n_outputs. The engine's own methods need more: that the
norm is made of Euclidean norms, which it therefore knows as kernels. A norm that says only its
value, its dual and its expression is minimised by cvxpy, with the same certificate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from gnorm.gated import FloatArray, check_even, check_zeta

if TYPE_CHECKING:
    import cvxpy as cp

from gnorm.gating import Activations, ContextWeights

__all__ = ["Network", "Norm", "QuadraticNorm", "QuasiNorm", "UnitNorm", "check_weights"]


def check_weights(zeta: ArrayLike, name: str = "zeta") -> FloatArray:
    """Return zeta, of three axes or of four, as a finite float64 array in C order.

    Raises
    ------
    ValueError
        If it is not finite, not real or of another number of axes.
    """
    if np.ndim(zeta) != 4:
        return check_zeta(zeta, name)
    shape = np.shape(zeta)
    return check_zeta(np.reshape(zeta, (*shape[:2], -1)), name).reshape(shape)


@dataclass(frozen=True)
class Network:
    r"""The network whose training a norm is induced by, as functions of its weights.

    The norm is the least cost of all weights with the same zeta: :math:`R(\zeta(w)) \le` cost(w)
    for all w, with equality at the weights of least cost.

    Attributes
    ----------
    shapes : tuple of tuple of int
        Shapes of the arrays of weights, a layer each.
    zeta : callable
        From weights to zeta.
    cost : callable
        From weights to half the square of their norm in the geometry of the descent.
    weights : callable
        From zeta to weights of least cost.
    """

    shapes: tuple[tuple[int, ...], ...]
    zeta: Callable[[Sequence[np.ndarray]], FloatArray]
    cost: Callable[[Sequence[np.ndarray]], float]
    weights: Callable[[FloatArray], Sequence[np.ndarray]]


class _Catalogued(ABC):
    """What a row of the catalogue says."""

    formula: ClassVar[str]
    architecture: ClassVar[str]
    geometry: ClassVar[str]
    references: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def examples(cls) -> tuple[Self, ...]:
        """Return objects of this class, for tables and for tests of all norms."""
        return (cls(),)

    def network(self, shape: tuple[int, ...]) -> Network:
        """Return the architecture in numpy, for zeta of a shape.

        Raises
        ------
        TypeError
            If the norm is not known to be induced by a network.
        """
        raise TypeError(
            f"expected a norm that a network induces, got {type(self).__name__} "
            f"of {shape}: {self.architecture}"
        )


class Norm(_Catalogued):
    """A norm of the predictors of a gated linear map.

    Attributes
    ----------
    formula, dual_formula : str
        The norm and its dual, in TeX.
    architecture, geometry : str
        The network that induces it, and the descent.
    invariances : tuple of str
        What leaves the norm as it is.
    takes_outputs : bool
        Whether it is a norm of maps with several outputs as well.
    takes_rows : bool
        Whether a sum of Euclidean norms also takes :class:`~gnorm.gates.ContextWeights`, a row for
        each context that there is: what a solver hands it where units have uneven numbers of
        contexts. Under another norm these are filled up. Meant are `value`, `unit_norms`, `dual`,
        `dual_norms`, and, which then return such rows, `recovered`, `canonical`, `extreme_point`
        and `prox`. A class says so where it is made, as in ``class Mine(GroupNorm,
        takes_rows=True)``, and for itself alone: what inherits of it may compute otherwise.
    """

    formula = r"R(\zeta)"
    dual_formula: ClassVar[str] = r"R^\circ(V)"
    architecture = "not said"
    geometry = "not said"
    invariances: ClassVar[tuple[str, ...]] = ()
    takes_outputs: ClassVar[bool] = False
    is_polyhedral: ClassVar[bool] = False
    takes_rows: ClassVar[bool] = False

    def __init_subclass__(cls, *, takes_rows: bool | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        # in the body of the class or behind its bases, but not what a base says of itself
        cls.takes_rows = vars(cls).get("takes_rows", False) if takes_rows is None else takes_rows
        if cls.takes_rows and not issubclass(cls, UnitNorm):
            raise TypeError(
                "expected takes_rows of a UnitNorm, which is a sum of Euclidean norms, got "
                f"{cls.__name__}"
            )

    @abstractmethod
    def value(self, zeta: ArrayLike) -> float:
        """Norm of the predictors with these weights."""

    @abstractmethod
    def dual(self, sums: ArrayLike) -> float:
        r"""Dual norm, :math:`\max \langle \zeta, V \rangle` over zeta of norm at most 1."""

    @abstractmethod
    def expression(self, zeta: Any) -> cp.Expression:
        """Compose the norm of atoms of cvxpy, for an affine zeta of three axes, or of four."""

    def extreme_point(self, sums: ArrayLike) -> FloatArray:
        r"""Weights of norm 1 with :math:`\langle \zeta, V \rangle = R^\circ(V)`.

        Raises
        ------
        TypeError
            If the norm does not say how.
        """
        raise TypeError(
            f"expected a norm with extreme points in closed form, got {type(self).__name__}"
        )

    def prox(self, zeta: ArrayLike, t: float) -> FloatArray:
        r"""Proximal map, :math:`\arg\min_\xi \tfrac12 \|\xi - \zeta\|_F^2 + t R(\xi)`.

        Raises
        ------
        TypeError
            If the norm does not say how.
        """
        _ = zeta, t
        raise TypeError(f"expected a norm with a proximal map in closed form, got {self!r}")

    def canonical(self, zeta: ArrayLike) -> FloatArray:
        """Weights of least cost among all with the same predictors: these, where no others are."""
        same: Any = zeta if isinstance(zeta, ContextWeights) else np.asarray(zeta, dtype=float)
        return same

    def dual_norms(self, sums: FloatArray) -> FloatArray:
        """Dual norm as an array of one: that of all units together."""
        return np.array([self.dual(sums)])

    def check_gates(self, activations: Activations) -> None:
        """Raise ValueError, with what was expected and got, if it is no norm for such gates."""
        _ = activations

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError, with what was expected and got, if it is no norm of such a zeta."""
        if len(shape) == 4 and not self.takes_outputs:
            raise ValueError(
                f"expected one output for the norm {type(self).__name__}, got {shape[3]}; "
                "Nuclear is the norm of a network with several"
            )


class QuasiNorm(_Catalogued):
    r"""What a deeper network minimises: homogeneous, but without the triangle inequality.

    It has values only: a problem with it has local minima, and no dual value bounds its optimum.

    Attributes
    ----------
    formula : str
        The quasi-norm, in TeX.
    architecture, geometry : str
        The network that induces it, and the descent.
    convex_name : str
        Name of the norm that a depth of two induces, which a solver takes.
    """

    convex_name: ClassVar[str]

    @abstractmethod
    def value(self, zeta: ArrayLike) -> float:
        """Quasi-norm of the predictor with these weights, homogeneous of degree 1."""

    @abstractmethod
    def least_cost(self, zeta: ArrayLike) -> float:
        r"""Least :math:`\tfrac12 \|w\|^2` of all weights of the network with this predictor."""


class UnitNorm(Norm):
    r"""A sum of Euclidean norms, one a kernel: :math:`\sum_h \|\zeta\|_{(h)}`.

    Its dual is the largest of as many, and a dual point recovers a primal one by shares
    :math:`\mu \ge 0`, :math:`\sum_h \mu_h = 1` of the kernels.
    """

    takes_outputs = True

    @abstractmethod
    def unit_norms(self, zeta: ArrayLike) -> FloatArray:
        """Terms of the norm of given weights, one a kernel."""

    @abstractmethod
    def dual_norms(self, sums: FloatArray) -> FloatArray:
        """Dual norms, one a kernel; the dual norm is the largest."""

    @abstractmethod
    def recovered(self, sums: FloatArray, shares: np.ndarray) -> FloatArray:
        """Weights that a dual point of these sums and the shares of the kernels stand for.

        Of all weights with the same predictors it is those of least cost.
        """

    def value(self, zeta: ArrayLike) -> float:
        """Norm of the predictors with these weights."""
        return float(np.sum(self.unit_norms(zeta)))

    def dual(self, sums: ArrayLike) -> float:
        r"""Dual norm, :math:`\max \langle \zeta, V \rangle` over zeta of norm at most 1."""
        return float(np.max(self.dual_norms(self._sums(sums))))

    def _sums(self, sums: ArrayLike) -> Any:
        """Return rows to a norm that takes them, and an array to others."""
        if not isinstance(sums, ContextWeights):
            return np.asarray(sums, dtype=float)
        return sums if self.takes_rows else check_even(sums, "sums")

    def extreme_point(self, sums: ArrayLike) -> FloatArray:
        """Weights of norm 1 that attain the dual norm: those of the kernel where it is largest."""
        V = self._sums(sums)
        norms = self.dual_norms(V)
        point = self.recovered(V, (np.arange(len(norms)) == np.argmax(norms)).astype(float))
        length = self.value(point)
        return point / length if length > 0 else point


class QuadraticNorm(UnitNorm):
    """A norm with one kernel for all units together."""

    @abstractmethod
    def kernel(self, X: Any, activations: Activations) -> np.ndarray:
        """Kernel matrix of the samples, shape (n_samples, n_samples).

        Of gates that open one context a unit the activations may be
        :class:`~gnorm.gates.OpenContexts`; ``np.asarray`` makes an array of them.
        """

    @abstractmethod
    def largest_kernel(self, n_units: int, n_contexts: int) -> float:
        r"""Largest value of the kernel in units of :math:`\|x\|^2`."""

    @abstractmethod
    def gate_metric(self, factors: np.ndarray) -> np.ndarray:
        r"""Matrix M with the kernel :math:`\langle x, x' \rangle g^\top M g'` of coded gates g.

        The factors, from coded gates to contexts, are of shape (n_units, n_contexts, n_gates).
        """
