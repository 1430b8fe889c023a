"""Data sets: the bundled digits, and MNIST from IDX files, whole and damaged."""

import gzip
import struct

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits

from gnorm.datasets import load_binary_digits, load_mnist

N_TRAIN, N_TEST = 5, 3
NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def idx_bytes(array, element_type=0x08):
    """The IDX format: zeros, element type, number of axes, big-endian lengths, elements."""
    header = bytes([0, 0, element_type, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        name: rng.integers(
            256 if "images" in name else 10,
            size=(N_TRAIN if "train" in name else N_TEST, *([28, 28] if "images" in name else [])),
            dtype=np.uint8,
        )
        for name in NAMES
    }


@pytest.fixture
def folder(tmp_path, arrays):
    for name, array in arrays.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
    return tmp_path


def assert_loads(folder, arrays):
    X_train, X_test, y_train, y_test = load_mnist(folder)
    assert {X.dtype for X in (X_train, X_test, y_train, y_test)} == {np.dtype(np.uint8)}
    assert_array_equal(X_train, arrays[NAMES[0]].reshape(N_TRAIN, 784))
    assert_array_equal(y_train, arrays[NAMES[1]])
    assert_array_equal(X_test, arrays[NAMES[2]].reshape(N_TEST, 784))
    assert_array_equal(y_test, arrays[NAMES[3]])


# -- digits ----------------------------------------------------------------------------------------


def test_digits_are_scaled_and_signed():
    X, y = load_binary_digits()
    pixels, digits = load_digits(return_X_y=True)
    assert_array_equal((X + 1) * 8, pixels)
    assert_array_equal(y == 1, digits <= 4)
    assert_array_equal(y == -1, digits >= 5)


def test_split_of_digits_is_stratified_by_digit():
    X, y = load_binary_digits()
    X_train, X_test, y_train, y_test = load_binary_digits(test_size=0.5, random_state=0)
    assert len(X_train) == len(y_train) == 898
    assert len(X_test) == len(y_test) == 899
    digit = {x.tobytes(): d for x, d in zip(X, load_digits().target, strict=True)}
    counts = [
        np.bincount([digit[x.tobytes()] for x in part], minlength=10) for part in (X_train, X_test)
    ]
    assert np.abs(counts[0] - counts[1]).max() <= 1
    label = {x.tobytes(): s for x, s in zip(X, y, strict=True)}
    assert_array_equal(y_test, [label[x.tobytes()] for x in X_test])


def test_split_of_digits_follows_random_state():
    first, again, other = (
        load_binary_digits(test_size=100, random_state=seed)[1] for seed in (0, 0, 1)
    )
    assert_array_equal(first, again)
    assert not np.array_equal(first, other)


# -- MNIST -----------------------------------------------------------------------------------------


def test_mnist_from_gzipped_files(folder, arrays):
    assert_loads(folder, arrays)
    assert_loads(str(folder), arrays)


def test_mnist_from_plain_files(tmp_path, arrays):
    for name, array in arrays.items():
        (tmp_path / name).write_bytes(idx_bytes(array))
    assert_loads(tmp_path, arrays)


def test_mnist_goes_by_content_not_by_name(folder, arrays):
    packed, plain = folder / f"{NAMES[0]}.gz", folder / f"{NAMES[1]}.gz"
    packed.rename(folder / NAMES[0])  # as some unpackers leave it
    plain.write_bytes(gzip.decompress(plain.read_bytes()))
    assert_loads(folder, arrays)


def test_mnist_arrays_are_writable(folder):
    for array in load_mnist(folder):
        array[0] = 0


@pytest.mark.parametrize("name", NAMES)
def test_mnist_missing_file(folder, name):
    (folder / f"{name}.gz").unlink()
    with pytest.raises(FileNotFoundError, match=f"expected {name} or {name}.gz in .*, got neither"):
        load_mnist(folder)


def test_mnist_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected train-images-idx3-ubyte or "):
        load_mnist(tmp_path / "nowhere")


IMAGES = np.zeros((N_TRAIN, 28, 28), dtype=np.uint8)
DAMAGES = [
    pytest.param(
        idx_bytes(np.zeros(N_TRAIN, dtype=np.uint8)),
        "with 3 axes, which starts with 00 00 08 03, got 00 00 08 01 in .*train-images",
        id="labels-for-images",
    ),
    pytest.param(idx_bytes(IMAGES, element_type=0x0D), "got 00 00 0d 03", id="floats"),
    pytest.param(b"<!DOCTYPE html>", "starts with 00 00 08 03, got 3c 21 44 4f", id="web-page"),
    pytest.param(b"", "starts with 00 00 08 03, got nothing", id="empty"),
    pytest.param(
        idx_bytes(IMAGES)[:-1],
        r"expected 3936 bytes in .* by its header, got 3935: the file is truncated",
        id="truncated",
    ),
    pytest.param(
        idx_bytes(IMAGES)[:10], "got 10: the file is truncated", id="truncated-in-the-header"
    ),
    pytest.param(
        idx_bytes(IMAGES) + b"\0", "got 3937: the file is longer than it says", id="too-long"
    ),
    pytest.param(
        gzip.compress(idx_bytes(IMAGES))[:-20],
        "expected a whole gzip file in .*train-images",
        id="truncated-gzip",
    ),
    pytest.param(
        gzip.compress(idx_bytes(IMAGES))[:12] + b"\xff" * 40,
        "expected a whole gzip file in .*train-images",
        id="corrupt-gzip",
    ),
    pytest.param(
        idx_bytes(np.zeros((N_TRAIN, 32, 32), dtype=np.uint8)),
        "expected images of 28 x 28 pixels in .*train-images.*, got 32 x 32",
        id="other-images",
    ),
    pytest.param(
        idx_bytes(IMAGES[1:]),
        "expected a label for each image, got 4 images in .*train-images.* and 5 labels in",
        id="unequal",
    ),
]


@pytest.mark.parametrize(("content", "sentence"), DAMAGES)
def test_mnist_damaged_file(folder, content, sentence):
    (folder / f"{NAMES[0]}.gz").write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        load_mnist(folder)
