"""One pool of BLAS threads at a time.

NumPy and SciPy wheels carry a BLAS each, with worker threads that spin for a while after every
call. An iteration that alternates between the two has them spin against each other, which can cost
many times the arithmetic. So the iteration takes its large products from SciPy, where the
factorisations are, and NumPy's workers rest; on small problems all workers do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas"]

_SMALL = 700  # samples up to which a second thread costs more than it gives


@cache
def _controllers() -> tuple[ThreadpoolController, ThreadpoolController]:
    every = ThreadpoolController().select(user_api="blas")
    paths = [library.filepath for library in every.lib_controllers]
    resting = [path for path in paths if "numpy" in path and len(paths) > 1]
    return every, every.select(filepath=resting)


@contextmanager
def one_blas(n_samples: int) -> Iterator[None]:
    """Let at most one BLAS use threads while an iteration runs.

    Parameters
    ----------
    n_samples : int
        Samples of the problem.
    """
    every, of_numpy = _controllers()
    with ExitStack() as stack:
        stack.enter_context((every if n_samples <= _SMALL else of_numpy).limit(limits=1))
        yield
