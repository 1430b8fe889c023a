r"""How far a trained network is from where gradient descent is to end.

Homogeneous networks that are trained on an exponential-like loss to zero loss, and whose direction
converges, end at a stationary point of

.. math:: \min_w \|w\|^2 \quad \text{subject to} \quad y_n f_w(x_n) \ge 1

(Theorem 3.1 of [1]_). For a GLN or a FReLU of two layers without dead units this is the
max-margin predictor of :func:`gnorm.max_margin`, and :math:`\|w\|^2` is twice its norm.

References
----------
.. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
   generalized gated linear networks. arXiv:2202.02649.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from gnorm import norms
from gnorm.descent.gated_network import Gate, GatedNetwork
from gnorm.descent.kkt import kkt_residual
from gnorm.descent.network import Activations, Network
from gnorm.descent.objective import MarginLoss
from gnorm.descent.optimizers.geometries import GeometryLike, PerLayer, check_geometry
from gnorm.descent.rates import Rates, spread
from gnorm.gated import FloatArray, as_numbers
from gnorm.solvers import MarginSolution

__all__ = [
    "Balance",
    "Comparison",
    "balancedness",
    "compare",
    "conserved",
    "euler_residual",
    "inconsistency",
    "layer_norms",
    "margin_ratio",
    "seminorm",
]


@dataclass(frozen=True, eq=False)
class Balance:
    r"""Differences between adjacent layers that gradient flow conserves.

    Attributes
    ----------
    units : list of ndarray of shape (n_units,)
        Squared norm of the incoming less that of the outgoing weights of every unit, one array for
        each hidden layer.
    layers : ndarray of shape (n_hidden_layers,)
        :math:`\|W^l\|_F^2 - \|W^{l+1}\|_F^2`, their sums.
    matrices : list of ndarray of shape (n_units, n_units) or None
        :math:`W^l (W^l)^\top - \sum_c (W^{l+1}_c)^\top W^{l+1}_c` for each hidden layer without
        gates; None for the others, of which only the diagonal is conserved.
    """

    units: list[FloatArray]
    layers: FloatArray
    matrices: list[FloatArray | None]


def balancedness(network: GatedNetwork) -> Balance:
    r"""Differences between adjacent layers that gradient flow conserves.

    An output bias leaves them conserved, as it takes no part in any product; weight decay makes
    them fall to zero.

    Parameters
    ----------
    network : GatedNetwork
        Network.

    Returns
    -------
    Balance
        The differences by unit, by layer and, for hidden layers without gates, as matrices.

    References
    ----------
    .. [1] S. S. Du, W. Hu and J. D. Lee (2018). Algorithmic regularization in learning deep
       homogeneous models: layers are automatically balanced. NeurIPS. arXiv:1806.00900.

    Examples
    --------
    >>> from gnorm.descent import GatedNetwork, balancedness
    >>> network = GatedNetwork.from_zeta([[[3.0, 4.0]], [[0.0, 2.0]]])
    >>> bool(abs(balancedness(network).units[0]).max() < 1e-12)
    True
    """
    layers = network.layers
    units = network.unit_balance()
    matrices: list[FloatArray | None] = [
        before.weights[0] @ before.weights[0].T
        - np.einsum("coi,coj->ij", after.weights, after.weights)
        if before.gate is Gate.LINEAR
        else None
        for before, after in pairwise(layers)
    ]
    return Balance(units, np.array([float(b.sum()) for b in units]), matrices)


def seminorm(network: Network, rates: Rates) -> float:
    r"""Norm of the weights in which a rate weighs each, :math:`\|w\|_\Lambda`.

    Parameters
    ----------
    network : Network
        Network.
    rates : array-like of shape (n_arrays,) or dict of str to float
        Valid rates.

    Returns
    -------
    float
        :math:`\sqrt{\sum_i \lambda_i w_i^2}`.

    Raises
    ------
    ValueError
        If the rates are not valid.
    """
    return float(np.sqrt(spread(network, rates) @ np.square(network.parameters)))


def layer_norms(network: Network, geometry: GeometryLike = "l2") -> dict[str, float]:
    r"""Norm of each array of weights in a geometry.

    Parameters
    ----------
    network : Network
        Network.
    geometry : {"l2", "l1", "linf", "spectral"}, Geometry, or sequence of them, default="l2"
        The norm, or one for each array.

    Returns
    -------
    dict of str to float
        Norms by name of the array. In a geometry of matrices an array is what its layer says in
        ``matrices``: a matrix for each context, and from what a place reads to its outputs in a
        convolution.

    Raises
    ------
    ValueError
        If the geometry knows no norm of some array, such as a spectral one of a bias.

    Examples
    --------
    >>> from gnorm.descent import Network, layer_norms, layers
    >>> chain = [layers.Dense(2, 2), layers.Bias(2), layers.Dense(2, 1)]
    >>> network = Network(2, chain, parameters=[3.0, 0.0, 0.0, 4.0, 1.0, 1.0, 0.0, 2.0])
    >>> layer_norms(network, ["spectral", "linf", "l2"])
    {'dense_0.weights': 4.0, 'bias_1.bias': 1.0, 'dense_2.weights': 2.0}
    """
    arrays = Network.unflatten(network, network.parameters)  # with an output bias
    found = check_geometry(geometry)
    found.check(arrays)
    each = found.geometries if isinstance(found, PerLayer) else [found] * len(arrays)
    norms_of = (own.norm([W]) for own, W in zip(each, arrays, strict=True))
    return dict(zip(network.names, norms_of, strict=True))


def conserved(network: Network, rates: Rates, other: Rates) -> float:
    r"""What gradient flow conserves for two valid vectors of rates.

    .. math:: \|w\|_\Lambda^2 - \|w\|_{\Lambda'}^2

    Along gradient flow of any loss of the values, :math:`\frac{d}{dt} \|w\|_\Lambda^2` is twice
    the sum over samples of the values times the slopes of the loss, whatever the rates (Kunin et
    al. [1]_). For the rates :math:`(1, 0)` and :math:`(0, 1)` of two layers it is the difference of
    their squared norms; for rates that differ in a scale-invariant block, its squared norm.

    Parameters
    ----------
    network : Network
        Network.
    rates, other : array-like of shape (n_arrays,) or dict of str to float
        Valid rates.

    Returns
    -------
    float
        The difference.

    Raises
    ------
    ValueError
        If the rates are not valid.

    References
    ----------
    .. [1] D. Kunin, A. Yamamura, C. Ma and S. Ganguli (2023). The asymmetric maximum margin bias of
       quasi-homogeneous neural networks. ICLR. arXiv:2210.03820.

    Examples
    --------
    >>> from gnorm.descent import GatedNetwork, conserved
    >>> network = GatedNetwork.from_zeta([[[3.0, 4.0]], [[0.0, 2.0]]])
    >>> abs(conserved(network, [1.0, 0.0], [0.0, 1.0])) < 1e-12
    True
    """
    return seminorm(network, rates) ** 2 - seminorm(network, other) ** 2


def euler_residual(
    network: Network,
    X: ArrayLike,
    activations: Activations = None,
    *,
    rates: Rates | None = None,
) -> float:
    r"""Violation of Euler's identity :math:`\langle \nabla_w f_w(x), w \rangle = L f_w(x)`.

    Parameters
    ----------
    network : Network
        Network of depth L.
    X : array-like of shape (n_samples, n_features)
        Inputs.
    activations : array-like of bool, shape (n_samples, n_units, n_contexts), or list of them
        Open gates of the layers with fixed gates; None if there are none.
    rates : array-like of shape (n_arrays,) or dict of str to float, default=None
        Valid rates :math:`\lambda`, for :math:`\langle \nabla_w f_w, \lambda w \rangle = f_w`;
        None takes 1/L for all.

    Returns
    -------
    float
        Largest :math:`|\langle \nabla_w f, w \rangle - L f|` over the inputs, relative to the
        largest :math:`L |f|`. Zero to rounding for a homogeneous network, and with rates for a
        quasi-homogeneous one; an output bias b adds :math:`(L - 1) |b|` before division.

    Examples
    --------
    >>> from gnorm.descent import GatedNetwork, euler_residual
    >>> network = GatedNetwork.relu(n_features=2, n_units=[5, 3], random_state=0)
    >>> bool(euler_residual(network, [[1.0, 2.0], [-1.0, 0.5]]) < 1e-10)
    True
    """
    X, gates = network.check_inputs(X, activations)
    forward = network.forward(X, gates)
    direction = network.parameters
    if rates is None:
        values = network.depth * forward.values
    else:
        values = forward.values
        direction = spread(network, rates) * direction
    products = network.tangent(forward, direction, len(X))
    largest = float(np.abs(values).max())
    violation = float(np.abs(products - values).max())
    return violation / largest if largest > 0 else violation


def margin_ratio(
    network: GatedNetwork,
    solution: MarginSolution,
    X: ArrayLike,
    y: ArrayLike,
    activations: Activations = None,
) -> float:
    r"""Normalised margin of a two-layer network relative to the largest there is.

    .. math:: \frac{\min_n y_n f_w(x_n)}{\|w\|^2} \cdot 2 \, \|\beta^*\|

    where :math:`\|\beta^*\|` is the least norm at margin 1.

    Parameters
    ----------
    network : GatedNetwork
        Network of two layers without bias.
    solution : MarginSolution
        Hard-margin solution on the same samples.
    X : array-like of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,)
        Labels -1 and 1.
    activations : array-like of bool, shape (n_samples, n_units, n_contexts)
        Open gates.

    Returns
    -------
    float
        At most 1; negative if a sample is on the wrong side.

    Raises
    ------
    ValueError
        If the network does not have two layers, has a bias or no weights but zero, or the solution
        is one of another number of samples.
    """
    if network.depth != 2 or network.has_bias:
        raise ValueError(
            "expected a network of two layers without bias, whose squared norm is twice that of "
            f"the predictor, got {network}"
        )
    margins = MarginLoss(network, X, y, activations).margins()
    if len(margins) != len(solution.dual_coef):
        raise ValueError(
            f"expected the {len(solution.dual_coef)} samples of the solution, got {len(margins)}"
        )
    squared_norm = float(network.parameters @ network.parameters)
    if squared_norm == 0:
        raise ValueError("expected a network with weights other than zero, got zeros only")
    return 2.0 * solution.norm * float(margins.min()) / squared_norm


def inconsistency(values: ArrayLike, others: ArrayLike) -> float:
    """Share of the inputs on which two predictors differ in sign.

    Parameters
    ----------
    values, others : array-like of shape (n_samples,)
        Decision values of both on the same inputs.

    Returns
    -------
    float
        Share, between 0 and 1.

    Raises
    ------
    ValueError
        If there are not as many of one as of the other, none, or some that are not finite.
    """
    values, others = (as_numbers(v, "decision values") for v in (values, others))
    if values.ndim != 1 or values.shape != others.shape or len(values) == 0:
        raise ValueError(
            "expected decision values of the same inputs, shape (n_samples,), got shapes "
            f"{values.shape} and {others.shape}"
        )
    if not (np.isfinite(values).all() and np.isfinite(others).all()):
        raise ValueError("expected finite decision values, got NaN or infinite entries")
    return float(np.mean((values > 0) != (others > 0)))


@dataclass(frozen=True)
class Comparison:
    r"""A trained two-layer network beside the max-margin solution.

    Attributes
    ----------
    margin_ratio : float
        Normalised margin relative to the largest, see :func:`margin_ratio`.
    inconsistency : float
        Share of the inputs to compare on where the signs differ.
    kkt_residual : float
        Distance from stationarity, see :func:`kkt_residual`; NaN while the network does not
        separate the samples.
    imbalance : float
        Largest :math:`| \sum_c \|w^1_{hc}\|^2 - (w^2_h)^2 |` relative to :math:`\|w\|^2`.
    cost_ratio : float
        :math:`2 \sum_h \|\zeta_h\| / \|w\|^2`, at most 1, and 1 where every unit is balanced.
    share_distance : float
        Half the sum of the differences between the units' shares in the norm, from 0 to 1.
    min_margin : float
        Smallest margin of the network.
    squared_norm : float
        :math:`\|w\|^2`.
    """

    margin_ratio: float
    inconsistency: float
    kkt_residual: float
    imbalance: float
    cost_ratio: float
    share_distance: float
    min_margin: float
    squared_norm: float


def compare(
    network: GatedNetwork,
    solution: MarginSolution,
    X: ArrayLike,
    y: ArrayLike,
    activations: ArrayLike,
    *,
    X_test: ArrayLike | None = None,
    activations_test: ArrayLike | None = None,
) -> Comparison:
    """Compare a network with the max-margin solution of its architecture.

    Parameters
    ----------
    network : GatedNetwork
        Network of two layers with fixed gates, without bias.
    solution : MarginSolution
        Hard-margin solution on the same samples, from :func:`gnorm.max_margin`.
    X : array-like of shape (n_samples, n_features)
        Inputs that both were trained on.
    y : array-like of shape (n_samples,)
        Labels -1 and 1.
    activations : array-like of bool, shape (n_samples, n_units, n_contexts)
        Open gates.
    X_test : array-like of shape (n_test, n_features), default=None
        Inputs on which to compare predictions; None for those of training.
    activations_test : array-like of bool, shape (n_test, n_units, n_contexts), default=None
        Open gates of these.

    Returns
    -------
    Comparison
        All measures in one record.

    Raises
    ------
    ValueError
        If the network and the solution are not of the same architecture.
    """
    zeta = network.to_zeta()
    if zeta.shape != solution.zeta.shape:
        raise ValueError(
            f"expected a network with unit weights of shape {solution.zeta.shape}, as the solution "
            f"has, got {zeta.shape}"
        )
    if (X_test is None) != (activations_test is None):
        raise ValueError("expected X_test and activations_test together, got one of them")
    inputs = X if X_test is None else X_test
    gates = activations if activations_test is None else activations_test
    row = MarginLoss(network, X, y, activations).measure()
    squared_norm = row["squared_norm"]
    costs = norms.unit_norms(zeta)
    shares, exact = (u / max(u.sum(), np.finfo(float).tiny) for u in (costs, solution.unit_norms))
    return Comparison(
        margin_ratio=margin_ratio(network, solution, X, y, activations),
        inconsistency=inconsistency(
            network.decision_function(inputs, gates), solution.decision_values(inputs, gates)
        ),
        kkt_residual=(
            kkt_residual(network, X, y, activations) if row["min_margin"] > 0 else float("nan")
        ),
        imbalance=float(np.abs(row["unit_balance"]).max()) / squared_norm,
        cost_ratio=2.0 * float(costs.sum()) / squared_norm,
        share_distance=0.5 * float(np.abs(shares - exact).sum()),
        min_margin=row["min_margin"],
        squared_norm=squared_norm,
    )
