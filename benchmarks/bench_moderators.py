"""Many candidate segmentations, few of which change a linear rule: gnorm against its rivals.

Generated data with a known truth: N samples, M segmentations of so many levels, D numbers. The
rule <beta, x> changes with the level of a few segmentations, by deviations as long as beta; each
scenario changes one thing of the first. In "main effects" the levels change the intercept alone; in
"three-way" the rule changes with pairs of levels, which no sum over segmentations can say; in
"correlated" each segmentation copies the one before in 60 % of the samples.

    python benchmarks/bench_moderators.py [--scenarios NAME ...] [--methods NAME ...] [--seeds 3]

Printed for each scenario and method, as means over the seeds: the error E (f - f^)^2 / Var f on
4,000 new samples without their noise, in %; how many of the true segmentations are selected, and
how many others; seconds of a fit, cross-validation included, on one thread. Trees select nothing.
skglm is needed for the group lasso.
"""

import argparse
import warnings
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from skglm import GroupLasso
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from gnorm import CategoryGates, GLNNormRegressor, GLNNormRegressorCV, JoinedGates, OpenGates
from gnorm.selection import UnitSelectionCV

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


def by_selection(X, y, X_test, scenario):
    model = GLNNormRegressor(gates=CategoryGates(), **gates_of(scenario))
    found = UnitSelectionCV(model, max_units=8, cv=5).fit(X, y)
    return found.predict(X_test), found.selected_units_


def by_norm(X, y, X_test, scenario):
    gates = JoinedGates([OpenGates(), CategoryGates()])
    model = GLNNormRegressorCV(gates=gates, Cs=10, cv=5, **gates_of(scenario)).fit(X, y)
    return model.predict(X_test), model.selected_units_ - 1


def by_lasso(X, y, X_test, scenario):
    d = scenario.n_numbers
    Z, groups = expanded(X, d, scenario.n_levels)
    model = LassoCV(cv=5, max_iter=5000).fit(Z, y)
    selected = [k for k, group in enumerate(groups[d:]) if np.any(model.coef_[group])]
    return model.predict(expanded(X_test, d, scenario.n_levels)[0]), np.array(selected)


def by_group_lasso(X, y, X_test, scenario):
    d = scenario.n_numbers
    Z, groups = expanded(X, d, scenario.n_levels)
    centred = Z.T @ (y - y.mean()) / len(y)
    largest = max(np.linalg.norm(centred[group]) for group in groups)
    grid = {"alpha": np.geomspace(0.9 * largest, 1e-2 * largest, 15)}
    model = GridSearchCV(GroupLasso(groups=groups, tol=1e-4), grid, cv=5).fit(Z, y)
    coef = model.best_estimator_.coef_
    selected = [k for k, group in enumerate(groups[d:]) if np.any(coef[group])]
    return model.predict(expanded(X_test, d, scenario.n_levels)[0]), np.array(selected)


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
    "gnorm, norm alone": by_norm,
    "L1, interactions": by_lasso,
    "group lasso": by_group_lasso,
    "boosted trees": by_boosting,
    "random forest": by_forest,
}


def compare(name, methods, n_seeds):
    scenario = SCENARIOS[name]
    problems = [generate(scenario, seed) for seed in range(n_seeds)]
    for method in methods:
        rows = []
        for X, y, X_test, f, true in problems:
            start = perf_counter()
            predicted, selected = METHODS[method](X, y, X_test, scenario)
            seconds = perf_counter() - start
            error = 100 * np.mean(np.square(predicted - f)) / np.var(f)
            counts = [np.nan, np.nan]
            if selected is not None:
                is_true = np.isin(selected, true)
                counts = [np.count_nonzero(is_true), np.count_nonzero(~is_true)]
            rows.append([error, *counts, seconds])
        error, found, false, seconds = np.mean(rows, axis=0)
        chosen = "     -      -"
        if not np.isnan(found):
            chosen = f"{found:6.1f} {false:6.1f}"
        print(f"{name:<14}{method:<19}{error:7.1f} {chosen} {seconds:8.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    print(f"{'scenario':<14}{'method':<19}{'error':>7} {'true':>6} {'false':>6} {'seconds':>8}")
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of rivals on their grids
        for name in chosen.scenarios:
            compare(name, chosen.methods, chosen.seeds)


if __name__ == "__main__":
    main()
