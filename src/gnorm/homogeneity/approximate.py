"""Functions that are nearly homogeneous, such as networks with biases in their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gnorm.homogeneity.evaluation import FloatArray

__all__ = ["ApproximateHomogeneity", "approximate_homogeneity"]

SCALES = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


@dataclass(frozen=True, eq=False)
class ApproximateHomogeneity:
    r"""How far :math:`f(c w)` is from :math:`(c / c_0)^k f(c_0 w)`, scale by scale.

    Attributes
    ----------
    scales : ndarray of shape (n_scales,)
        The scales c.
    cosine : ndarray of shape (n_scales,)
        Mean cosine of the angle between the vectors at c and at the reference scale.
    deviation : ndarray of shape (n_scales,)
        :math:`\|f(c w) - (c / c_0)^k f(c_0 w)\| / \|(c / c_0)^k f(c_0 w)\|`, over all outputs.
    degree : float
        The degree k.
    local_degrees : ndarray of shape (n_scales - 1,)
        Slope of :math:`\log \|f(c w)\|` against :math:`\log c` between adjacent scales.
    reference : float
        The scale :math:`c_0`.
    """

    scales: FloatArray
    cosine: FloatArray
    deviation: FloatArray
    degree: float
    local_degrees: FloatArray
    reference: float


def approximate_homogeneity(
    func: Callable[[Any], ArrayLike],
    parameters: Any,
    scales: ArrayLike | None = None,
    *,
    degree: float | None = None,
    reference: float = 1.0,
) -> ApproximateHomogeneity:
    r"""Compare a function of scaled parameters with the power of the scale that it should follow.

    This is the measure of [1]_: a bias-free transformer encoder keeps the direction of its
    encodings when all its weights are multiplied by c, the better the larger they are, though its
    softmax is not homogeneous.

    Parameters
    ----------
    func : callable
        Function of the parameters. Returns an array of which the last axis is that of one vector,
        of shape (..., n_outputs); the others number the vectors.
    parameters : array-like, or nested list, tuple or dict of them
        Parameters w. Every array in it is multiplied by c.
    scales : array-like of shape (n_scales,), default=None
        Scales c > 0, at least two; None takes 1, 1.5, 2, 3, 5 and 10.
    degree : float, default=None
        Degree k; None fits it, by least squares of :math:`\log \|f(c w)\|` on :math:`\log c`.
    reference : float, default=1.0
        Scale :math:`c_0` to compare with. The authors of [1]_ take 1000.

    Returns
    -------
    ApproximateHomogeneity
        Cosine and deviation for each scale, and the degree.

    Raises
    ------
    ValueError
        If a scale is not positive, there are fewer than two different ones, or a value is not
        finite or the zero vector.

    References
    ----------
    .. [1] W. Merrill, V. Ramanujan, Y. Goldberg, R. Schwartz and N. A. Smith (2021). Effects of
       parameter norm growth during transformer training: inductive bias from gradient descent.
       EMNLP. arXiv:2010.09697.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.homogeneity import approximate_homogeneity
    >>> x = np.array([1.0, -2.0, 0.5])
    >>> network = lambda w: w["V"] @ np.maximum(w["W"] @ x + w["b"], 0)
    >>> rng = np.random.default_rng(0)
    >>> w = {"W": rng.normal(size=(5, 3)), "V": rng.normal(size=(2, 5)), "b": np.zeros(5)}
    >>> measured = approximate_homogeneity(network, w)
    >>> round(measured.degree, 9), bool(measured.deviation.max() < 1e-12)
    (2.0, True)
    """
    factors = np.asarray(SCALES if scales is None else scales, dtype=np.float64)
    if factors.ndim != 1 or len(np.unique(factors)) < 2:
        raise ValueError(f"expected at least two different scales, got {factors}")
    if not (np.isfinite([*factors, reference]).all() and min(factors.min(), reference) > 0):
        raise ValueError(
            f"expected positive finite scales, got {factors} and the reference {reference}"
        )
    # in double precision: the square of a value beyond 1e19 overflows in single
    values = [_vectors(func, parameters, c) for c in factors]
    at_reference = _vectors(func, parameters, reference)
    logs = np.log(factors / reference)
    sizes = np.array([float(np.linalg.norm(v)) for v in values])
    log_sizes = np.log(sizes) - np.log(np.linalg.norm(at_reference))
    if degree is None:
        degree = float(np.polyfit(logs, log_sizes, 1)[0])
    cosines, deviations = [], []
    for log, v in zip(logs, values, strict=True):
        lengths = np.linalg.norm(v, axis=1) * np.linalg.norm(at_reference, axis=1)
        cosines.append(float(np.mean((v * at_reference).sum(axis=1) / lengths)))
        expected = np.exp(degree * log) * at_reference
        deviations.append(float(np.linalg.norm(v - expected) / np.linalg.norm(expected)))
    order = np.argsort(factors, kind="stable")
    steps = np.diff(logs[order])
    rises = np.diff(log_sizes[order])
    return ApproximateHomogeneity(
        factors,
        np.array(cosines),
        np.array(deviations),
        degree,
        rises[steps > 0] / steps[steps > 0],
        reference,
    )


def _vectors(func: Callable[[Any], ArrayLike], parameters: Any, scale: float) -> FloatArray:
    """Values at the scaled parameters, of shape (n_vectors, n_outputs)."""
    values = np.atleast_1d(np.asarray(func(_scaled(parameters, scale)), dtype=np.float64))
    rows = values.reshape(-1, values.shape[-1])
    if not np.isfinite(rows).all() or not rows.any(axis=1).all():
        raise ValueError(
            "expected a function whose vectors are finite and not zero, got "
            + ("a zero vector" if np.isfinite(rows).all() else "NaN or infinite values")
            + f" at scale {scale:g}"
        )
    return rows


def _scaled(parameters: Any, scale: float) -> Any:
    """The same structure with every array multiplied, in its own precision."""
    if isinstance(parameters, Mapping):
        return {name: _scaled(value, scale) for name, value in parameters.items()}
    if isinstance(parameters, Sequence) and not all(np.isscalar(value) for value in parameters):
        return [_scaled(value, scale) for value in parameters]
    array: NDArray[Any] = np.asarray(parameters)
    if not np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float64)
    return array * array.dtype.type(scale)
