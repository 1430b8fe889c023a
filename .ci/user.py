"""What a user might write, checked by mypy against the installed package and its types."""

import numpy as np

from gnorm import GLNNormSVC, HyperplaneGates, MarginSolution, max_margin, norms
from gnorm.descent import GatedNetwork, GradientDescent, kkt_residual


def trained(X: np.ndarray, y: np.ndarray) -> tuple[MarginSolution, float]:
    """The exact solution, and how far a trained network is from a stationary point."""
    activations = HyperplaneGates(n_units=3, random_state=0).fit_transform(X)
    solution = max_margin(X, y, activations, norm=norms.GLN())
    network = GatedNetwork.gln(n_features=X.shape[1], n_units=3, random_state=0)
    GradientDescent(max_steps=100).train(network, X, y, activations)
    return solution, kkt_residual(network, X, y, activations)


def accuracy(X: np.ndarray, y: np.ndarray) -> float:
    """Of a classifier on its own samples."""
    return float(GLNNormSVC(n_units=3).fit(X, y).score(X, y))
