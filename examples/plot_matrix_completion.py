"""Matrix completion: descent on two factors, and the least nuclear norm
======================================================================

    python examples/plot_matrix_completion.py [figure]

A matrix of rank 2 of which half the entries are seen. The observed entries are samples of a linear
model whose weights are the matrix: its nuclear norm is what two factors cost, so that
``gnorm.norms.Nuclear(shape=...)`` with large C has the completion of least nuclear norm, certified.
Descent on the factors alone, without any penalty, fits the seen entries as well; from a small start
it ends near that completion, and the smaller the start, the nearer (Gunasekar et al. 2017). It
prints what the panels show and saves a figure, by default to docs/images/matrix_completion.svg.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.sparse import csr_matrix

from gnorm import solve
from gnorm.norms import Nuclear

SHAPE, RANK, SHARE_SEEN = (30, 20), 2, 0.5
C = 1e6  # so large that the seen entries are met to six digits
STARTS = {1.0: "#D55E00", 0.1: "#E69F00", 0.01: "#009E73", 1e-4: "#0072B2"}
RATE, N_STEPS, EVERY = 0.02, 10_000, 5


def observed(rng):
    """A matrix of low rank, and which of its entries are seen."""
    left, right = (rng.normal(size=(n, RANK)) for n in SHAPE)
    return left @ right.T, rng.random(SHAPE) < SHARE_SEEN


def least_nuclear_norm(M, is_seen):
    """The exact completion: every seen entry a sample of one unit that is always open."""
    seen = np.flatnonzero(is_seen)
    entries = np.ones(len(seen)), (np.arange(len(seen)), seen)
    return solve(
        csr_matrix(entries, shape=(len(seen), M.size)),
        M.ravel()[seen],
        np.ones((len(seen), 1, 1), dtype=bool),
        norm=Nuclear(shape=SHAPE),
        loss="squared_error",
        C=C,
    )


def descend(M, is_seen, start, rng):
    """Products of two factors along gradient descent on the squared error of the seen entries."""
    U, V = (rng.normal(scale=start / np.sqrt(min(SHAPE)), size=(n, min(SHAPE))) for n in SHAPE)
    products = []
    for step in range(N_STEPS + 1):
        product = U @ V.T
        if step % EVERY == 0:
            products.append(product)
        residual = np.where(is_seen, product - M, 0.0)
        U, V = U - RATE * residual @ V, V - RATE * residual.T @ U
    return np.array(products)


def nuclear(matrices):
    return np.linalg.svd(matrices, compute_uv=False).sum(axis=-1)


def draw(M, exact, runs, is_seen):
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    norms, errors, spectra = figure.subplots(1, 3)
    steps = EVERY * np.arange(len(next(iter(runs.values()))))
    least = nuclear(exact)
    for (start, products), colour in zip(runs.items(), STARTS.values(), strict=True):
        norms.plot(steps, nuclear(products) / least, color=colour, label=f"start {start:g}")
        unseen = np.linalg.norm((products - M)[:, ~is_seen], axis=1) / np.linalg.norm(M[~is_seen])
        errors.plot(steps, unseen, color=colour)
        values = np.linalg.svd(products[-1], compute_uv=False)[:8]
        spectra.plot(np.arange(1, 9), values, color=colour, marker="o", markersize=4)
    norms.axhline(1.0, color="0.2", linestyle="--", label="exact")
    norms.set(ylim=(0, 1.5), ylabel="nuclear norm / the least")
    norms.set_title("a  the norm that descent ends at", loc="left", fontsize="medium")
    norms.legend(frameon=False, fontsize="small", loc="lower right")
    unseen = np.linalg.norm((exact - M)[~is_seen]) / np.linalg.norm(M[~is_seen])
    errors.axhline(unseen, color="0.2", linestyle="--")
    errors.set(yscale="log", ylabel="relative error")
    errors.set_title("b  error of the entries that were not seen", loc="left", fontsize="medium")
    values = np.linalg.svd(exact, compute_uv=False)[:8]
    spectra.plot(np.arange(1, 9), values, color="0.2", linestyle="--")
    spectra.set(xlabel="number", ylabel="singular value", yscale="log", ylim=(1e-3, 50))
    spectra.set_title("c  the spectrum at the end", loc="left", fontsize="medium")
    for ax in (norms, errors):
        ax.set(xlabel="step", xscale="log", xlim=(EVERY, N_STEPS))
    return figure


def main(path="docs/images/matrix_completion.svg"):
    rng = np.random.default_rng(0)
    M, is_seen = observed(rng)
    solution = least_nuclear_norm(M, is_seen)
    exact = solution.zeta.reshape(SHAPE)
    runs = {start: descend(M, is_seen, start, rng) for start in STARTS}

    size = np.linalg.norm(M[~is_seen])
    print(f"{np.count_nonzero(is_seen)} of {M.size} entries seen")
    print(f"least nuclear norm {solution.norm:.4f} by {solution.method}", end=", ")
    print(f"gap {solution.duality_gap:.0e}, that of the matrix itself {nuclear(M):.4f}")
    print(f"error of the unseen entries {np.linalg.norm((exact - M)[~is_seen]) / size:.0e}")
    print("start   error of seen   nuclear norm, of the least   distance   error of unseen")
    for start, products in runs.items():
        last = products[-1]
        seen = np.linalg.norm((last - M)[is_seen]) / np.linalg.norm(M[is_seen])
        unseen = np.linalg.norm((last - M)[~is_seen]) / size
        distance = np.linalg.norm(last - exact) / np.linalg.norm(exact)
        print(f"{start:<7g} {seen:<15.1e} {nuclear(last) / solution.norm:<28.4f}", end=" ")
        print(f"{distance:<10.4f} {unseen:.4f}")

    figure = draw(M, exact, runs, is_seen)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
