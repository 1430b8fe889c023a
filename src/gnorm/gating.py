r"""Gates of samples in the form in which products with the features go through them.

Units may have very different numbers of contexts, and activations as many a unit as the largest of
them has. What products cost follows the gates that are open: a context that is open in many samples
is a column of a dense matrix, one that is open in few samples a list of these, and one that is
never open is nothing.

Of units that open one context at most the number of that context says the same as the array, in
the space of one context (:class:`OpenContexts`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

__all__ = [
    "BLOCK_ENTRIES",
    "Activations",
    "ContextWeights",
    "Gating",
    "OpenContexts",
    "context_counts",
    "even_runs",
    "evened",
    "flattened",
    "open_context",
    "open_counts",
    "opened",
    "padded",
    "row_blocks",
    "side_by_side",
]

FloatArray = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]

BLOCK_ENTRIES = 2**21  # entries of the largest temporary per block of samples: 16 MiB
_CACHED = 2**5  # as many times smaller are blocks that are read twice: 512 KiB stay in the cache
# Share of the samples up to which a list of them is faster than a column: a term of a sparse
# product costs about 16 times one of a dense product (OpenBLAS, one thread, float64).
_RARE = 1 / 16


def row_blocks(n_rows: int, width: int) -> Iterator[slice]:
    """Slices of rows that keep a temporary of this width per row small."""
    step = max(1, BLOCK_ENTRIES // max(1, width))
    return (slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step))


def flattened(zeta: NDArray[Any], n_contexts: NDArray[np.intp]) -> NDArray[Any]:
    """Rows of the contexts that there are, unit after unit, (..., n_rows, n_features).

    Parameters
    ----------
    zeta : ndarray of shape (..., n_units, n_contexts, n_features)
        Weights or sums, as wide as the unit of most contexts or wider.
    n_contexts : ndarray of int of shape (n_units,)
        Contexts of each unit.
    """
    exists = np.arange(zeta.shape[-2]) < n_contexts[:, None]
    if exists.all():  # a view
        return zeta.reshape(*zeta.shape[:-3], exists.size, zeta.shape[-1])
    return np.ascontiguousarray(zeta[..., exists, :])


def padded(rows: NDArray[Any], n_contexts: NDArray[np.intp]) -> NDArray[Any]:
    """Put rows in their places, (..., n_units, n_contexts, n_features), zero where there is none.

    The inverse of :func:`flattened`, for the parameters see there.
    """
    exists = np.arange(np.max(n_contexts, initial=0)) < n_contexts[:, None]
    shape = (*rows.shape[:-2], *exists.shape, rows.shape[-1])
    if exists.all():  # a view
        return rows.reshape(shape)
    zeta = np.zeros(shape, dtype=rows.dtype)
    zeta[..., exists, :] = rows
    return zeta


def even_runs(n_contexts: NDArray[np.intp]) -> list[tuple[int, int]]:
    """How many neighbouring units have equal numbers of contexts, and these numbers."""
    firsts = np.flatnonzero(np.diff(n_contexts, prepend=-1))
    lengths = np.diff(firsts, append=len(n_contexts))
    return list(zip(lengths.tolist(), n_contexts[firsts].tolist(), strict=True))


class ContextWeights:
    """Weights of units of any numbers of contexts, a row for each context that there is.

    ``np.asarray`` gives the array of its shape, zero where a unit has fewer contexts than another.
    They are added, subtracted, multiplied and divided as the array would be, in the contexts that
    there are: row by row with weights of the same numbers of contexts, and with numbers and arrays
    that are the same in all contexts of a unit, such as those of shape (n_units, 1, 1) or (n_units,
    1, n_features).

    Parameters
    ----------
    rows : array-like of shape (n_rows, n_features) or (n_outputs, n_rows, n_features)
        Weights of the contexts, unit after unit.
    n_contexts : array-like of int of shape (n_units,)
        Contexts of each unit, n_rows in all.

    Raises
    ------
    ValueError
        If the numbers of contexts are no counts of these rows.

    Attributes
    ----------
    rows, n_contexts
        The same.
    shape : tuple of int
        Outputs if there are such in the rows, units, most contexts and features.
    """

    __array_priority__ = 1000.0  # so that an array leaves its product with weights to them

    def __init__(self, rows: ArrayLike, n_contexts: ArrayLike) -> None:
        self.rows: FloatArray = np.asarray(rows)
        if self.rows.ndim not in (2, 3) or self.rows.dtype.kind not in "biuf":
            raise ValueError(
                "expected real rows of shape (n_rows, n_features) or (n_outputs, n_rows, "
                f"n_features), got dtype {self.rows.dtype} and shape {self.rows.shape}"
            )
        counts, n_rows = np.asarray(n_contexts), self.rows.shape[-2]
        is_count = counts.ndim == 1 and counts.dtype.kind in "iu" and not np.any(counts < 0)
        if not is_count or counts.sum() != n_rows:
            raise ValueError(
                f"expected n_contexts >= 0, an integer for each unit, of {n_rows} rows in all, "
                f"got {n_contexts!r}"
            )
        if self.rows.dtype.kind != "f":
            self.rows = self.rows.astype(np.float64)
        self.n_contexts: NDArray[np.intp] = counts.astype(np.intp, copy=False)

    @classmethod
    def unchecked(cls, rows: FloatArray, n_contexts: NDArray[np.intp]) -> Self:
        """Take rows and counts that fit, as a solve does at every step."""
        weights = cls.__new__(cls)
        weights.rows, weights.n_contexts = rows, n_contexts
        return weights

    @classmethod
    def from_array(cls, zeta: FloatArray, n_contexts: NDArray[np.intp] | None = None) -> Self:
        """Take the contexts that there are, by default all that there is place for."""
        if n_contexts is None:
            n_contexts = np.full(zeta.shape[-3], zeta.shape[-2])
        return cls(np.ascontiguousarray(flattened(zeta, n_contexts)), n_contexts)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        of_contexts = len(self.n_contexts), int(np.max(self.n_contexts, initial=0))
        return *self.rows.shape[:-2], *of_contexts, self.rows.shape[-1]

    def __repr__(self) -> str:
        return f"<ContextWeights of shape {self.shape}>"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, k: int) -> ContextWeights:
        """Return those of one of several outputs."""
        if self.rows.ndim < 3:
            raise TypeError(f"expected weights of several outputs, got {self!r}")
        return self.unchecked(self.rows[k], self.n_contexts)

    def __iter__(self) -> Iterator[ContextWeights]:
        return (self[k] for k in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = padded(self.rows, self.n_contexts)
        array = array if dtype is None else array.astype(dtype, copy=False)
        if copy:
            return array.copy()
        if copy is False and not np.may_share_memory(array, self.rows):
            raise ValueError("expected copy other than False, as uneven weights are no array")
        array = array.view()
        array.flags.writeable = False  # of uneven units what is written would be lost
        return array

    def resized(self, n_contexts: NDArray[np.intp]) -> ContextWeights:
        """Return the same for other numbers of contexts, zero in those to add."""
        n_contexts = np.asarray(n_contexts)
        if np.array_equal(n_contexts, self.n_contexts):
            return self
        if len(n_contexts) != len(self.n_contexts):
            raise ValueError(
                f"expected n_contexts of {len(self.n_contexts)} units, got {len(n_contexts)}"
            )
        both, units = np.minimum(n_contexts, self.n_contexts), np.arange(len(n_contexts))
        of_both = np.repeat(units, both)
        places = np.arange(len(of_both)) - _starts(both)[of_both]
        rows = np.zeros((*self.rows.shape[:-2], n_contexts.sum(), self.rows.shape[-1]))
        kept = self.rows[..., _starts(self.n_contexts)[of_both] + places, :]
        rows[..., _starts(n_contexts)[of_both] + places, :] = kept
        return self.unchecked(rows, n_contexts)

    def __add__(self, other: Any) -> ContextWeights:
        return self.unchecked(self.rows + self._of_rows(other), self.n_contexts)

    def __sub__(self, other: Any) -> ContextWeights:
        return self.unchecked(self.rows - self._of_rows(other), self.n_contexts)

    def __mul__(self, other: Any) -> ContextWeights:
        return self.unchecked(self.rows * self._of_rows(other), self.n_contexts)

    def __truediv__(self, other: Any) -> ContextWeights:
        return self.unchecked(self.rows / self._of_rows(other), self.n_contexts)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> ContextWeights:
        return self.unchecked(-self.rows, self.n_contexts)

    def __rsub__(self, other: Any) -> ContextWeights:
        return -self + other

    def __eq__(self, other: object) -> Any:
        return np.asarray(self) == np.asarray(other)

    def __ne__(self, other: object) -> Any:
        return np.asarray(self) != np.asarray(other)

    def _of_rows(self, other: Any) -> NDArray[Any]:
        """Rows of other weights, or of what is the same in all contexts of a unit."""
        if isinstance(other, ContextWeights):
            is_same = np.array_equal(other.n_contexts, self.n_contexts)
            if not is_same or other.rows.shape != self.rows.shape:
                raise ValueError(
                    f"expected weights of shape {self.shape} and {self.n_contexts} contexts, got "
                    f"shape {other.shape} and {other.n_contexts} contexts"
                )
            return other.rows
        array = np.asarray(other)
        shape = (1,) * (3 - array.ndim) + array.shape
        *of_outputs, n_units, n_contexts, n_features = self.shape
        fits = array.dtype.kind in "biuf" and len(shape) <= 3 + len(of_outputs)
        wanted = (*of_outputs, n_units, 1, n_features)[-len(shape) :]
        if not fits or any(own not in (1, full) for own, full in zip(shape, wanted, strict=True)):
            raise ValueError(
                f"expected a number, weights of {n_contexts} contexts at most for each unit, or an "
                f"array that broadcasts to {wanted}, got {type(other).__name__} of dtype "
                f"{array.dtype} and shape {array.shape}"
            )
        same = array.reshape(shape)[..., 0, :]
        return same if shape[-3] == 1 else np.repeat(same, self.n_contexts, axis=-2)

    def of_unit(self, h: int) -> FloatArray:
        """Weights of one unit, a view of shape (..., its contexts, n_features)."""
        first = int(np.sum(self.n_contexts[:h]))
        return self.rows[..., first : first + self.n_contexts[h], :]

    def parts(self) -> Iterator[FloatArray]:
        """Views of runs of units of as many contexts, (n_units, n_contexts, n_features) each."""
        first = 0
        for n_units, width in even_runs(self.n_contexts):
            rows = self.rows[first : first + n_units * width]
            yield rows.reshape(n_units, width, rows.shape[1])
            first += len(rows)


class OpenContexts:
    """Activations of units that open one context at most, as the number of that context.

    It is read as an array of bool of its shape where a function of gnorm takes activations, and
    ``np.asarray`` gives that array.

    Parameters
    ----------
    contexts : array-like of int of shape (n_samples, n_units)
        Open context of each unit, -1 for none.
    n_contexts : int or array-like of int of shape (n_units,)
        Contexts of each unit; no weights are kept for others.

    Raises
    ------
    ValueError
        If the contexts are not integers from -1 to n_contexts - 1, or of another shape.

    Attributes
    ----------
    contexts : ndarray of int of shape (n_samples, n_units)
        The same, in the least type of integers that holds them.
    n_contexts : ndarray of int of shape (n_units,)
        Contexts of each unit.
    shape : tuple of int
        Samples, units and contexts of the unit that has most.
    """

    dtype = np.dtype(bool)
    ndim = 3

    def __init__(self, contexts: ArrayLike, n_contexts: ArrayLike) -> None:
        numbers = np.asarray(contexts)
        if numbers.ndim != 2 or not np.issubdtype(numbers.dtype, np.integer):
            raise ValueError(
                "expected contexts of integers and shape (n_samples, n_units), got dtype "
                f"{numbers.dtype} and shape {numbers.shape}"
            )
        counts = np.asarray(n_contexts)
        is_count = counts.shape in ((), numbers.shape[1:]) and counts.dtype.kind in "iu"
        if not is_count or np.any(counts < 0):
            raise ValueError(
                f"expected n_contexts >= 0, an integer or one for each unit, got {n_contexts!r}"
            )
        self.n_contexts = np.broadcast_to(counts, numbers.shape[1]).astype(np.intp)
        if len(numbers):
            least, most = numbers.min(axis=0), numbers.max(axis=0)
            wrong = np.flatnonzero((least < -1) | (most >= self.n_contexts))
            if len(wrong):
                h = wrong[0]
                raise ValueError(
                    f"expected contexts from -1, for none, to {self.n_contexts[h] - 1} of unit "
                    f"{h}, got {least[h]} to {most[h]}"
                )
        width = int(np.max(self.n_contexts, initial=0))
        self.contexts = np.ascontiguousarray(numbers, dtype=np.min_scalar_type(-max(width, 1)))
        self.shape = (*numbers.shape, width)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.contexts.nbytes

    def __repr__(self) -> str:
        return f"<OpenContexts of shape {self.shape}>"

    def __len__(self) -> int:
        return len(self.contexts)

    def __getitem__(self, key: Any) -> OpenContexts:
        """Return those of some samples, or of some samples and units."""
        units = key[1] if isinstance(key, tuple) and len(key) == 2 else slice(None)
        return OpenContexts(self.contexts[key], self.n_contexts[units])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("expected copy other than False, as open contexts are no array")
        array = self.contexts[:, :, None] == np.arange(self.shape[2], dtype=self.contexts.dtype)
        return array if dtype is None else array.astype(dtype)


Activations = NDArray[np.bool_] | OpenContexts


def open_counts(activations: Activations) -> NDArray[np.unsignedinteger[Any]]:
    """How many contexts of each unit are open in each sample, (n_samples, n_units)."""
    if isinstance(activations, OpenContexts):
        return (activations.contexts >= 0).view(np.uint8)
    # a sum over an axis as short as this one takes ten times as long
    return np.einsum("nhc->nh", activations.view(np.uint8), dtype=np.uint32, casting="safe")


def opened(activations: Activations, numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Gates of contexts by their numbers in the flat list, (n_samples, len(numbers))."""
    if isinstance(activations, OpenContexts):
        starts = _starts(activations.n_contexts)
        units = np.searchsorted(starts, numbers, side="right") - 1
        own = numbers - starts[units]
        return activations.contexts[:, units] == own.astype(activations.contexts.dtype)
    return _flat(activations)[:, numbers]


def _starts(n_contexts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number of the first context of each unit in the flat list."""
    starts: NDArray[np.intp] = np.cumsum(n_contexts) - n_contexts
    return starts


def open_context(activations: Activations, unit: int) -> NDArray[np.intp] | None:
    """Open context of a unit in each sample, -1 for none; None if some sample opens several."""
    if isinstance(activations, OpenContexts):
        return activations.contexts[:, unit].astype(np.intp)
    gates, counts = activations[:, unit], open_counts(activations[:, [unit]])[:, 0]
    return np.where(counts > 0, np.argmax(gates, axis=1), -1) if np.all(counts <= 1) else None


def _flat(activations: NDArray[np.bool_]) -> NDArray[np.bool_]:
    n_samples, n_units, n_contexts = activations.shape
    return activations.reshape(n_samples, n_units * n_contexts)  # also of no samples


def side_by_side(parts: Sequence[Activations]) -> Activations:
    """Activations of the units of several gates."""
    coded = [part for part in parts if isinstance(part, OpenContexts)]
    if len(coded) == len(parts):
        contexts = np.hstack([part.contexts for part in coded])
        return OpenContexts(contexts, np.concatenate([part.n_contexts for part in coded]))
    n_contexts = max(part.shape[2] for part in parts)
    units = [part.shape[1] for part in parts]
    joined = np.zeros((len(parts[0]), sum(units), n_contexts), dtype=bool)
    for first, part in zip(np.cumsum(units) - units, parts, strict=True):
        joined[:, first : first + part.shape[1], : part.shape[2]] = part
    return joined


def evened(activations: Activations) -> Activations:
    """Activations with as many contexts of each unit as the largest; those to add never open."""
    if isinstance(activations, OpenContexts) and np.ptp(activations.n_contexts):
        return OpenContexts(activations.contexts, activations.shape[2])
    return activations


class Gating:
    r"""Gates of samples, a flat list of contexts in place of units times contexts.

    The contexts of a unit follow one another, and those of the next unit follow them. Weights and
    sums are rows of this list, see :func:`flattened`.

    Parameters
    ----------
    activations : ndarray of bool or OpenContexts of shape (n_samples, n_units, n_contexts)
        Open gates.

    Attributes
    ----------
    shape : tuple of int
        Shape of the activations.
    n_contexts : ndarray of int of shape (n_units,)
        Contexts of each unit, n_rows in all.
    units : ndarray of int of shape (n_rows,)
        Unit of each context.
    counts : ndarray of int of shape (n_rows,)
        In how many samples each context is open.
    columns : ndarray of int
        Contexts that are open in many samples.
    gates : ndarray of bool of shape (n_samples, n_columns)
        Their gates.
    rare : CSR matrix of shape (n_samples, n_rows) or None
        1 where a context is open that is open in few samples; None if there are no such.
    """

    def __init__(self, activations: Activations) -> None:
        self.shape = activations.shape
        self._activations = activations
        self.n_contexts = context_counts(activations)
        self.units = np.repeat(np.arange(len(self.n_contexts)), self.n_contexts)
        self.counts = _counts(activations)
        is_rare = self.counts <= _RARE * len(activations)
        self.columns = np.flatnonzero(~is_rare)
        if is_rare.any() or isinstance(activations, OpenContexts):
            self.gates = opened(activations, self.columns)
        else:  # all of them, without a copy
            self.gates = _flat(activations)
        self.rare = _lists(activations, is_rare & (self.counts > 0))

    def __getitem__(self, rows: Any) -> Gating:
        """Return the gates of some samples, in the same columns and lists."""
        part, is_one_hot = copy(self), self.is_one_hot
        part.gates = self.gates[rows]
        part.rare = None if self.rare is None else self.rare[rows]
        part.shape = (len(part.gates), *self.shape[1:])
        part.__dict__["is_one_hot"] = is_one_hot  # of all, so that it holds for these
        return part

    @cached_property
    def is_even(self) -> bool:
        """Whether units have equal numbers of contexts."""
        return bool(np.all(self.n_contexts == self.shape[2]))

    @cached_property
    def is_one_hot(self) -> bool:
        """Whether exactly one context of each unit is on."""
        if np.any(np.bincount(self.units, self.counts, self.shape[1]) != self.shape[0]):
            return False
        if isinstance(self._activations, OpenContexts):
            return True
        # As many as samples in each unit, so that one in each sample is to have none twice: bytes,
        # which may overflow to zero, in place of numbers of open contexts.
        return bool(np.all(np.einsum("nhc->nh", self._activations.view(np.uint8))))

    @cached_property
    def opens_one(self) -> bool:
        """Whether each unit opens one context at most in a sample."""
        return self.is_one_hot or bool(np.all(open_counts(self._activations) <= 1))

    @cached_property
    def open(self) -> NDArray[np.intp]:
        """Contexts that are open in some sample."""
        return np.flatnonzero(self.counts)

    @cached_property
    def references(self) -> NDArray[np.intp]:
        """The last open context of each unit of one-hot gates, known from the others."""
        references = np.zeros(self.shape[1], dtype=np.intp)
        references[self.units[self.open]] = self.open  # of several assigned the last stays
        return references

    def values(self, X: Any, weights: Floats) -> FloatArray:
        r"""Compute :math:`\sum_{hc} g_{hc}(x_n) \langle \zeta_{hc}, x_n \rangle`."""
        shared = None
        if self.shape[2] > 1 and self.is_one_hot:
            # What the reference of a unit adds is there for all samples, and the other contexts
            # differ from it, so that it needs no product of its own.
            shared = weights[self.references]
            weights = weights - shared[self.units]
        values = np.zeros(self.shape[0]) if shared is None else X @ shared.sum(axis=0)
        for rows, is_open, responses in self._products(X, weights[self.columns]):
            values[rows] += np.einsum("nk,nk->n", is_open, responses)
        if self.rare is not None:
            for rows in row_blocks(self.shape[0], X.shape[1]):
                values[rows] += _row_sums(X[rows], self.rare[rows] @ weights)
        return values

    def values_by_unit(self, X: Any, weights: Floats) -> FloatArray:
        r"""Compute :math:`\sum_c g_{hc}(x_n) \langle \zeta_{hc}, x_n \rangle`, (n_samples, H)."""
        n_samples, n_units, n_contexts = self.shape
        live = self.columns[weights[self.columns].any(axis=1)]
        units, starts = np.unique(self.units[live], return_index=True)
        values = np.zeros((n_samples, n_units))
        for rows, is_open, responses in self._products(X, weights[self.columns]):
            if len(live) == len(units) * n_contexts:  # of even units a contraction is faster
                shape = (len(responses), len(units), n_contexts)
                of_units = np.einsum(
                    "nhc,nhc->nh", is_open.reshape(shape), responses.reshape(shape)
                )
            else:
                responses *= is_open
                of_units = np.add.reduceat(responses, starts, axis=1)
            values[rows, units] = of_units
        if self.rare is not None:
            for rows in row_blocks(n_samples, 2 * n_units * X.shape[1]):
                lists = self.rare[rows].tocoo()
                terms = _row_sums(X[rows][lists.row], weights[lists.col])
                place = lists.row * n_units + self.units[lists.col]
                size = lists.shape[0] * n_units
                values[rows] += np.bincount(place, terms, size).reshape(-1, n_units)
        return values

    def sums(self, X: Any, coef: Floats) -> FloatArray:
        r"""Compute :math:`\sum_n a_n g_{hc}(x_n) x_n`, (n_rows, n_features)."""
        total = np.zeros((len(self.counts), X.shape[1]))
        of_columns = np.zeros((len(self.columns), X.shape[1]))
        support = np.flatnonzero(coef)
        is_whole = len(support) == len(coef)  # then plain slices, which copy nothing
        weighs_inputs = X.shape[1] < len(of_columns) and not sparse.issparse(X)  # the narrower ones
        for block in row_blocks(len(support), _CACHED * max(of_columns.shape)):
            rows = block if is_whole else support[block]
            open_gates, inputs = self.gates[rows].astype(coef.dtype), X[rows]
            if weighs_inputs:
                inputs = inputs * coef[rows, None]
            else:
                open_gates *= coef[rows, None]
            of_columns += open_gates.T @ inputs
        total[self.columns] = of_columns
        if self.rare is not None:
            added = (sparse.diags(coef[support]) @ self.rare[support]).T @ X[support]
            total += added.toarray() if sparse.issparse(added) else added
        return total

    def _products(
        self, X: Any, weights: Floats
    ) -> Iterator[tuple[slice, NDArray[np.bool_], Floats]]:
        """Per block of samples its rows, the gates of the columns, and their products with X.

        Columns whose weights are all zero are left out.
        """
        is_live = weights.any(axis=1)
        weights = weights[is_live].T
        if weights.shape[1] == 0:
            return
        if sparse.issparse(X):
            weights = np.ascontiguousarray(weights)  # else scipy copies it again for every block
        for rows in row_blocks(X.shape[0], max(weights.shape)):
            gates = self.gates[rows]
            yield rows, gates if is_live.all() else gates[:, is_live], X[rows] @ weights


def context_counts(activations: Activations) -> NDArray[np.intp]:
    """Contexts of each unit, of an array all that there is place for."""
    if isinstance(activations, OpenContexts):
        return activations.n_contexts
    n_units, width = activations.shape[1:]
    return np.full(n_units, width)


def _counts(activations: Activations) -> NDArray[np.intp]:
    """In how many samples each context is open."""
    if isinstance(activations, OpenContexts):
        each = [  # the first for none
            np.bincount(own + 1, minlength=size + 1)[1:]
            for own, size in zip(_by_unit(activations), activations.n_contexts, strict=True)
        ]
        return np.concatenate([np.empty(0, dtype=np.intp), *each])  # also of no units
    return np.count_nonzero(_flat(activations), axis=0)


def _lists(activations: Activations, is_listed: NDArray[np.bool_]) -> Any:
    """Open gates of some contexts as a CSR matrix over all of them, None of none."""
    if not is_listed.any():
        return None
    if isinstance(activations, OpenContexts):
        starts = _starts(activations.n_contexts)
        is_there = np.empty(activations.contexts.shape, dtype=bool)
        for h, own in enumerate(_by_unit(activations)):
            of_unit = is_listed[starts[h] : starts[h] + activations.n_contexts[h]]
            is_there[:, h] = np.append(of_unit, False)[own]  # -1, for none, is the last
        rows, units = np.nonzero(is_there)
        columns = starts[units] + activations.contexts[rows, units]
    else:
        contexts = np.flatnonzero(is_listed)
        rows, places = np.nonzero(opened(activations, contexts))
        columns = contexts[places]
    ends = np.searchsorted(rows, np.arange(len(activations) + 1))
    shape = len(activations), len(is_listed)
    return sparse.csr_matrix((np.ones(len(rows)), columns, ends), shape=shape)


def _by_unit(activations: OpenContexts) -> Iterator[NDArray[np.intp]]:
    """Open contexts of one unit after another."""
    return (own.astype(np.intp) for own in activations.contexts.T)


def _row_sums(X: Any, weights: Floats) -> Floats:
    """Inner products of rows."""
    if sparse.issparse(X):
        return np.asarray(X.multiply(weights).sum(axis=1)).ravel()
    return np.einsum("nd,nd->n", X, weights)
