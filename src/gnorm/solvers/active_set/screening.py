r"""Which samples will matter, by ordinary SVMs with the mean kernel of all units.

Nearly all support vectors of the mean kernel are support vectors of the max-margin problem as
well, and LIBSVM finds them at a small part of the cost of one Newton step on all samples. On many
samples it is given a chunk of them, which grows by those that its predictor gets wrong.

The SVMs of LIBSVM have a free bias, which the problem has not and which changes its
support much. For a hard margin its one-class machine gets around that: on the kernel of the signed
features :math:`y_n \phi(x_n)` it minimises :math:`\tfrac12 \|\sum_n a_n y_n \phi(x_n)\|^2` at a
given sum of :math:`a \ge 0`, which is the hard margin without bias but for the length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.svm import SVC, OneClassSVM

from gnorm.solvers.problem import Problem

__all__ = ["Guess", "screen"]

_FIRST = 2000  # samples of the first chunk
_LEAST = 100  # samples of each label in it, or all of them
_AT_ONCE = 3000  # samples that are taken as one chunk
_PROBE = 300  # samples that show the length of a hard-margin solution
_NEAR = 1.15  # margin up to which a sample of a chunk stays for the next one
_FEW = 0.05  # share of wrong samples, of those near the margin, that ends the growth
_TOL = 0.1  # of LIBSVM, in units of the margin
_HARD_TOL = 0.3  # ... where these units are known beforehand
_ROWS = 128  # of the kernel that are signed and mirrored at once
_STEPS = 100  # most steps of LIBSVM a sample
_SHORTFALL = 0.4  # margin in units of the expected one below which the fit is repeated
_LONGEST = 1e6  # most length of a hard-margin solution, and bound standing for infinity


class _Quiet:
    """A machine of LIBSVM that does not warn if it ends unfinished: such a guess is not used.

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


@dataclass
class Guess:
    """An SVM with the mean kernel.

    Attributes
    ----------
    coef : ndarray of shape (n_samples,)
        Dual coefficients b, 0 off the support.
    outputs : ndarray of shape (n_samples,)
        Decision values, the label on the margin.
    """

    coef: np.ndarray
    outputs: np.ndarray


def screen(problem: Problem, most: float = np.inf) -> Guess | None:
    """Fit an SVM with the mean kernel, chunk by chunk.

    Parameters
    ----------
    problem : Problem
        The problem.
    most : float, default=inf
        Most samples of a chunk.

    Returns
    -------
    Guess or None
        None if LIBSVM comes to no end or finds no margin in the first chunk, or without a second
        label.
    """
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
        zeta = design.norm.recovered(design.sums(y * coef), shares)
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
    design = problem.design
    square = design.max_feature_norm**2
    n_samples, n_kernels = len(signs), design.n_kernels
    upper = design.weighted_gram(np.full(n_kernels, 1 / (n_kernels * square)), np.float32).T
    kernel = np.empty((n_samples, n_samples))
    for first in range(0, n_samples, _ROWS):
        after = first + _ROWS
        block = upper[first:after, first:] * signs[first:after, None]
        block *= signs[first:]
        corner = np.triu(block[:, :_ROWS])
        block[:, :_ROWS] = corner + np.triu(corner, 1).T
        kernel[first:after, first:] = block
        kernel[after:, first:after] = block[:, _ROWS:].T
    return kernel, square


def _fit_hard(problem: Problem, length: float) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Hard-margin coefficients, margins and length without bias; None if there is no margin."""
    kernel, square = _kernel(problem, problem.y)
    n_samples = len(kernel)
    while length <= _LONGEST * n_samples:
        machine = _OneClassMachine(
            kernel="precomputed",
            nu=1.0 / n_samples,
            tol=_HARD_TOL,
            max_iter=_STEPS * n_samples,
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


def _fit_soft(problem: Problem) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Soft-margin coefficients, margins and bias; None if LIBSVM comes to no end."""
    kernel, square = _kernel(problem, np.ones(len(problem.y)))
    n_samples = len(kernel)
    machine = _Machine(
        kernel="precomputed", C=1.0, tol=_TOL, max_iter=_STEPS * n_samples, cache_size=500
    )
    bounds = np.minimum(problem.C, _LONGEST / square) * square
    machine.fit(kernel, problem.y, sample_weight=bounds)
    if np.max(machine.n_iter_) >= machine.max_iter:
        return None
    on, signed = machine.support_, machine.dual_coef_[0]
    coef = np.zeros(n_samples)
    coef[on] = np.abs(signed) / square
    bias = float(machine.intercept_[0])
    return coef, problem.y * (kernel[:, on] @ signed + bias), bias
