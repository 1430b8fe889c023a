"""The results file: one line of JSON a task, appended as soon as the task is done.

A run that is stopped loses at most the tasks in progress. A last line that was cut short, by a full
disk or a power failure, is skipped, and its task is run again; any other damage is refused.
"""

import base64
import json
import math
from dataclasses import fields

import numpy as np

from .grid import Task

WITHOUT_VALUES = ("failed", "not separable", "skipped")  # statuses of rows without a predictor
MEASURED = {"accuracy": float, "train_accuracy": float, "n_validation": int, "signs": str}
SOLVED = {"gap": float, "norm": float, "margin": float}  # of rows with another status
TRAINED_ON = {"n_steps": int, "unlike": float}  # of the tasks "length"


class DamagedResultsError(ValueError):
    """A line of the results file that no run has written."""


def pack(signs):
    """Signs of decision values, one bit each, as text."""
    return base64.b64encode(np.packbits(signs).tobytes()).decode()


def unpack(text, n_samples):
    packed = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    return np.unpackbits(packed, count=n_samples).astype(bool)


def _expect(record, types, what):
    if not isinstance(record, dict):
        raise ValueError(f"expected {what} as an object, got {type(record).__name__}")
    for name, kind in types.items():
        if not isinstance(record.get(name), kind):
            got = repr(record[name]) if name in record else "none"
            raise ValueError(f"expected {what} with a field {name} ({kind.__name__}), got {got}")


def check(record):
    """Raise ValueError unless it is what a run writes."""
    _expect(record, {"task": dict, "rows": list, "seconds": float}, "a record")
    _expect(record["task"], {field.name: field.type for field in fields(Task)}, "a task")
    if not record["rows"]:
        raise ValueError("expected a record with a row at least, got none")
    for row in record["rows"]:
        _expect(row, {"model": str}, "a row")
        if row.get("status") in WITHOUT_VALUES:
            continue
        types = MEASURED | (SOLVED if "status" in row else {})
        types |= TRAINED_ON if record["task"]["kind"] == "length" else {}
        _expect(row, types, f"a row of {row['model']}")
        n_bytes = len(base64.b64decode(row["signs"], validate=True))
        if n_bytes != math.ceil(row["n_validation"] / 8):
            raise ValueError(
                f"expected signs of {row['n_validation']} inputs, a bit each, got {n_bytes} bytes"
            )


class Results:
    """Rows of all tasks that are done, one a predictor.

    ``skipped`` says which line was cut short, None if none was.
    """

    def __init__(self, path):
        self.path = path
        self.records = {}
        self.skipped = None
        self._n_bytes = 0  # of the lines that are whole
        data = path.read_bytes() if path.exists() else b""
        for number, line in enumerate(data.splitlines(keepends=True), start=1):
            try:
                record = json.loads(line)
                check(record)
            except ValueError as error:
                if not line.endswith(b"\n"):
                    self.skipped = f"{path}, line {number} was cut short: its task has no result"
                    break
                raise DamagedResultsError(f"{path}, line {number}: {error}") from error
            self._n_bytes += len(line)
            self.records[Task.of(record["task"]).key] = record
        self._needs_newline = self._n_bytes > 0 and data[self._n_bytes - 1 : self._n_bytes] != b"\n"

    def has(self, task):
        """Whether the task is done; one of which a part failed is not."""
        record = self.records.get(task.key)
        return record is not None and all(row.get("status") != "failed" for row in record["rows"])

    def append(self, record):
        if self.skipped is not None:
            with self.path.open("r+b") as file:
                file.truncate(self._n_bytes)
            self.skipped = None
        with self.path.open("a") as file:  # another run may write to it as well
            file.write("\n" * self._needs_newline + json.dumps(record) + "\n")
        self._needs_newline = False
        key = Task.of(record["task"]).key
        self.records[key] = record
        return key

    @property
    def rows(self):
        """Every predictor with the fields of its task."""
        for record in self.records.values():
            for row in record["rows"]:
                yield {**record["task"], **row}

    def select(self, **wanted):
        return [
            row
            for row in self.rows
            if all(row.get(name) == value for name, value in wanted.items())
        ]


def inconsistency(row, other):
    """Share of validation inputs on which two predictors differ; None if one of them is missing."""
    if not (row and other and "signs" in row and "signs" in other):
        return None
    signs, others = (unpack(r["signs"], r["n_validation"]) for r in (row, other))
    return float(np.mean(signs != others))
