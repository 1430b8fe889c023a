"""Hostile problems, in families: the same seed, family and number make the same problem.

Gates are made here by plain NumPy from the inputs before they are scaled, so that scales are
hostile to the engine and not to the gates.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

CLASSES = ("hinge", "squared_hinge", "log_loss")
TARGETS = ("squared_error", "absolute_error", "epsilon_insensitive", "huber", "quantile")
ENGINES = ("interior-point", "working-set", "primal")


@dataclass
class Problem:
    """One problem: arrays, and the options of the call.

    ``entry`` is what is called: "solve", "path", or the name of an estimator, which then has
    ``activations`` only from its own gates. ``may_refuse`` says that an error in words is right.
    """

    family: str
    number: int
    X: Any
    y: np.ndarray
    activations: np.ndarray | None
    options: dict[str, Any] = field(default_factory=dict)
    entry: str = "solve"
    may_refuse: bool = False


def rng_of(seed: int, family: str, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(family.encode()), number])


def make(family: str, number: int, seed: int = 0) -> Problem:
    rng = rng_of(seed, family, number)
    problem = FAMILIES[family](rng)
    problem.family, problem.number = family, number
    return problem


# -- pieces ----------------------------------------------------------------------------------------


def sizes(rng: np.random.Generator, most: int = 120) -> tuple[int, int, int, int]:
    """Numbers of samples, features, units and contexts, small ones most often."""
    return (
        int(np.exp(rng.uniform(np.log(4), np.log(most)))),
        int(rng.integers(1, 13)),
        int(rng.integers(1, 13)),
        int(rng.choice([1, 2, 2, 4])),
    )


def make_gates(
    rng: np.random.Generator, X: np.ndarray, n_units: int, n_contexts: int, kind: str
) -> np.ndarray:
    """Gates by random hyperplanes: one-hot, on and off with a unit always on, or any."""
    n_bits = max(1, int(np.log2(n_contexts)))
    projections = X @ rng.normal(size=(X.shape[1], n_units * n_bits))
    bits = projections >= np.median(projections, axis=0)
    bits = bits.reshape(len(X), n_units, n_bits)
    if kind == "on-off":
        return np.concatenate([bits[:, :, :1], np.ones((len(X), 1, 1), bool)], axis=1)
    if kind == "any":
        return rng.random((len(X), n_units, n_contexts)) < 0.5
    context = (bits @ (2 ** np.arange(n_bits))) % n_contexts
    return context[:, :, None] == np.arange(n_contexts)


def both_labels(y: np.ndarray) -> np.ndarray:
    if np.all(y == y[0]):
        y[len(y) // 2] *= -1
    return y


def make_targets(
    rng: np.random.Generator, X: np.ndarray, activations: np.ndarray, loss: str
) -> np.ndarray:
    """Targets of a random predictor with these gates, with noise."""
    zeta = rng.normal(size=(*activations.shape[1:], X.shape[1]))
    f = np.einsum("nhc,hcd,nd->n", activations, zeta, X)
    f = f / (np.abs(f).mean() or 1.0)
    f = f + rng.choice([0.0, 0.1, 1.0]) * rng.normal(size=len(f))
    if loss == "multinomial":
        n_classes = int(rng.integers(2, 5))
        y = np.digitize(f, np.quantile(f, np.arange(1, n_classes) / n_classes))
        y[0] = n_classes - 1
        return y
    if loss in TARGETS:
        return f
    return both_labels(np.where(f > np.median(f), 1, -1))


def make_C(rng: np.random.Generator, loss: str) -> float:
    if loss in ("hinge", "squared_hinge") and rng.random() < 0.3:
        return np.inf
    return float(10.0 ** rng.uniform(-3, 3))


def tame(
    rng: np.random.Generator,
    loss: str | None = None,
    kind: str | None = None,
    most: int = 120,
    shape: tuple[int, int, int, int] | None = None,
) -> Problem:
    """Normal inputs, gates that are half open, a teacher: what a user has on a good day."""
    n_samples, n_features, n_units, n_contexts = shape or sizes(rng, most)
    loss = loss or str(rng.choice([*CLASSES * 2, *TARGETS, "multinomial"]))
    kind = kind or str(rng.choice(["one-hot", "one-hot", "on-off", "any"]))
    X = rng.normal(size=(n_samples, n_features))
    activations = make_gates(rng, X, n_units, n_contexts, kind)
    if rng.random() < 0.5:
        X = np.column_stack([X, np.ones(n_samples)])
    y = make_targets(rng, X, activations, loss)
    options: dict[str, Any] = {"loss": loss, "C": make_C(rng, loss)}
    options["tol"] = float(rng.choice([1e-4, 1e-6, 1e-6]))
    if rng.random() < 0.2:
        weight = rng.integers(0, 4, size=n_samples).astype(float)
        weight[[0, -1]] = 1.0
        if len(np.unique(y[weight > 0])) > 1:
            options["sample_weight"] = weight
    if kind == "one-hot" and loss != "multinomial" and rng.random() < 0.2:
        options["norm"] = "predictor_l2"
    elif rng.random() < 0.15:
        options["unit_weights"] = 10.0 ** rng.uniform(-1, 1, size=activations.shape[1])
    return Problem("", 0, X, y, activations, options)


def powers(rng: np.random.Generator, size: Any, most: float) -> np.ndarray:
    return 10.0 ** rng.uniform(-most, most, size=size)


# -- families --------------------------------------------------------------------------------------


def large(rng: np.random.Generator) -> Problem:
    """Up to 4,000 samples, tall or wide."""
    n_samples = int(np.exp(rng.uniform(np.log(200), np.log(4000))))
    shape = (n_samples, int(rng.integers(2, 40)), int(rng.integers(1, 8)), 2)
    return tame(rng, loss=str(rng.choice([*CLASSES, *TARGETS])), shape=shape)


def tiny(rng: np.random.Generator) -> Problem:
    """Two to four samples, one feature, one unit."""
    shape = (int(rng.integers(2, 5)), int(rng.integers(1, 3)), int(rng.integers(1, 3)), 2)
    problem = tame(rng, shape=shape)
    problem.options.pop("sample_weight", None)
    return problem


def scale_of_all(rng: np.random.Generator) -> Problem:
    """Inputs, and targets, times one number between 1e-150 and 1e150."""
    problem = tame(rng)
    most = float(rng.choice([8, 30, 150]))
    problem.X = problem.X * powers(rng, (), most)
    if problem.options["loss"] in TARGETS:
        problem.y = problem.y * powers(rng, (), most)
    problem.may_refuse = most > 30
    return problem


def scale_of_rows(rng: np.random.Generator) -> Problem:
    problem = tame(rng)
    most = float(rng.choice([2, 4, 8, 30, 150]))
    problem.X = problem.X * powers(rng, (len(problem.X), 1), most)
    problem.may_refuse = most > 30
    return problem


def scale_of_columns(rng: np.random.Generator) -> Problem:
    problem = tame(rng)
    most = float(rng.choice([2, 4, 8, 30, 150]))
    problem.X = problem.X * powers(rng, problem.X.shape[1], most)
    problem.may_refuse = most > 30
    return problem


def range_of_floats(rng: np.random.Generator) -> Problem:
    """Entries from the smallest to the largest float."""
    problem = tame(rng)
    exponent = rng.choice([-323, -310, -300, -200, -160, 150, 152, 155, 160, 200, 300, 307])
    problem.X = problem.X * 10.0 ** float(exponent)
    problem.may_refuse = True
    return problem


def weights(rng: np.random.Generator) -> Problem:
    """C between 1e-300 and 1e300, weights between 1e-30 and 1e30 and far beyond."""
    problem = tame(rng)
    most = float(rng.choice([12, 30, 100, 300]))
    problem.options["C"] = float(powers(rng, (), most))
    if rng.random() < 0.5:
        most = float(rng.choice([3, 30, 300]))
        problem.options["sample_weight"] = powers(rng, len(problem.X), most)
    problem.may_refuse = True
    return problem


def large_C(rng: np.random.Generator) -> Problem:
    """Inputs of one scale and a C at which rounding errors of the margins are dear."""
    problem = tame(rng, loss=str(rng.choice(CLASSES)))
    problem.X = problem.X * powers(rng, (), 9)
    problem.options["C"] = float(10.0 ** rng.uniform(3, 16))
    return problem


def gates(rng: np.random.Generator) -> Problem:
    """Gates that are closed, the same, open for few samples, or closed for all."""
    problem = tame(rng, kind="any" if rng.random() < 0.7 else "one-hot")
    activations = problem.activations.copy()
    n_units = activations.shape[1]
    if problem.options.get("norm") is None:
        match int(rng.integers(5)):
            case 0:
                activations[:, rng.integers(n_units)] = False
            case 1:
                activations[rng.random(len(activations)) < 0.3] = False
            case 2:
                activations[...] = False
                activations[rng.integers(len(activations), size=2), :, 0] = True
            case 3:
                activations[...] = rng.random(activations.shape) < 0.02
            case 4:
                activations[...] = rng.random() < 0.7
    activations[:, rng.integers(n_units)] = activations[:, 0]
    problem.activations = activations
    return problem


def duplicates(rng: np.random.Generator) -> Problem:
    """Samples twice, also with the other label, exactly or but for rounding."""
    problem = tame(rng, most=60)
    rows = rng.integers(len(problem.X), size=2 * len(problem.X))
    rows[: len(problem.X)] = np.arange(len(problem.X))
    X, y = problem.X[rows], problem.y[rows].copy()
    if problem.options["loss"] in CLASSES and rng.random() < 0.7:
        y[len(problem.X) + rng.integers(len(problem.X), size=2)] *= -1
    if rng.random() < 0.4:
        X = X * (1 + float(rng.choice([1e-16, 1e-12, 1e-8])) * rng.normal(size=X.shape))
    problem.X, problem.y, problem.activations = X, both_or_targets(y), problem.activations[rows]
    if "sample_weight" in problem.options:
        problem.options["sample_weight"] = problem.options["sample_weight"][rows]
        if len(np.unique(y[problem.options["sample_weight"] > 0])) < 2:
            problem.options.pop("sample_weight")
    return problem


def both_or_targets(y: np.ndarray) -> np.ndarray:
    return both_labels(y) if y.dtype.kind == "i" and set(np.unique(y)) <= {-1, 1} else y


def ties(rng: np.random.Generator) -> Problem:
    """Small whole numbers, so that many margins, norms and gates are the same."""
    problem = tame(rng)
    problem.X = rng.integers(-1, 2, size=problem.X.shape).astype(float)
    if problem.options["loss"] in TARGETS:
        problem.y = np.round(problem.y)
    return problem


def collinear(rng: np.random.Generator) -> Problem:
    """Inputs of low rank, exactly or nearly."""
    problem = tame(rng)
    n_samples, n_features = problem.X.shape
    rank = int(rng.integers(1, max(2, n_features)))
    X = rng.normal(size=(n_samples, rank)) @ rng.normal(size=(rank, n_features))
    problem.X = X + float(rng.choice([0, 1e-15, 1e-10, 1e-6])) * problem.X
    return problem


def heavy_tailed(rng: np.random.Generator) -> Problem:
    problem = tame(rng)
    problem.X = np.sign(problem.X) * np.abs(rng.standard_cauchy(problem.X.shape)) ** float(
        rng.choice([1, 2, 4])
    )
    if problem.options["loss"] in TARGETS:
        problem.y = rng.standard_cauchy(len(problem.y)) ** int(rng.choice([1, 3]))
    return problem


def imbalanced(rng: np.random.Generator) -> Problem:
    """One sample of one class, thousands of times lighter or heavier."""
    problem = tame(rng, loss=str(rng.choice(CLASSES)))
    problem.y = np.ones(len(problem.y), dtype=int)
    problem.y[rng.integers(len(problem.y))] = -1
    problem.options.pop("sample_weight", None)
    if rng.random() < 0.5:
        weight = np.where(problem.y < 0, float(powers(rng, (), 6)), 1.0)
        problem.options["sample_weight"] = weight
    return problem


def targets(rng: np.random.Generator) -> Problem:
    """Targets that are constant, zero, far from zero or of any size; extreme parameters."""
    problem = tame(rng, loss=str(rng.choice(TARGETS)))
    n_samples = len(problem.y)
    match int(rng.integers(5)):
        case 0:
            problem.y = np.zeros(n_samples)
        case 1:
            problem.y = np.full(n_samples, float(powers(rng, (), 8)))
        case 2:
            problem.y = problem.y + 1e8
        case 3:
            problem.y = problem.y * powers(rng, n_samples, 12)
        case 4:
            problem.y = problem.y * powers(rng, (), 150)
            problem.may_refuse = True
    loss = problem.options["loss"]
    if loss in ("epsilon_insensitive", "huber"):
        problem.options["parameter"] = float(powers(rng, (), float(rng.choice([1, 6]))))
    if loss == "quantile":
        problem.options["parameter"] = float(rng.choice([1e-9, 0.01, 0.3, 0.999, 1 - 1e-9]))
    return problem


def multinomial(rng: np.random.Generator) -> Problem:
    problem = tame(rng, loss="multinomial", most=80)
    problem.X = problem.X * powers(rng, (), float(rng.choice([0, 3, 8])))
    problem.options["C"] = float(powers(rng, (), 8))
    return problem


def methods(rng: np.random.Generator) -> Problem:
    """Every method on what it would not be chosen for."""
    problem = tame(rng, loss=str(rng.choice([*CLASSES, *TARGETS])), most=700)
    problem.options["method"] = str(rng.choice(ENGINES))
    problem.X = problem.X * powers(rng, (), float(rng.choice([0, 3, 8])))
    if problem.options["C"] == np.inf and problem.options["method"] == "primal":
        problem.may_refuse = True
    return problem


def conic(rng: np.random.Generator) -> Problem:
    """By CLARABEL and SCS, whose answers are certified like any other."""
    problem = tame(rng, most=30)
    problem.options["method"] = "clarabel" if rng.random() < 0.7 else "scs"
    problem.options["tol"] = 1e-4
    problem.X = problem.X * powers(rng, (), float(rng.choice([0, 3])))
    return problem


def stopped(rng: np.random.Generator) -> Problem:
    """Few iterations or a tolerance out of reach: to be warned of, with the gap that is true."""
    problem = tame(rng)
    if rng.random() < 0.6:
        problem.options["max_iter"] = int(rng.choice([1, 2, 3, 5, 8]))
    problem.options["tol"] = float(rng.choice([1e-2, 1e-6, 1e-9, 1e-12, 1e-15]))
    if rng.random() < 0.5:
        problem.options["method"] = str(rng.choice(ENGINES))
    problem.may_refuse = problem.options.get("method") == "primal"
    return problem


def mixed_C(rng: np.random.Generator) -> Problem:
    """Some samples with a hard margin, the others with weights of any size."""
    problem = tame(rng, loss=str(rng.choice(["hinge", "squared_hinge"])))
    C = powers(rng, len(problem.X), float(rng.choice([1, 4, 9])))
    C[rng.random(len(C)) < 0.4] = np.inf
    problem.options["C"] = C
    return problem


def path(rng: np.random.Generator) -> Problem:
    """The whole path, also over given Cs, on inputs of any scale."""
    problem = tame(rng, loss=str(rng.choice([*CLASSES, *TARGETS])), most=60)
    problem.entry = "path"
    problem.options.pop("C")
    unit_weights = problem.options.pop("unit_weights", None)
    _ = unit_weights
    problem.X = problem.X * powers(rng, (), float(rng.choice([0, 0, 4])))
    problem.options["n_Cs"] = int(rng.integers(2, 9))
    if rng.random() < 0.4:
        Cs = powers(rng, int(rng.integers(1, 6)), float(rng.choice([2, 6])))
        if problem.options["loss"] in ("hinge", "squared_hinge") and rng.random() < 0.3:
            Cs[0] = np.inf
        problem.options["Cs"] = Cs
    problem.options["tol"] = 1e-4
    problem.may_refuse = not problem.activations.any()  # to choose Cs for the predictor of zeros
    return problem


def formats(rng: np.random.Generator) -> Problem:
    """Sparse, single precision, whole numbers, views, lists: the same problem in other clothes."""
    problem = tame(rng)
    X = np.round(problem.X * 8) / 8  # exact in every format
    X[rng.random(X.shape) < 0.3] = 0.0
    match int(rng.integers(9)):
        case 0:
            X = sparse.csr_matrix(X)
        case 1:
            X = sparse.csc_array(X)
        case 2:
            X = sparse.coo_matrix(X)
        case 3:
            X = X.astype(np.float32)
        case 4:
            X = np.asfortranarray(X)
        case 5:
            X = np.repeat(X, 2, axis=0)[::2]
        case 6:
            X = X.tolist()
        case 7:
            X = np.round(X).astype(np.int8)
        case 8:
            X.flags.writeable = False
            problem.y.flags.writeable = False
    problem.X = X
    return problem


CLASSIFIERS = ("GLNNormSVC", "FReLUSVC", "GatedL2SVC", "ShallowGLNSVC")
LOSS_CLASSIFIERS = ("GLNNormClassifier", "FReLUClassifier")
REGRESSORS = ("GLNNormRegressor", "FReLURegressor")


def estimators(rng: np.random.Generator) -> Problem:
    """Every estimator, several classes or targets, weights, threads."""
    n_samples, n_features, n_units, _ = sizes(rng, 100)
    n_samples = max(n_samples, 12)
    X = rng.normal(size=(n_samples, n_features)) * powers(rng, (), float(rng.choice([0, 0, 3])))
    name = str(rng.choice([*CLASSIFIERS, *LOSS_CLASSIFIERS, *REGRESSORS]))
    options: dict[str, Any] = {"C": float(10.0 ** rng.uniform(-3, 3)), "random_state": 0}
    if name != "ShallowGLNSVC":
        options["n_units"] = n_units
    if name.startswith("GLN") or name == "GatedL2SVC":
        options["n_contexts"] = int(rng.choice([1, 2, 4]))
    if name in REGRESSORS:
        y = X @ rng.normal(size=(n_features, int(rng.integers(1, 4)))) + rng.normal()
        y = y[:, 0] if rng.random() < 0.6 else y
        options["loss"] = str(rng.choice(TARGETS))
    else:
        names = np.array([["a", "b", "c"], ["no", "yes", "may"]])[int(rng.integers(2))]
        y = names[np.argmax(rng.normal(size=(n_samples, 3))[:, : int(rng.integers(2, 4))], axis=1)]
        y[:2] = names[:2]
        if name in LOSS_CLASSIFIERS:
            options["loss"] = str(rng.choice(["log_loss", "squared_hinge", "hinge"]))
        if rng.random() < 0.2:
            options["class_weight"] = "balanced"
    options["n_jobs"] = int(rng.choice([1, 1, 3]))
    options["fit_intercept"] = bool(rng.random() < 0.7)
    if rng.random() < 0.3:
        options["method"] = str(rng.choice(["interior-point", "working-set"]))
    if rng.random() < 0.3:
        options["sample_weight"] = rng.integers(1, 4, size=n_samples).astype(float)
    return Problem("", 0, X, y, None, options, entry=name)


def warm_starts(rng: np.random.Generator) -> Problem:
    """A second fit from the first, for another C, other labels or weights."""
    problem = estimators(rng)
    problem.options |= {"warm_start": True, "n_jobs": 1}
    problem.options["first"] = {
        "C": problem.options["C"] * float(powers(rng, (), 3)),
        "n_flipped": int(rng.integers(0, 3)),
    }
    return problem


def memory(rng: np.random.Generator) -> Problem:
    """Limits of memory, from what is far too little to plenty; the peak is measured."""
    n_samples = int(np.exp(rng.uniform(np.log(150), np.log(4000))))
    shape = (n_samples, int(rng.integers(2, 60)), int(rng.integers(1, 20)), 2)
    problem = tame(rng, loss=str(rng.choice([*CLASSES, *TARGETS])), shape=shape)
    problem.options["memory_limit"] = float(10.0 ** rng.uniform(6, 9.3))
    problem.options["tol"] = 1e-4
    if rng.random() < 0.6:
        problem.options["method"] = str(rng.choice(ENGINES))
    problem.may_refuse = True
    return problem


FAMILIES: dict[str, Callable[[np.random.Generator], Problem]] = {
    "tame": tame,
    "large": large,
    "tiny": tiny,
    "scale of all": scale_of_all,
    "scale of rows": scale_of_rows,
    "scale of columns": scale_of_columns,
    "range of floats": range_of_floats,
    "weights": weights,
    "large C": large_C,
    "mixed C": mixed_C,
    "gates": gates,
    "duplicates": duplicates,
    "ties": ties,
    "collinear": collinear,
    "heavy-tailed": heavy_tailed,
    "imbalanced": imbalanced,
    "targets": targets,
    "multinomial": multinomial,
    "methods": methods,
    "conic": conic,
    "stopped": stopped,
    "path": path,
    "formats": formats,
    "estimators": estimators,
    "warm starts": warm_starts,
    "memory": memory,
}
