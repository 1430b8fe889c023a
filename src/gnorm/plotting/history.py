"""Measures of a training run."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gnorm.plotting import common

__all__ = ["HistoryDisplay"]

_WIDE = -100  # power of ten of a loss, below which the powers themselves span several decades


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


def _panels(axes: Any, n_panels: int) -> tuple[NDArray[Any], Any]:
    """Panels to draw into, a row of new ones if there are none, and their figure."""
    if axes is None:
        first, figure = common.axes(None)
        first.remove()
        figure.set_size_inches(3.2 * n_panels, 2.8)
        axes = figure.subplots(1, n_panels)
    axes = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
    if len(axes) != n_panels:
        raise ValueError(f"expected {n_panels} axes, one a measure, got {len(axes)}")
    for ax in axes:
        common.axes(ax)
    return axes, axes[0].figure


def _power_of_ten(exponent: float, position: int) -> str:
    return rf"$10^{{{exponent:g}}}$"
