"""Matrix completion: descent on two factors, and the least norm that it ends near
================================================================================

    python examples/plot_matrix_completion.py [figure]

A matrix of rank 2 of which half the entries are seen. The observed entries are samples of a linear
model whose weights are the matrix: its nuclear norm is what two factors cost, so that
``gnorm.norms.Nuclear(shape=...)`` with large C has the completion of least nuclear norm, certified.
Descent on the factors alone, without any penalty, fits the seen entries as well; from a small start
it ends near that completion, and the smaller the start, the nearer (Gunasekar et al. 2017).

The norm is that of the geometry, not of the network: spectral descent, along the polar factors of
the gradients (Muon without momentum), keeps the largest singular value small instead. It ends near
the least operator norm, ``gnorm.norms.Operator(shape=...)``, all singular values alike; that it
should end there from a square loss no theorem says.

It prints what the panels show and saves a figure, by default to docs/images/matrix_completion.svg.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.sparse import csr_matrix

from gnorm import solve
from gnorm.norms import Nuclear, Operator

SHAPE, RANK, SHARE_SEEN = (30, 20), 2, 0.5
C = 1e6  # so large that the seen entries are met to six digits
STARTS = {1.0: "#D55E00", 0.1: "#E69F00", 0.01: "#009E73", 1e-4: "#0072B2"}
RATE, N_STEPS, EVERY = 0.02, 10_000, 5
SPECTRAL, SPECTRAL_START, SPECTRAL_STEPS = "#CC79A7", 0.01, 6000  # the rate falls to 0 at the end


def observed(rng):
    """A matrix of low rank, and which of its entries are seen."""
    left, right = (rng.normal(size=(n, RANK)) for n in SHAPE)
    return left @ right.T, rng.random(SHAPE) < SHARE_SEEN


def completion(M, is_seen, norm):
    """Exact completion of least norm: seen entries are samples of one unit that is always open."""
    seen = np.flatnonzero(is_seen)
    entries = np.ones(len(seen)), (np.arange(len(seen)), seen)
    return solve(
        csr_matrix(entries, shape=(len(seen), M.size)),
        M.ravel()[seen],
        np.ones((len(seen), 1, 1), dtype=bool),
        norm=norm,
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


def polar(G):
    U, _, Vt = np.linalg.svd(G, full_matrices=False)
    return U @ Vt


def descend_spectrally(M, is_seen, rng):
    """Product of two factors that each go along the polar factor of their gradient."""
    start, steps = SPECTRAL_START, SPECTRAL_STEPS
    U, V = (rng.normal(scale=start / np.sqrt(min(SHAPE)), size=(n, min(SHAPE))) for n in SHAPE)
    for rate in RATE * (1.0 - np.arange(steps) / steps):
        residual = np.where(is_seen, U @ V.T - M, 0.0)
        U, V = U - rate * polar(residual @ V), V - rate * polar(residual.T @ U)
    return U @ V.T


def nuclear(matrices):
    return np.linalg.svd(matrices, compute_uv=False).sum(axis=-1)


def operator(matrix):
    return np.linalg.norm(matrix, 2)


def draw(M, exact, runs, spectral, is_seen):
    """Panels of norms, errors and spectra; `spectral` is a pair, exact and trained."""
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    norms, errors, spectra = figure.subplots(1, 3)
    steps = EVERY * np.arange(len(next(iter(runs.values()))))
    least, numbers = nuclear(exact), np.arange(1, min(SHAPE) + 1)
    for (start, products), colour in zip(runs.items(), STARTS.values(), strict=True):
        norms.plot(steps, nuclear(products) / least, color=colour, label=f"start {start:g}")
        unseen = np.linalg.norm((products - M)[:, ~is_seen], axis=1) / np.linalg.norm(M[~is_seen])
        errors.plot(steps, unseen, color=colour)
        values = np.linalg.svd(products[-1], compute_uv=False)
        spectra.plot(numbers, values, color=colour, marker="o", markersize=3)
    norms.axhline(1.0, color="0.2", linestyle="--", label="exact")
    norms.set(ylim=(0, 1.5), ylabel="nuclear norm / the least")
    norms.set_title("a  the norm that descent ends at", loc="left", fontsize="medium")
    norms.legend(frameon=False, fontsize="small", loc="lower right")
    unseen = np.linalg.norm((exact - M)[~is_seen]) / np.linalg.norm(M[~is_seen])
    errors.axhline(unseen, color="0.2", linestyle="--")
    errors.set(yscale="log", ylabel="relative error")
    errors.set_title("b  error of the entries that were not seen", loc="left", fontsize="medium")
    spectra.plot(numbers, np.linalg.svd(exact, compute_uv=False), color="0.2", linestyle="--")
    flattest, trained = (np.linalg.svd(each, compute_uv=False) for each in spectral)
    options = {"color": SPECTRAL, "label": "spectral descent"}
    spectra.plot(numbers, trained, marker="o", markersize=3, **options)
    spectra.plot(numbers, flattest, color=SPECTRAL, linestyle="--", label="least operator norm")
    spectra.legend(frameon=False, fontsize="small", loc="upper right")
    spectra.set(xlabel="index of the singular value", ylabel="singular value")
    spectra.set(yscale="log", ylim=(1e-3, 500))
    spectra.set_xticks([1, 5, 10, 15, 20])
    spectra.set_title("c  the spectrum at the end", loc="left", fontsize="medium")
    for ax in (norms, errors):
        ax.set(xlabel="step", xscale="log", xlim=(EVERY, N_STEPS))
    return figure


def main(path="docs/images/matrix_completion.svg"):
    rng = np.random.default_rng(0)
    M, is_seen = observed(rng)
    solution = completion(M, is_seen, Nuclear(shape=SHAPE))
    flattest = completion(M, is_seen, Operator(shape=SHAPE))
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

    trained = descend_spectrally(M, is_seen, rng)
    print(f"least operator norm {flattest.norm:.4f} by {flattest.method}", end=", ")
    print(f"gap {flattest.duality_gap:.0e}")
    print("descent    error of seen   operator norm, of the least   nuclear norm, of the least")
    for name, last in (("gradient", runs[min(STARTS)][-1]), ("spectral", trained)):
        seen = np.linalg.norm((last - M)[is_seen]) / np.linalg.norm(M[is_seen])
        print(f"{name:<10} {seen:<15.1e} {operator(last) / flattest.norm:<29.4f}", end=" ")
        print(f"{nuclear(last) / solution.norm:.4f}")

    figure = draw(M, exact, runs, (flattest.zeta.reshape(SHAPE), trained), is_seen)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
