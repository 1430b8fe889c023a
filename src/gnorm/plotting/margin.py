"""Signed margins of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length, column_or_1d

from gnorm.losses import get_loss
from gnorm.plotting import common

__all__ = ["MarginDisplay"]


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
        classifier = common.fitted_in(estimator)
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
        labels, title = common.labels(classifier, name)
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
        margins = common.checked(margins[:, None] if margins.ndim == 1 else margins, "margins")
        n_samples, n_problems = margins.shape
        labels = common.checked_labels(self.labels, n_problems)
        norms = np.ravel([] if self.norms is None else self.norms)
        if self.norms is not None and len(norms) != n_problems:
            raise ValueError(f"expected {n_problems} norms, one a predictor, got {len(norms)}")
        self.ax_, self.figure_ = common.axes(ax)
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
            common.legend(self.ax_, "lower right", self.title)
        return self


def _draw_margin(ax: Any, margin: float) -> None:
    """Draw the dashed line, once for all the curves of one predictor."""
    label = rf"$1/\|f\|$ = {margin:.3g}"
    if label not in ax.get_legend_handles_labels()[1]:
        dashes = (0, (4, 3))
        ax.axvline(margin, color="0.3", linewidth=1.0, linestyle=dashes, label=label, zorder=1)
