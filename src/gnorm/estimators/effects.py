"""What a fit says of its units: the rule that all samples share and the deviations from it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gnorm.gates.base import context_names, unit_names
from gnorm.gating import Activations, ContextWeights, open_counts

__all__ = ["Effects", "ReadableUnits", "context_means"]


def context_means(weights: ContextWeights, counts: list[int], is_chosen: np.ndarray) -> np.ndarray:
    """Mean of the weights of each unit over its contexts, (n_outputs, n_units, 1, n_features).

    Zeros for the units that are not chosen.
    """
    n_outputs, n_units, _, n_features = weights.shape
    means = np.zeros((n_outputs, n_units, 1, n_features))
    for h in np.flatnonzero(is_chosen).tolist():
        of_unit = weights.of_unit(h)[:, : counts[h]]
        first = of_unit[:, :1]  # of equal contexts the mean is exactly what they are
        means[:, h] = first + (of_unit - first).mean(axis=1, keepdims=True)
    return means


def _positive(importances: np.ndarray) -> np.ndarray:
    """Positions of the positive ones, the largest first."""
    order = np.argsort(-importances, kind="stable")
    return order[importances[order] > 0]


@dataclass(frozen=True, eq=False)
class Effects:
    r"""A linear rule that all samples share, and how it changes from context to context.

    .. math::

        f(x) = \Big\langle \bar\beta + \sum_h d_{h c_h(x)}, x \Big\rangle, \qquad
        \bar\beta = \sum_h \frac{1}{C_h} \sum_c \zeta_{hc}, \qquad
        d_{hc} = \zeta_{hc} - \frac{1}{C_h} \sum_{c'} \zeta_{hc'}

    The deviations of a unit sum to zero over its :math:`C_h` contexts, each counted once, whatever
    the samples in it; they and the shared rule are the same for all weights with the same
    predictor. A unit that may be closed, such as one that is on or off, has no part in the shared
    rule, and its deviations are its weights.

    Attributes
    ----------
    shared : ndarray of shape (n_outputs, n_features)
        The shared rule :math:`\bar\beta`. With ``fit_intercept`` the last feature is the intercept,
        here and in the deviations: what the constant feature adds to the output.
    deviations : tuple of ndarray of shape (n_outputs, n_contexts, n_features)
        Deviations :math:`d_{hc}` of each unit, which has as many contexts as it has names for.
    output_names : tuple of str
        Of each output: the class that it speaks for, or the target.
    unit_names : ndarray of str objects of shape (n_units,)
        Names of the units.
    context_names : tuple of ndarray of str objects of shape (n_contexts,)
        Names of the contexts of each unit.
    feature_names : ndarray of str objects of shape (n_features,)
        Names of the features, the last "intercept" with ``fit_intercept``.
    importances : ndarray of shape (n_units,)
        ``unit_importances_`` of the estimator.
    """

    shared: np.ndarray
    deviations: tuple[np.ndarray, ...]
    output_names: tuple[str, ...]
    unit_names: np.ndarray
    context_names: tuple[np.ndarray, ...]
    feature_names: np.ndarray
    importances: np.ndarray

    @property
    def selected(self) -> np.ndarray:
        """Positions of the units that change the rule, the most important first."""
        return _positive(self.importances)

    def to_frame(self, *, all_units: bool = False) -> Any:
        """Show the shared rule and the deviations as a table.

        Parameters
        ----------
        all_units : bool, default=False
            Whether to show units that change nothing as well.

        Returns
        -------
        pandas.DataFrame
            A column for each feature; a row for the shared rule, called ("shared", ""), then one
            for each unit and context, the most important unit first. With several outputs their
            names are the first level of the index.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise ImportError("to_frame needs pandas, which is not installed") from error
        units = self.selected
        if all_units:
            units = np.append(units, np.setdiff1d(np.arange(len(self.unit_names)), units))
        rows, index = [], []
        for k, output in enumerate(self.output_names):
            rows.append(self.shared[k][None])
            index.append((output, "shared", ""))
            for h in units:
                rows.append(self.deviations[h][k])
                index += [(output, self.unit_names[h], name) for name in self.context_names[h]]
        names = pandas.MultiIndex.from_tuples(index, names=["output", "unit", "context"])
        frame = pandas.DataFrame(np.concatenate(rows), index=names, columns=self.feature_names)
        return frame.droplevel("output") if len(self.output_names) == 1 else frame


class ReadableUnits:
    """Names, importances and effects of the units of a fitted estimator."""

    def _note_partition(self: Any, activations: Activations) -> None:
        """Note which units have exactly one context on, whatever the sample."""
        self._is_partition = np.all(open_counts(activations) == 1, axis=0)
        is_shared = getattr(self.gates_, "is_shared_", None)
        if is_shared is not None and len(is_shared) == len(self._is_partition):
            self._is_partition |= is_shared

    @property
    def unit_names_(self) -> np.ndarray:
        """Names of the units, those that the gates give if they do, shape (n_units,)."""
        check_is_fitted(self, "_zeta_")
        return self._named_units()[0]

    @property
    def unit_importances_(self: Any) -> np.ndarray:
        r"""How much each unit changes the rule, shape (n_units,).

        The Frobenius norm of its deviations in ``effects_``, over all outputs; the intercept counts
        as the weight of the constant feature. It is zero for the units that the norm leaves out,
        and for one of a single context that is always on, whose weights all samples share.
        """
        check_is_fitted(self, "_is_partition")
        deviations, _ = self._deviations()
        return np.array([np.linalg.norm(of_unit) for of_unit in deviations])

    @property
    def selected_units_(self) -> np.ndarray:
        """Positions of the units that change the rule, the most important first."""
        return _positive(self.unit_importances_)

    @property
    def effects_(self: Any) -> Effects:
        """The rule that all samples share and the deviations from it, with their names.

        See :class:`gnorm.estimators.effects.Effects`; its ``to_frame()`` is a table.
        """
        check_is_fitted(self, "_is_partition")
        deviations, shared = self._deviations()
        scale, features = np.ones(shared.shape[-1]), list(self._names_of_features())
        if self.fit_intercept:
            scale[-1] = self.intercept_scaling
            features.append("intercept")
        units, contexts = self._named_units()
        return Effects(
            shared=shared * scale,
            deviations=tuple(of_unit * scale for of_unit in deviations),
            output_names=self._names_of_outputs(),
            unit_names=units,
            context_names=tuple(contexts),
            feature_names=np.array(features, dtype=object),
            importances=self.unit_importances_,
        )

    def _deviations(self: Any) -> tuple[list[np.ndarray], np.ndarray]:
        """Weights of each unit less the mean of its contexts, and the sum of these means."""
        counts = self._context_counts()
        means = context_means(self._zeta_, counts, self._is_partition)
        of_units = [
            self._zeta_.of_unit(h)[:, :count] - means[:, h] for h, count in enumerate(counts)
        ]
        return of_units, means.sum(axis=(1, 2))

    def _context_counts(self) -> list[int]:
        """How many contexts each unit has, without those that fill it up and are never on."""
        return [len(names) for names in self._named_units()[1]]

    def _named_units(self: Any) -> tuple[np.ndarray, list[np.ndarray]]:
        """Names of the units and of the contexts of each, numbers where gates give none."""
        n_contexts = self._zeta_.n_contexts
        units = np.asarray(unit_names(self.gates_, len(n_contexts)), dtype=object)
        return units, context_names(self.gates_, n_contexts)

    def _names_of_features(self: Any) -> np.ndarray:
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            names = np.array([f"x{j}" for j in range(self.n_features_in_)], dtype=object)
        return names[self.feature_columns_] if hasattr(self, "feature_columns_") else names

    def _names_of_outputs(self: Any) -> tuple[str, ...]:
        n_outputs = len(self._zeta_)
        if not hasattr(self, "classes_"):
            return tuple(f"y{k}" for k in range(n_outputs))
        return tuple(str(label) for label in self.classes_[-n_outputs:])
