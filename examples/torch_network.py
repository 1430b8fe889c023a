"""Train a ReLU network in PyTorch, and ask gnorm how far it is from the limit of its training.

    python examples/torch_network.py

PyTorch is no dependency of gnorm: this example alone needs it. A network of 20 hidden units with
biases learns the digits 0 to 4 against 5 to 9 from 200 images, by gradient descent on the logistic
loss. Its weights go to gnorm as numpy arrays: the biases of the hidden units as weights of a
constant feature, the bias of the output as a unit that is always open. Printed after so many steps
are the norm of its function and half its squared weights, which is at least as large; the margin of
the function in units of the largest one with the same gates, of which there is a certificate; and
the KKT residual.
"""

import numpy as np

from gnorm import max_margin, norms
from gnorm.datasets import load_binary_digits
from gnorm.descent import GatedNetwork, kkt_residual
from gnorm.gated import from_network

try:
    import torch
except ImportError as error:
    raise SystemExit(
        "examples/torch_network.py needs PyTorch, which gnorm does not install: pip install torch"
    ) from error

N_HIDDEN = 20
STEPS = 100, 1000, 10_000
RATE = 0.3


def trained(X, y):
    """The network in PyTorch and its number of steps, after each of STEPS."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(X.shape[1], N_HIDDEN), torch.nn.ReLU(), torch.nn.Linear(N_HIDDEN, 1)
    ).double()
    inputs, labels = torch.from_numpy(X), torch.from_numpy(y.astype(float))
    optimiser = torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9)
    for step in range(1, max(STEPS) + 1):
        optimiser.zero_grad()
        torch.nn.functional.softplus(-labels * network(inputs)[:, 0]).mean().backward()
        optimiser.step()
        if step in STEPS:
            yield step, network


def as_arrays(network):
    """Weights of both layers, (H + 1, D + 1) and (H + 1,): biases and all."""
    (W, a), (v, b) = (
        (layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy())
        for layer in (network[0], network[2])
    )
    size = np.sqrt(abs(b[0]))  # of both weights of the unit that is always open: balanced
    always = np.append(np.zeros(W.shape[1]), size)
    return np.vstack([np.column_stack([W, a]), always]), np.append(v[0], np.sign(b[0]) * size)


def main():
    X, _, y, _ = load_binary_digits(test_size=1597, random_state=0)
    inputs = np.column_stack([X, np.ones(len(X))])
    print("  steps  same values  half squares     norm  margin / largest  certified  KKT residual")
    for step, network in trained(X, y):
        w1, w2 = as_arrays(network)
        gated = GatedNetwork([w1[None], w2[None, None]], ["relu", "linear"])
        with torch.no_grad():
            values = network(torch.from_numpy(X))[:, 0].numpy()
        norm = norms.frelu_norm(from_network(w1[:, None], w2))
        solution = max_margin(inputs, y, gated.activations(inputs)[0])
        print(
            f"{step:7,}  {np.allclose(values, gated.decision_function(inputs))!s:>11}"
            f"{0.5 * (np.sum(w1**2) + np.sum(w2**2)):14.1f}{norm:9.1f}"
            f"{np.min(y * values) / norm * solution.norm:18.3f}"
            f"{solution.duality_gap < 1e-4!s:>11}{kkt_residual(gated, inputs, y):14.3f}"
        )


if __name__ == "__main__":
    main()
