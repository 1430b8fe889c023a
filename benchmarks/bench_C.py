"""How near C = 1 is to the hard margin on standardised tables, and what another C would give.

For the bundled tables, the first class against the rest: norms for C = 1 and for the hard margin,
and accuracies by 5-fold cross-validation for C = 1, for C = 0.01, for the C that GLNNormSVCCV
chooses inside each fold, and for LinearSVC.

    python benchmarks/bench_C.py
"""

import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from gnorm import GLNNormSVC, GLNNormSVCCV, NotSeparableError

TABLES = load_breast_cancer, load_wine, load_iris, load_digits


def norm(C, Z, y):
    try:
        return GLNNormSVC(C=C, random_state=0).fit(Z, y).norm_[0]
    except NotSeparableError:
        return np.nan


def accuracy(model, X, y):
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return cross_val_score(make_pipeline(StandardScaler(), model), X, y, cv=folds).mean()


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)  # of LinearSVC
    names = "norm, C=1", "norm, hard", "C=1", "C=0.01", "GLNNormSVCCV", "LinearSVC"
    print(f"{'table':<20}" + "".join(f"{name:>14}" for name in names))
    for load in TABLES:
        X, y = load(return_X_y=True)
        y = (y == 0).astype(int)
        Z = StandardScaler().fit_transform(X)
        models = (
            GLNNormSVC(random_state=0),
            GLNNormSVC(C=0.01, random_state=0),
            GLNNormSVCCV(random_state=0),
            LinearSVC(random_state=0, max_iter=10_000),
        )
        cells = [norm(1.0, Z, y), norm(np.inf, Z, y), *(accuracy(model, X, y) for model in models)]
        name = load.__name__.removeprefix("load_")
        print(f"{name:<20}" + "".join(f"{cell:>14.3f}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
