"""The predictors of the paper, one function each; a task runs those of its kind.

A function returns the decision values on all samples and what else is known of the predictor. What
fails is recorded with its reason; the other predictors of the task are not touched by it.
"""

import time
from collections.abc import Callable
from itertools import product

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import linprog

from gnorm import NotSeparableError, gated, kernels, max_margin, norms, solve
from gnorm.descent import GatedNetwork, GradientDescent, Steps, Stop, compare
from gnorm.solvers import Status

from .data import in_published_groups
from .grid import LENGTHS, STARTS
from .results import pack

TOL = 1e-6
RECIPE = Steps(((1600, 0.04), (1600, 0.01)))
BATCH = 128
MOST_GAP = 1e-4  # relative, of a solve whose predictor is used although it missed TOL
PROOF = 1e-11  # residual that is taken for a proof, as by the engine
MOST_L2 = 20_000  # samples up to which the engine holds the kernel matrix of the L2 norm
_UNPENALISED = 1e-4  # weight that stands for none, beside the eigenvalues C^2 and 1


# What gnorm gives back when Ctrl-C stops it, a best point or half a run, would stay in the results
# file as if it were the answer: both functions below pass the interruption on instead.


def solved(solution):
    """What is recorded of a certified solve; ArithmeticError if it is far from the optimum."""
    if solution.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    if not solution.duality_gap <= MOST_GAP:
        reached = f"{solution.status.value} at a gap of {solution.duality_gap:.1e}"
        raise ArithmeticError(f"expected a gap of at most {MOST_GAP:.0e}, {reached}")
    return {
        "gap": solution.duality_gap,
        "norm": solution.norm,
        "margin": solution.margin,
        "status": solution.status.value,
        "n_support": len(solution.support),
    }


def trained(network, descent, X, y, gates, history=None):
    """History of a run that was not interrupted, which goes on where ``history`` ended."""
    history = descent.train(network, X, y, gates, history=history)
    if history.stop is Stop.INTERRUPTED:
        raise KeyboardInterrupt
    return history


# Predictors: (X, y, gates, n), of which the first n samples are for training -> decision values of
# all samples, facts


def svm(X, y, gates, n, **options):
    """Hard margin under sum_h ||zeta_h||: GLN norm of one-hot gates, FReLU norm of on/off gates."""
    solution = max_margin(X[:n], y[:n], gates[:n], tol=TOL, **options)
    shares = solution.unit_norms / solution.unit_norms.sum()
    facts = {
        "active_units": int(np.count_nonzero(shares)),
        "effective_units": float(1.0 / np.sum(shares**2)),
    }
    return solution.decision_values(X, gates), solved(solution) | facts


def svm_hidden(hidden, y, n):
    """Linear hard margin on few features, whose scales may differ by orders of magnitude.

    A linear program looks for a proof that there is none first: on a network that lost most of its
    units the margin, if there is one, is too small for an interior point.
    """
    raise_if_not_separable(hidden[:n], y[:n])
    always = np.ones((len(hidden), 1, 1), dtype=bool)
    return svm(hidden, y, always, n, method="interior-point")  # few features, of unlike scales


def raise_if_not_separable(features, y):
    """Raise with weights a >= 0 under which the classes coincide, if the program finds them."""
    n = len(y)
    scales = np.abs(features).max(axis=0).clip(min=np.finfo(float).tiny)
    equations = np.vstack([y * (features / scales).T, np.ones(n)])
    target = np.r_[np.zeros(features.shape[1]), 1.0]
    found = linprog(np.zeros(n), A_eq=equations, b_eq=target, method="highs-ds")
    if not found.success:
        return
    # a basic solution, once more as a linear system: exact to rounding
    basis = np.flatnonzero(found.x)
    certificate = np.zeros(n)
    certificate[basis] = np.linalg.lstsq(equations[:, basis], target, rcond=None)[0].clip(min=0)
    residual = float(np.abs(equations @ certificate - target).max())
    if residual <= PROOF:
        raise NotSeparableError(certificate, residual)


def svm_published_groups(X, y, gates, n):
    """The same with the groups of the published code (erratum E3)."""
    return svm(X, y, in_published_groups(gates), n)


def svm_l2(X, y, gates, n):
    """Hard margin under the L2 norm of the predictors of all contexts."""
    solution = solve(X[:n], y[:n], gates[:n], norm="predictor_l2", C=np.inf, tol=TOL)
    facts = {"gln_norm": norms.gln_norm(solution.zeta)}
    return gated.decision_values(X, gates, solution.zeta), solved(solution) | facts


def svm_plain(X, y, gates, n):
    """Hard margin under ||zeta||_2: all contexts of all units in one group."""
    solution = max_margin(X[:n], y[:n], gates[:n].reshape(n, 1, -1), tol=TOL)
    zeta = solution.zeta.reshape(*gates.shape[1:], -1)
    facts = {"gln_norm": norms.gln_norm(zeta)}
    return gated.decision_values(X, gates, zeta), solved(solution) | facts


def quadratic(kernel, y, n):
    """Hard margin of a kernel without a free bias; ``kernel`` has one row a sample."""
    # with rounding errors of the size of the jitter the kernel may not be positive definite
    L = np.linalg.cholesky(kernel[:n] + 1e-13 * np.trace(kernel[:n]) * np.eye(n))
    solution = max_margin(L, y[:n], np.ones((n, 1, 1), dtype=bool), tol=TOL)
    coef = solve_triangular(L, solution.zeta.ravel(), lower=True, trans=1)
    return kernel @ coef, solved(solution)


def svm_l2_of_23(X, y, gates, n):
    r"""The norm ||A zeta|| with the A of (23), on the right groups (erratum E2).

    A has the eigenvalue C on deviations within a unit and 1 on the constant, so that the kernel is
    that of C^2 sum_h s_h^2 + (C / H) ||beta_bar||^2.
    """
    _, n_units, n_contexts = gates.shape
    agreeing = kernels.agreement(gates, gates[:n])
    metric = n_units / n_contexts + (agreeing - n_units / n_contexts) / n_contexts**2
    return quadratic(kernels.gram(X, X[:n]) * metric, y, n)


def matrix_of_23(n_units, n_contexts):
    """A of (23) on flat (unit, context) indices, without the identity of the features."""
    size = n_units * n_contexts
    same_unit = np.kron(np.eye(n_units), np.ones((n_contexts, n_contexts)))
    return 1.0 / size - same_unit + n_contexts * np.eye(size)


def svm_l2_published_groups(X, y, gates, n):
    """The same with the groups of the published code, which leave directions without penalty.

    With the right groups the null space of A does not change the function. With the published ones
    it does, at no cost, so that the published problem has many solutions, and which one was found
    depends on the solver. Here a small weight chooses among them, nearly the one of least ||zeta||.
    """
    groups = in_published_groups(gates)
    A = matrix_of_23(*groups.shape[1:])
    flat = groups.reshape(len(groups), -1).astype(float)
    metric = np.linalg.inv(A @ A + _UNPENALISED * np.eye(len(A)))
    return quadratic(kernels.gram(X, X[:n]) * (flat @ metric @ flat[:n].T), y, n)


def svm_shallow(X, y, gates, n):
    """A predictor of its own for every region; of the regions, those that training inputs meet."""
    bits = np.packbits(gates[:, :, 1], axis=1) if gates.shape[1] else np.zeros((len(X), 1), int)
    regions = np.unique(bits[:n], axis=0)
    lies_in = np.all(bits[:, None] == regions, axis=2)
    values, facts = svm(X, y, lies_in[:, None, :], n)
    return values, facts | {"n_regions": len(regions)}


def recipe(momentum=0.0, seed=0, **options):
    """The published way to train; a callback sees the network, see GradientDescent."""
    settings = {"momentum": momentum, "batch_size": BATCH, "max_steps": 3200, "random_state": seed}
    return GradientDescent(RECIPE, **(settings | options))


def ends_at(history):
    return {"n_steps": history.n_steps, "min_margin": float(history["min_margin"][-1])}


# Tasks: kind -> rows


class Recorder:
    """Runs predictors and collects their rows, failures included."""

    def __init__(self, y, n, validation):
        self.y, self.n, self.validation = y, n, validation
        self.rows = []

    def add(self, model, compute: Callable, **facts):
        """Record ``values, more_facts = compute()``; return whether it gave values."""
        start = time.perf_counter()
        try:
            values, more = compute()
        except NotSeparableError as error:
            row = {"status": "not separable", "residual": error.residual}
            row["n_involved"] = int(np.count_nonzero(error.certificate))
        except (ArithmeticError, MemoryError, ValueError) as error:  # LinAlgError is a ValueError
            row = {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        else:
            row = self.measure(values) | more
        seconds = round(time.perf_counter() - start, 3)
        self.rows.append({"model": model, **facts, **row, "seconds": seconds})
        return "signs" in row

    def skip(self, model, reason):
        """Record that a predictor is left out on purpose."""
        self.rows.append({"model": model, "status": "skipped", "reason": reason, "seconds": 0.0})

    def measure(self, values):
        """Accuracies, and the signs of all validation inputs; a value of 0 counts as negative."""
        right = (values > 0) == (self.y > 0)
        held_out = values[self.validation]
        return {
            "train_accuracy": float(np.mean(right[: self.n])),
            "accuracy": float(np.mean(right[self.validation])),
            "n_undecided": int(np.count_nonzero(held_out == 0)),
            "n_validation": len(held_out),
            "signs": pack(held_out > 0),
        }


def _gated_task(task, samples, predictors):
    gates, is_published = samples.gates(task.n_units, task.n_contexts, task.cutoff, task.seed)
    recorder = Recorder(samples.y, task.n_train, samples.validation)
    for model, predictor in predictors.items():
        recorder.add(
            model,
            lambda predictor=predictor: predictor(samples.X, samples.y, gates, task.n_train),
            published_gates=is_published,
        )
    return recorder.rows


RIGHT = {"SVM-GLN": svm, "SVM-L2": svm_l2, "SVM-plain": svm_plain}
PUBLISHED = {
    "SVM-GLN published groups": svm_published_groups,
    "SVM-L2 of (23)": svm_l2_of_23,
    "SVM-L2 published groups": svm_l2_published_groups,
}


def run_svm(task, samples):
    return _gated_task(task, samples, RIGHT)


def run_svm_published(task, samples):
    return _gated_task(task, samples, PUBLISHED)


def run_descent(task, samples):
    """GD-GLN; with median cutoffs also as the published one was reloaded, without them (E4)."""
    X, y, n = samples.X, samples.y, task.n_train
    gates, is_published = samples.gates(task.n_units, task.n_contexts, task.cutoff, task.seed)
    network = GatedNetwork.gln(
        X.shape[1], task.n_units, task.n_contexts, bias=True, random_state=task.seed
    )
    recorder = Recorder(y, n, samples.validation)

    def train():
        history = trained(network, recipe(task.momentum, task.seed), X[:n], y[:n], gates[:n])
        return network.decision_function(X, gates), ends_at(history)

    if recorder.add("GD-GLN", train, published_gates=is_published) and task.cutoff == "median":
        other = samples.gates_without_median(task.n_units, task.n_contexts, task.seed)
        if other is not None:
            recorder.add("GD-GLN reloaded", lambda: (network.decision_function(X, other), {}))
    return recorder.rows


def with_always_open(gates):
    """The second context as an on/off gate, and a unit that is always open."""
    always = np.ones((len(gates), 1, 1), dtype=bool)
    return np.concatenate([gates[:, :, 1:], always], axis=1)


def run_frelu(task, samples):
    """SVM-RC: FReLU with random contexts."""
    gates, is_published = samples.gates(task.n_units, 2, task.cutoff, task.seed)
    recorder = Recorder(samples.y, task.n_train, samples.validation)
    recorder.add(
        "SVM-RC",
        lambda: svm(samples.X, samples.y, with_always_open(gates), task.n_train),
        published_gates=is_published,
    )
    return recorder.rows


def run_relu(task, samples):
    """GD-ReLU, then FReLU with its gates (SVM-LC) and a linear SVM on its hidden layer (SVM-HL)."""
    X, y, n = samples.X, samples.y, task.n_train
    network = GatedNetwork.relu(X.shape[1], task.n_units, bias=True, random_state=task.seed)
    recorder = Recorder(y, n, samples.validation)

    def train():
        history = trained(network, recipe(task.momentum, task.seed), X[:n], y[:n], None)
        return network.decision_function(X), ends_at(history)

    if recorder.add("GD-ReLU", train):
        (opened,) = network.activations(X)
        hidden = np.maximum(X @ network.layers[0].weights[0].T, 0.0)
        hidden = np.column_stack([hidden, np.ones(len(hidden))])
        n_dead = int(np.sum(~opened[:n].any(axis=(0, 2))))
        recorder.add("SVM-LC", lambda: svm(X, y, opened, n), n_dead=n_dead)
        recorder.add("SVM-HL", lambda: svm_hidden(hidden, y, n), n_dead=n_dead)
    return recorder.rows


def run_shallow(task, samples):
    depth = task.n_units
    if depth:
        gates, _ = samples.gates(depth, 2, task.cutoff, task.seed)
    else:
        gates = np.ones((len(samples.X), 0, 2), dtype=bool)
    recorder = Recorder(samples.y, task.n_train, samples.validation)
    recorder.add("SVM-shallow", lambda: svm_shallow(samples.X, samples.y, gates, task.n_train))
    return recorder.rows


def run_length(task, samples):
    """A network of the paper's kind, longer and longer trained, beside the exact solution."""
    X, y, n = samples.X, samples.y, task.n_train
    gates, _ = samples.gates(task.n_units, task.n_contexts, task.cutoff, task.seed)
    solution = max_margin(X[:n], y[:n], gates[:n], tol=TOL)
    solved(solution)
    exact = solution.decision_values(X, gates)
    recorder = Recorder(y, n, samples.validation)
    has_bias = task.variant == "recipe"
    lengths = LENGTHS[task.variant]

    def record(step, network):
        values = network.decision_function(X, gates)
        unlike = (values > 0) != (exact > 0)
        facts = {"n_steps": step, "unlike": float(np.mean(unlike[samples.validation]))}
        if not has_bias:
            found = compare(network, solution, X[:n], y[:n], gates[:n])
            facts |= {"margin_ratio": found.margin_ratio, "kkt_residual": found.kkt_residual}
        return facts

    def start(seed):
        return GatedNetwork.gln(
            X.shape[1], task.n_units, task.n_contexts, bias=has_bias, random_state=seed
        )

    if task.variant.startswith("accelerated"):
        # the growth of the margin depends on the length: every length is a run of its own
        seeds = STARTS if "starts" in task.variant else (task.seed,)
        for length, seed in product(lengths, seeds):

            def run(length=length, seed=seed):
                network = start(seed)
                descent = GradientDescent.accelerated(X[:n], length)
                trained(network, descent, X[:n], y[:n], gates[:n])
                return network.decision_function(X, gates), record(length, network)

            recorder.add(f"GD-GLN {task.variant}", run, start=seed)
        return recorder.rows

    batch_size = None if "full batch" in task.variant else BATCH
    network = start(task.seed)
    history = None
    for length in lengths:

        def run(length=length):
            nonlocal history
            descent = recipe(seed=task.seed, batch_size=batch_size, max_steps=length)
            history = trained(network, descent, X[:n], y[:n], gates[:n], history)
            return network.decision_function(X, gates), record(length, network)

        recorder.add(f"GD-GLN {task.variant}", run)
    return recorder.rows


def run_size(task, samples):
    """The exact predictors on more and more samples, on test inputs."""
    X, y, X_test, y_test = samples.larger(task.n_train, task.seed)
    n = len(X)
    gates = samples.draw(task.n_units, task.n_contexts, task.cutoff, task.seed)
    X, y = np.concatenate([X, X_test]), np.concatenate([y, y_test])
    activations = gates.transform(X)
    recorder = Recorder(y, n, slice(n, None))
    for model, predictor in RIGHT.items():
        if model == "SVM-L2" and n > MOST_L2:
            recorder.skip(model, f"the kernel matrix of {n:,} samples is not held in memory")
        else:
            recorder.add(model, lambda predictor=predictor: predictor(X, y, activations, n))
    return recorder.rows


KINDS = {
    "svm": run_svm,
    "svm_published": run_svm_published,
    "descent": run_descent,
    "frelu": run_frelu,
    "relu": run_relu,
    "shallow": run_shallow,
    "length": run_length,
    "size": run_size,
}
