"""Displays of fitted classifiers and training runs, in the style of scikit-learn.

A display holds the numbers that it draws; ``from_estimator`` takes them from an estimator,
``from_history`` from a training run, and draws. Further curves go into the same axes by passing
``ax=display.ax_``, or ``axes=display.axes_``. matplotlib is imported when it first draws:
``pip install gnorm[plot]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from gnorm.losses import get_loss

__all__ = ["HistoryDisplay", "MarginDisplay", "UnitNormsDisplay"]

# M. Okabe and K. Ito, "Color universal design" (2008): told apart with any colour vision. A second
# round through the colours changes the line style.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINE_STYLES = ("-", "--", ":")
_WIDE = -100  # power of ten of a loss, below which the powers themselves span several decades


class UnitNormsDisplay:
    r"""Norms of the units, from the largest to the smallest, one curve a predictor.

    The norm of a GLN or FReLU predictor is the sum of its unit norms :math:`\|\zeta_h\|`, a penalty
    that sets many of them to exactly zero; the legend counts the units that are left.

    Parameters
    ----------
    unit_norms : array-like of shape (n_units,) or (n_problems, n_units)
        Norms of the units of each predictor.
    labels : sequence of str, default=None
        What to call the predictors in the legend; None shows the counts alone.
    title : str, default=None
        Title of the legend.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The curves.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure of the axes.

    See Also
    --------
    MarginDisplay : How far from the boundary the samples are.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gnorm import GLNNormSVC
    >>> from gnorm.plotting import UnitNormsDisplay
    >>> X, digit = load_digits(return_X_y=True)
    >>> classifier = GLNNormSVC(random_state=0).fit(X[:300] / 16, digit[:300] < 5)
    >>> display = UnitNormsDisplay.from_estimator(classifier)

    The same from the answer of :func:`gnorm.max_margin`, or from any other unit norms:

    >>> UnitNormsDisplay(unit_norms=[3.0, 0.0, 4.0]).plot().lines_[0].get_ydata()
    array([4., 3., 0.])
    """

    def __init__(
        self,
        *,
        unit_norms: ArrayLike,
        labels: Sequence[str] | None = None,
        title: str | None = None,
    ) -> None:
        self.unit_norms = unit_norms
        self.labels = labels
        self.title = title

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw the unit norms of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted estimator of :mod:`gnorm.estimators`, as it is, as the last step of a
            :class:`~sklearn.pipeline.Pipeline` or as the result of a search over parameters.
        name : str, default=None
            What to call it in the legend; None for the name of its class. Where several classes
            or targets have predictors of their own, the curves are called after these, and the
            name is the title of the legend.
        ax : matplotlib Axes, default=None
            Axes to draw into; None makes a figure.
        **kwargs : dict
            Options of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        UnitNormsDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If there is no estimator of gnorm in the estimator.
        """
        fitted = _fitted_in(estimator)
        labels, title = _labels(fitted, name)
        display = cls(unit_norms=fitted.unit_norms_, labels=labels, title=title)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; None makes a figure.
        **kwargs : dict
            Options of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        UnitNormsDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there are not as many labels as predictors.
        """
        unit_norms = _checked(np.atleast_2d(np.asarray(self.unit_norms)), "unit_norms")
        n_problems, n_units = unit_norms.shape
        labels = _checked_labels(self.labels, n_problems)
        self.ax_, self.figure_ = _axes(ax)
        self.lines_ = []
        for norms, label in zip(unit_norms, labels, strict=True):
            count = f"{np.count_nonzero(norms)} of {n_units} active"
            style = {
                "marker": ".",
                "linewidth": 1.0,
                "label": f"{label}: {count}" if label else count,
            }
            ranks = np.arange(1, n_units + 1)
            self.lines_ += self.ax_.plot(ranks, np.sort(norms)[::-1], **(style | kwargs))
        self.ax_.set(xlabel="unit, by decreasing norm", ylabel=r"unit norm  $\|\zeta_h\|$")
        self.ax_.update_datalim([(1, 0)])  # zero is in view, and later curves still widen it
        self.ax_.autoscale_view()
        _legend(self.ax_, "upper right", self.title)
        return self


class MarginDisplay:
    r"""Cumulative distribution of the signed margins of samples, one curve a predictor.

    The signed margin of a sample is :math:`y f(x) / \|f\|`, positive on the right side of the
    boundary and no distance from it where gates switch
    (:func:`gnorm.boundary.distance_to_boundary`). The curve gives the share of samples with at most
    that margin, so its height at 0 is the error rate, for two classes. There the
    dashed line is :math:`1 / \|f\|`, where the hinge loss begins; under a hard margin no training
    sample is below it.

    Parameters
    ----------
    margins : array-like of shape (n_samples,) or (n_samples, n_problems)
        Signed margins under each predictor.
    norms : array-like of shape (n_problems,), default=None
        Norms of the predictors, for the dashed line; None draws none.
    labels : sequence of str, default=None
        What to call the predictors in the legend; None draws no legend.
    title : str, default=None
        Title of the legend.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The curves.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure of the axes.

    See Also
    --------
    UnitNormsDisplay : Which units the predictor uses.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gnorm import GLNNormSVC
    >>> from gnorm.plotting import MarginDisplay
    >>> X, digit = load_digits(return_X_y=True)
    >>> X_train, X_test = X[:300] / 16, X[300:] / 16
    >>> y_train, y_test = digit[:300] < 5, digit[300:] < 5
    >>> classifier = GLNNormSVC(C=float("inf"), random_state=0).fit(X_train, y_train)
    >>> display = MarginDisplay.from_estimator(classifier, X_train, y_train, name="training")
    >>> display = MarginDisplay.from_estimator(
    ...     classifier, X_test, y_test, name="held out", ax=display.ax_
    ... )
    """

    def __init__(
        self,
        *,
        margins: ArrayLike,
        norms: ArrayLike | None = None,
        labels: Sequence[str] | None = None,
        title: str | None = None,
    ) -> None:
        self.margins = margins
        self.norms = norms
        self.labels = labels
        self.title = title

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the signed margins of samples under a fitted classifier.

        Parameters
        ----------
        estimator : estimator
            Fitted classifier of :mod:`gnorm.estimators`, as it is, as the last step of a
            :class:`~sklearn.pipeline.Pipeline` or as the result of a search over parameters.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, training samples or others.
        y : array-like of shape (n_samples,)
            Their class labels.
        name : str, default=None
            What to call the samples in the legend; None for the name of the classifier. With more
            than two classes the curves are called after these, each against the rest, and the name
            is the title of the legend. Under the multinomial log loss all classes have one curve:
            the margin of a sample is then that of its class over the next best.
        ax : matplotlib Axes, default=None
            Axes to draw into; None makes a figure.
        **kwargs : dict
            Options of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        MarginDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If there is no classifier of gnorm in the estimator.
        ValueError
            If a label is not of the classes of the classifier, or an array is malformed.
        """
        classifier = _fitted_in(estimator)
        if not hasattr(classifier, "classes_"):
            raise TypeError(f"expected a classifier, got {estimator!r}")
        values = estimator.decision_function(X)
        values = values.reshape(len(values), -1)
        targets = column_or_1d(y)
        check_consistent_length(values, targets)
        unknown = np.setdiff1d(targets, classifier.classes_)
        if len(unknown) > 0:
            raise ValueError(
                f"expected labels in y of the classes {classifier.classes_}, got {unknown[:10]}"
            )
        norms = classifier.norm_
        if values.shape[1] > len(norms):  # all classes in one problem
            is_own = targets[:, None] == classifier.classes_
            own = values[is_own]
            margins = (own - np.where(is_own, -np.inf, values).max(axis=1))[:, None]
        else:
            positives = classifier.classes_[1:] if len(norms) == 1 else classifier.classes_
            margins = np.where(targets[:, None] == positives, 1.0, -1.0) * values
        # the predictor that is zero has no side, and norm 0
        margins = margins / np.where(norms > 0, norms, 1.0)
        if not get_loss(getattr(classifier, "loss", "hinge")).allows_infinite_C:
            norms = None  # no loss that begins there
        labels, title = _labels(classifier, name)
        return cls(margins=margins, norms=norms, labels=labels, title=title).plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; None makes a figure.
        **kwargs : dict
            Options of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        MarginDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there are not as many labels or norms as predictors.
        """
        margins = np.asarray(self.margins)
        margins = _checked(margins[:, None] if margins.ndim == 1 else margins, "margins")
        n_samples, n_problems = margins.shape
        labels = _checked_labels(self.labels, n_problems)
        norms = np.ravel([] if self.norms is None else self.norms)
        if self.norms is not None and len(norms) != n_problems:
            raise ValueError(f"expected {n_problems} norms, one a predictor, got {len(norms)}")
        self.ax_, self.figure_ = _axes(ax)
        self.ax_.axvline(0.0, color="0.7", linewidth=0.8, zorder=0)
        shares = 100 * np.arange(n_samples + 1) / n_samples
        self.lines_ = []
        for column, label in zip(margins.T, labels, strict=True):
            steps = np.sort(column)
            steps = np.append(steps[0], steps)  # each curve rises from 0
            style = {"drawstyle": "steps-post", "label": label}
            self.lines_ += self.ax_.plot(steps, shares, **(style | kwargs))
        if n_problems == len(norms) == 1 and norms[0] > 0:
            _draw_margin(self.ax_, 1 / norms[0])
        against_rest = ", each class against the rest" if n_problems > 1 else ""
        self.ax_.set(
            xlabel=r"signed margin  $y\,f(x)\,/\,\|f\|$" + against_rest,
            ylabel="samples up to this margin [%]",
        )
        if any(labels):
            _legend(self.ax_, "lower right", self.title)
        return self


class HistoryDisplay:
    r"""Measures of a training run against its steps, one panel a measure, logarithmic.

    The panels are for what there is: the loss; how far the margin is from the largest,
    :math:`1 -` ``margin_ratio``; the largest drift of what gradient flow conserves,
    :math:`|b_h(t) - b_h(0)| / \|w(t)\|^2`; and the share of inputs on which network and exact
    solution differ. The second and the fourth need the columns ``margin_ratio`` and
    ``inconsistency``, which a callback adds to the history.

    Parameters
    ----------
    step : array-like of shape (n_rows,)
        Steps before each row. Row 0 of a run is left of the logarithmic axis.
    log_loss : array-like of shape (n_rows,), default=None
        Logarithm of the loss.
    margin_ratio : array-like of shape (n_rows,), default=None
        Normalised margin relative to the largest.
    drift : array-like of shape (n_rows,), default=None
        Largest drift of the balance of a unit, relative to the squared norm.
    inconsistency : array-like of shape (n_rows,), default=None
        Share of inputs on which the signs differ.
    label : str, default=None
        What to call the run in the legend; None draws no legend.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The curves, one a panel.
    axes_ : ndarray of matplotlib Axes
        The panels.
    figure_ : matplotlib Figure
        Figure of the panels.

    See Also
    --------
    gnorm.descent.History : What is drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.descent import GatedNetwork, GradientDescent, Normalized
    >>> from gnorm.plotting import HistoryDisplay
    >>> X = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    >>> y = np.array([1, -1, 1, -1])
    >>> activations = np.stack([X[:, 0] < 0, X[:, 0] >= 0], axis=-1)[:, None, :]
    >>> network = GatedNetwork.gln(n_features=2, n_units=1, random_state=0)
    >>> history = GradientDescent(Normalized(0.05)).train(network, X, y, activations)
    >>> display = HistoryDisplay.from_history(history, name="one unit")
    >>> [ax.get_ylabel() for ax in display.axes_]
    ['loss', 'drift of the balance']
    """

    def __init__(
        self,
        *,
        step: ArrayLike,
        log_loss: ArrayLike | None = None,
        margin_ratio: ArrayLike | None = None,
        drift: ArrayLike | None = None,
        inconsistency: ArrayLike | None = None,
        label: str | None = None,
    ) -> None:
        self.step = step
        self.log_loss = log_loss
        self.margin_ratio = margin_ratio
        self.drift = drift
        self.inconsistency = inconsistency
        self.label = label

    @classmethod
    def from_history(
        cls, history: Any, *, name: str | None = None, axes: Any = None, **kwargs: Any
    ) -> Self:
        """Draw the measures of a training run.

        Parameters
        ----------
        history : History
            History of :meth:`gnorm.descent.GradientDescent.train`.
        name : str, default=None
            What to call the run in the legend; None draws no legend.
        axes : array-like of matplotlib Axes, default=None
            Panels to draw into, those of another display; None makes a figure.
        **kwargs : dict
            Options of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        HistoryDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the history has no rows, or none of the measures.
        """
        columns = history.columns
        if not columns:
            raise ValueError("expected a history with rows, got an empty one")
        drift = None
        if "unit_balance" in columns and columns["unit_balance"].shape[1] > 0:
            balance = columns["unit_balance"]
            drift = np.abs(balance - balance[0]).max(axis=1) / columns["squared_norm"]
        log_loss = columns.get("log_loss")
        if log_loss is None and "loss" in columns:
            with np.errstate(divide="ignore"):
                log_loss = np.log(columns["loss"])
        display = cls(
            step=columns["step"],
            log_loss=log_loss,
            margin_ratio=columns.get("margin_ratio"),
            drift=drift,
            inconsistency=columns.get("inconsistency"),
            label=name,
        )
        return display.plot(axes=axes, **kwargs)

    def plot(self, axes: Any = None, **kwargs: Any) -> Self:
        """Draw the panels.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            Panels to draw into, as many as there are measures; None makes a figure.
        **kwargs : dict
            Options of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        HistoryDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is nothing to draw, or another number of panels.
        """
        step = np.asarray(self.step, dtype=float)
        panels: list[tuple[str, NDArray[np.float64]]] = []
        if self.log_loss is not None:
            panels.append(("loss", np.asarray(self.log_loss) / np.log(10)))
        distances = [
            (
                "1 - margin ratio",
                None if self.margin_ratio is None else 1 - np.asarray(self.margin_ratio),
            ),
            ("drift of the balance", self.drift),
            ("inconsistency", self.inconsistency),
        ]
        for title, values in distances:
            if values is not None:
                panels.append((title, np.asarray(values, dtype=float)))
        if not panels:
            raise ValueError("expected at least one measure of a run, got none")
        self.axes_, self.figure_ = _panels(axes, len(panels))
        self.lines_ = []
        for ax, (title, values) in zip(self.axes_, panels, strict=True):
            style: dict[str, Any] = {"linewidth": 1.2, "label": self.label}
            self.lines_ += ax.plot(step, values, **(style | kwargs))
            ax.set(xlabel="step", ylabel=title, xscale="log")
            if title == "loss":
                # the loss of a margin of 10^4 is no number; its logarithm is
                if ax.dataLim.ymin < _WIDE:
                    ax.set_yscale("symlog", linthresh=1)
                ax.yaxis.set_major_formatter(_power_of_ten)
            else:
                ax.set_yscale("log")
        if self.label is not None:
            self.axes_[0].legend(frameon=False)
        return self


def _fitted_in(estimator: Any) -> Any:
    """Find the fitted estimator of gnorm at the end of pipelines and searches."""
    check_is_fitted(estimator)
    inner = estimator
    while not hasattr(inner, "unit_norms_"):
        if isinstance(inner, Pipeline):
            inner = inner[-1]
        elif hasattr(inner, "best_estimator_"):
            inner = inner.best_estimator_
        else:
            raise TypeError(
                "expected an estimator of gnorm, alone, as the last step of a Pipeline or as "
                f"the result of a search over parameters, got {estimator!r}"
            )
    return inner


def _labels(fitted: Any, name: str | None) -> tuple[list[str], str | None]:
    """Labels of the curves of an estimator, and the title of their legend."""
    name = type(fitted).__name__ if name is None else name
    n_problems = len(fitted.norm_)
    if n_problems == 1:
        return [name], None
    if hasattr(fitted, "classes_"):
        return [str(label) for label in fitted.classes_], name
    return [f"target {k}" for k in range(n_problems)], name


def _checked(values: NDArray[Any], what: str) -> NDArray[np.float64]:
    return check_array(values, dtype=np.float64, input_name=what, estimator="a display")


def _checked_labels(labels: Sequence[str] | None, n_problems: int) -> Sequence[str | None]:
    if labels is None:
        return [None] * n_problems
    if isinstance(labels, str) or len(labels) != n_problems:
        raise ValueError(f"expected a list of {n_problems} labels, one a predictor, got {labels!r}")
    return labels


def _axes(ax: Any) -> tuple[Any, Any]:
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
            color=_COLOURS * len(_LINE_STYLES),
            linestyle=[style for style in _LINE_STYLES for _ in _COLOURS],
        )
    return ax, ax.figure


def _panels(axes: Any, n_panels: int) -> tuple[NDArray[Any], Any]:
    """Panels to draw into, a row of new ones if there are none, and their figure."""
    if axes is None:
        first, figure = _axes(None)
        first.remove()
        figure.set_size_inches(3.2 * n_panels, 2.8)
        axes = figure.subplots(1, n_panels)
    axes = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
    if len(axes) != n_panels:
        raise ValueError(f"expected {n_panels} axes, one a measure, got {len(axes)}")
    for ax in axes:
        _axes(ax)
    return axes, axes[0].figure


def _power_of_ten(exponent: float, position: int) -> str:
    return rf"$10^{{{exponent:g}}}$"


def _draw_margin(ax: Any, margin: float) -> None:
    """Draw the dashed line, once for all the curves of one predictor."""
    label = rf"$1/\|f\|$ = {margin:.3g}"
    if label not in ax.get_legend_handles_labels()[1]:
        dashes = (0, (4, 3))
        ax.axvline(margin, color="0.3", linewidth=1.0, linestyle=dashes, label=label, zorder=1)


def _legend(ax: Any, loc: str, title: str | None) -> None:
    """Draw the legend, with the dashed lines below the curves."""
    entries = zip(*ax.get_legend_handles_labels(), strict=True)
    handles, labels = zip(
        *sorted(entries, key=lambda entry: entry[1].startswith("$1/")), strict=True
    )
    ax.legend(handles, labels, loc=loc, title=title, ncols=1 + len(labels) // 8, frameon=False)
