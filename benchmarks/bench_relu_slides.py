"""Whether sliding neurons saves rounds: three ways to move those in use after each master problem.

    python benchmarks/bench_relu_slides.py [--rows hard-150 ...]

"none" adds the local maxima of the search alone, "ascent" also the ends of ascents from the neurons
in use under the present dual point, "joint" also the directions of the best weights of the gated
network that has their patterns: there positions and coefficients move together, and where they stay
in their cells that is the best network of these patterns.
"""

import argparse
import warnings

import numpy as np
from bench_relu import PROBLEMS, cube, wavy
from bench_relu_scnn import data

import gnorm
from gnorm.relu import columns, relu_max_margin
from gnorm.relu.ascent import ascend

SLIDES = ("none", "ascent", "joint")
exchange = columns._Generation.exchange


def ascent(run):
    """Ends of ascents from the neurons in use, and their signs."""
    neurons, coefs = run.network
    on = run.guess != 0
    ends = [
        ascend(run.X[on], sign * run.guess[on], u / np.linalg.norm(u))
        for u, sign in zip(neurons, np.sign(coefs), strict=True)
    ]
    return np.array(ends).reshape(neurons.shape), np.sign(coefs)


def joint(run):
    """Directions of the gated network of the patterns in use, of either sign."""
    patterns = np.unique(run.X @ run.network[0].T > 0, axis=1)
    problem = run.problem
    C = problem.C[0]
    gated = gnorm.solve(
        run.X, problem.y, patterns[:, :, None], norm="frelu", C=C, loss=problem.loss, tol=run.tol
    )
    W = gated.zeta[:, 0]
    W = W[np.linalg.norm(W, axis=1) > 1e-9 * gated.norm]
    W = np.concatenate((W, -W))
    inside = [np.any(np.all((run.X @ w > 0)[:, None] == patterns, axis=0)) for w in W]
    W = W[np.array(inside, dtype=bool)]
    U = W / np.linalg.norm(W, axis=1, keepdims=True)
    return np.concatenate((U, U)), np.repeat([1.0, -1.0], len(U))


def sliding(way):
    """The exchange of a round with further neurons."""

    def exchanged(run, point, found):
        goes_on = exchange(run, point, found)
        if goes_on and way != "none":
            neurons, signs = {"ascent": ascent, "joint": joint}[way](run)
            run.columns.add(neurons, signs)
        return goes_on

    return exchanged


def teacher():
    X, y, _ = data(1000, 20, 1)
    return X, y


CASES = {
    "hard-150": PROBLEMS["hard-150"],
    "hard-500": PROBLEMS["hard-500"],
    "soft-150": (wavy(150), {"C": 1.0, "tol": 1e-6}),
    "soft-500": PROBLEMS["soft-500"],
    "line-10000": PROBLEMS["line-10000"],
    "cube-40": (cube(40), {"tol": 1e-6}),
    "cube-100": (cube(100), {"tol": 1e-6}),
    "teacher": (
        teacher(),
        {"C": 1.0, "loss": "squared_error", "tol": 1e-2, "oracle": "local", "max_iter": 5},
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=list(CASES), default=list(CASES))
    rows = parser.parse_args().rows
    warnings.simplefilter("ignore")  # the gap is in the table
    print(f"{'problem':>10} {'slide':>7} {'rounds':>6} {'seconds':>8} {'objective':>14} {'gap':>8}")
    for name in rows:
        (X, y), options = CASES[name]
        for way in SLIDES:
            columns._Generation.exchange = sliding(way)
            solution = relu_max_margin(X, y, **options)
            print(
                f"{name:>10} {way:>7} {solution.n_iter:6d} {solution.seconds:8.2f} "
                f"{solution.primal_value:14.7g} {solution.duality_gap:8.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
