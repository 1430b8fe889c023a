"""The closed form of the GLN norm against its definition written out, through cvxpy.

The same problem in four forms: least hinge loss plus GLN norm of the predictors, for digits 0-4
against 5-9 (8 x 8 pixels, bundled with scikit-learn) with random hyperplane gates. A unit has two
or four contexts, a predictor 65 features.

* closed form: `gnorm.atoms.gln_norm` of the unit weights;
* unit norms: `gnorm.atoms.representation_cost` of the unit weights, which has the same optimum;
* definition, free: the loss of the (C - 1) H + 1 free predictors, and the least sum of unit norms
  of weights linked to these by constraints;
* definition, all: the same with all C^H predictors.

Compiling is everything from the first expression to the data of the solver. Candidates take turns,
threads are pinned to one, a number is the median of the repeats. A form that takes longer than the
limit in one run is not tried on larger problems.

    python benchmarks/bench_atoms.py [repeats] [limit in seconds] [results.json]
"""

import json
import statistics
import sys
from itertools import product
from pathlib import Path
from time import perf_counter

import cvxpy as cp
import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from gnorm import HyperplaneGates, atoms
from gnorm.datasets import load_binary_digits

SIZES = {
    2: [2, 4, 6, 8, 10, 12, 14, 16, 32, 64],
    4: [2, 3, 4, 5, 6, 7, 8, 16, 32],
}  # units by contexts
N_SAMPLES = 100
PENALTY = 1.0
SOLVERS = {"CLARABEL": {"max_threads": 1}, "SCS": {"eps_abs": 1e-5, "eps_rel": 1e-5}}
AGREEMENT = {"CLARABEL": 1e-6, "SCS": 1e-2}  # of the optimal values, relative


def closed_form(X, activations):
    """Values of the samples and the norm of the predictors, as expressions of the unit weights."""
    _, n_units, n_contexts = activations.shape
    zeta = cp.Variable((n_units * n_contexts, X.shape[1]))
    values = atoms.decision_values(zeta, X, activations)
    return values, atoms.gln_norm(zeta, n_contexts=n_contexts), []


def unit_norms(X, activations):
    _, n_units, n_contexts = activations.shape
    zeta = cp.Variable((n_units * n_contexts, X.shape[1]))
    values = atoms.decision_values(zeta, X, activations)
    return values, atoms.representation_cost(zeta, n_contexts=n_contexts), []


def definition_of_all(X, activations):
    n_units, n_contexts = activations.shape[1:]
    contexts = np.array(list(product(range(n_contexts), repeat=n_units)))
    beta = cp.Variable((len(contexts), X.shape[1]))
    own = np.argmax(activations, axis=2) @ n_contexts ** np.arange(n_units)[::-1]
    return cp.sum(cp.multiply(X, beta[own]), axis=1), *linked(beta, contexts, n_contexts)


def definition_of_free(X, activations):
    n_units, n_contexts = activations.shape[1:]
    # All units in context 0, then one after the other in each of its other contexts.
    contexts = np.zeros(((n_contexts - 1) * n_units + 1, n_units), dtype=int)
    units = np.repeat(np.arange(n_units), n_contexts - 1)
    others = np.tile(np.arange(1, n_contexts), n_units)
    contexts[1 + np.arange(len(units)), units] = others
    beta = cp.Variable((len(contexts), X.shape[1]))
    # The predictor of a sample adds to the first one what each unit changes by its context.
    gains = activations[:, units, others].astype(float)
    mixture = sp.csr_array(np.column_stack([1 - gains.sum(axis=1), gains]))
    return cp.sum(cp.multiply(X, mixture @ beta), axis=1), *linked(beta, contexts, n_contexts)


def linked(beta, contexts, n_contexts):
    """Sum of unit norms of weights whose predictors, in these contexts, are beta."""
    n_predictors, n_units = contexts.shape
    zeta = cp.Variable((n_units * n_contexts, beta.shape[1]))
    columns = (contexts + n_contexts * np.arange(n_units)).ravel()
    rows = np.repeat(np.arange(n_predictors), n_units)
    sums = sp.csr_array((np.ones(len(rows)), (rows, columns)), (n_predictors, zeta.shape[0]))
    return atoms.representation_cost(zeta, n_contexts=n_contexts), [sums @ zeta == beta]


FORMS = {
    "closed form": closed_form,
    "unit norms": unit_norms,
    "definition, free": definition_of_free,
    "definition, all": definition_of_all,
}


def run(form, X, y, activations, solver):
    """Compile and solve once; seconds of both, the optimal value and the size of the data."""
    start = perf_counter()
    values, norm, constraints = form(X, activations)
    loss = cp.sum(cp.pos(1 - cp.multiply(y, values)))
    problem = cp.Problem(cp.Minimize(loss + PENALTY * norm), constraints)
    data, chain, inverse_data = problem.get_problem_data(solver, solver_opts=SOLVERS[solver])
    compiled = perf_counter()
    raw = chain.solve_via_data(problem, data, solver_opts=SOLVERS[solver])
    solved = perf_counter()
    problem.unpack_results(raw, chain, inverse_data)
    return {
        "compile_s": compiled - start,
        "solve_s": solved - compiled,
        "value": float(problem.value),
        "status": problem.status,
        "entries": int(data["A"].nnz),
    }


def measure(X, y, activations, solver, names, repeats):
    """Run the forms in turns; the median of each time."""
    runs = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            runs[name].append(run(FORMS[name], X, y, activations, solver))
    for records in runs.values():
        for key in ("compile_s", "solve_s"):
            records[0][key] = statistics.median(record[key] for record in records)
    return {name: records[0] for name, records in runs.items()}


def main(repeats=3, limit=10.0, path=None):
    X, _, y, _ = load_binary_digits(test_size=797, random_state=0)
    X, y = np.column_stack([X, np.ones(len(X))])[:N_SAMPLES], y[:N_SAMPLES]
    results = []
    for solver, n_contexts in product(SOLVERS, SIZES):
        print(
            f"\n{solver}, C = {n_contexts}, N = {N_SAMPLES}, D = {X.shape[1]}: seconds to compile"
        )
        print("+ to solve, and non-zero entries of the constraints")
        print(f"{'H':>3}", *(f"{name:>28}" for name in FORMS))
        names = list(FORMS)
        for n_units in SIZES[n_contexts]:
            if not names:
                break
            gates = HyperplaneGates(n_units, n_contexts, random_state=0)
            measured = measure(X, y, gates.fit_transform(X), solver, names, repeats)
            cells = []
            for name in FORMS:
                if name not in measured:
                    cells.append(f"{'-':>28}")
                    continue
                m = measured[name]
                results.append({"solver": solver, "H": n_units, "C": n_contexts, "form": name} | m)
                cells.append(f"{m['compile_s']:8.3f} +{m['solve_s']:8.3f} {m['entries']:9,}")
            print(f"{n_units:3d}", *cells, flush=True)
            reference, *_ = measured.values()
            for name, m in measured.items():
                value = reference["value"]
                if m["status"] != cp.OPTIMAL or abs(m["value"] / value - 1) > AGREEMENT[solver]:
                    print(f"    {name}: {m['status']}, {m['value']:.8g} against {value:.8g}")
            names = [n for n in names if measured[n]["compile_s"] + measured[n]["solve_s"] < limit]
    print(f"\n- not tried: more than {limit:g} s for fewer units")
    if path is not None:
        report = {"benchmark": "atoms", "repeats": repeats, "n_samples": N_SAMPLES}
        Path(path).write_text(json.dumps(report | {"results": results}, indent=1) + "\n")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    with threadpool_limits(1):
        main(*(kind(value) for kind, value in zip((int, float, str), arguments, strict=False)))
