"""Digits of any size, recognised by a classifier that has seen one size
=====================================================================

    python examples/plot_zoomed_digits.py [figure]

A zoom by the factor a multiplies the moment m_pq of an image, the sum of x^p y^q times its
intensity about its centre, by a^(2 + p + q). It is a dilation of the moments, with weights
2 + p + q, and what a digit is does not depend on it: a function of degree 0. A classifier on the
unit sphere of this dilation is trained on the moments of digits at scale 1 and tested at scales 0.3
to 3, where images are drawn anew in so many pixels. Beside it stand the same classifier on the
moments as they are, the same trained on all scales, and the same on moments that are divided by the
power of m_00 that takes out the scale, the classical answer. It prints a table and saves a figure,
by default to docs/images/zoomed_digits.svg.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from gnorm.homogeneity import Dilation, HomogeneousClassifier

SCALES = (0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
ORDER = 6  # of the moments
POWERS = [(p, q) for p in range(ORDER + 1) for q in range(ORDER + 1 - p)]
WEIGHTS = np.array([2.0 + p + q for p, q in POWERS])
PIXELS = 32  # a side of an image at scale 1, four times that of the data
BLUE, RED, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"


def zoom(images, scale):
    """Images with round(32 * scale) pixels a side, by linear interpolation."""
    side = round(PIXELS * scale)
    width = images.shape[1]
    centres = (np.arange(side) + 0.5) / side * width - 0.5
    rows, columns = np.meshgrid(centres, centres, indexing="ij")
    return np.stack(
        [map_coordinates(image, [rows, columns], order=1, mode="nearest") for image in images]
    )


def moments(images):
    """Moments about the centre of the image, in units of 16 pixels."""
    side = images.shape[1]
    x = (np.arange(side) + 0.5 - side / 2) / (PIXELS / 2)
    area = (2 / PIXELS) ** 2
    return np.stack([np.einsum("nij,i,j->n", images, x**p, x**q) * area for p, q in POWERS], axis=1)


def normalised(X):
    """Moments divided by m_00 to the power (2 + p + q) / 2."""
    return X / X[:, :1] ** (WEIGHTS / 2.0)


def classifier():
    return make_pipeline(StandardScaler(), SVC(C=100.0))


def draw(images, accuracies):
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.5))
    largest = round(PIXELS * SCALES[-1])
    sheet = np.zeros((largest, 0))
    for scale in (0.3, 1.0, 3.0):
        image = zoom(images[:1], scale)[0]
        frame = np.zeros((largest, len(image) + 6))
        frame[: len(image), : len(image)] = image
        sheet = np.column_stack([sheet, frame])
    left.imshow(-sheet[:, :-6], cmap="gray")
    left.set_title("a  one digit at scales 0.3, 1 and 3", loc="left", fontsize="medium")
    left.set(xticks=[], yticks=[])
    styles = {
        "on the sphere": (BLUE, "o", 4.0),  # wide, since the next covers it
        "divided by powers of $m_{00}$": (ORANGE, "v", 1.5),
        "as they are": (RED, "s", 1.5),
        "as they are, trained at all scales": (GREEN, "^", 1.5),
    }
    for name, (colour, marker, width) in styles.items():
        values = 100 * np.array(accuracies[name])
        right.plot(SCALES, values, color=colour, marker=marker, linewidth=width, label=name)
    right.set(
        xscale="log", ylim=(0, 100), xlabel="scale of the tested images", ylabel="correct [%]"
    )
    right.set_xticks(SCALES, [f"{scale:g}" for scale in SCALES])
    right.minorticks_off()
    right.axhline(10, color="0.6", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    right.annotate("chance", (1.0, 10), va="top", ha="center", fontsize="small", color="0.3")
    figure.legend(frameon=False, loc="outside lower right", ncols=2)
    right.set_title("b  moments learnt at scale 1", loc="left", fontsize="medium")
    return figure


def main(path="docs/images/zoomed_digits.svg"):
    images, digits = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16.0
    train, test, y, y_test = train_test_split(
        images, digits, test_size=0.5, stratify=digits, random_state=0
    )
    X = moments(zoom(train, 1.0))
    # any diagonal P makes a norm of a diagonal dilation: this one balances the moments
    dilation = Dilation(WEIGHTS, np.diag(1.0 / X.var(axis=0)))
    every_scale = np.vstack([moments(zoom(train, scale)) for scale in SCALES])
    models = {
        "on the sphere": HomogeneousClassifier(classifier(), dilation=dilation).fit(X, y),
        "as they are": classifier().fit(X, y),
        "as they are, trained at all scales": classifier().fit(
            every_scale, np.tile(y, len(SCALES))
        ),
        "divided by powers of $m_{00}$": make_pipeline(
            FunctionTransformer(normalised), *(step for _, step in classifier().steps)
        ).fit(X, y),
    }
    print(f"{len(train)} digits to learn, {len(test)} to test; {len(WEIGHTS)} moments")
    print(f"{'correct [%] at scale':<36}" + "".join(f"{scale:>7g}" for scale in SCALES))
    tests = [moments(zoom(test, scale)) for scale in SCALES]
    accuracies = {name: [model.score(A, y_test) for A in tests] for name, model in models.items()}
    for name, values in accuracies.items():
        print(f"{name.replace('$', ''):<36}" + "".join(f"{100 * value:7.1f}" for value in values))

    figure = draw(test, accuracies)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
