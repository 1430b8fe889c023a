"""How a linear rule changes from context to context."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_scalar

from gnorm.plotting import common

__all__ = ["EffectsDisplay"]


class EffectsDisplay:
    """Deviations from the shared rule, a heat map with a row for each context of some units.

    Parameters
    ----------
    deviations : sequence of array-like of shape (n_contexts, n_features)
        Deviations of the weights of each unit.
    unit_names : sequence of str
        Names of the units.
    context_names : sequence of sequence of str
        Names of the contexts of each unit.
    feature_names : sequence of str
        Names of the features.
    title : str, default=None
        Title of the axes.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        The heat map; white is no deviation.
    colorbar_ : matplotlib Colorbar
        Its scale.
    ax_ : matplotlib Axes
        Axes with the heat map.
    figure_ : matplotlib Figure
        Figure of the axes.

    See Also
    --------
    gnorm.estimators.effects.Effects : What is drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm import CategoryGates, GLNNormRegressor
    >>> from gnorm.plotting import EffectsDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.integers(0, 3, (90, 4)), rng.normal(size=90)])
    >>> y = (X[:, 1] - 1) * X[:, 4]
    >>> model = GLNNormRegressor(gates=CategoryGates(), segment=slice(4), C=0.02).fit(X, y)
    >>> display = EffectsDisplay.from_estimator(model, n_units=1)
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['0.0', '1.0', '2.0']
    """

    def __init__(
        self,
        *,
        deviations: Sequence[ArrayLike],
        unit_names: Sequence[str],
        context_names: Sequence[Sequence[str]],
        feature_names: Sequence[str],
        title: str | None = None,
    ) -> None:
        self.deviations = deviations
        self.unit_names = unit_names
        self.context_names = context_names
        self.feature_names = feature_names
        self.title = title

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        n_units: int = 5,
        max_contexts: int = 12,
        output: int = 0,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the deviations of the most important units of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted estimator of :mod:`gnorm.estimators`, as it is, in a
            :class:`gnorm.selection.UnitSelectionCV`, as the last step of a
            :class:`~sklearn.pipeline.Pipeline` or as the result of a search over parameters.
        n_units : int, default=5
            Most units to draw.
        max_contexts : int, default=12
            Most contexts of a unit; of more, those of the largest deviations are drawn.
        output : int, default=0
            Which class or target.
        ax : matplotlib Axes, default=None
            Axes to draw into; None makes a figure.
        **kwargs : dict
            Options of :meth:`matplotlib.axes.Axes.imshow`.

        Returns
        -------
        EffectsDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If there is no estimator of gnorm in the estimator, or a number is no integer.
        ValueError
            If no unit changes the rule, there is no such output, or nothing is to be drawn.
        """
        effects = common.fitted_in(estimator).effects_
        n_outputs = len(effects.output_names)
        check_scalar(n_units, "n_units", Integral, min_val=1)
        check_scalar(max_contexts, "max_contexts", Integral, min_val=1)
        check_scalar(output, "output", Integral)
        if not 0 <= output < n_outputs:
            raise ValueError(f"expected output below {n_outputs}, got {output}")
        units = effects.selected[:n_units]
        deviations, contexts, names = [], [], []
        for h in units:
            of_unit, name = effects.deviations[h][output], str(effects.unit_names[h])
            shown = np.argsort(-np.linalg.norm(of_unit, axis=1), kind="stable")[:max_contexts]
            shown = np.sort(shown)
            hidden = f"\n({len(shown)} of {len(of_unit)})" if len(shown) < len(of_unit) else ""
            deviations.append(of_unit[shown])
            contexts.append([str(context) for context in effects.context_names[h][shown]])
            names.append(name + hidden)
        display = cls(
            deviations=deviations,
            unit_names=names,
            context_names=contexts,
            feature_names=[str(name) for name in effects.feature_names],
            title=effects.output_names[output] if n_outputs > 1 else None,
        )
        return display.plot(ax=ax, **kwargs)

    def _checked_values(self) -> np.ndarray:
        """Deviations of all units one below the other, a row a context."""
        blocks = [np.asarray(of_unit, dtype=float) for of_unit in self.deviations]
        shapes = [(len(names), len(self.feature_names)) for names in self.context_names]
        if not blocks:
            raise ValueError("expected at least one unit that changes the rule, got none")
        if [block.shape for block in blocks] != shapes or len(self.unit_names) != len(blocks):
            raise ValueError(
                f"expected names for deviations of shapes {[block.shape for block in blocks]}, "
                f"got names for {shapes} and {len(self.unit_names)} units"
            )
        values = np.concatenate(blocks)
        if not np.isfinite(values).all():
            raise ValueError("expected finite deviations, got NaN or infinite entries")
        return values

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; None makes a figure.
        **kwargs : dict
            Options of :meth:`matplotlib.axes.Axes.imshow`.

        Returns
        -------
        EffectsDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is no unit, names do not fit the deviations, or these are not finite.
        """
        values = self._checked_values()
        self.ax_, self.figure_ = common.axes(ax)
        largest = float(np.abs(values).max()) or 1.0
        style = {"cmap": "PuOr", "vmin": -largest, "vmax": largest, "aspect": "auto"}
        self.image_ = self.ax_.imshow(values, **(style | kwargs))
        rows = [name for names in self.context_names for name in names]
        self.ax_.set_yticks(np.arange(len(rows)), rows)
        self.ax_.set_xticks(np.arange(len(self.feature_names)), self.feature_names)
        self.ax_.tick_params(
            axis="x", labelrotation=45 if len("".join(self.feature_names)) > 40 else 0
        )
        heights = np.array([len(names) for names in self.context_names])
        ends = np.cumsum(heights)
        for end in ends[:-1]:
            self.ax_.axhline(end - 0.5, color="0.2", linewidth=1.0)
        to_right = self.ax_.secondary_yaxis("right")
        middles = ends - 0.5 * heights - 0.5
        to_right.set_yticks(middles, self.unit_names)
        to_right.tick_params(length=0)
        self.colorbar_ = self.figure_.colorbar(
            self.image_, ax=self.ax_, label="deviation from the shared rule"
        )
        self.ax_.set(title=self.title or "")
        return self
