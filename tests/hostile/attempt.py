"""One problem given to the package, and what came back, judged."""

from __future__ import annotations

import re
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

import gnorm
from gnorm import losses

from .checker import WITH_PARAMETER, Training, judge, judge_proof
from .generator import Problem

PACKAGE = str(Path(gnorm.__file__).parent)
CONIC = ("clarabel", "scs")
WORDS = ("expected", "must", "got", "contains", "requires")


@dataclass
class Outcome:
    """What became of a problem.

    ``kind`` is "solved", "proven", "warned", "refused", "false", "silent" or "raw"; a path or an
    estimator is what the worst of its solutions is.
    """

    kind: str
    seconds: float
    text: str = ""
    gap: float = 0.0
    over: float = 0.0
    peak: float = 0.0
    notes: list[str] = field(default_factory=list)


SEVERITY = ("solved", "proven", "refused", "warned", "silent", "false", "raw")


def attempt(problem: Problem) -> Outcome:
    """Solve, with all warnings on, and judge what is returned or raised."""
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result, error = call(problem), None
        except Exception as raised:  # of whatever kind: the kind is what is judged
            result, error = None, raised
    seconds = time.perf_counter() - start
    peak = status_of_memory("VmHWM")  # before the judge, who takes some himself
    is_warned = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    stray = [w for w in caught if not issubclass(w.category, ConvergenceWarning)]
    stray = [w for w in stray if w.filename.startswith(PACKAGE)]
    if error is not None:
        kind, text = of_error(problem, error)
    else:
        kind, text = of_result(problem, result, is_warned)
    if stray and SEVERITY.index(kind) < SEVERITY.index("raw"):
        kind, text = "raw", f"{stray[0].category.__name__}: {stray[0].message} | {text}"
    seconds /= len(getattr(result, "solutions", (result,)))  # a path is many solves
    gap = getattr(result, "duality_gap", np.nan)
    return Outcome(kind, seconds, text, float(np.max(gap)), peak=peak)


def status_of_memory(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024.0 * int(found[1]) if found else 0.0


def call(problem: Problem) -> Any:
    options = dict(problem.options)
    if "parameter" in options:
        kind = type(losses.get_loss(options["loss"]))
        options["loss"] = kind(options.pop("parameter"))
    if problem.entry == "solve":
        return gnorm.solve(problem.X, problem.y, problem.activations, **options)
    if problem.entry == "path":
        return gnorm.gln_norm_path(problem.X, problem.y, problem.activations, **options)
    return fitted(problem, options)


def fitted(problem: Problem, options: dict[str, Any]) -> Any:
    weight = options.pop("sample_weight", None)
    first = options.pop("first", None)
    model = getattr(gnorm, problem.entry)(**options)
    if first is not None:
        order = np.arange(len(problem.y))  # some at both ends change places: no class gets lost
        ends = [*range(first["n_flipped"]), *range(-first["n_flipped"], 0)]
        order[ends] = order[ends[::-1]]
        y = problem.y[order]
        model.set_params(C=first["C"]).fit(problem.X, y, sample_weight=weight)
        model.set_params(C=options["C"])
    return model.fit(problem.X, problem.y, sample_weight=weight)


# -- what it should have been ----------------------------------------------------------------------


def training(problem: Problem, C: float | np.ndarray | None = None) -> Training:
    options = problem.options
    X = problem.X.toarray() if sparse.issparse(problem.X) else np.asarray(problem.X)
    C = options["C"] if C is None else C
    weight = np.asarray(options.get("sample_weight", np.ones(len(X))), dtype=float)
    with np.errstate(all="ignore"):
        upper = np.where(weight > 0, np.asarray(C) * weight, 0.0)
    return Training(
        X.astype(float),
        np.asarray(problem.y),
        problem.activations,
        upper,
        options.get("loss", "hinge"),
        options.get("parameter"),
        options.get("norm") or "group",
        options.get("unit_weights"),
    )


def of_error(problem: Problem, error: Exception) -> tuple[str, str]:
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, gnorm.NotSeparableError):
        return of_proof(problem, error, text)
    if type(error) is RuntimeError and problem.options.get("method") in CONIC:
        # another library's solver was asked for by name: that it fails, and how, is said
        return ("refused" if re.search("ended with the status '.+'", str(error)) else "raw"), text
    in_words = type(error) in (ValueError, TypeError, MemoryError)
    if in_words and any(word in str(error) for word in WORDS):
        return ("refused" if problem.may_refuse else "raw"), text
    return "raw", text


def of_proof(problem: Problem, error: gnorm.NotSeparableError, text: str) -> tuple[str, str]:
    if problem.activations is None:
        return "proven", text
    C = np.inf if problem.entry == "path" else None
    faults = judge_proof(training(problem, C), error.certificate)
    return ("false", "; ".join(faults)) if faults else ("proven", text)


def of_result(problem: Problem, result: Any, is_warned: bool) -> tuple[str, str]:
    if problem.entry == "solve":
        found = [of_solution(training(problem), result, problem.options["tol"], is_warned)]
    elif problem.entry == "path":
        found = [
            of_solution(training(problem, float(C)), solution, problem.options["tol"], is_warned)
            for C, solution in zip(result.Cs, result.solutions, strict=True)
        ]
    else:
        found = of_estimator(problem, result, is_warned)
    return max(found, key=lambda one: SEVERITY.index(one[0]))


def of_solution(t: Training, solution: Any, tol: float, is_warned: bool) -> tuple[str, str]:
    b = solution.dual_coef
    if solution.status.value == "optimal" and not solution.duality_gap <= tol:
        return "silent", f"called optimal at a gap of {solution.duality_gap:.1e}"
    if t.loss in ("hinge", "squared_hinge", "log_loss"):
        signs = np.ones(len(b))
        signs[t.present] = t.y.astype(float)
        b = b * signs
    claims = {
        name: getattr(solution, name) for name in ("norm", "margin", "primal_value", "dual_value")
    }
    return of_claims(t, solution.zeta, b, solution.duality_gap, tol, is_warned, claims)


def of_claims(
    t: Training,
    zeta: np.ndarray,
    b: np.ndarray,
    gap: float,
    tol: float,
    is_warned: bool,
    claims: dict[str, float],
) -> tuple[str, str]:
    if not np.isfinite(gap):  # what has no value claims none
        claims = {name: claims[name] for name in claims if name in ("norm", "dual_value")}
    verdict = judge(t, zeta, b, gap, tol, claims)
    if verdict.faults:
        return "false", "; ".join(verdict.faults)
    if gap <= tol:
        return "solved", ""
    if not is_warned:
        return "silent", f"a gap of {gap:.1e} above tol={tol:.0e} without a warning"
    return "warned", f"gap {gap:.1e}, tol {tol:.0e}, really {verdict.gap:.1e}"


def of_estimator(problem: Problem, model: Any, is_warned: bool) -> list[tuple[str, str]]:
    X, n_samples = problem.X, len(problem.y)
    activations = model.gates_.transform(X)
    if problem.entry == "ShallowGLNSVC":
        activations = np.asarray(model._activations(X))
    if model.fit_intercept:
        X = np.column_stack([X, np.full(n_samples, float(model.intercept_scaling))])
    weight = problem.options.get("sample_weight", np.ones(n_samples))
    loss = getattr(model, "loss", "hinge")
    is_regressor = "Regressor" in problem.entry
    if getattr(model, "class_weight", None) == "balanced":
        totals = {c: weight[problem.y == c].sum() for c in model.classes_}
        weight = weight * [weight.sum() / (len(totals) * totals[c]) for c in problem.y]
    dual = np.zeros((len(model.dual_coef_), n_samples))
    dual[:, model.support_] = model.dual_coef_
    norm = "predictor_l2" if problem.entry == "GatedL2SVC" else "group"
    if is_regressor:
        columns = list(np.atleast_2d(np.asarray(problem.y).T))
    elif loss == "log_loss" and len(model.classes_) > 2:
        indices = np.searchsorted(model.classes_, problem.y)
        t = Training(X, indices, activations, model.C * weight, "multinomial")
        zeta, b = np.moveaxis(model.zeta_, 0, -1), dual.T
        claims = {"norm": model.norm_[0]}
        gap = model.duality_gap_[0]
        return [of_claims(t, zeta, b, gap, model.tol, is_warned, claims)]
    else:
        positives = model.classes_[1:] if len(model.classes_) == 2 else model.classes_
        columns = [np.where(problem.y == c, 1.0, -1.0) for c in positives]
    parameter = WITH_PARAMETER.get(loss)
    found = []
    for k, y in enumerate(columns):
        t = Training(X, y, activations, model.C * weight, loss, parameter, norm)
        claims = {"norm": model.norm_[k]}
        if not is_regressor:
            claims["margin"] = model.margin_[k]
        gap = float(model.duality_gap_[k])
        found.append(of_claims(t, model.zeta_[k], dual[k], gap, model.tol, is_warned, claims))
    return found
