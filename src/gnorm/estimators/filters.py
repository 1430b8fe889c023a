"""Filters of warnings, which belong to the process, around tasks that run in threads."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

__all__ = ["kept_filters"]


class _Kept:
    """The filters as they were when the first of those came who still hold them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_holders = 0
        self._context = warnings.catch_warnings()

    def hold(self) -> None:
        """Come in; the first keeps the filters as they are."""
        with self._lock:
            self._n_holders += 1
            if self._n_holders == 1:
                self._context = warnings.catch_warnings()
                self._context.__enter__()

    def release(self) -> None:
        """Leave; the last restores the filters."""
        with self._lock:
            self._n_holders -= 1
            if self._n_holders == 0:
                self._context.__exit__(None, None, None)


_kept = _Kept()


@contextmanager
def kept_filters() -> Iterator[None]:
    """Restore the filters when the last of those inside leaves.

    Of contexts that overlap in threads each would restore what another had set.
    """
    _kept.hold()
    try:
        yield
    finally:
        _kept.release()
