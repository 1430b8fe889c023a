"""An independent judge of solutions, proofs and refusals: no line of it is the package's.

Plain NumPy in extended precision (``numpy.longdouble``, 64 bits of mantissa and exponents to 4932
where the processor has them) evaluates what was returned, as it was returned, by the formulas of
the documentation; a linear program of SciPy says whether data can be separated. Rounding errors of
the judge itself are bounded and count for the accused: what it calls false is false.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import linprog

LD = np.longdouble
EPS = np.finfo(LD).eps
HINGES = ("hinge", "squared_hinge")
MARGIN = (*HINGES, "log_loss")
WITH_PARAMETER = {"epsilon_insensitive": 0.1, "huber": 1.35, "quantile": 0.5}


@dataclass
class Training:
    """A problem in the words of the documentation, as plain arrays.

    ``upper`` is C times the weights; ``unit_weights`` None for ones; ``norm`` "group" or
    "predictor_l2".
    """

    X: np.ndarray
    y: np.ndarray
    gates: np.ndarray
    upper: np.ndarray
    loss: str
    parameter: float | None = None
    norm: str = "group"
    unit_weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        present = np.asarray(self.upper) > 0
        self.X = np.asarray(self.X)[present].astype(LD)
        self.y = np.asarray(self.y)[present]
        self.y = self.y.astype(int if self.loss == "multinomial" else LD)
        self.gates = np.asarray(self.gates)[present]
        self.upper = np.asarray(self.upper)[present].astype(LD)
        self.present = present
        if self.parameter is None:
            self.parameter = WITH_PARAMETER.get(self.loss)


@dataclass
class Verdict:
    """What is true of a solution; ``faults`` says in words what of its claims is not."""

    primal: Any
    dual: Any
    gap: float
    faults: list[str] = field(default_factory=list)


def outputs_and_error(t: Training, zeta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of shape (n_samples, n_outputs), and a bound of their rounding errors."""
    n_features, n_outputs = zeta.shape[2:]
    flat = np.moveaxis(zeta, 3, 0).reshape(n_outputs, -1, n_features)
    gates = t.gates.reshape(len(t.X), -1)
    f = np.stack([np.sum(gates * (t.X @ own.T), axis=1) for own in flat], axis=1)
    sizes = np.stack([np.sum(gates * (abs(t.X) @ abs(own).T), axis=1) for own in flat], axis=1)
    return f, (n_features + gates.shape[1] + 2) * EPS * sizes


def sums(t: Training, b: np.ndarray) -> np.ndarray:
    """V_hc = sum_n b_n g_hc(x_n) x_n, shape (n_units, n_contexts, n_features, n_outputs)."""
    n_samples, n_units, n_contexts = t.gates.shape
    gates = t.gates.reshape(n_samples, -1)
    V = np.stack([(gates * b[:, k, None]).T @ t.X for k in range(b.shape[1])], axis=2)
    return V.reshape(n_units, n_contexts, t.X.shape[1], b.shape[1])


def length(array: np.ndarray) -> Any:
    return np.sqrt(np.sum(array.astype(LD) ** 2))


def unit_lengths(array: np.ndarray) -> np.ndarray:
    return np.sqrt(np.sum(array.astype(LD).reshape(len(array), -1) ** 2, axis=1))


def is_one_hot(gates: np.ndarray) -> bool:
    return bool(np.all(gates.sum(axis=2) == 1))


def cost(t: Training, zeta: np.ndarray) -> Any:
    """What these weights cost, which bounds the norm of their function from above."""
    if t.norm == "predictor_l2":
        means = zeta.mean(axis=1, keepdims=True)
        spread = np.sum((zeta - means) ** 2) / zeta.shape[1]
        return np.sqrt(length(means.sum(axis=0)) ** 2 + spread)
    weights = np.ones(len(zeta), LD) if t.unit_weights is None else t.unit_weights.astype(LD)
    return np.sum(weights * unit_lengths(zeta))


def dual_norm(t: Training, V: np.ndarray) -> Any:
    n_units, n_contexts = V.shape[:2]
    if t.norm == "predictor_l2":
        # <x, x'> (1 - H + C a(x, x')), a the number of units that agree, is a sum of squares
        means = V.mean(axis=1, keepdims=True)
        return np.sqrt(n_contexts * np.sum((V - means) ** 2) + length(V[0].sum(axis=0)) ** 2)
    weights = np.ones(n_units, LD) if t.unit_weights is None else t.unit_weights.astype(LD)
    return np.max(unit_lengths(V) / weights)


def losses(t: Training, f: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Least loss of each sample that is compatible with a bounded error of its output."""
    y, C = t.y, t.upper
    if t.loss == "multinomial":
        rows = np.arange(len(y))
        low, high = f - error, f + error
        low[rows, y], high = high[rows, y], low
        ahead = low - low[rows, y][:, None]  # of the label
        ahead[rows, y] = -np.inf
        top = np.maximum(ahead.max(axis=1), 0)
        others = np.sum(np.exp(ahead - top[:, None]), axis=1)
        # by log1p where the label is ahead, so that a small loss keeps its digits
        return C * np.where(top > 0, top + np.log(others + np.exp(-top)), np.log1p(others))
    f, error = f[:, 0], error[:, 0]
    if t.loss in MARGIN:
        z = y * f + error
        short = np.maximum(0, 1 - z)
        if t.loss == "hinge":
            return times(C, short)
        if t.loss == "squared_hinge":
            return times(C, short * short)
        return C * (np.maximum(-z, 0) + np.log1p(np.exp(-abs(z))))
    r = np.sign(y - f) * np.maximum(abs(y - f) - error, 0)
    p = None if t.parameter is None else LD(t.parameter)
    match t.loss:
        case "squared_error":
            return C * r * r / 2
        case "absolute_error":
            return C * abs(r)
        case "epsilon_insensitive":
            return C * np.maximum(abs(r) - p, 0)
        case "huber":
            return C * np.where(abs(r) <= p, r * r / 2, p * (abs(r) - p / 2))
        case "quantile":
            return C * np.maximum(p * r, (p - 1) * r)
    raise ValueError(f"expected a loss of the documentation, got {t.loss!r}")


def times(C: np.ndarray, terms: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.where(terms == 0, LD(0), C * terms)


def entropy(smaller: np.ndarray) -> np.ndarray:
    """p log p + (1 - p) log(1 - p) by the smaller of the two, which has all its digits."""
    return xlogx(smaller) + (1 - smaller) * np.log1p(-smaller)


def xlogx(p: np.ndarray) -> np.ndarray:
    return np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), LD(0))


def conjugates(t: Training, b: np.ndarray) -> tuple[np.ndarray, Any]:
    """Conjugate of each sample, and how far outside of its domain b is, relative to its size."""
    y, C = t.y, t.upper
    if t.loss == "multinomial":
        rows = np.arange(len(y))
        b = b.copy()
        others = -b
        others[rows, y] = 0
        outside = np.max(abs(b[rows, y] - others.sum(axis=1)) / C, initial=0)
        outside = max(outside, np.max(-others.min(axis=1) / C), np.max(b[rows, y] / C - 1))
        share = np.clip(others / C[:, None], 0, 1)
        rest = share.sum(axis=1)
        complement = np.clip((C[:, None] - others) / C[:, None], 0, 1)
        complement[rows, y] = np.minimum(rest, 1)
        share[rows, y] = np.clip((C - others.sum(axis=1)) / C, 0, 1)
        near_one = share * np.log1p(-np.minimum(complement, 0.5))
        return C * np.where(share < 0.5, xlogx(share), near_one).sum(axis=1), outside
    b = b[:, 0]
    if t.loss in MARGIN:
        a = y * b
        outside = np.max(-a / np.maximum(abs(a).max(), LD(1e-4000)), initial=0)
        if t.loss != "squared_hinge":
            outside = max(outside, np.max(np.where(np.isinf(C), 0, a / C - 1)))
        if t.loss == "hinge":
            return -a, outside
        if t.loss == "squared_hinge":
            return np.where(np.isinf(C), -a, -a + a * a / (4 * C)), outside
        return C * entropy(np.clip(np.minimum(a, C - a) / C, 0, 0.5)), outside
    p = None if t.parameter is None else LD(t.parameter)
    match t.loss:
        case "squared_error":
            return -b * y + b * b / (2 * C), LD(0)
        case "absolute_error":
            return -b * y, np.max(abs(b) / C - 1)
        case "epsilon_insensitive":
            return -b * y + p * abs(b), np.max(abs(b) / C - 1)
        case "huber":
            return -b * y + b * b / (2 * C), np.max(abs(b) / (C * p) - 1)
        case "quantile":
            return -b * y, max(np.max(b / (C * p) - 1), np.max(b / (C * (p - 1)) - 1))
    raise ValueError(f"expected a loss of the documentation, got {t.loss!r}")


def primal_value(t: Training, zeta: np.ndarray) -> Any:
    """Value of the problem at these weights; for a hard margin at the multiple that attains it.

    A margin of 1 cannot be hit by rounded numbers: the least multiple of the weights that has it is
    a point of the problem, and what it costs is the honest value.
    """
    f, error = outputs_and_error(t, zeta)
    norm = cost(t, zeta)
    hard = np.isinf(t.upper)
    if hard.any():
        least = np.min((t.y * f[:, 0] + error[:, 0])[hard])
        if least <= 0:
            return LD(np.inf)
        if least < 1:
            f, error, norm = f / least, error / least, norm / least
            error[hard] *= 2
    return norm * norm / 2 + np.sum(losses(t, f, error))


def dual_value(t: Training, b: np.ndarray) -> tuple[Any, Any, Any]:
    """Value at b, a bound of its rounding error, and how far b is outside of its domain."""
    conjugate, outside = conjugates(t, b)
    top = dual_norm(t, sums(t, b))
    largest = dual_norm_of_sizes(t, b)
    slack = (len(b) + 8) * EPS
    error = slack * (np.sum(abs(conjugate)) + np.sum(abs(b[:, 0] * t.y if b.shape[1] == 1 else b)))
    return -np.sum(conjugate) - top * top / 2, error + slack * largest * top, outside


def dual_norm_of_sizes(t: Training, b: np.ndarray) -> Any:
    """What the dual norm would be if nothing cancelled in the sums."""
    lengths = np.sqrt(np.sum(t.X**2, axis=1))
    total = np.sum(abs(b) * lengths[:, None])
    if t.norm == "predictor_l2":
        return 2 * total * np.sqrt(LD(t.gates.shape[1] * t.gates.shape[2]))
    least = 1 if t.unit_weights is None else np.min(t.unit_weights)
    return total * np.sqrt(LD(t.gates.shape[2])) / LD(least)


def judge(
    t: Training,
    zeta: np.ndarray,
    b: np.ndarray,
    claimed_gap: float,
    tol: float,
    claims: dict[str, float],
) -> Verdict:
    """Compare a solution with what it claims.

    ``claims`` may hold ``norm``, ``margin``, ``primal_value`` and ``dual_value``. ``b`` is signed.
    """
    if zeta.ndim == 3:
        zeta, b = zeta[..., None], b[:, None]
    zeta, b = zeta.astype(LD), b[t.present].astype(LD)
    faults = []
    if not (np.isfinite(zeta).all() and np.isfinite(b).all()):
        return Verdict(np.nan, np.nan, np.nan, ["zeta or dual_coef is not finite"])
    with np.errstate(all="ignore"):
        primal = primal_value(t, zeta)
        dual, error, outside = dual_value(t, b)
        gap = 0.0 if primal <= 0 else float((primal - dual - error) / primal)
        if not np.isfinite(primal):
            gap = np.inf
        if outside > 1e-12:
            faults.append(f"dual_coef is outside of its domain by {float(outside):.1e}")
        if not gap <= claimed_gap + 0.01 * tol + 1e-13:
            faults.append(f"claimed a gap of {claimed_gap:.1e}, it is {gap:.1e}")
        faults += wrong_claims(t, zeta, primal, dual + error, claims)
    return Verdict(primal, dual, gap, faults)


def wrong_claims(
    t: Training, zeta: np.ndarray, primal: Any, dual: Any, claims: dict[str, float]
) -> list[str]:
    """What of the claims does not hold; ``dual`` may be larger than it is by its rounding error."""
    f, error = outputs_and_error(t, zeta)
    norm = cost(t, zeta)
    tiny = LD(np.finfo(float).tiny)  # below it doubles lose their digits
    true = {"norm": (norm, LD(1e-6) * norm)}
    if t.loss in MARGIN and norm > 0:
        slack = (LD(1e-6) * np.max(abs(f)) + np.max(error)) / norm
        true["margin"] = (np.min(t.y * f[:, 0]) / norm, slack)
    faults = [
        f"{name} is {float(value):.7g}, claimed {claims[name]:.7g}"
        for name, (value, slack) in true.items()
        if name in claims and not abs(LD(claims[name]) - value) <= slack + tiny
    ]
    # both values may stand for what rounding hides, the one above and the other below what they are
    slack = LD(1e-9) * abs(primal) + tiny
    if (
        "primal_value" in claims
        and np.isfinite(primal)
        and LD(claims["primal_value"]) < primal - slack
    ):
        faults.append(f"primal_value is {float(primal):.7g}, claimed {claims['primal_value']:.7g}")
    if "dual_value" in claims and np.isfinite(dual) and LD(claims["dual_value"]) > dual + slack:
        faults.append(f"dual_value is {float(dual):.7g}, claimed {claims['dual_value']:.7g}")
    return faults


# -- separability ----------------------------------------------------------------------------------


def gated_features(t: Training) -> np.ndarray:
    """Features of all gates side by side, times the label, shape (n_hard, n_features)."""
    hard = np.isinf(t.upper)
    features = t.gates[hard][..., None] * t.X[hard][:, None, None, :]
    return (t.y[hard, None] * features.reshape(hard.sum(), -1)).astype(LD)


def balanced(A: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A with rows and columns scaled by powers of 2 to entries near 1, and the scales."""
    rows, columns = np.ones(A.shape[0], LD), np.ones(A.shape[1], LD)
    for _ in range(8):
        for axis, scales in ((1, rows), (0, columns)):
            size = abs(A) * rows[:, None] * columns
            low = np.where(size > 0, size, np.inf).min(axis=axis)
            high = size.max(axis=axis)
            mean = np.sqrt(np.where(high > 0, low, 1)) * np.sqrt(np.where(high > 0, high, 1))
            scales /= np.exp2(np.round(np.log2(mean)))
    return A * rows[:, None] * columns, rows, columns


def is_separable(t: Training) -> bool | None:
    """Whether a predictor has all hard samples on the right side; None where the judge can't tell.

    True and False are both checked in extended precision, by the predictor that the linear program
    found, or by the combination of both classes that vanishes.
    """
    A = gated_features(t)
    A = A[:, np.any(A != 0, axis=0)]
    if A.shape[1] == 0 or not np.all(np.any(A != 0, axis=1)):
        return False  # a sample without an open gate has output 0
    with np.errstate(all="ignore"):
        B, _, _ = balanced(A)
        B64 = B.astype(float)
    if not np.isfinite(B64).all():
        return None
    n, m = B64.shape
    result = linprog(
        np.append(np.zeros(m), -1.0),
        A_ub=np.hstack([-B64, np.ones((n, 1))]),
        b_ub=np.zeros(n),
        bounds=[(-1, 1)] * m + [(None, 1)],
        method="highs",
    )
    if result.status != 0:
        return None
    if np.min(B @ result.x[:-1].astype(LD)) > 0:
        return True
    a = np.maximum(-result.ineqlin.marginals, 0).astype(LD)
    if a.sum() > 0 and vanishes(B, a):
        return False
    return None


def vanishes(A: np.ndarray, a: np.ndarray) -> bool:
    """Whether a combination of rows is zero in every column, to 1e-7 of what cancels there."""
    total, size = abs(a @ A), a @ abs(A)
    return bool(np.all(total <= LD(1e-7) * np.maximum(size, LD(1e-7) * size.max())))


def judge_proof(t: Training, certificate: np.ndarray) -> list[str]:
    """What is wrong with a proof that data cannot be separated."""
    certificate = np.asarray(certificate)
    a = certificate[t.present].astype(LD)
    faults = []
    if not (np.all(a >= 0) and abs(a.sum() - 1) < 1e-9):
        faults.append(f"the certificate sums to {float(a.sum()):.3g}, least {float(a.min()):.1e}")
    if np.any(a[~np.isinf(t.upper)] > 0) or np.any(certificate[~t.present] != 0):
        faults.append("the certificate involves samples that need no margin")
    if is_separable(t) is True:
        faults.append("a linear program separates the data")
    elif not vanishes(gated_features(t), a[np.isinf(t.upper)]):
        faults.append("the certificate does not vanish")
    return faults
