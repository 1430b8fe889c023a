r"""Gradient descent and Adam: the familiar compositions of the parts of an optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from gnorm.descent.optimizers.adam import AdaptiveMoments
from gnorm.descent.optimizers.base import Part
from gnorm.descent.optimizers.geometries import L2, GeometryLike, Riemannian, check_geometry
from gnorm.descent.optimizers.parts import (
    Direction,
    Logarithm,
    Momentum,
    MomentumRule,
    Rate,
    WeightDecay,
)
from gnorm.descent.schedules import Damped, MarginGrowth, Normalized, RisingMomentum, Schedule
from gnorm.descent.trainer import Descent

__all__ = ["Adam", "GradientDescent"]


class GradientDescent(Descent):
    r"""Gradient descent with optional momentum, batches and rescaling, in any geometry.

    .. math:: v \leftarrow m \, v - \eta \, \nabla L(w), \qquad w \leftarrow w + v

    In another geometry than the Euclidean one, :math:`\|g\|_* \, d(g)` takes the place of the
    gradient g, with d(g) the steepest direction of unit norm; see
    :mod:`gnorm.descent`.

    Parameters
    ----------
    schedule : float or Schedule, default=0.01
        Rates :math:`\eta_k`: a constant, or one of :class:`Constant`, :class:`Steps`,
        :class:`Decaying`, :class:`Normalized`.
    momentum : float or callable, default=0.0
        Momentum m in [0, 1), or a function of the step such as :class:`RisingMomentum`.
    nesterov : bool, default=False
        Look ahead: :math:`w \leftarrow w + m v - \eta \nabla L(w)` with the new v.
    weight_decay : float, default=0.0
        Weight :math:`\lambda` of :math:`\frac{\lambda}{2} \|w\|^2`, added to the loss. Not with
        :class:`Normalized` or :class:`Damped`, under which the loss has no fixed scale.
    geometry : {"l2", "l1", "linf", "spectral"}, Geometry, or sequence of them, default="l2"
        Norm of the weights in which descent is steepest: "l1" follows the coordinate of the largest
        slope, "linf" the signs of the gradient, ``Lp(p)`` its powers, "spectral" the polar factor
        in every layer. A sequence gives every array of weights its own.
    unit_steps : bool, default=False
        Whether the rate is the length of the step in the geometry, :math:`w \leftarrow w - \eta \,
        d(g)`, whatever the length of the gradient.
    preconditioner : sequence of array-like of shape (n_in, n_in) or None, default=None
        Symmetric positive definite matrix :math:`A_l` of each layer, None for the identity: the
        step goes along :math:`\nabla L \, A_l`, the gradient in the metric
        :math:`\operatorname{tr}(Z_1 A_l^{-1} Z_2^\top)`. The limit is then a max-margin solution
        in that metric. It is a geometry of its own, :class:`Riemannian`.
    **options
        Options of :class:`Descent`: loss, batch_size, max_steps, rescaling, log_every, callback,
        progress, random_state.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm import max_margin
    >>> from gnorm.descent import GatedNetwork, GradientDescent, Normalized
    >>> X = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    >>> y = np.array([1, -1, 1, -1])
    >>> activations = np.stack([X[:, 0] < 0, X[:, 0] >= 0], axis=-1)[:, None, :]
    >>> network = GatedNetwork.gln(n_features=2, n_units=1, random_state=0)
    >>> descent = GradientDescent(Normalized(0.05), max_steps=500)
    >>> history = descent.train(network, X, y, activations)
    >>> norm = max_margin(X, y, activations).norm
    >>> ratio = history["min_margin"][-1] / history["squared_norm"][-1] * 2 * norm
    >>> bool(ratio > 0.999)
    True
    """

    def __init__(
        self,
        schedule: float | Schedule = 0.01,
        *,
        momentum: MomentumRule = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        geometry: GeometryLike = "l2",
        unit_steps: bool = False,
        preconditioner: Sequence[ArrayLike | None] | None = None,
        **options: Any,
    ) -> None:
        rate = Rate(schedule)
        self.schedule = rate.schedule
        velocity = Momentum(momentum, nesterov)
        self.momentum, self.nesterov = momentum, nesterov
        decay = WeightDecay(weight_decay)
        self.weight_decay = decay.value
        if weight_decay and isinstance(self.schedule, Normalized | Damped):
            raise ValueError(
                f"expected weight_decay=0 with a {type(self.schedule).__name__} schedule, whose "
                f"loss has no fixed scale, got {weight_decay}"
            )
        self.geometry = check_geometry(geometry)
        if preconditioner is not None:
            if not isinstance(self.geometry, L2):
                raise ValueError(
                    "expected geometry='l2' with a preconditioner, which is a geometry of its own, "
                    f"got {geometry!r}"
                )
            self.geometry = Riemannian(preconditioner)
        self.unit_steps = unit_steps
        parts: list[Part] = [decay] if weight_decay else []
        if unit_steps or not isinstance(self.geometry, L2):
            parts.append(Direction(self.geometry, unit_steps))
        super().__init__([*parts, rate, velocity], **options)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read what was pickled: before an optimiser had parts, the arguments it was made with."""
        self.__dict__.update(state if "parts" in state else vars(GradientDescent(**state)))

    def _settings(self) -> str:
        return f"{self.schedule} and momentum={self.momentum}"

    @classmethod
    def accelerated(
        cls, X: ArrayLike, n_steps: int = 10_000, *, last: float = 2e4, **options: Any
    ) -> Self:
        r"""Full-batch descent that gets close to the limit of training in thousands of steps.

        Nesterov's method with the rate :math:`4 / (R^2 s^{2(L-1)})`, :math:`R = \max_n \|x_n\|`,
        along :math:`-\nabla \log \mathcal{L}`, while the weights are rescaled so that the smallest
        margin grows from 1 to `last`. Where plain descent is slow the sizes of the units are not
        right yet: their shares of the norm move only while the margin is small, so that rates
        that follow the growing weights leave them a power of the number of steps, and growth that
        is told to be slow leaves them all the time there is. The 4 was found by trial: it is a
        multiple of the bound that :class:`Normalized` states.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs that will be trained on; only their largest norm matters. With a preconditioner A
            of the first layer, these times the square root of A.
        n_steps : int, default=10_000
            Steps of the run. Too few for the problem leave the shares of small units wrong.
        last : float, default=2e4
            Smallest margin at the end; the largest normalised margin is missed by about one part
            in that.
        **options
            Other options of :class:`GradientDescent`.

        Returns
        -------
        GradientDescent
            The trainer.

        Raises
        ------
        ValueError
            If the inputs are all zero, or in a geometry that is not Euclidean up to a metric: the
            rate is from a bound on Euclidean curvature, and Nesterov's method needs an inner
            product. Signs that follow it stall far from the limit. What reaches that is an
            average before the direction, see :class:`Descent`, with the same rescaling.
        """
        lengths = np.linalg.norm(check_array(X, dtype=np.float64, input_name="X"), axis=1)
        largest = float(lengths.max())
        if largest == 0:
            raise ValueError("expected inputs that are not all zero, got zeros only")
        settings: dict[str, Any] = {
            "schedule": Normalized(4.0 / largest**2, scale="network"),
            "momentum": RisingMomentum(limit=1.0, delay=4.0),
            "nesterov": True,
            "max_steps": n_steps,
            "rescaling": MarginGrowth(n_steps, last=last),
        }
        descent = cls(**(settings | options))
        if not isinstance(descent.geometry, L2 | Riemannian):
            raise ValueError(
                "expected geometry='l2' or a preconditioner, for which rate and momentum of "
                f"accelerated descent are made, got {descent.geometry}; use Descent([Logarithm(), "
                "Average(0.9), Direction(geometry), Rate(Normalized(rate, scale=geometry))], "
                "rescaling=MarginGrowth(n_steps))"
            )
        return descent


class Adam(Descent):
    r"""Adam: steps along averaged gradients over the roots of their averaged squares.

    The parts are :class:`AdaptiveMoments` and :class:`Rate`; with a :class:`Normalized` schedule it
    is the gradient of :math:`\log L` that is averaged, otherwise that of L, however small it is.

    Parameters
    ----------
    schedule : float or Schedule, default=0.001
        Rates.
    beta1, beta2, epsilon
        As for :class:`AdaptiveMoments`; epsilon may be 0.
    **options
        Options of :class:`Descent`: loss, batch_size, max_steps, rescaling, log_every, callback,
        progress, random_state.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.descent import Adam, GatedNetwork
    >>> X, y = np.array([[2.0, 1.0], [-1.0, -2.0]]), np.array([1, -1])
    >>> network = GatedNetwork.deep_linear(n_features=2, n_units=1, random_state=0)
    >>> history = Adam(0.05, epsilon=0.0, max_steps=500).train(network, X, y)
    >>> bool(history["min_margin"][-1] > 10)
    True
    """

    def __init__(
        self,
        schedule: float | Schedule = 0.001,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        **options: Any,
    ) -> None:
        rate = Rate(schedule)
        first: list[Part] = [Logarithm()] if isinstance(rate.schedule, Normalized) else []
        super().__init__([*first, AdaptiveMoments(beta1, beta2, epsilon), rate], **options)
