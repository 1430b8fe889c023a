"""Binary problems on images of digits: small ones that are bundled, and MNIST from its files."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

__all__ = ["load_binary_digits", "load_mnist"]

_UNSIGNED_BYTE = 0x08  # the type code of the only element type that MNIST uses
_GZIP_MAGIC = b"\x1f\x8b"
_MNIST_PARTS = ("train", "t10k")
_MNIST_SIDE = 28  # pixels of an image, by the format of the files


def load_binary_digits(
    *, test_size: float | int | None = None, random_state: Any = None
) -> tuple[NDArray[np.float64 | np.int64], ...]:
    """Load the digits 0 to 4 against 5 to 9, on 1,797 images of 8 x 8 pixels.

    The images are those of :func:`sklearn.datasets.load_digits`, which come with scikit-learn: no
    download. The task is a small sibling of the paper's [1]_ on MNIST.

    Parameters
    ----------
    test_size : float or int, default=None
        Share or number of test images, see :func:`sklearn.model_selection.train_test_split`; every
        digit has the same share of both parts. None keeps all images together.
    random_state : int, RandomState instance or None, default=None
        Draws the split.

    Returns
    -------
    X : ndarray of shape (n_samples, 64)
        Pixels, scaled to [-1, 1]. There is no constant feature.
    y : ndarray of shape (n_samples,)
        Labels 1 for the digits 0 to 4 and -1 for 5 to 9.
    X_train, X_test, y_train, y_test : ndarrays
        In place of ``X, y`` if ``test_size`` is given.

    References
    ----------
    .. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
       generalized gated linear networks. arXiv:2202.02649.

    Examples
    --------
    >>> from gnorm.datasets import load_binary_digits
    >>> X, y = load_binary_digits()
    >>> X.shape, float(X.min()), float(X.max())
    ((1797, 64), -1.0, 1.0)
    >>> X_train, X_test, y_train, y_test = load_binary_digits(test_size=797, random_state=0)
    >>> X_train.shape, X_test.shape
    ((1000, 64), (797, 64))
    """
    pixels, digits = load_digits(return_X_y=True)
    X = pixels / 8.0 - 1.0  # from 0..16
    y = np.where(digits < 5, 1, -1)
    if test_size is None:
        return X, y
    return tuple(
        train_test_split(X, y, test_size=test_size, stratify=digits, random_state=random_state)
    )


def load_mnist(
    folder: str | Path,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Read MNIST from its four IDX files.

    Parameters
    ----------
    folder : str or path
        Folder that holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each plain or with ``.gz`` at the
        end of its name. Nothing is downloaded.

    Returns
    -------
    X_train : ndarray of uint8, shape (60000, 784)
        Pixels 0 to 255 of the training images, row by row.
    X_test : ndarray of uint8, shape (10000, 784)
        Pixels of the test images.
    y_train : ndarray of uint8, shape (60000,)
        Digits of the training images.
    y_test : ndarray of uint8, shape (10000,)
        Digits of the test images.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is not what its name says, is damaged, or does not fit its partner.

    Notes
    -----
    The arrays are small and in their original order; a few rows at a time become the task of the
    paper, digits 0 to 4 against 5 to 9, by ``X / 127.5 - 1`` and ``np.where(y < 5, 1, -1)``.

    References
    ----------
    .. [1] Y. LeCun, C. Cortes and C. J. C. Burges (1998). The MNIST database of handwritten digits.

    Examples
    --------
    >>> from gnorm.datasets import load_mnist
    >>> X_train, X_test, y_train, y_test = load_mnist("mnist")  # doctest: +SKIP
    >>> X_train.shape  # doctest: +SKIP
    (60000, 784)
    """
    images, labels = [], []
    for part in _MNIST_PARTS:
        images_path = _find(Path(folder), f"{part}-images-idx3-ubyte")
        labels_path = _find(Path(folder), f"{part}-labels-idx1-ubyte")
        X, y = _read_idx(images_path, n_axes=3), _read_idx(labels_path, n_axes=1)
        if X.shape[1:] != (_MNIST_SIDE, _MNIST_SIDE):
            raise ValueError(
                f"expected images of {_MNIST_SIDE} x {_MNIST_SIDE} pixels in {images_path}, "
                f"got {X.shape[1]} x {X.shape[2]}"
            )
        if len(X) != len(y):
            raise ValueError(
                f"expected a label for each image, got {len(X)} images in {images_path} "
                f"and {len(y)} labels in {labels_path}"
            )
        images.append(X.reshape(len(X), _MNIST_SIDE**2))
        labels.append(y)
    return images[0], images[1], labels[0], labels[1]


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"expected {name} or {name}.gz in {folder}, got neither")


def _read_idx(path: Path, n_axes: int) -> NDArray[np.uint8]:
    """Array of an IDX file of unsigned bytes, gzipped or not whatever its name says."""
    content = path.read_bytes()
    if content.startswith(_GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"expected a whole gzip file in {path}, got: {error}") from error
    # two zero bytes, the type of the elements, the number of axes; then a length for each axis
    expected = bytes([0, 0, _UNSIGNED_BYTE, n_axes])
    if content[:4] != expected:
        raise ValueError(
            f"expected an IDX file of unsigned bytes with {n_axes} axes, which starts with "
            f"{expected.hex(' ')}, got {content[:4].hex(' ') or 'nothing'} in {path}"
        )
    n_header = 4 + 4 * n_axes
    shape = struct.unpack(f">{n_axes}I", content[4:n_header].ljust(4 * n_axes, b"\0"))
    n_expected = n_header + math.prod(shape)
    if len(content) != n_expected:
        raise ValueError(
            f"expected {n_expected} bytes in {path} by its header, got {len(content)}: the file is "
            f"{'truncated' if len(content) < n_expected else 'longer than it says'}"
        )
    return np.frombuffer(content, np.uint8, offset=n_header).reshape(shape).copy()
