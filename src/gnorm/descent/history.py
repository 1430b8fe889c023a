"""The record of a training run: what was measured on the way, and the state it goes on from."""

from __future__ import annotations

import csv
import json
import struct
import zlib
from dataclasses import dataclass, field
from enum import Enum
from os import PathLike, fspath
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

__all__ = ["History", "Stop"]

_STATE, _COLUMN, _ABOUT = "state/", "column/", "about"


class Stop(Enum):
    """Why a run ended."""

    MAX_STEPS = "max_steps"
    """All steps were taken."""
    INTERRUPTED = "interrupted"
    """A keyboard interrupt, obeyed after a whole step."""
    DIVERGED = "diverged"
    """The loss was no longer finite."""


@dataclass(eq=False)
class History:
    """Measurements of a training run, one row a logged step.

    Columns are read as ``history["min_margin"]``, those of every run also as attributes. What they
    mean is said where they are measured, :meth:`gnorm.descent.MarginLoss.measure` and
    :meth:`gnorm.descent.MatrixFactorization.measure`; a callback adds columns of its own.

    Attributes
    ----------
    rows : list of dict
        Measurements by name, with the same names in every row.
    state : dict of str to ndarray
        Weights, momentum and random state after the last step: what a run resumes from.
    stop : Stop
        Why the run ended.
    n_steps : int
        Steps taken in all.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, NDArray[Any]] = field(default_factory=dict)
    stop: Stop = Stop.MAX_STEPS
    n_steps: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"History({self.n_steps} steps, {len(self)} rows, {self.stop.value})"

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self.rows[0]) if self.rows else []

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Column of a name, of shape (n_rows,) or (n_rows, size)."""
        if name not in self.names:
            raise KeyError(f"expected one of the columns {self.names}, got {name!r}")
        return np.array([row[name] for row in self.rows])

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """All columns by name."""
        return {name: self[name] for name in self.names}

    @property
    def step(self) -> NDArray[Any]:
        """Number of steps before each row."""
        return np.array([row["step"] for row in self.rows], dtype=int)

    @property
    def loss(self) -> NDArray[Any]:
        """Loss of each row; 0 where it is below the smallest number, see ``log_loss``."""
        return np.array([row["loss"] for row in self.rows], dtype=float)

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write the columns as a table; those with several entries as several columns.

        Parameters
        ----------
        path : str or path-like
            File to write.
        """
        names, columns = [], []
        for name, column in self.columns.items():
            parts = column.reshape(len(column), -1).T
            names += [name] if column.ndim == 1 else [f"{name}_{i}" for i in range(len(parts))]
            columns += [part.tolist() for part in parts]
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows(zip(*columns, strict=True))

    def save(self, path: str | PathLike[str]) -> None:
        """Write rows and state as an npz file, from which :meth:`load` restores all.

        Parameters
        ----------
        path : str or path-like
            File to write; ``.npz`` is appended to a name without it.
        """
        arrays: dict[str, Any] = {_COLUMN + name: a for name, a in self.columns.items()}
        arrays |= {_STATE + name: a for name, a in self.state.items()}
        arrays[_ABOUT] = np.array(json.dumps({"stop": self.stop.value, "n_steps": self.n_steps}))
        np.savez(_with_suffix(path), **arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> History:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : str or path-like
            File to read; ``.npz`` is appended to a name without it.

        Returns
        -------
        History
            The history, ready to be resumed.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not one that :meth:`save` wrote.
        """
        path = _with_suffix(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return cls(*_read(arrays))
        except FileNotFoundError:
            raise
        except _DAMAGES as error:
            raise ValueError(
                f"expected a file that History.save wrote, got {path}: {error}"
            ) from error


# What NumPy, zipfile and json raise for damaged files, by where the damage is.
_DAMAGES = (
    AttributeError,  # an array in the format of np.save has no names
    BadZipFile,
    EOFError,
    KeyError,
    MemoryError,  # a damaged shape
    NotImplementedError,  # a compression that there is not
    OSError,
    OverflowError,
    RuntimeError,  # said to be encrypted
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def _read(
    arrays: dict[str, NDArray[Any]],
) -> tuple[list[dict[str, Any]], dict[str, NDArray[Any]], Stop, int]:
    """Rows, state, stop and steps of the arrays of a file."""
    if stray := [name for name in arrays if not name.startswith((_COLUMN, _STATE, _ABOUT))]:
        raise ValueError(f"arrays called {stray}")
    about = json.loads(str(arrays[_ABOUT]))
    n_steps = about["n_steps"]
    if not isinstance(n_steps, int) or isinstance(n_steps, bool) or n_steps < 0:
        raise ValueError(f"{n_steps!r} steps")
    columns, state = (
        {name.removeprefix(kind): a for name, a in arrays.items() if name.startswith(kind)}
        for kind in (_COLUMN, _STATE)
    )
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return rows, state, Stop(about["stop"]), n_steps


def _with_suffix(path: str | PathLike[str]) -> Path:
    name = fspath(path)
    return Path(name if name.endswith(".npz") else name + ".npz")
