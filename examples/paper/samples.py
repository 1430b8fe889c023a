"""Inputs, labels and gates of the experiments: MNIST, or the digits that come with scikit-learn."""

from functools import cached_property

import numpy as np

from gnorm import HyperplaneGates
from gnorm.datasets import load_binary_digits, load_mnist

from .data import PUBLISHED, Experiment


def with_constant(pixels):
    return np.column_stack([pixels, np.ones(len(pixels))])


class Samples:
    """Training samples first, then those of validation; gates drawn as the paper says.

    Hyperplanes have normal weights of standard deviation 36 on all features, the constant one
    included. Their cutoffs are the medians over a population of inputs, or normal of standard
    deviation 9; the hyperplanes of a seed are the same with both.
    """

    def __init__(self, X, y, n_train, population=None):
        self.X, self.y, self.n_train = X, y, n_train
        self._population = population
        self._drawn = {}

    @property
    def validation(self):
        return slice(self.n_train, None)

    @cached_property
    def population(self):
        """Inputs whose medians the cutoffs are."""
        return self.X if self._population is None else self._population()

    def draw(self, n_units, n_contexts, cutoff, seed):
        gates = HyperplaneGates(n_units, n_contexts, cutoff=cutoff, random_state=seed)
        return gates.fit(self.population)

    def gates(self, n_units, n_contexts, cutoff, seed):
        """Activations of all samples, and whether they are those of the published run."""
        key = n_units, n_contexts, cutoff, seed
        if key not in self._drawn:  # a draw costs more than many a solve
            self._drawn[key] = self.draw(*key).transform(self.X)
        return self._drawn[key], False

    def gates_without_median(self, n_units, n_contexts, seed):
        """Gates of the same hyperplanes with random cutoffs, None if they are not known."""
        return self.gates(n_units, n_contexts, "random", seed)[0]

    def larger(self, n_train, seed):
        """As many training inputs and labels, then inputs and labels for testing."""
        rows = np.random.default_rng(seed).permutation(self.n_train)[:n_train]
        return self.X[rows], self.y[rows], self.X[self.validation], self.y[self.validation]


class DigitsSamples(Samples):
    """1,000 of the bundled 8 x 8 images, and 797 for validation."""

    def __init__(self):
        X_train, X_test, y_train, y_test = load_binary_digits(test_size=797, random_state=0)
        X = with_constant(np.concatenate([X_train, X_test]))
        super().__init__(X, np.concatenate([y_train, y_test]), len(X_train))


class MnistSamples(Samples):
    """The published split of MNIST, with the published gates where they are stored."""

    def __init__(self, folder):
        images, test_images, digits, test_digits = load_mnist(folder)
        self._images, self._digits = images, digits
        self._tests = test_images, test_digits
        self._experiment = Experiment(images, digits)
        with np.load(PUBLISHED / "gates.npz") as file:
            self._stored = set(file.files)
        super().__init__(
            self._experiment.X,
            self._experiment.y,
            self._experiment.n_train,
            lambda: with_constant(images / 127.5 - 1.0),
        )

    def _is_stored(self, n_units, n_contexts, cutoff, seed):
        return f"H{n_units}_C{n_contexts}_seed{seed}_{cutoff}" in self._stored

    def gates(self, n_units, n_contexts, cutoff, seed):
        if self._is_stored(n_units, n_contexts, cutoff, seed):
            return self._experiment.activations(n_units, n_contexts, cutoff), True
        return super().gates(n_units, n_contexts, cutoff, seed)

    def gates_without_median(self, n_units, n_contexts, seed):
        same_source = {self._is_stored(n_units, n_contexts, c, seed) for c in ("median", "random")}
        if len(same_source) == 2:
            return None
        return super().gates_without_median(n_units, n_contexts, seed)

    def larger(self, n_train, seed):
        """Any of the 60,000 training images, and the 10,000 test images."""
        rows = np.random.default_rng(seed).permutation(len(self._images))[:n_train]
        (X, y), (X_test, y_test) = (
            (with_constant(images / 127.5 - 1.0), np.where(digits < 5, 1, -1))
            for images, digits in ((self._images[rows], self._digits[rows]), self._tests)
        )
        return X, y, X_test, y_test
