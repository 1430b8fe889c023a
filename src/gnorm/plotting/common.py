"""What displays share: the estimator in a pipeline, labels, axes with their colours, legends."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from gnorm.selection import UnitSelectionCV

__all__ = ["COLOURS", "axes", "checked", "checked_labels", "fitted_in", "labels", "legend"]

# M. Okabe and K. Ito, "Color universal design" (2008): told apart with any colour vision. A second
# round through the colours changes the line style.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINE_STYLES = ("-", "--", ":")


def fitted_in(estimator: Any) -> Any:
    """Find the fitted estimator of gnorm at the end of pipelines and searches."""
    check_is_fitted(estimator)
    inner = estimator
    while not hasattr(inner, "unit_norms_"):
        if isinstance(inner, Pipeline):
            inner = inner[-1]
        elif hasattr(inner, "best_estimator_"):
            inner = inner.best_estimator_
        elif isinstance(inner, UnitSelectionCV):
            inner = inner.estimator_
        else:
            raise TypeError(
                "expected an estimator of gnorm, alone, as the last step of a Pipeline or as "
                f"the result of a search over parameters, got {estimator!r}"
            )
    return inner


def labels(fitted: Any, name: str | None) -> tuple[list[str], str | None]:
    """Labels of the curves of an estimator, and the title of their legend."""
    name = type(fitted).__name__ if name is None else name
    n_problems = len(fitted.norm_)
    if n_problems == 1:
        return [name], None
    if hasattr(fitted, "classes_"):
        return [str(label) for label in fitted.classes_], name
    return [f"target {k}" for k in range(n_problems)], name


def checked(values: NDArray[Any], what: str) -> NDArray[np.float64]:
    """Return finite numbers of two axes."""
    return check_array(values, dtype=np.float64, input_name=what, estimator="a display")


def checked_labels(labels: Sequence[str] | None, n_problems: int) -> Sequence[str | None]:
    """Return a label for each predictor, Nones for none."""
    if labels is None:
        return [None] * n_problems
    if isinstance(labels, str) or len(labels) != n_problems:
        raise ValueError(f"expected a list of {n_problems} labels, one a predictor, got {labels!r}")
    return labels


def axes(ax: Any) -> tuple[Any, Any]:
    """Axes to draw into, with the colours of gnorm if they are empty, and their figure."""
    if ax is None:
        try:
            pyplot = import_module("matplotlib.pyplot")
        except ImportError as error:
            raise ImportError(
                "gnorm.plotting needs matplotlib, which is not installed: pip install gnorm[plot]"
            ) from error
        _, ax = pyplot.subplots(layout="constrained")
    elif not hasattr(ax, "set_prop_cycle"):
        raise TypeError(f"expected matplotlib Axes as ax, got {type(ax).__name__}")
    if not ax.lines:
        ax.set_prop_cycle(
            color=COLOURS * len(_LINE_STYLES),
            linestyle=[style for style in _LINE_STYLES for _ in COLOURS],
        )
    return ax, ax.figure


def legend(ax: Any, loc: str, title: str | None) -> None:
    """Draw the legend, with the dashed lines below the curves."""
    entries = zip(*ax.get_legend_handles_labels(), strict=True)
    handles, labels = zip(
        *sorted(entries, key=lambda entry: entry[1].startswith("$1/")), strict=True
    )
    ax.legend(handles, labels, loc=loc, title=title, ncols=1 + len(labels) // 8, frameon=False)
