r"""Which samples will matter, by ordinary SVMs with the mean kernel of all units.

Nearly all samples that are free at the solution with the mean kernel are free at that of the
problem as well, and LIBSVM finds them at a small part of the cost of one Newton step on all
samples. On many samples of a margin loss it is given a chunk of them, which grows by those that its
predictor gets wrong.

The classifiers of LIBSVM have a free bias, which the problem has not and which changes its
support much. For a hard margin its one-class machine gets around that: on the kernel of the signed
features :math:`y_n \phi(x_n)` it minimises :math:`\tfrac12 \|\sum_n a_n y_n \phi(x_n)\|^2` at a
given sum of :math:`a \ge 0`, which is the hard margin without bias but for the length.

The other losses of two half-lines are those of its regression, :math:`c_n \max(0, |t_n - f| -
\epsilon)` with a bound :math:`c_n` and a target :math:`t_n` for each sample. The losses with a tube
are it as they are; where the half-lines meet, with slopes :math:`p_n` and :math:`q_n`, the middle
of the domain is a shift, :math:`b_n = (p_n - q_n) / 2 + b'_n`, which moves the targets by
:math:`\tfrac12 \bar K (p - q)`. Here bias matters, as nearly all samples have coefficients: two
samples without features, whose losses hold the bias at zero from either side at any cost, take
their sum on themselves. (The hinge is of this kind too, with a tube so wide that its other end is
never seen; at N = 10,000 that took a quarter longer in all than the machines of its own.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.svm import SVC, SVR, OneClassSVM

from gnorm.losses.piecewise_linear import PiecewiseLinearLoss
from gnorm.solvers.problem import Problem

__all__ = ["Guess", "screen"]

_FIRST = 2000  # samples of the first chunk
_LEAST = 100  # samples of each label in it, or all of them
_AT_ONCE = 3000  # samples that are taken as one chunk
_LARGEST = 12_000  # ... of a loss that has no chunks: two bytes in three are of the kernel, 1.2 GB
_PROBE = 300  # samples that show the length of a hard-margin solution
_NEAR = 1.15  # margin up to which a sample of a chunk stays for the next one
_FEW = 0.05  # share of wrong samples, of those near the margin, that ends the growth
_TOL = 0.1  # of LIBSVM, in units of the margin
_HARD_TOL = 0.3  # ... where these units are known beforehand
_TUBE_TOL = 0.05  # ... in regression, in units of the targets
_ROWS = 128  # of the kernel that are signed and mirrored at once
_STEPS = 10  # most steps of LIBSVM a sample: a guess need not be finished
_HARD_STEPS = 100  # ... of a hard margin, which there may not be
_SHORTFALL = 0.4  # margin in units of the expected one below which the fit is repeated
_LONGEST = 1e6  # most length of a hard-margin solution, and bound standing for infinity


class _Quiet:
    """A machine of LIBSVM that does not warn if it ends unfinished.

    The filters of warnings belong to the process. Ignored there for a while by fits that overlap in
    threads, the warning would be ignored for good.
    """

    @property
    def fit_status_(self) -> int:
        """Zero, that of a finished fit, whatever LIBSVM says."""
        return 0

    @fit_status_.setter
    def fit_status_(self, status: int) -> None:
        _ = status


class _Machine(_Quiet, SVC):
    pass


class _OneClassMachine(_Quiet, OneClassSVM):
    pass


class _TubeMachine(_Quiet, SVR):
    pass


@dataclass
class Guess:
    """An SVM with the mean kernel.

    Attributes
    ----------
    coef : ndarray of shape (n_samples,)
        Dual coefficients b, 0 off the support.
    outputs : ndarray of shape (n_samples,)
        Its outputs, the label on the margin.
    """

    coef: np.ndarray
    outputs: np.ndarray


def screen(problem: Problem, most: float = np.inf) -> Guess | None:
    """Solve with the mean kernel, a margin loss chunk by chunk.

    Parameters
    ----------
    problem : Problem
        The problem, of a loss that is piecewise linear.
    most : float, default=inf
        Most samples of a chunk.

    Returns
    -------
    Guess or None
        None if no margin is found in the first chunk of a hard margin, without a second label for a
        margin loss, or for too many samples of another loss: outside of a chunk these would be at
        one of two bounds, and which one is what a guess is to say.
    """
    if problem.loss.is_margin:
        return _grown(problem, most)
    return _fit_tube(problem) if len(problem.y) <= min(_LARGEST, most) else None


def _grown(problem: Problem, most: float) -> Guess | None:
    """Fit chunks of a margin loss until few samples outside are wrong."""
    n_samples, n_kernels = len(problem.y), problem.design.n_kernels
    y, design = problem.y, problem.design
    order = np.random.default_rng(0).permutation(n_samples)
    first = order[: n_samples if n_samples <= min(_AT_ONCE, most) else int(min(_FIRST, most))]
    least = int(min(_LEAST, most / 4))
    rare = [order[problem.y[order] == label][:least] for label in np.unique(problem.y)]
    chunk = np.unique(np.concatenate([first, *rare]))
    is_hard = bool(problem.is_hard.all())
    if not is_hard and len(rare) == 1:
        return None
    length = 1.0  # sum of the coefficients of a hard-margin solution, for kernels up to 1
    if is_hard:
        probed = np.sort(order[:_PROBE])
        probe = _fit_hard(problem.restricted(probed), length)
        if probe is None:
            return None
        # where samples are hard to separate it grows with their number, and a repeated fit is dear
        length = probe[2] * len(chunk) / len(probed)
    found: Guess | None = None
    while True:
        part = problem.restricted(chunk)
        fit = _fit_hard(part, length) if is_hard else _fit_soft(part)
        if fit is None:
            return found
        coef, margins = np.zeros(n_samples), np.empty(n_samples)
        coef[chunk], margins[chunk], last = fit
        length, bias = (last, 0.0) if is_hard else (length, last)
        is_out = np.ones(n_samples, dtype=bool)
        is_out[chunk] = False
        outside = np.flatnonzero(is_out)
        if len(outside) == 0:
            return Guess(y * coef, y * margins)
        shares = np.full(n_kernels, 1 / n_kernels)
        zeta = design.recovered(design.sums(y * coef), shares)
        margins[outside] = y[outside] * (design.rough_values(zeta, outside) + bias)
        found = Guess(y * coef, y * margins)
        missed = outside[margins[outside] < 1.0]
        near = chunk[(coef[chunk] > 0) | (margins[chunk] < _NEAR)]
        room = int(min(len(chunk), max(0.0, most - len(near))))
        if len(missed) <= _FEW * len(near) or room == 0:
            return found
        if len(missed) > room:
            missed = np.random.default_rng(0).permutation(missed)[:room]
        chunk = np.sort(np.concatenate([near, missed]))


def _kernel(problem: Problem, signs: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean kernel of the features times signs, over the square of the largest feature norm."""
    upper, square = _upper_kernel(problem)
    kernel = np.empty((len(signs), len(signs)))
    _mirror(upper, signs, kernel)
    return kernel, square


def _upper_kernel(problem: Problem) -> tuple[np.ndarray, float]:
    """Upper half of the mean kernel over the square of the largest feature norm, and this."""
    design = problem.design
    square, n_kernels = design.max_feature_norm**2, design.n_kernels
    upper = design.weighted_gram(np.full(n_kernels, 1 / (n_kernels * square)), np.float32).T
    return upper, square


def _mirror(upper: np.ndarray, signs: np.ndarray, kernel: np.ndarray) -> None:
    """Write a matrix of which the upper half is known, times signs, into the corner of another."""
    n_samples = len(signs)
    for first in range(0, n_samples, _ROWS):
        after = min(first + _ROWS, n_samples)
        block = upper[first:after, first:] * signs[first:after, None]
        block *= signs[first:]
        corner = np.triu(block[:, : after - first])
        block[:, : after - first] = corner + np.triu(corner, 1).T
        kernel[first:after, first:n_samples] = block
        for row in range(after, n_samples, _ROWS):  # tiles stay in the cache
            tile = slice(row, min(row + _ROWS, n_samples))
            kernel[tile, first:after] = block[:, tile.start - first : tile.stop - first].T


def _fit_hard(problem: Problem, length: float) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Hard-margin coefficients, margins and length without bias; None if there is no margin."""
    kernel, square = _kernel(problem, problem.y)
    n_samples = len(kernel)
    while length <= _LONGEST * n_samples:
        machine = _OneClassMachine(
            kernel="precomputed",
            nu=1.0 / n_samples,
            tol=_HARD_TOL,
            max_iter=_HARD_STEPS * n_samples,
            cache_size=500,
        )
        machine.fit(kernel, sample_weight=np.full(n_samples, length))
        if machine.n_iter_ >= machine.max_iter:
            return None
        coef = np.zeros(n_samples)
        coef[machine.support_] = machine.dual_coef_[0]
        gradient = kernel @ coef
        margin = float(np.median(gradient[machine.support_]))
        if margin > _SHORTFALL:
            return coef / (margin * square), gradient / margin, length / margin
        length /= max(margin, 1e-3)
    return None


def _fit_soft(problem: Problem) -> tuple[np.ndarray, np.ndarray, float]:
    """Soft-margin coefficients, margins and bias."""
    kernel, square = _kernel(problem, np.ones(len(problem.y)))
    n_samples = len(kernel)
    machine = _Machine(
        kernel="precomputed", C=1.0, tol=_TOL, max_iter=_STEPS * n_samples, cache_size=500
    )
    bounds = np.minimum(problem.C, _LONGEST / square) * square
    machine.fit(kernel, problem.y, sample_weight=bounds)
    signed = np.zeros(n_samples)
    signed[machine.support_] = machine.dual_coef_[0]
    bias = float(machine.intercept_[0])
    return np.abs(signed) / square, problem.y * (kernel @ signed + bias), bias


def _fit_tube(problem: Problem) -> Guess | None:
    """Solution without bias for two half-lines per sample.

    None for a loss that the regression of LIBSVM does not have, a tube with two slopes.
    """
    loss, n_samples = problem.loss, len(problem.y)
    assert isinstance(loss, PiecewiseLinearLoss)
    lines, unit = loss.half_lines(problem.y, problem.C), problem.output_scale
    upper, square = _upper_kernel(problem)
    kernel = np.zeros((n_samples + 2, n_samples + 2))
    _mirror(upper, np.ones(n_samples), kernel)
    width = (lines.upper - lines.lower) / unit
    fall, rise = lines.fall * (square / unit), lines.rise * (square / unit)
    targets, shift = (lines.lower / 2 + lines.upper / 2) / unit, (fall - rise) / 2
    epsilon = float(np.max(width)) / 2
    if epsilon > 0 and (np.any(shift != 0) or np.ptp(width) > _TUBE_TOL * epsilon):
        return None
    if np.any(shift != 0):
        targets -= kernel[:n_samples, :n_samples] @ shift
    machine = _TubeMachine(
        kernel="precomputed",
        C=1.0,
        epsilon=epsilon,
        tol=_TUBE_TOL,
        max_iter=_STEPS * n_samples,
        cache_size=500,
    )
    bounds = np.append(np.minimum(fall / 2 + rise / 2, _LONGEST), [n_samples * _LONGEST] * 2)
    machine.fit(kernel, np.append(targets, [epsilon, -epsilon]), sample_weight=bounds)
    coef = np.append(shift, [0.0, 0.0])
    coef[machine.support_] += machine.dual_coef_[0]
    outputs = kernel[:n_samples] @ coef
    return Guess(coef[:n_samples] * (unit / square), outputs * unit)
