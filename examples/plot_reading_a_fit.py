"""How to read a fit: norms of units, and margins
==============================================

    python examples/plot_reading_a_fit.py [figure]

Two displays of fitted classifiers of the digits 0 to 4 against 5 to 9, on images that come with
scikit-learn. The GLN norm does without some units, the L2 norm of the same functions uses them all.
No training image has a smaller margin than the hard-margin solution says, and the duality gap
proves that no function of the network has a larger least one. Saves a figure, by default to
docs/images/reading_a_fit.svg.
"""

import sys
from math import inf
from pathlib import Path

from matplotlib.figure import Figure

from gnorm import GatedL2SVC, GLNNormSVC
from gnorm.datasets import load_binary_digits
from gnorm.plotting import MarginDisplay, UnitNormsDisplay

N_UNITS = 100


def draw(gln, l2, hard, X_train, X_test, y_train, y_test):
    """Which units the predictors use, and how far from the boundary the images are."""
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)

    UnitNormsDisplay.from_estimator(l2, ax=left, color="0.5")
    UnitNormsDisplay.from_estimator(gln, ax=left, color="#009E73")
    left.set_title("a  norms of the units", loc="left", fontsize="medium")

    MarginDisplay.from_estimator(hard, X_train, y_train, name="training", ax=right, linewidth=3)
    MarginDisplay.from_estimator(hard, X_test, y_test, name="held out", ax=right)
    right.set_title("b  margins of the images", loc="left", fontsize="medium")
    error = 1 - hard.score(X_test, y_test)
    right.annotate(
        f"held-out\nerror {error:.1%}",
        xy=(0, 100 * error),
        xytext=(0.04, 0.3),
        textcoords="axes fraction",
        fontsize="small",
        arrowprops={"arrowstyle": "-", "color": "0.4"},
    )
    figure.supxlabel(
        f"(a) C = {gln.C}. (b) GLNNormSVC, hard margin {hard.margin_[0]:.4f}, certified as "
        f"the largest possible by a duality gap of {hard.duality_gap_[0]:.0e}.",
        fontsize="small",
        color="0.3",
    )
    return figure


def main(path="docs/images/reading_a_fit.svg"):
    X_train, X_test, y_train, y_test = load_binary_digits(test_size=797, random_state=0)
    gln, l2, hard = (
        kind(N_UNITS, C=C, random_state=0).fit(X_train, y_train)
        for kind, C in ((GLNNormSVC, 0.1), (GatedL2SVC, 0.1), (GLNNormSVC, inf))
    )
    for name, model in (("GLN norm", gln), ("L2 norm", l2)):
        print(f"{name}: {(model.unit_norms_ > 0).sum()} of {N_UNITS} units are used")
    print(f"hard margin {hard.margin_[0]:.4f}")

    figure = draw(gln, l2, hard, X_train, X_test, y_train, y_test)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
