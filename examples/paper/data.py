"""The data of the published experiments: split, gates and results.

S. Lippl, L. F. Abbott and S. Chung, "The implicit bias of gradient descent on generalized gated
linear networks" (arXiv:2202.02649). ``published/README.md`` says what the files hold.
"""

import csv
from functools import cached_property
from pathlib import Path

import numpy as np

from gnorm.datasets import load_mnist

PUBLISHED = Path(__file__).parent / "published"
GATES = PUBLISHED / "gates.npz"


def scaled(images):
    """Pixels of 0 to 255 in [-1, 1] and a constant feature, in one array from the start."""
    X = np.empty((len(images), images.shape[1] + 1))
    np.divide(images, 127.5, out=X[:, :-1])
    X[:, :-1] -= 1.0
    X[:, -1] = 1.0
    return X


class Experiment:
    """Samples and gates of the published experiments.

    The 2,000 training images come first, then the 12,000 of validation. Pixels are scaled to
    [-1, 1], a constant feature is last; digits 0-4 are the class 1, the others -1.
    """

    n_train = 2_000
    n_validation = 12_000

    def __init__(self, images, digits):
        self._images, self._digits = images, digits
        with np.load(GATES) as file:
            self._arrays = dict(file)
        self._index = np.concatenate([self._arrays["train_index"], self._arrays["val_index"]])

    @classmethod
    def from_mnist(cls, folder):
        """Take the images from a folder with the files of MNIST."""
        images, _, digits, _ = load_mnist(folder)
        return cls(images, digits)

    @property
    def validation(self):
        """Rows of the validation images."""
        return slice(self.n_train, None)

    @cached_property
    def X(self):
        return scaled(self._images[self._index])

    @cached_property
    def y(self):
        return np.where(self._digits[self._index] < 5, 1, -1)

    def has_gates(self, n_units, n_contexts, cutoff, seed):
        return f"H{n_units}_C{n_contexts}_seed{seed}_{cutoff}" in self._arrays

    def activations(self, n_units, n_contexts, cutoff):
        """One-hot gates of a published run, shape (n_train + n_validation, n_units, n_contexts)."""
        n_bits = (n_contexts - 1).bit_length()
        packed = self._arrays[f"H{n_units}_C{n_contexts}_seed1_{cutoff}"]
        bits = np.unpackbits(packed, count=len(self._index) * n_units * n_bits)
        contexts = bits.reshape(-1, n_units, n_bits) @ (2 ** np.arange(n_bits)[::-1])
        return contexts[:, :, None] == np.arange(n_contexts)


def in_published_groups(activations):
    """Group r gets the flat (unit, context) indices r, r + n_units, r + 2 n_units, ...

    The published code flattened (unit, context) row by row and cut it into groups column by
    column, so that its groups mix contexts of different units.
    """
    n_samples, n_units, n_contexts = activations.shape
    flat = activations.reshape(n_samples, n_units * n_contexts)
    return np.stack([flat[:, r::n_units] for r in range(n_units)], axis=1)


def read_results(name):
    """Rows of a table in ``published/``, a dict of str each."""
    path = PUBLISHED / f"{name}.csv"
    if not path.exists():
        raise FileNotFoundError(
            f"expected the published results, part of this repository, in {path}"
        )
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
