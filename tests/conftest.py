"""Fixtures shared by the tests."""

import os
import signal
from pathlib import Path

import hypothesis
import pytest

from examples.paper.data import Experiment
from gnorm.datasets import load_mnist

REPOSITORY = Path(__file__).parents[1]

# A first example pays for imports, and a busy machine for its neighbours. Every run has the same
# examples, so that a change is to blame for what fails, and few, as the same ones show nothing new
# the next time. `--hypothesis-profile=fresh` draws others, and more. `few` is for the oldest
# dependencies, where calls are to be shown to work, and not mathematics.
hypothesis.settings.register_profile("gnorm", deadline=None, derandomize=True, max_examples=40)
hypothesis.settings.register_profile("few", deadline=None, derandomize=True, max_examples=8)
hypothesis.settings.register_profile("fresh", deadline=None)
hypothesis.settings.load_profile("gnorm")


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Handle SIGINT as at a terminal: a shell ignores it for what it runs in the background."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture(scope="session")
def mnist():
    """MNIST as :func:`gnorm.datasets.load_mnist` gives it: X_train, X_test, y_train, y_test."""
    folder = os.environ.get("GNORM_MNIST") or REPOSITORY / "../shared/data/mnist"
    try:
        return load_mnist(folder)
    except FileNotFoundError as error:
        pytest.skip(
            f"this test needs the MNIST database: {error}. Download its four gzipped IDX files "
            "(train-images, train-labels, t10k-images, t10k-labels; every mirror has them under "
            "these names) into one folder and name it in the environment variable GNORM_MNIST"
        )


@pytest.fixture(scope="session")
def published(mnist):
    """Samples and gates of the published experiments."""
    images, _, digits, _ = mnist
    return Experiment(images, digits)
