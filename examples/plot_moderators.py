"""Which of 40 segmentations change a linear rule: found, counted, and read
========================================================================

    python examples/plot_moderators.py [figure]

A table of 900 customers has 40 columns that part them into segments and 4 that are numbers.
Spending is a linear rule of the numbers, which is another one in each region and in each channel;
the other 38 segmentations change nothing, although some of them go with the region.
UnitSelectionCV finds how many there are by cross-validation and fits them alone. The script prints
the table of effects and the certificate, compares errors on held-out customers, and saves a figure,
by default to docs/images/moderators.svg.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from gnorm import CategoryGates, GLNNormRegressor
from gnorm.plotting import EffectsDisplay, PathDisplay
from gnorm.selection import UnitSelectionCV, permutation_null

N_TRAIN, N_TEST, N_SEGMENTATIONS = 900, 4000, 40
NUMBERS = ["price", "visits", "age", "discount"]
SLOPES = {  # how the rule differs from the shared one
    "region": {
        "north": [-1.0, 0.0, 0.0, 0.0],
        "south": [1.0, 0.0, 0.0, 0.5],
        "east": [0.0, 0.0, 0.0, -0.5],
    },
    "channel": {
        "web": [0.0, 0.9, 0.0, 0.0],
        "shop": [0.0, -0.9, 0.0, 0.0],
    },
}
SHARED = [1.0, 0.5, -0.5, 0.0]


def customers(n_samples, seed):
    """A data frame of segmentations and numbers, and spending with noise."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "region": random.choice(["north", "south", "east"], n_samples),
            "channel": random.choice(["web", "shop"], n_samples),
        }
    )
    for k in range(N_SEGMENTATIONS - 2):
        column = random.choice(list("ABCD"), n_samples).astype(object)
        if k < 5:  # goes with the region in half of the customers
            of_region = table["region"].map({"north": "A", "south": "B", "east": "C"})
            column = np.where(random.random(n_samples) < 0.5, of_region, column)
        table[f"segment{k}"] = column
    table[NUMBERS] = random.normal(size=(n_samples, len(NUMBERS)))
    rules = np.tile(SHARED, (n_samples, 1))
    for name, slopes in SLOPES.items():
        rules += np.array([slopes[level] for level in table[name]])
    spending = np.sum(rules * table[NUMBERS].to_numpy(), axis=1)
    return table, spending + random.normal(size=n_samples)


def rivals():
    """A linear rule without segments, and boosted trees with all of them."""
    numbers = make_column_transformer(("passthrough", NUMBERS))
    codes = make_column_transformer(
        (OrdinalEncoder(), lambda X: [name for name in X if name not in NUMBERS]),
        ("passthrough", NUMBERS),
    )
    return {
        "one linear rule": make_pipeline(numbers, RidgeCV()),
        "boosted trees": make_pipeline(codes, HistGradientBoostingRegressor(random_state=0)),
    }


def draw(table, spending, selector, null):
    figure = Figure(figsize=(12.8, 4.2), layout="constrained")
    path, chance, effects = figure.subplots(1, 3, width_ratios=[1, 1, 1.3])
    PathDisplay.from_estimator(selector.estimator, table, spending, Cs=15, n_named=2, ax=path)
    path.set_title("a  importance along C", loc="left", fontsize="medium")
    of_units, of_permuted = null.importances.mean(axis=0), null.null_importances.max(axis=1)
    ranks = np.argsort(-of_units)
    colours = ["#0072B2" if null.pvalues[h] <= 0.05 else "0.6" for h in ranks]
    chance.bar(np.arange(1, len(ranks) + 1), of_units[ranks], color=colours)
    seldom = np.quantile(of_permuted, 0.95)
    chance.axhline(seldom, color="#D55E00")
    said = "exceeded by the best permuted one\nin 5 % of the permutations"
    chance.text(len(ranks), 1.1 * seldom, said, ha="right", va="bottom", fontsize="small")
    chance.set(xlabel="segmentation, by importance", ylabel="importance beside permuted ones")
    chance.set_title("b  against chance", loc="left", fontsize="medium")
    EffectsDisplay.from_estimator(selector, ax=effects)
    effects.set_title("c  deviations of the rule, by level", loc="left", fontsize="medium")
    return figure


def main(figure_path="docs/images/moderators.svg"):
    table, spending = customers(N_TRAIN, seed=0)
    later, truth = customers(N_TEST, seed=1)

    model = GLNNormRegressor(gates=CategoryGates(), features=NUMBERS, segment=list(table)[:-4])
    selector = UnitSelectionCV(model, max_units=5, verbose=1).fit(table, spending)
    print(f"selected: {', '.join(selector.selected_names_)}; C = {selector.C_:.3g}")

    print(selector.estimator_.effects_.to_frame().round(2).to_string())
    print(f"certified: relative duality gap {selector.estimator_.duality_gap_.max():.1e}\n")
    null = permutation_null(
        model.set_params(C=0.05), table, spending, n_permutations=39, random_state=0, progress=True
    )
    for h in np.argsort(null.pvalues, kind="stable")[:4]:
        print(f"{null.unit_names[h]:>10}: p = {null.pvalues[h]:.3f}, adjusted for all")
    print(f"\nheld-out R²; the true rule has {1 - 1 / np.var(truth):.3f}")
    print(f"{'selected units':>16}: {selector.score(later, truth):.3f}")
    for name, rival in rivals().items():
        print(f"{name:>16}: {rival.fit(table, spending).score(later, truth):.3f}")

    figure_path = Path(figure_path)
    figure_path.parent.mkdir(parents=True, exist_ok=True)
    figure = draw(table, spending, selector, null)
    figure.savefig(figure_path, dpi=130)
    print(f"figure: {figure_path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
