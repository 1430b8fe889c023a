"""Losses of classes: several outputs a sample, of which that of the label should be the largest."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Self

import numpy as np

from gnorm.losses.base import Loss

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["ClassLoss", "SimplexLoss"]


@dataclass(frozen=True)
class ClassLoss(Loss):
    """A loss of labels 0, 1, ...; `f` and `b` have shape (n_samples, n_classes).

    Parameters
    ----------
    n_classes : int or None, default=None
        Number of classes; None takes the largest label plus one.

    Raises
    ------
    ValueError
        If `n_classes` is less than 2.
    """

    n_classes: int | None = None

    def __post_init__(self) -> None:
        if self.n_classes is None:
            return
        n_classes = self.n_classes
        if not (isinstance(n_classes, Real) and 2 <= n_classes < np.inf and n_classes % 1 == 0):
            raise ValueError(f"expected n_classes >= 2 or None, got {n_classes!r}")
        object.__setattr__(self, "n_classes", int(self.n_classes))

    def check_targets(self, y: np.ndarray) -> np.ndarray:
        """Labels as integers of shape (n_samples,).

        Raises
        ------
        ValueError
            If `y` is not made of integers 0, 1, ... below `n_classes`.
        """
        y = np.asarray(y)
        if y.ndim != 1:
            raise ValueError(f"expected y of shape (n_samples,), got {y.shape}")
        end = np.inf if self.n_classes is None else self.n_classes
        is_real = y.dtype.kind in "biuf"
        if not (is_real and np.all((y >= 0) & (y < end) & np.isfinite(y) & (np.floor(y) == y))):
            classes = "0, 1, ..." if self.n_classes is None else f"0, ..., {self.n_classes - 1}"
            labels = list(dict.fromkeys(y.tolist()))[:10]
            raise ValueError(f"expected labels {classes} in y, got {labels}")
        return y.astype(np.intp)

    def output_scale(self, y: np.ndarray, C: np.ndarray) -> float:
        """1, as for the margin losses."""
        return 1.0

    def n_outputs(self, y: np.ndarray) -> int:
        """Number of classes, the largest label plus one if the loss does not know it."""
        return self.n_classes or max(2, int(np.max(y)) + 1)

    def fitted_to(self, y: np.ndarray) -> Self:
        """Return the loss with the number of classes of these targets, unless it has one."""
        return self if self.n_classes else type(self)(self.n_outputs(y))

    def least_favourable(
        self, y: np.ndarray, f: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Outputs within an error with the least of the label, and no error."""
        return f - self.signs(y, f.shape[1]) * error, np.zeros_like(error)

    def largest_value(
        self, y: np.ndarray, f: np.ndarray, error: np.ndarray, C: np.ndarray
    ) -> np.ndarray:
        r"""Largest loss over outputs within an error, with the least of the label."""
        return self.value(y, self.least_favourable(y, f, error)[0], C)

    def directions(self, y: np.ndarray, n_classes: int) -> np.ndarray:
        r"""Directions :math:`d_{nj}` of outputs whose least :math:`d_{nj} \cdot f_n` is the margin.

        Every dual point is :math:`b_n = \sum_j a_{nj} d_{nj}` with :math:`a_{nj} \ge 0`.

        Parameters
        ----------
        y : ndarray of shape (n_samples,)
            Labels.
        n_classes : int
            Number of classes.

        Returns
        -------
        ndarray of shape (n_samples, n_directions, n_classes)
            Directions, each with one class of its own beside the label.

        Raises
        ------
        TypeError
            If the loss is not one of margins.
        """
        raise TypeError(f"expected a loss of margins, got {self!r}")

    def hard_margins(self, y: np.ndarray, f: cp.Expression) -> cp.Expression:
        """Products of outputs with all directions, shape (n_directions, n_samples)."""
        import cvxpy as cp

        directions = self.directions(y, f.shape[1]).transpose(1, 0, 2)
        return cp.vstack([cp.sum(cp.multiply(each, f), axis=1) for each in directions])

    @staticmethod
    def signs(y: np.ndarray, n_classes: int) -> np.ndarray:
        """1 for the label and -1 for the other classes, shape (n_samples, n_classes)."""
        return np.where(np.arange(n_classes) == y[:, None], 1.0, -1.0)


@dataclass(frozen=True)
class SimplexLoss(ClassLoss):
    r"""A loss of differences of outputs: :math:`b = C (e_y - p)` with p on the simplex.

    That :math:`\sum_k b_k = 0` is for the caller to keep: domain and derivatives are those of the
    coordinates.
    """

    def domain(self, y: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""Ends of :math:`0 < b_{ny} < C_n` and :math:`-C_n < b_{nk} < 0` for the other classes.

        Returns
        -------
        lower, upper : ndarray of shape (n_samples, n_classes)
            Ends.
        """
        is_label = np.arange(self.n_outputs(y)) == y[:, None]
        return np.where(is_label, 0.0, -C[:, None]), np.where(is_label, C[:, None], 0.0)

    def feasible(self, y: np.ndarray, b: np.ndarray, C: np.ndarray) -> np.ndarray:
        r"""Bring dual coefficients onto the simplex, with a row sum of zero.

        What the other classes have, at most :math:`C_n` together, the label gets: small
        coefficients keep their digits.
        """
        rows = np.arange(len(y))
        b = np.clip(b, -C[:, None], 0.0)
        b[rows, y] = 0.0
        total = -np.sum(b, axis=1)
        is_beyond = total > C
        b[is_beyond] *= (C[is_beyond] / total[is_beyond])[:, None]
        b[rows, y] = np.minimum(-np.sum(b, axis=1), C)
        return b
