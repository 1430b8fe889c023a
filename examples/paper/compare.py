"""Published and new results in one form, so that tables and figures treat them alike.

A record has the configuration, ``model``, ``error`` in % of the validation inputs (None if the
predictor does not exist), ``descent_error`` of the network it is compared with, and ``unlike``, the
% of the validation inputs on which the two differ (None if unknown).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from .data import Experiment, read_results
from .grid import Grid
from .results import Results, inconsistency

FITTED = 0.9  # training accuracy that every network reaches, unless it has lost its units
CONFIGURATION = ("n_units", "n_contexts", "n_train", "cutoff", "seed", "momentum")


def _percent(n_images):
    return 100.0 * int(n_images) / Experiment.n_validation


def _error(correct):
    return 100.0 - _percent(correct) if correct else None


def published_gln():
    """The published SVM-GLN, SVM-L2 and GD-GLN (without momentum)."""
    descents = {}
    for row in read_results("grid_descent"):
        if float(row["momentum"]) == 0:
            config = _configuration(row)
            descents[tuple(config.values())] = _error(row["correct"])
            yield {**config, "model": "GD-GLN", "error": _error(row["correct"])}
    for row in read_results("grid_svm"):
        config = _configuration(row)
        yield {
            **config,
            "model": row["model"],
            "error": _error(row["correct"]),
            "descent_error": descents.get(tuple(config.values())),
            "unlike": _percent(row["unlike_descent"]),
        }


def published_shallow():
    for row in read_results("grid_shallow"):
        if row["correct"]:
            config = _configuration(row | {"n_contexts": 2})
            yield {**config, "model": row["model"], "error": _error(row["correct"])}


def published_relu():
    rows = read_results("grid_relu")
    descents = {
        tuple(_configuration(row).values()): _error(row["correct"])
        for row in rows
        if row["model"] == "GD-ReLU"
    }
    for row in rows:
        config = _configuration(row)
        unlike = row["unlike_descent"]
        yield {
            **config,
            "model": row["model"],
            "error": _error(row["correct"]),
            "descent_error": descents[tuple(config.values())],
            "unlike": _percent(unlike) if unlike else None,
        }


def _configuration(row):
    return {
        "n_units": int(row["n_units"]),
        "n_contexts": int(row.get("n_contexts", 1)),
        "n_train": int(row["n_train"]),
        "cutoff": row.get("cutoff", ""),
        "seed": int(row["seed"]),
        "momentum": float(row.get("momentum", 0.0)),
    }


class Ours:
    """Records of a results file."""

    def __init__(self, results):
        self._rows = {}
        for row in results.rows:
            key = (row["model"], *(row[name] for name in CONFIGURATION))
            if row["kind"] not in ("length", "size"):
                self._rows[key] = row

    def find(self, model, config, **changed):
        config = {name: config[name] for name in CONFIGURATION} | changed
        return self._rows.get((model, *config.values()))

    def records(self, models, descent, **changed):
        """Records of some models and of the network ``descent`` that they are compared with.

        ``changed`` are the fields in which the network's configuration differs from the model's.
        """
        for (model, *_), row in self._rows.items():
            if model not in models:
                continue
            network = row if model == descent else self.find(descent, row, **changed)
            unlike = inconsistency(row, network)
            yield {
                **{name: row[name] for name in CONFIGURATION},
                "model": model,
                "status": row.get("status"),
                "error": _as_error(row),
                "descent_error": _as_error(network),
                "unlike": None if unlike is None else 100.0 * unlike,
                "row": row,
            }

    def gln(self, models=("SVM-GLN", "SVM-L2", "SVM-plain", "GD-GLN"), descent="GD-GLN"):
        return list(self.records(models, descent))

    def shallow(self):
        return list(self.records(("SVM-shallow",), "none"))

    def collapsed(self):
        """ReLU networks that lost their units in training: they do not fit the training images."""
        return [
            row
            for (model, *_), row in self._rows.items()
            if model == "GD-ReLU" and row.get("train_accuracy", 0.0) < FITTED
        ]

    def relu(self):
        """Records of the networks that did not collapse, and of the machines made from them.

        SVM-RC does not depend on the momentum: it is there for each.
        """
        rows = list(self.records(("GD-ReLU", "SVM-LC", "SVM-HL"), "GD-ReLU"))
        for momentum in (0.0, 0.9):
            for record in self.records(("SVM-RC",), "GD-ReLU", cutoff="", momentum=momentum):
                if record["descent_error"] is not None:
                    rows.append({**record, "cutoff": "", "momentum": momentum})
        lost = {tuple(row[name] for name in CONFIGURATION) for row in self.collapsed()}
        return [r for r in rows if tuple(r[name] for name in CONFIGURATION) not in lost]


@dataclass(frozen=True)
class Sources:
    """What a report is made from; the published records are none if they are of other data."""

    results: Results
    grid: Grid

    @property
    def is_published_data(self):
        return self.grid.data == Grid.data

    @cached_property
    def ours(self):
        return Ours(self.results)

    @cached_property
    def gln(self):
        return list(published_gln()) if self.is_published_data else []

    @cached_property
    def shallow(self):
        return list(published_shallow()) if self.is_published_data else []

    @cached_property
    def relu(self):
        return list(published_relu()) if self.is_published_data else []


def _as_error(row):
    return None if row is None or "accuracy" not in row else 100.0 * (1.0 - row["accuracy"])


def where(records, **wanted):
    """Records with these values; a tuple allows several."""
    return [
        record
        for record in records
        if all(
            record[name] in value if isinstance(value, tuple) else record[name] == value
            for name, value in wanted.items()
        )
    ]


def by_seeds(records, names=("model", "n_units", "n_contexts", "n_train", "cutoff", "momentum")):
    """Groups of records that differ in their seed only, with an error."""
    groups = {}
    for record in records:
        if record["error"] is not None:
            groups.setdefault(tuple(record[name] for name in names), []).append(record)
    return groups


def mean_sd(values):
    """Mean and standard deviation over seeds, NaN where there are too few."""
    values = [value for value in values if value is not None]
    if not values:
        return math.nan, math.nan
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def interval(values, level=0.95):
    """Mean and half the width of Student's interval."""
    n = len(values)
    if n < 2:
        return (float(values[0]) if n else math.nan), math.nan
    half = stats.t.ppf(0.5 + level / 2, n - 1) * np.std(values, ddof=1) / math.sqrt(n)
    return float(np.mean(values)), float(half)


def paired(records, model, other, quantity="error"):
    """Differences ``model - other`` by configuration and seed."""
    index = {}
    for record in records:
        key = tuple(record[name] for name in CONFIGURATION)
        index.setdefault(key, {})[record["model"]] = record[quantity]
    found = []
    for key, values in index.items():
        if values.get(model) is not None and values.get(other) is not None:
            config = dict(zip(CONFIGURATION, key, strict=True))
            found.append({**config, "difference": values[model] - values[other]})
    return found


def by_draw(differences):
    """Mean difference of each draw of gates: training sets of different size share their gates."""
    groups = {}
    for row in differences:
        key = row["n_units"], row["n_contexts"], row["cutoff"], row["seed"]
        groups.setdefault(key, []).append(row["difference"])
    return [float(np.mean(values)) for values in groups.values()]
