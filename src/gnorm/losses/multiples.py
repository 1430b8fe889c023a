r"""Minimisers over :math:`\theta \ge 0` of convex functions of one variable.

Three kinds are enough for every loss: piecewise-linear losses are scanned at their breakpoints,
quadratic conjugates have a closed form, and the rest is a safeguarded Newton iteration.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["length_of", "newton_multiple", "quadratic_multiple", "scan_multiple"]


def length_of(*parts: np.ndarray | float) -> float:
    """Euclidean length of all entries together, without squares that overflow or underflow."""
    largest = max(float(np.max(np.abs(part), initial=0.0)) for part in parts)
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(sum(float(np.sum((part / largest) ** 2)) for part in parts)))


def quadratic_multiple(
    total: float, dual_norm: float, root: np.ndarray, longest: float = np.inf
) -> float:
    r"""Maximiser of :math:`t \theta - \tfrac12 \theta^2 (v^2 + \|r\|^2)` on [0, `longest`].

    Parameters
    ----------
    total : float
        Slope :math:`t`.
    dual_norm : float
        Length :math:`v`.
    root : ndarray of shape (n_samples,)
        Vector :math:`r`.
    longest : float, default=inf
        Largest multiple allowed.

    Returns
    -------
    theta : float
        The maximiser; 1 (or `longest`) where it is not finite or every multiple is as good.
    """
    length = length_of(dual_norm, root)
    if length > 0:
        # not by the square, which may underflow; Python's division would raise if it overflows
        with np.errstate(over="ignore"):
            theta = float(np.float64(total) / length / length)
    else:
        theta = np.inf if total >= 0 else 0.0
    theta = min(max(theta, 0.0), longest)
    return theta if np.isfinite(theta) else min(1.0, longest)


def scan_multiple(
    breakpoints: np.ndarray, lost: np.ndarray, gained: np.ndarray, slope: float, norm: float
) -> float:
    r"""Minimiser of a half square and a convex piecewise-linear function.

    The derivative is
    :math:`\theta \|f\|^2 + s + \sum_{t_j < \theta} g_j - \sum_{t_j > \theta} l_j`: at the
    breakpoint :math:`t_j` a falling term ends (:math:`l_j`) or a rising one begins (:math:`g_j`).

    Parameters
    ----------
    breakpoints : ndarray of shape (n_breakpoints,)
        Breakpoints :math:`t_j > 0`, in any order.
    lost, gained : ndarray of shape (n_breakpoints,)
        Jumps :math:`l_j, g_j \ge 0`.
    slope : float
        Slope :math:`s`.
    norm : float
        Norm :math:`\|f\|`.

    Returns
    -------
    theta : float
        The minimiser; the last breakpoint (1 without one) if there is no lower bound.
    """
    order = np.argsort(breakpoints, kind="stable")
    breakpoints = breakpoints[order]
    # The root is on the first piece at whose end the derivative is >= 0. What falls is summed
    # from the far end and what rises from the near one: a large C must leave no rounding error
    # behind on the pieces that it has no part in.
    falling = np.append(np.cumsum(lost[order][::-1])[::-1], 0.0)
    rising = np.concatenate(([0.0], np.cumsum(gained[order])))
    pulls = falling - rising - slope
    with np.errstate(over="ignore"):
        pushes = breakpoints * norm * norm if norm > 0 else np.zeros(len(breakpoints))
        piece = int(np.argmax(np.append(pushes >= pulls[:-1], True)))
        ends = np.concatenate(([0.0], breakpoints, [np.inf]))
        if pulls[piece] <= 0:
            theta = float(ends[piece])
        elif norm == 0:
            theta = float(ends[piece + 1])
        else:
            theta = float(np.clip(pulls[piece] / norm / norm, ends[piece], ends[piece + 1]))
    if np.isfinite(theta):
        return theta
    finite = breakpoints[np.isfinite(breakpoints)]
    return float(finite[-1]) if len(finite) else 1.0


def newton_multiple(
    derivatives: Callable[[float], tuple[float, float]],
    longest: float = np.inf,
    max_iter: int = 60,
) -> float:
    r"""Minimiser of a smooth convex function on [0, `longest`], by its derivatives.

    Newton's method inside a bracket. While the bracket has no end above (below), steps are
    limited by a factor that is squared each time the limit is met, so that any scale of float64
    is reached in ten steps; later steps that do not halve are replaced by geometric bisection.

    Parameters
    ----------
    derivatives : callable
        First and second derivative at a :math:`\theta`.
    longest : float, default=inf
        Largest multiple allowed.
    max_iter : int, default=60
        Evaluations at most.

    Returns
    -------
    theta : float
        The minimiser; 1 if there is no lower bound.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if derivatives(0.0)[0] >= 0:
            return 0.0
        if np.isfinite(longest) and derivatives(longest)[0] <= 0:
            return longest
        low, high = 0.0, longest
        theta = min(1.0, 0.5 * longest)
        factor, last_step = 4.0, np.inf
        for _ in range(max_iter):
            first, second = derivatives(theta)
            if first == 0:
                return theta
            low, high = (theta, high) if first < 0 else (low, theta)
            if low >= high * (1.0 - 4e-16):
                return theta
            step = -first / second if second > 0 else -np.inf * np.sign(first)
            if abs(step) <= 1e-13 * theta:
                return float(min(max(theta + step, low), high))
            floor, ceiling, fallback = _allowed_steps(low, high, theta, factor)
            candidate = theta + step
            if not (floor < candidate < ceiling and 2 * abs(step) <= last_step):
                candidate = fallback
                factor = min(factor * factor, 1e150)
            last_step = abs(candidate - theta)
            if candidate > 1e300:
                return 1.0
            theta = float(candidate)
        return theta


def _allowed_steps(
    low: float, high: float, theta: float, factor: float
) -> tuple[float, float, float]:
    """Interval that a Newton step from `theta` may end in, and where to go if it does not."""
    if np.isinf(high):
        return low, theta * factor, theta * factor
    if low == 0:
        return theta / factor, high, theta / factor
    return low, high, float(np.sqrt(low) * np.sqrt(high))
