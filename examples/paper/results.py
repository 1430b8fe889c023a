"""The results file: one line of JSON a task, appended as soon as the task is done.

A run that is stopped loses at most the tasks in progress; a line that was cut short, by a full disk
or a power failure, is skipped, and its task is run again.
"""

import base64
import json

import numpy as np

from .grid import Task


def pack(signs):
    """Signs of decision values, one bit each, as text."""
    return base64.b64encode(np.packbits(signs).tobytes()).decode()


def unpack(text, n_samples):
    packed = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    return np.unpackbits(packed, count=n_samples).astype(bool)


class Results:
    """Rows of all tasks that are done, one a predictor."""

    def __init__(self, path):
        self.path = path
        self.records = {}
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:
                    continue
                self.records[Task.of(record["task"]).key] = record

    def has(self, task):
        return task.key in self.records

    def append(self, record):
        # a line of its own even if the last one was cut short
        start = "\n" if self.path.exists() and not self.path.read_bytes().endswith(b"\n") else ""
        with self.path.open("a") as file:
            file.write(start + json.dumps(record) + "\n")
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

    def find(self, **wanted):
        """The only such row, None if there is none."""
        found = self.select(**wanted)
        if len(found) > 1:
            raise LookupError(f"expected one row for {wanted}, got {len(found)}")
        return found[0] if found else None


def inconsistency(row, other):
    """Share of validation inputs on which two predictors differ; None if one of them is missing."""
    if not (row and other and "signs" in row and "signs" in other):
        return None
    signs, others = (unpack(r["signs"], r["n_validation"]) for r in (row, other))
    return float(np.mean(signs != others))
