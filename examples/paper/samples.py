"""Inputs, labels and gates of the experiments: MNIST, or the digits that come with scikit-learn."""

from functools import cached_property

import numpy as np

from gnorm import HyperplaneGates
from gnorm.datasets import load_binary_digits, load_mnist

from .data import Experiment, scaled


def with_constant(pixels):
    return np.column_stack([pixels, np.ones(len(pixels))])


class Samples:
    """Training samples first, then those of validation; gates drawn as the paper says.

    Hyperplanes have normal weights of standard deviation 36 on all features, the constant one
    included. Their cutoffs are the medians over a population of inputs, or normal of standard
    deviation 9; the hyperplanes of a seed are the same with both. Gates that were drawn are kept, a
    bit each.
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
            self._drawn[key] = np.packbits(self.draw(*key).transform(self.X))
        shape = len(self.X), n_units, n_contexts
        bits = np.unpackbits(self._drawn[key], count=np.prod(shape))
        return bits.astype(bool).reshape(shape), False

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
        super().__init__(
            self._experiment.X,
            self._experiment.y,
            self._experiment.n_train,
            lambda: scaled(images),  # 0.4 GB
        )

    def gates(self, n_units, n_contexts, cutoff, seed):
        if self._experiment.has_gates(n_units, n_contexts, cutoff, seed):
            return self._experiment.activations(n_units, n_contexts, cutoff), True
        return super().gates(n_units, n_contexts, cutoff, seed)

    def gates_without_median(self, n_units, n_contexts, seed):
        has = self._experiment.has_gates
        if has(n_units, n_contexts, "median", seed) != has(n_units, n_contexts, "random", seed):
            return None  # two draws of hyperplanes
        return super().gates_without_median(n_units, n_contexts, seed)

    def larger(self, n_train, seed):
        """Any of the 60,000 training images, and the 10,000 test images."""
        rows = np.random.default_rng(seed).permutation(len(self._images))[:n_train]
        (X, y), (X_test, y_test) = (
            (scaled(images), np.where(digits < 5, 1, -1))
            for images, digits in ((self._images[rows], self._digits[rows]), self._tests)
        )
        return X, y, X_test, y_test
