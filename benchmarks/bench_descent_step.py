"""A step of gradient descent against its matrix products alone, and against PyTorch.

Every row is a full-batch step with momentum on the logistic loss of a two-layer GLN. The floor is
the five matrix products that such a step cannot do without: values of both layers, gradients of
both, and what the second passes back. PyTorch, where it is installed, runs the same training on the
CPU with the same number of threads, and must reach the same weights. Candidates take turns, BLAS is
pinned, ratios are of medians.

    python benchmarks/bench_descent_step.py [repeats] [threads] [file.json]
"""

import json
import statistics
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from gnorm.descent import GatedNetwork, GradientDescent

try:
    import torch
except ImportError:
    torch = None

# (n_samples, n_features, n_units, n_contexts): digits, then the sizes of the paper
SIZES = [
    (200, 65, 5, 2),
    (500, 785, 10, 2),
    (500, 785, 50, 2),
    (2000, 785, 50, 2),
    (2000, 785, 100, 4),
]
RATE, MOMENTUM = 0.01, 0.9
FLOPS_OF_A_RUN = 4e9  # as many steps as that makes, 20 to 2000


def problem(n_samples, n_features, n_units, n_contexts):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, n_features)) / np.sqrt(n_features)
    y = np.where(rng.random(n_samples) < 0.5, -1, 1)
    open_contexts = rng.integers(n_contexts, size=(n_samples, n_units))
    network = GatedNetwork.gln(n_features, n_units, n_contexts, random_state=0)
    return network, X, y, open_contexts[:, :, None] == np.arange(n_contexts)


def products(network, X, n_steps):
    """Seconds of the matrix products of a step, on arrays of its shapes."""
    first, last = (layer.matrix for layer in network.layers)
    hidden = np.ones((len(X), last.shape[1]))
    coef, back = np.ones((len(X), 1)), np.ones((len(X), len(first)))
    start = perf_counter()
    for _ in range(n_steps):
        X @ first.T
        hidden @ last.T
        coef.T @ hidden
        coef @ last
        back.T @ X
    return perf_counter() - start


def ours(network, X, y, activations, n_steps):
    descent = GradientDescent(RATE, momentum=MOMENTUM, max_steps=n_steps, log_every=n_steps)
    trained = network.copy()
    start = perf_counter()
    descent.train(trained, X, y, activations)
    return perf_counter() - start, trained.parameters


def by_torch(network, X, y, activations, n_steps):
    """The same in PyTorch, by automatic differentiation and torch.optim.SGD."""
    first, last = (torch.tensor(layer.matrix, requires_grad=True) for layer in network.layers)
    n_contexts, n_units, _ = network.layers[0].weights.shape
    gates = torch.tensor(activations.transpose(0, 2, 1).astype(float))
    inputs, labels = torch.tensor(X), torch.tensor(y.astype(float))
    optimizer = torch.optim.SGD([first, last], lr=RATE, momentum=MOMENTUM)
    start = perf_counter()
    for _ in range(n_steps):
        optimizer.zero_grad()
        z = (inputs @ first.T).reshape(len(X), n_contexts, n_units)
        values = (z * gates).sum(dim=1) @ last[0]
        torch.nn.functional.softplus(-labels * values).mean().backward()
        optimizer.step()
    seconds = perf_counter() - start
    return seconds, np.concatenate([W.detach().numpy().ravel() for W in (first, last)])


def measure(size, repeats):
    n_samples, n_features, n_units, n_contexts = size
    network, X, y, activations = problem(*size)
    flops = 4 * n_samples * n_features * n_units * n_contexts
    n_steps = int(min(2000, max(20, FLOPS_OF_A_RUN / flops)))
    times = {"products": [], "gnorm": [], "torch": []}
    for run in range(repeats + 1):  # the first run warms up
        seconds = {"products": products(network, X, n_steps)}
        seconds["gnorm"], weights = ours(network, X, y, activations, n_steps)
        if torch is not None:
            seconds["torch"], others = by_torch(network, X, y, activations, n_steps)
            np.testing.assert_allclose(weights, others, rtol=1e-6, atol=1e-9)
        for name in seconds if run else ():
            times[name].append(seconds[name] / n_steps)
    return {name: statistics.median(values) for name, values in times.items() if values}


def main(repeats=7, threads=1, path=None):
    rows = []
    print(f"{threads} BLAS thread(s), medians of {repeats} runs, milliseconds a step")
    print(f"{'N':>6} {'D':>4} {'H':>4} {'C':>2} {'products':>9} {'gnorm':>8} {'ratio':>6}", end="")
    print(f" {'torch':>8} {'gnorm/torch':>12}")
    with threadpool_limits(threads):
        if torch is not None:
            torch.set_num_threads(threads)
        for size in SIZES:
            t = measure(size, repeats)
            n_samples, n_features, n_units, n_contexts = size
            print(
                f"{n_samples:6d} {n_features:4d} {n_units:4d} {n_contexts:2d} "
                f"{1e3 * t['products']:9.3f} {1e3 * t['gnorm']:8.3f} "
                f"{t['gnorm'] / t['products']:6.2f}",
                end="",
            )
            has_torch = "torch" in t
            print(
                f" {1e3 * t['torch']:8.3f} {t['gnorm'] / t['torch']:12.2f}"
                if has_torch
                else "  PyTorch is not installed",
                flush=True,
            )
            names = ("n_samples", "n_features", "n_units", "n_contexts")
            rows.append(dict(zip(names, size, strict=True)) | t)
    if path is not None:
        Path(path).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(*map(int, given[:2]), *given[2:3])
