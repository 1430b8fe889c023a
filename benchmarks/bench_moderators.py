"""Many candidate segmentations, few of which change a linear rule: gnorm against its rivals.

Generated data with a known truth: N samples, M segmentations of so many levels, D numbers. The
rule <beta, x> changes with the level of a few segmentations, by deviations as long as beta; each
scenario changes one thing of the first. In "main effects" the levels change the intercept alone; in
"three-way" the rule changes with pairs of levels, which no sum over segmentations can say; in
"correlated" each segmentation copies the one before in 60 % of the samples.

    python benchmarks/bench_moderators.py [--scenarios NAME ...] [--methods NAME ...] [--seeds 1]

Printed for each scenario and method, as means over the seeds: the error E (f - f^)^2 / Var f on
4,000 new samples without their noise, in %; how many of the true segmentations are selected, and
how many others; seconds of processor time of a fit, cross-validation included, on one thread; most
memory that it takes beside what was there, in MB (Linux), each fit in a process of its own.
Boosting and the forest select nothing.

gnorm: `UnitSelectionCV`; the same with `relax=True`, "unshrunk"; the norm with C by cross-
validation on all units; the same on those that stability selection finds (50 halves).

Rivals: an L1 penalty on all products; the group lasso on the groups of the norm (adelie, skglm);
glinternet's formulation, a group for the levels of each segmentation and one for these with their
products with each number (M. Lim and T. Hastie, 2015), by adelie; a model-based tree, ridge rules
in the leaves, split by a level against the others while the BIC falls (A. Zeileis, T. Hothorn and
K. Hornik, 2008, with that criterion in place of tests); boosted trees; a random forest. What is not
installed is left out, and named.
"""

import argparse
import importlib
import importlib.util
import warnings
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from time import process_time

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from gnorm import (
    CategoryGates,
    GLNNormRegressor,
    GLNNormRegressorCV,
    JoinedGates,
    OpenGates,
    SelectedGates,
)
from gnorm.selection import UnitSelectionCV, stability_selection

N_TEST = 4000


@dataclass(frozen=True)
class Scenario:
    n_samples: int = 500
    n_segmentations: int = 50
    n_levels: int = 4
    n_numbers: int = 5
    n_true: int = 2
    noise: float = 0.5  # standard deviation, relative to that of the rule
    kind: str = "moderators"
    copied: float = 0.0  # share of the samples in which a segmentation is the one before


BASE = Scenario()
SCENARIOS = {
    "base": BASE,
    "N = 200": replace(BASE, n_samples=200),
    "N = 1000": replace(BASE, n_samples=1000),
    "M = 200": replace(BASE, n_segmentations=200),
    "10 levels": replace(BASE, n_levels=10),
    "noise 1": replace(BASE, noise=1.0),
    "none true": replace(BASE, n_true=0),
    "5 true": replace(BASE, n_true=5),
    "correlated": replace(BASE, copied=0.6),
    "main effects": replace(BASE, kind="main effects"),
    "three-way": replace(BASE, kind="three-way"),
}


def generate(scenario, seed):
    """Training data, test data with the rule itself as target, and the true segmentations."""
    random = np.random.default_rng(seed)
    n, m = scenario.n_samples + N_TEST, scenario.n_segmentations
    levels = random.integers(0, scenario.n_levels, (n, m))
    for k in range(1, m):
        is_copied = random.random(n) < scenario.copied
        levels[is_copied, k] = levels[is_copied, k - 1]
    numbers = random.normal(size=(n, scenario.n_numbers))
    true = np.sort(random.choice(m, scenario.n_true, replace=False))
    beta = random.normal(size=scenario.n_numbers)
    f = numbers @ beta
    shape = (scenario.n_true, scenario.n_levels)
    if scenario.kind == "main effects":
        f += sum(random.normal(size=shape[1])[levels[:, k]] for k in true) * 2.0
    elif scenario.kind == "three-way":
        pairs = random.normal(size=(scenario.n_levels,) * 2 + (scenario.n_numbers,))
        pairs -= pairs.mean(axis=0)
        pairs -= pairs.mean(axis=1, keepdims=True)
        f += np.sum(numbers * pairs[levels[:, true[0]], levels[:, true[1]]], axis=1)
    else:
        deviations = random.normal(size=(*shape, scenario.n_numbers))
        deviations -= deviations.mean(axis=1, keepdims=True)
        for k, of_unit in zip(true, deviations, strict=True):
            f += np.sum(numbers * of_unit[levels[:, k]], axis=1)
    X, train = np.hstack([numbers, levels]), slice(scenario.n_samples)
    noise = scenario.noise * f.std() * random.normal(size=scenario.n_samples)
    test = slice(scenario.n_samples, None)
    return X[train], f[train] + noise, X[test], f[test], true


def expanded(X, d, n_levels):
    """Numbers and a constant, alone and times the indicator of each level, with the groups."""
    with_one = np.column_stack([X[:, :d], np.ones(len(X))])
    blocks, groups, first = [X[:, :d]], [[j] for j in range(d)], d
    for k in range(d, X.shape[1]):
        on = X[:, k, None] == np.arange(n_levels)
        blocks.append((on[:, :, None] * with_one[:, None]).reshape(len(X), -1))
        groups.append(list(range(first, first + blocks[-1].shape[1])))
        first += blocks[-1].shape[1]
    return np.hstack(blocks), groups


def gates_of(scenario):
    return {
        "segment": slice(scenario.n_numbers, None),
        "features": slice(scenario.n_numbers),
    }


def by_selection(X, y, X_test, scenario, relax="cv"):
    model = GLNNormRegressor(gates=CategoryGates(), **gates_of(scenario))
    found = UnitSelectionCV(model, relax=relax, max_units=8, cv=5).fit(X, y)
    return found.predict(X_test), found.selected_units_


def by_norm(X, y, X_test, scenario):
    gates = JoinedGates([OpenGates(), CategoryGates()])
    model = GLNNormRegressorCV(gates=gates, Cs=10, cv=5, **gates_of(scenario)).fit(X, y)
    return model.predict(X_test), model.selected_units_ - 1


def by_stability(X, y, X_test, scenario):
    model = GLNNormRegressor(gates=CategoryGates(), **gates_of(scenario))
    selected = stability_selection(model, X, y, n_resamples=50, random_state=0).selected
    gates = OpenGates()
    if len(selected):
        gates = JoinedGates([gates, SelectedGates(CategoryGates(), selected.tolist())])
    model = GLNNormRegressorCV(gates=gates, Cs=10, cv=5, **gates_of(scenario)).fit(X, y)
    return model.predict(X_test), selected


def by_lasso(X, y, X_test, scenario):
    d = scenario.n_numbers
    Z, groups = expanded(X, d, scenario.n_levels)
    model = LassoCV(cv=5, max_iter=5000).fit(Z, y)
    selected = [k for k, group in enumerate(groups[d:]) if np.any(model.coef_[group])]
    return model.predict(expanded(X_test, d, scenario.n_levels)[0]), np.array(selected)


def is_there(package):
    return importlib.util.find_spec(package) is not None


def by_group_lasso(X, y, X_test, scenario):
    d = scenario.n_numbers
    (Z, groups), (Z_test, _) = (expanded(each, d, scenario.n_levels) for each in (X, X_test))
    if is_there("adelie"):  # the same problem, 20 times as fast here
        sizes = np.array([len(group) for group in groups])
        predicted, coef = path_of_adelie(Z, y, Z_test, sizes)
        return predicted, np.flatnonzero([np.any(coef[group]) for group in groups[d:]])
    from skglm import GroupLasso

    centred = Z.T @ (y - y.mean()) / len(y)
    largest = max(np.linalg.norm(centred[group]) for group in groups)
    grid = {"alpha": np.geomspace(0.9 * largest, 1e-2 * largest, 15)}
    model = GridSearchCV(GroupLasso(groups=groups, tol=1e-4), grid, cv=5).fit(Z, y)
    coef = model.best_estimator_.coef_
    selected = [k for k, group in enumerate(groups[d:]) if np.any(coef[group])]
    return model.predict(Z_test), np.array(selected)


def path_of_adelie(Z, y, Z_test, sizes):
    """Prediction and coefficients of the best group lasso of a path; groups are consecutive."""
    import adelie

    firsts = np.cumsum(sizes) - sizes
    options = {"groups": firsts, "progress_bar": False, "early_exit": False, "min_ratio": 1e-2}
    Z, target = np.asfortranarray(Z), adelie.glm.gaussian(y)
    found = adelie.cv.cv_grpnet(Z, target, n_folds=5, seed=0, lmda_path_size=30, **options)
    path = adelie.grpnet(Z, target, lmda_path_size=30, **options)
    best = np.argmin(np.abs(path.lmdas - found.lmdas[found.best_idx]))
    coef = path.betas[best].toarray().ravel()
    return Z_test @ coef + path.intercepts[best], coef


def by_glinternet(X, y, X_test, scenario):
    d, n_levels, m = scenario.n_numbers, scenario.n_levels, scenario.n_segmentations

    def blocks(X):
        numbers, made = X[:, :d], [X[:, :d]]
        for k in range(m):
            on = (X[:, d + k, None] == np.arange(n_levels)).astype(float)
            made.append(on)
            made += [np.hstack([on, on * numbers[:, j, None]]) for j in range(d)]
        return np.hstack(made)

    sizes = np.array([1] * d + ([n_levels] + [2 * n_levels] * d) * m)
    predicted, coef = path_of_adelie(blocks(X), y, blocks(X_test), sizes)
    of_segmentations = coef[d:].reshape(m, -1)
    return predicted, np.flatnonzero(of_segmentations.any(axis=1))


def by_model_tree(X, y, X_test, scenario):
    d = scenario.n_numbers
    A, A_test = (np.column_stack([each[:, :d], np.ones(len(each))]) for each in (X, X_test))
    n, size, least = len(y), d + 1, 4 * (d + 1)
    levels, chosen = X[:, d:], set()

    def rule(rows):
        gram = A[rows].T @ A[rows] + 1e-3 * np.eye(size)
        coef = np.linalg.solve(gram, A[rows].T @ y[rows])
        return coef, float(np.sum(np.square(y[rows] - A[rows] @ coef)))

    def grow(rows, rows_test, predicted):
        coef, squares = rule(rows)
        splits = []
        for k in range(levels.shape[1]):
            for level in np.unique(levels[rows, k]):
                left = rows & (levels[:, k] == level)
                right = rows & ~left
                if min(np.count_nonzero(left), np.count_nonzero(right)) >= least:
                    splits.append((rule(left)[1] + rule(right)[1], k, level))
        n_here = np.count_nonzero(rows)
        best = min(splits, default=(np.inf, 0, 0))
        # of a split: twice the rules, and a choice among all of them
        price = (size + 1) * np.log(n) + 2 * np.log(max(len(splits), 1))
        if n_here * np.log(best[0] / squares) + price >= 0:
            predicted[rows_test] = A_test[rows_test] @ coef
            return
        _, k, level = best
        chosen.add(k)
        on, on_test = levels[:, k] == level, X_test[:, d + k] == level
        grow(rows & on, rows_test & on_test, predicted)
        grow(rows & ~on, rows_test & ~on_test, predicted)

    predicted = np.empty(len(X_test))
    grow(np.ones(n, dtype=bool), np.ones(len(X_test), dtype=bool), predicted)
    return predicted, np.array(sorted(chosen))


def by_boosting(X, y, X_test, scenario):
    d = scenario.n_numbers
    model = HistGradientBoostingRegressor(
        categorical_features=np.arange(d, X.shape[1]), random_state=0
    )
    grid = {"learning_rate": [0.05, 0.1], "max_leaf_nodes": [4, 15]}
    return GridSearchCV(model, grid, cv=3).fit(X, y).predict(X_test), None


def by_forest(X, y, X_test, scenario):
    model = RandomForestRegressor(300, max_features=1 / 3, random_state=0)
    return model.fit(X, y).predict(X_test), None


METHODS = {
    "gnorm, selection": by_selection,
    "gnorm, unshrunk": partial(by_selection, relax=True),
    "gnorm, norm alone": by_norm,
    "gnorm, stability": by_stability,
    "L1, interactions": by_lasso,
    "group lasso": by_group_lasso,
    "glinternet's": by_glinternet,
    "model-based tree": by_model_tree,
    "boosted trees": by_boosting,
    "random forest": by_forest,
}


NEEDS = {"group lasso": ["adelie", "skglm"], "glinternet's": ["adelie"]}  # one of them


def memory(field):
    """Memory of this process in MB, NaN where /proc does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return np.nan
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(field))


def forget_peak():
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def measure(name, method, seed):
    """Error, true and false selections, seconds and memory of one fit."""
    scenario = SCENARIOS[name]
    X, y, X_test, f, true = generate(scenario, seed)
    for package in filter(is_there, NEEDS.get(method, [])):  # imports are no part of a fit
        importlib.import_module(package)
    forget_peak()
    before, start = memory("VmRSS"), process_time()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of rivals on their grids
        predicted, selected = METHODS[method](X, y, X_test, scenario)
    seconds, megabytes = process_time() - start, memory("VmHWM") - before
    error = 100 * np.mean(np.square(predicted - f)) / np.var(f)
    counts = [np.nan, np.nan]
    if selected is not None:
        is_true = np.isin(selected, true)
        counts = [np.count_nonzero(is_true), np.count_nonzero(~is_true)]
    return [error, *counts, seconds, megabytes]


def compare(name, methods, n_seeds, pool):
    for method in methods:
        rows = [pool.apply(measure, (name, method, seed)) for seed in range(n_seeds)]
        error, found, false, seconds, megabytes = np.mean(rows, axis=0)
        chosen = "     -      -"
        if not np.isnan(found):
            chosen = f"{found:6.1f} {false:6.1f}"
        row = f"{name:<14}{method:<20}{error:7.1f} {chosen} {seconds:8.1f} {megabytes:7.0f}"
        print(row, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=1)
    chosen = parser.parse_args()
    absent = [method for method, packages in NEEDS.items() if not any(map(is_there, packages))]
    methods = [method for method in chosen.methods if method not in absent]
    if absent:
        lacking = [f"{method} (needs {' or '.join(NEEDS[method])})" for method in absent]
        print(f"left out: {', '.join(lacking)}")
    head = f"{'scenario':<14}{'method':<20}{'error':>7} {'true':>6} {'false':>6}"
    print(f"{head} {'seconds':>8} {'MB':>7}")
    with Pool(1, maxtasksperchild=1) as pool:  # no fit finds what another has left
        for name in chosen.scenarios:
            compare(name, methods, chosen.seeds, pool)


if __name__ == "__main__":
    main()
