"""One pool of BLAS threads at a time.

NumPy and SciPy wheels carry a BLAS each, with worker threads that spin for a while after every
call. An iteration that alternates between the two has them spin against each other, which can cost
many times the arithmetic. So the iteration takes its large products from SciPy, where the
factorisations are, and NumPy's workers rest; on small problems all workers do. What is no product
of matrices can be spread over as many threads as BLAS may use, see :func:`summed`.

The numbers of threads are those of the process. So a limit is set by whoever comes first and lifted
by whoever leaves last, library by library: set and lifted by each solve for itself, solves that
overlap in threads would leave the limit of another behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

__all__ = ["one_blas", "one_blas_thread", "summed"]

_SMALL = 700  # samples up to which a second thread costs more than it gives


class _OneThread:
    """One thread for a library, as long as anybody holds it to that."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._lock = Lock()
        self._n_holders, self._n_threads = 0, 1

    @property
    def n_threads(self) -> int:
        """As many as are in use now."""
        return int(self._library.get_num_threads())

    def hold(self) -> None:
        """Come in; the first sets the library to one thread."""
        with self._lock:
            self._n_holders += 1
            if self._n_holders == 1:
                self._n_threads = self._library.get_num_threads()
                self._library.set_num_threads(1)

    def release(self) -> None:
        """Leave; the last restores the number of threads."""
        with self._lock:
            self._n_holders -= 1
            if self._n_holders == 0:
                self._library.set_num_threads(self._n_threads)


_finding = Lock()


@cache
def _found() -> dict[str, _OneThread]:
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    return {library.filepath: _OneThread(library) for library in libraries}


def _libraries() -> dict[str, _OneThread]:
    """Every BLAS by its file, found once."""
    with _finding:
        return _found()


@contextmanager
def _held(limits: list[_OneThread]) -> Iterator[None]:
    for limit in limits:
        limit.hold()
    try:
        yield
    finally:
        for limit in limits:
            limit.release()


@contextmanager
def one_blas(n_samples: int) -> Iterator[None]:
    """Let at most one BLAS use threads while an iteration runs.

    Parameters
    ----------
    n_samples : int
        Samples of the problem.
    """
    libraries = _libraries()
    resting = list(libraries.values())
    if n_samples > _SMALL:
        of_numpy = [path for path in libraries if "numpy" in path and len(libraries) > 1]
        resting = [libraries[path] for path in of_numpy]
    with _held(resting):
        yield


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let every BLAS use one thread, while tasks run beside each other."""
    with _held(list(_libraries().values())):
        yield


def summed(part: Callable[[Sequence[Any]], np.ndarray], blocks: Sequence[Any]) -> np.ndarray:
    """Sum what a function gives for blocks of samples, on as many threads as a BLAS may use now.

    Parameters
    ----------
    part : callable
        Gives the sum over some of the blocks. Where it spends its time NumPy must let go of the
        interpreter, as in products and operations by elements.
    blocks : sequence
        The blocks. Which thread takes which does not depend on when it comes to it, so that the
        same number of threads gives the same sum to the last bit.

    Returns
    -------
    ndarray
        The sum over all blocks.
    """
    n_threads = min(max(limit.n_threads for limit in _libraries().values()), len(blocks))
    if n_threads <= 1:
        return part(blocks)
    handling = np.geterr()  # of this thread: workers begin with the default

    def own(start: int) -> np.ndarray:
        with np.errstate(**handling):
            return part(blocks[start::n_threads])

    with one_blas_thread(), ThreadPoolExecutor(n_threads) as pool:
        total, *others = pool.map(own, range(n_threads))
    for other in others:
        total += other
    return total
