r"""Gradients of a function of which only samples are known, with their uncertainty.

Around each of the samples a polynomial of first or second order is fitted to the nearest ones. The
order and the number of neighbours are those that predict best a sample that was left out. Features
and outputs of one sign are fitted as logarithms: in these a dilation is a translation, and a power
law is linear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from gnorm.homogeneity.evaluation import FloatArray

__all__ = ["LocalFit", "fit_locally", "merge_samples", "samples_needed"]

# Neighbours per coefficient of the polynomial, to choose from: with few the noise is large, with
# many the curvature that the polynomial lacks.
_NEIGHBOURS = (2, 4, 8, 16)
# Polynomials of second order in more features have too many coefficients to pay: 36 in 7.
_MAX_QUADRATIC = 6
# Samples to fit around. More would share their neighbours with these.
_MAX_CENTRES = 2000
# Floats of one batch of local problems, 32 MB.
_BATCH = 4_000_000
# Of the largest eigenvalue of the normal equations: smaller ones are rounding, as of a feature that
# is constant or a combination of others. Of 1 to 10 normal features it was 7e-6 at least.
_UNSEEN = 1e-10


@dataclass(frozen=True, eq=False)
class LocalFit:
    """Values and gradients at some of the samples.

    Attributes
    ----------
    points : ndarray of shape (n_points, n_features)
        Where they are.
    values : ndarray of shape (n_points, n_outputs)
        Fitted values.
    gradients : ndarray of shape (n_points, n_outputs, n_features)
        Fitted gradients.
    covariances : ndarray of shape (n_points, n_outputs, n_features + 1, n_features + 1)
        Covariance of the errors of gradient and value, in this order.
    weights : ndarray of shape (n_points,)
        Weights of the points.
    overlap : float
        In how many of the fits a sample takes part on average, at least 1: errors of that many
        points are one error.
    """

    points: FloatArray
    values: FloatArray
    gradients: FloatArray
    covariances: FloatArray
    weights: FloatArray
    overlap: float


def samples_needed(n_features: int) -> int:
    """Different samples that a fit needs: twice the coefficients of an affine function."""
    return 2 * (n_features + 1)


def merge_samples(
    X: FloatArray, y: FloatArray, sample_weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Equal samples as one of their mean and summed weight, those of weight 0 left out, sorted.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    y : ndarray of shape (n_samples, n_outputs)
        Their values.
    sample_weight : ndarray of shape (n_samples,)
        Their weights.

    Returns
    -------
    X : ndarray of shape (n_distinct, n_features)
        Distinct samples in lexicographic order.
    y : ndarray of shape (n_distinct, n_outputs)
        Mean values.
    weights : ndarray of shape (n_distinct,)
        Summed weights.
    """
    present = sample_weight > 0
    distinct, index = np.unique(X[present], axis=0, return_inverse=True)
    index = index.reshape(-1)  # numpy 2.0 gave it the axes of X
    weights: FloatArray = np.bincount(index, weights=sample_weight[present]).astype(np.float64)
    means = np.zeros((len(distinct), y.shape[1]))
    np.add.at(means, index, sample_weight[present, None] * y[present])
    return distinct, means / weights[:, None], weights


def fit_locally(X: FloatArray, y: FloatArray, weights: FloatArray) -> LocalFit:
    """Fit polynomials around the samples.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Distinct samples, at least :func:`samples_needed` of them.
    y : ndarray of shape (n_samples, n_outputs)
        Values.
    weights : ndarray of shape (n_samples,)
        Positive weights.

    Returns
    -------
    LocalFit
        Values, gradients and their covariance.
    """
    log_x, log_y = _has_one_sign(X), _has_one_sign(y)
    T, U = _logarithms(X, log_x), _logarithms(y, log_y)
    centre = np.average(T, axis=0, weights=weights)
    scale = np.sqrt(np.average((T - centre) ** 2, axis=0, weights=weights))
    scale[scale == 0] = 1.0
    T = (T - centre) / scale
    n_samples, n_features = T.shape
    # samples in lexicographic order: every so many of them are spread over all of space
    centres = np.unique(np.linspace(0, n_samples - 1, _MAX_CENTRES).astype(int))
    tree = cKDTree(T)

    best: tuple[float, FloatArray, FloatArray, int] | None = None
    for order in (1, 2) if n_features <= _MAX_QUADRATIC else (1,):
        n_terms = 1 + n_features + (order == 2) * n_features * (n_features + 1) // 2
        for multiple in _NEIGHBOURS:
            k = multiple * n_terms
            if k > n_samples:
                break
            coef, covariances, error = _fit(tree, T, U, weights, centres, k, order)
            if best is None or error < best[0]:
                best = error, coef, covariances, k
    if best is None:
        raise ValueError(
            f"expected at least {samples_needed(n_features)} different samples of {n_features} "
            f"features, got {n_samples}"
        )
    _, coef, covariances, k = best
    points = X[centres]
    values, gradients, jacobians = _in_units(coef, points, scale, log_x, log_y, y)
    return LocalFit(
        points,
        values,
        gradients,
        jacobians @ covariances @ np.swapaxes(jacobians, -1, -2),
        weights[centres],
        max(1.0, len(centres) * k / n_samples),
    )


def _fit(
    tree: cKDTree,
    T: FloatArray,
    U: FloatArray,
    weights: FloatArray,
    centres: NDArray[np.int64],
    k: int,
    order: int,
) -> tuple[FloatArray, FloatArray, float]:
    """Value and slopes at the centres, their covariance, and the error at a centre left out."""
    d, n_outputs = T.shape[1], U.shape[1]
    first, second = np.triu_indices(d)
    size = 1 + d + (len(first) if order == 2 else 0)
    coef = np.empty((len(centres), n_outputs, d + 1))
    covariances = np.empty((len(centres), n_outputs, d + 1, d + 1))
    errors = np.empty((len(centres), n_outputs))
    batch = max(1, _BATCH // (k * size))
    for start in range(0, len(centres), batch):
        part = slice(start, start + batch)
        _, near = tree.query(T[centres[part]], k=k)
        near = near.reshape(-1, k)
        Z = T[near] - T[centres[part], None]
        # the radius of the neighbourhood as unit: the normal equations are well scaled then
        # (but for samples that differ by their last digit alone, which have none)
        radius = np.sqrt((Z**2).sum(axis=2).max(axis=1))[:, None, None]
        radius[radius == 0] = 1.0
        Z = Z / radius
        terms = [np.ones((*Z.shape[:2], 1)), Z]
        if order == 2:
            terms.append(Z[:, :, first] * Z[:, :, second])
        design = np.concatenate(terms, axis=2)
        w = weights[near] / weights[near].mean(axis=1, keepdims=True)
        weighted = np.swapaxes(design * w[:, :, None], 1, 2)
        gram = weighted @ design
        # a direction in which the neighbours do not differ has no slope to find: zero is taken
        eigenvalues, vectors = np.linalg.eigh(gram)
        seen = eigenvalues > _UNSEEN * eigenvalues[:, -1:]
        inverted = np.where(seen, 1.0 / np.where(seen, eigenvalues, 1.0), 0.0)
        inverse = (vectors * inverted[:, None]) @ np.swapaxes(vectors, 1, 2)
        solution = inverse @ (weighted @ U[near])
        residuals = U[near] - design @ solution
        variance = np.einsum("nk,nko->no", w, residuals**2) / (k - size)
        own = near == centres[part, None]
        leverage = inverse[:, 0, 0] * (w * own).sum(axis=1)
        at_centre = (residuals * own[:, :, None]).sum(axis=1)
        errors[part] = at_centre / np.maximum(1.0 - leverage, 1e-3)[:, None]
        unit = np.concatenate([np.ones_like(radius), np.repeat(1.0 / radius, d, axis=2)], axis=2)
        coef[part] = np.swapaxes(solution[:, : d + 1], 1, 2) * unit
        spread = inverse[:, : d + 1, : d + 1] * unit * np.swapaxes(unit, 1, 2)
        covariances[part] = variance[:, :, None, None] * spread[:, None]
    # relative to each output's own scatter, so that outputs of other units count alike
    scatter = U.var(axis=0)
    scatter[scatter == 0] = 1.0
    share = weights[centres] / weights[centres].sum()
    return coef, covariances, float((share[:, None] * errors**2 / scatter).sum())


def _in_units(
    coef: FloatArray,
    points: FloatArray,
    scale: FloatArray,
    log_x: NDArray[np.bool_],
    log_y: NDArray[np.bool_],
    y: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Values, gradients, and the derivative of (gradient, value) by (value, slopes) as fitted."""
    d = points.shape[1]
    # dt/dx: 1/x for t = log |x|
    chain = 1.0 / (scale * np.where(log_x, points, 1.0))
    values, slopes = coef[:, :, 0], coef[:, :, 1:] * chain[:, None]
    factor = np.ones_like(values)
    sign = np.sign(y[0])
    exponentials = sign * np.exp(np.where(log_y, values, 0.0))
    values = np.where(log_y, exponentials, values)
    factor = np.where(log_y, exponentials, factor)  # dy/du: y for u = log |y|
    gradients = factor[:, :, None] * slopes
    jacobians = np.zeros((*coef.shape, d + 1))
    jacobians[:, :, d, 0] = factor
    jacobians[:, :, :d, 0] = np.where(log_y[:, None], gradients, 0.0)
    index = np.arange(d)
    jacobians[:, :, index, index + 1] = factor[:, :, None] * chain[:, None]
    return values, gradients, jacobians


def _has_one_sign(columns: FloatArray) -> NDArray[np.bool_]:
    one_sign: NDArray[np.bool_] = ((columns > 0) == (columns[0] > 0)).all(axis=0)
    return one_sign & columns.all(axis=0)


def _logarithms(columns: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
    result = columns.astype(np.float64)
    result[:, chosen] = np.log(np.abs(columns[:, chosen]))
    return result
