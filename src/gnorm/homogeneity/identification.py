r"""The dilation under which a function is homogeneous, from its values.

Euler's identity :math:`\langle G x, \nabla f(x) \rangle = \nu f(x)` is linear in the unknowns
:math:`\theta = (G, \nu)`: each point gives one equation :math:`a^\top \theta = 0`. The solutions
are the null space of the equations. They form a linear space, since the generators of all groups
that only scale f do: with :math:`(G, \nu)` also :math:`(c G, c \nu)` is one, and that freedom is
removed by a normalisation. If two or more dimensions are left, no data can tell which dilation is
meant: of :math:`f(x) = x_1 x_2` every :math:`G = \operatorname{diag}(a, b)` is a generator, with
:math:`\nu = a + b`. (In physics each unit of measurement is such a dimension.)

Gradients that are estimated have errors, which enter the equations on their left side, so that
ordinary least squares is biased. With M the second moments of the equations and N the part of the
errors in them, :math:`\theta` minimises :math:`\theta^\top M \theta / \theta^\top N \theta`, a
generalised eigenvalue problem: total least squares with a known noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh
from sklearn.base import clone
from sklearn.utils import check_array
from sklearn.utils.validation import has_fit_parameter

from gnorm.homogeneity.dilation import Dilation
from gnorm.homogeneity.evaluation import FloatArray, Function, check_rows, evaluate, gradient
from gnorm.homogeneity.local_fit import LocalFit, fit_locally, merge_samples

__all__ = ["FoundDilation", "find_dilation"]

STRUCTURES = ("auto", "diagonal", "full")
# Of the terms of Euler's identity: a singular value is the root of an eigenvalue, whose rounding of
# 1e-16 makes it 1e-8; what difference quotients leave is less.
_FLOOR = 1e-7
# Of the largest noise: less in another direction is rounding of the sums, and may be negative.
_ROUNDING = 1e-12
# Largest residual of a homogeneous function, relative to the terms: of a function that can be
# evaluated, and of samples, whose local fits leave that much where the function is curved.
_TOL_FUNCTION = 1e-6
_TOL_SAMPLES = 0.05  # what the curvature between neighbours leaves of a smooth function
# Rounding of a trace of size 1.
_ZERO = 1e-10


@dataclass(frozen=True, eq=False)
class FoundDilation:
    r"""A generator and a degree that fit Euler's identity, and what is known about them.

    Attributes
    ----------
    generator : ndarray of shape (n_features, n_features)
        Generator G, normalised: to the given degree, or else to the trace of the identity.
    degree : float or ndarray of shape (n_outputs,)
        Degree :math:`\nu`, of each output if there is an axis of them.
    generator_std : ndarray of shape (n_features, n_features)
        Standard errors of the generator's entries, from the residuals; infinite where the dilation
        is not identifiable. For samples they rather overstate the error, since fits that overlap
        are taken to have one error; but a bias of the local fits is not in them.
    degree_std : float or ndarray of shape (n_outputs,)
        Standard errors of the degrees.
    dilation : Dilation or None
        The dilation; None if the generator has an eigenvalue without positive real part.
    residual : float
        Root mean square of :math:`\langle G x, \nabla f \rangle - \nu f` relative to its terms.
    noise : float
        The same from the errors of the gradients alone.
    is_homogeneous : bool
        Whether the residual is at most `tol`, or twice the noise.
    is_identifiable : bool
        Whether the null space has one dimension, so that the normalised dilation is unique.
    family : ndarray of shape (n_family, n_features, n_features)
        Basis of the generators that fit alike.
    family_degrees : ndarray of shape (n_family,) or (n_family, n_outputs)
        Their degrees.
    singular_values : ndarray of shape (n_unknowns,)
        Root mean square of the equations along each direction of the unknowns, rising; 1 is the
        noise, or a floor of 1e-7 where there is none.
    structure : str
        "diagonal" or "full", the kind of generator that was fitted.
    """

    generator: FloatArray
    degree: float | FloatArray
    generator_std: FloatArray
    degree_std: float | FloatArray
    dilation: Dilation | None
    residual: float
    noise: float
    is_homogeneous: bool
    is_identifiable: bool
    family: FloatArray
    family_degrees: FloatArray
    singular_values: FloatArray
    structure: str

    @property
    def weights(self) -> FloatArray:
        """Diagonal of the generator, of shape (n_features,)."""
        return np.diag(self.generator).copy()

    @property
    def weights_std(self) -> FloatArray:
        """Standard errors of the diagonal, of shape (n_features,)."""
        return np.diag(self.generator_std).copy()

    def __str__(self) -> str:
        if not self.is_homogeneous:
            text = f"not homogeneous under any {self.structure} dilation"
            if self.residual <= _TOL_FUNCTION:
                return f"{text} of the given degree, only with degree 0"
            return f"{text}: residual {self.residual:.2g} of the terms"
        if self.structure == "diagonal":
            pairs = zip(self.weights, self.weights_std, strict=True)
            text = "weights " + ", ".join(_with_error(*pair) for pair in pairs)
        else:
            rounded = self.generator.round(4) + 0.0  # no negative zeros
            text = f"generator {rounded.tolist()}"
        degrees = zip(np.atleast_1d(self.degree), np.atleast_1d(self.degree_std), strict=True)
        text += "; degree " + ", ".join(_with_error(*pair) for pair in degrees)
        if not self.is_identifiable:
            text += f"; one of a family of {len(self.family)} dimensions"
        if self.dilation is None:
            text += "; no dilation, since an eigenvalue of this generator has no positive real part"
        return text


def find_dilation(
    func: Function | ArrayLike,
    X: ArrayLike,
    *,
    degree: ArrayLike | None = None,
    gradient: Function | None = None,
    structure: str = "auto",
    vector_field: bool = False,
    surrogate: Any = None,
    sample_weight: ArrayLike | None = None,
    tol: float | None = None,
) -> FoundDilation:
    r"""Find the generator and the degree under which a function, or a data set, is homogeneous.

    Least squares on :math:`\langle G x, \nabla f(x) \rangle = \nu f(x)`, each equation relative to
    the size of its terms. A diagonal generator is tried first. A dilation has a scale of its own:
    G and :math:`\nu` can be multiplied by one number. They are normalised to the given degree, or
    to :math:`\operatorname{tr} G = n`, that of plain scaling. Where a family fits, the answer is
    the member nearest to plain scaling, and says so; it need not be a dilation where others are.

    Parameters
    ----------
    func : callable, or array-like of shape (n_samples,) or (n_samples, n_outputs)
        Function of rows; or its values at X, when gradients come from local fits of polynomials to
        the nearest samples, or from `surrogate`.
    X : array-like of shape (n_samples, n_features)
        Points.
    degree : float or array-like of shape (n_outputs,), default=None
        Degree, if it is known; None finds it.
    gradient : callable, default=None
        Gradients of a callable `func`, from X to shape (n_samples, n_features) or (n_samples,
        n_outputs, n_features); None takes difference quotients, and leaves out kinks.
    structure : {"auto", "diagonal", "full"}, default="auto"
        Kind of generator. "auto" takes the full one only if it fits so much better than a diagonal
        one that its further unknowns pay, by the Bayesian information criterion.
    vector_field : bool, default=False
        Whether the outputs are a vector that is moved along,
        :math:`f(d(s) x) = e^{\nu s} d(s) f(x)`; as many outputs as features then.
    surrogate : estimator, default=None
        Smooth regressor that is fitted to samples, and whose gradients are taken.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights; an integer weight counts as that many copies.
    tol : float, default=None
        Largest relative residual of a homogeneous function; None takes 1e-6 for a callable, and
        0.05 for samples.

    Returns
    -------
    FoundDilation
        Generator, degree, error bars and verdicts.

    Raises
    ------
    ValueError
        If shapes do not fit, an option is none of those above, or there are fewer points than
        unknowns.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.homogeneity import find_dilation
    >>> X = np.random.default_rng(0).uniform(1, 2, size=(300, 2))
    >>> head = lambda X: X[:, 0] + X[:, 1] ** 2 / (2 * 9.81)  # height and speed
    >>> print(find_dilation(head, X, degree=2))
    weights 2.0000 +- ..., 1.0000 +- ...; degree 2
    >>> print(find_dilation(head(X), X, degree=2))  # from the samples alone
    weights 2.00... +- ..., 1.00... +- ...; degree 2
    >>> print(find_dilation(lambda X: X[:, 0] * X[:, 1], X))
    weights 1.0000, 1.0000; degree 2.0000; one of a family of 2 dimensions
    """
    if structure not in STRUCTURES:
        raise ValueError(f"expected structure as one of {STRUCTURES}, got {structure!r}")
    X = check_rows(X)
    weights = check_sample_weight(sample_weight, len(X))
    points, one_axis = _known_at(func, X, gradient, surrogate, weights)
    n_outputs = points.values.shape[1]
    if vector_field and n_outputs != X.shape[1]:
        raise ValueError(
            f"expected a vector field with as many outputs as the {X.shape[1]} features, got "
            f"{n_outputs}"
        )
    if degree is None:
        ratios = np.eye(n_outputs)  # a degree for each output
        if vector_field:
            ratios = np.ones((n_outputs, 1))
    else:
        degrees = np.asarray(degree, dtype=np.float64)
        if degrees.shape not in ((), (n_outputs,)) or not np.isfinite(degrees).all():
            raise ValueError(f"expected a finite degree or {n_outputs} of them, got {degree!r}")
        ratios = np.broadcast_to(degrees, n_outputs).reshape(-1, 1)
    if tol is None:
        tol = _TOL_FUNCTION if callable(func) else _TOL_SAMPLES
    problem = _Problem(points, ratios, degree is not None, vector_field, one_axis, tol)
    if structure != "auto":
        return problem.solve(structure)
    found = problem.solve("diagonal")
    if not problem.has_enough_for("full"):
        return found
    full = problem.solve("full")
    return full if problem.prefers(full, found) else found


class _Problem:
    """Equations of one data set, for generators of either structure.

    Features are in units of their root mean square, so that the answer does not depend on units.
    """

    def __init__(
        self,
        points: LocalFit,
        ratios: FloatArray,
        is_given: bool,
        vector_field: bool,
        one_axis: bool,
        tol: float,
    ) -> None:
        self.unit = np.sqrt(np.average(points.points**2, axis=0, weights=points.weights))
        self.unit[self.unit == 0] = 1.0
        self.ratios, self.is_given = ratios, is_given
        self.vector_field, self.one_axis, self.tol = vector_field, one_axis, tol
        X = points.points / self.unit
        values = points.values / self.unit if vector_field else points.values
        output_unit = self.unit if vector_field else np.ones(values.shape[1])
        gradients = points.gradients * self.unit / output_unit[:, None]
        scale = np.append(self.unit, 1.0)
        noise = points.covariances * (scale[:, None] * scale) / output_unit[:, None, None] ** 2
        size = np.sqrt(
            (X**2).sum(axis=1)[:, None] * (gradients**2).sum(axis=2)
            + (values**2 if not vector_field else (values**2).sum(axis=1)[:, None])
        )
        if not size.any():
            raise ValueError("expected a function that is not zero everywhere, got zeros only")
        self.X, self.overlap = X, points.overlap
        self.values, self.gradients = values, gradients
        # every equation relative to its terms, and weighted as the sample is; where the function
        # and its gradient are zero there is none
        weights = np.sqrt(points.weights / points.weights.mean())[:, None]
        self.factor = np.where(size > 0, weights / np.where(size > 0, size, 1.0), 0.0)
        self.noise = noise * (self.factor**2)[:, :, None, None]

    def has_enough_for(self, structure: str) -> bool:
        d = self.X.shape[1]
        n_equations = np.count_nonzero(self.factor)
        return bool(n_equations >= self._n_unknowns(structure) and (structure != "full" or d > 1))

    def prefers(self, full: FoundDilation, diagonal: FoundDilation) -> bool:
        """Whether the full generator fits so much better that its further unknowns pay (BIC)."""
        n_independent = np.count_nonzero(self.factor) / self.overlap
        # in units of the noise: what is below it is fitted already
        misfits = [max(1.0, found.singular_values[0]) for found in (diagonal, full)]
        n_further = self._n_unknowns("full") - self._n_unknowns("diagonal")
        gain = 2.0 * n_independent * np.log(misfits[0] / misfits[1])
        return bool(gain > n_further * np.log(max(n_independent, 1.0)))

    def _n_unknowns(self, structure: str) -> int:
        d = self.X.shape[1]
        return (d if structure == "diagonal" else d * d) + self.ratios.shape[1]

    def equations(self, structure: str) -> tuple[FloatArray, FloatArray]:
        """Rows of shape (n_points, n_outputs, n_unknowns), and the noise in their moments."""
        X, d = self.X, self.X.shape[1]
        n, n_outputs = self.values.shape
        index = np.arange(d)
        if structure == "diagonal":
            terms = self.gradients * X[:, None]
            if self.vector_field:
                terms[:, index, index] -= self.values
        else:
            terms = self.gradients[:, :, :, None] * X[:, None, None]
            if self.vector_field:
                terms[:, index, index] -= self.values[:, None]
            terms = terms.reshape(n, n_outputs, d * d)
        degrees = -self.values[:, :, None] * self.ratios
        rows = np.concatenate([terms, degrees], axis=2) * self.factor[:, :, None]

        # an error (e, e_f) of gradient and value changes an equation by <Gx, e> - nu e_f
        of_gradient, mixed = self.noise[:, :, :d, :d], self.noise[:, :, :d, d]
        if structure == "diagonal":
            block = np.einsum("noij,ni,nj->ij", of_gradient, X, X)
            cross = -np.einsum("noi,ni,oq->iq", mixed, X, self.ratios)
        else:
            block = np.empty((d, d, d, d))
            for i, j in np.ndindex(d, d):
                block[i, :, j] = X.T @ (X * of_gradient[:, :, i, j].sum(axis=1)[:, None])
            block = block.reshape(d * d, d * d)
            cross = -np.einsum("noi,nk,oq->ikq", mixed, X, self.ratios).reshape(d * d, -1)
        corner = np.einsum("no,oq,or->qr", self.noise[:, :, d, d], self.ratios, self.ratios)
        return rows, np.block([[block, cross], [cross.T, corner]])

    def solve(self, structure: str) -> FoundDilation:
        """Smallest generalised eigenvalues, the family that they span, and its representative."""
        n_unknowns = self._n_unknowns(structure)
        rows, noise = self.equations(structure)
        rows = rows[self.factor > 0]
        n_rows = len(rows)
        if n_rows < n_unknowns:
            raise ValueError(
                f"expected at least {n_unknowns} equations for a {structure} generator and its "
                f"degree, got {n_rows}"
            )
        moments = rows.T @ rows / n_rows
        noise = noise / n_rows
        noise += (_FLOOR**2 + _ROUNDING * np.trace(noise)) * np.eye(n_unknowns)
        # a degree that is known to be zero has no equation and no unknown
        free = np.ones(n_unknowns, dtype=bool)
        if self.is_given and not self.ratios.any():
            free[-1] = False
        eigenvalues, vectors = eigh(moments[np.ix_(free, free)], noise[np.ix_(free, free)])
        singular_values = np.sqrt(np.maximum(eigenvalues, 0.0))
        # the spread of singular values of pure noise (Marchenko and Pastur): what is within it of
        # the smallest cannot be told from it
        shape = min(0.9, np.sqrt(self.overlap * n_unknowns / n_rows))
        spread = (1.0 + shape) / (1.0 - shape)
        n_family = int((singular_values <= spread * max(1.0, singular_values[0])).sum())
        family = np.zeros((n_unknowns, n_family))
        family[free] = vectors[:, :n_family]
        family /= np.linalg.norm(family, axis=0)

        theta, normal, is_normalized = self._representative(family, structure)
        # a constant has no terms if its degree is known to be 0: nothing is left of nothing
        terms = np.sqrt((rows**2 @ theta**2).mean()) or 1.0
        residual = float(np.sqrt(np.square(rows @ theta).mean()) / terms)
        expected = float(np.sqrt(theta @ noise @ theta) / terms)
        stds = np.full(n_unknowns, np.inf)
        if n_family == 1:
            excess = moments - eigenvalues[0] * noise
            # an error that all fits share shows in no residual: at least the noise that is known
            variances = np.maximum(np.square(rows @ theta), theta @ noise @ theta)
            stds = self._standard_errors(rows, excess, variances, theta, normal, free)
        generator = self._matrix(theta, structure)
        first = n_unknowns - self.ratios.shape[1]
        degrees, degrees_std = self._degrees(theta[first:], stds[first:], is_normalized)
        is_dilation = bool(np.linalg.eigvals(generator).real.min() > _ZERO)
        diagonal = structure == "diagonal"
        scalar = self.one_axis or self.vector_field
        family_degrees = self.ratios @ family[first:]
        return FoundDilation(
            generator=generator,
            degree=float(degrees[0]) if scalar else degrees,
            generator_std=self._matrix(stds, structure),
            degree_std=float(degrees_std[0]) if scalar else degrees_std,
            dilation=Dilation(np.diag(generator) if diagonal else generator)
            if is_dilation
            else None,
            residual=residual,
            noise=expected,
            is_homogeneous=is_normalized and residual <= max(self.tol, 2.0 * expected),
            is_identifiable=n_family == 1,
            family=np.stack([self._matrix(member, structure) for member in family.T]),
            family_degrees=family_degrees[0] if scalar else family_degrees.T,
            singular_values=singular_values,
            structure=structure,
        )

    def _degrees(
        self, theta: FloatArray, stds: FloatArray, is_normalized: bool
    ) -> tuple[FloatArray, FloatArray]:
        """Degrees of the outputs and their standard errors; a field has one for all."""
        degrees = self.ratios @ theta
        if self.is_given:
            degrees = self.ratios[:, 0] if is_normalized else degrees
            stds = np.zeros(len(degrees))
        n_degrees = 1 if self.vector_field else len(degrees)
        return degrees[:n_degrees], stds[:n_degrees]

    def _representative(
        self, family: FloatArray, structure: str
    ) -> tuple[FloatArray, FloatArray, bool]:
        """Member of the family nearest to plain scaling, its normalisation, and whether it is."""
        d, n_unknowns = self.X.shape[1], len(family)
        identity = np.zeros(n_unknowns)
        identity[: n_unknowns - self.ratios.shape[1]] = (
            np.ones(d) if structure == "diagonal" else np.eye(d).ravel()
        )
        normal, target = identity, float(d)
        if self.is_given and self.ratios.any():
            normal, target = np.zeros(n_unknowns), 1.0
            normal[-1] = 1.0
        across = normal @ family
        if np.abs(across).max() <= _ZERO:
            # no member can be: the first, at the length of the identity. A trace of zero is that of
            # no dilation, a degree of zero is not the given one
            theta = family[:, 0] * np.sqrt(d)
            return theta, theta / (theta @ theta), not self.is_given
        # least |G - I| subject to the normalisation, by its optimality conditions
        generators = family.copy()
        generators[n_unknowns - self.ratios.shape[1] :] = 0.0
        system = np.block(
            [[generators.T @ generators, across[:, None]], [across[None], np.zeros((1, 1))]]
        )
        right = np.append(generators.T @ identity, target)
        coef = np.linalg.lstsq(system, right, rcond=None)[0][:-1]
        return family @ coef, normal / target, True

    def _standard_errors(
        self,
        rows: FloatArray,
        excess: FloatArray,
        variances: FloatArray,
        theta: FloatArray,
        normal: FloatArray,
        free: Any,
    ) -> FloatArray:
        """Roots of the diagonal of the sandwich estimate, from a variance of each equation.

        Fits that overlap have errors in common. They are taken for equal, which is the worst case.
        """
        values, vectors = eigh(excess[np.ix_(free, free)])
        inverse = (vectors[:, 1:] / values[1:]) @ vectors[:, 1:].T
        part = rows[:, free]
        n_rows = len(rows)
        correction = self.overlap / max(1, n_rows - free.sum()) / n_rows
        inner = inverse @ (part.T @ (part * variances[:, None]) * correction) @ inverse
        # the normalisation moves the solution along itself
        along = np.eye(len(inner)) - np.outer(theta[free], normal[free])
        stds = np.zeros(len(theta))
        stds[free] = np.sqrt(np.maximum(np.diag(along @ inner @ along.T), 0.0))
        return stds

    def _matrix(self, theta: FloatArray, structure: str) -> FloatArray:
        """Generator in the features' own units."""
        d = self.X.shape[1]
        if structure == "diagonal":
            return np.diag(theta[:d])
        return theta[: d * d].reshape(d, d) * self.unit[:, None] / self.unit


def _known_at(
    func: Function | ArrayLike,
    X: FloatArray,
    gradient_of: Function | None,
    surrogate: Any,
    weights: FloatArray,
) -> tuple[LocalFit, bool]:
    """Values and gradients at points, and whether there is no axis of outputs."""
    if callable(func):
        if surrogate is not None:
            raise ValueError("expected samples for a surrogate to learn from, got a function")
        return _evaluated(func, X, gradient_of, weights)
    y = check_array(func, dtype=np.float64, ensure_2d=False, input_name="func")
    if y.ndim > 2 or len(y) != len(X):
        raise ValueError(
            f"expected a function, or values of shape ({len(X)},) or ({len(X)}, n_outputs), got "
            f"shape {y.shape}"
        )
    if gradient_of is not None:
        raise ValueError("expected a function with the gradient, got its values")
    if surrogate is not None:
        options = {} if (weights == 1).all() else {"sample_weight": weights}
        if options and not has_fit_parameter(surrogate, "sample_weight"):
            raise ValueError(
                "expected a surrogate whose fit takes sample_weight, got "
                f"{type(surrogate).__name__}"
            )
        model = clone(surrogate).fit(X, y, **options)
        return _evaluated(model.predict, X, None, weights)
    merged = merge_samples(X, y.reshape(len(X), -1), weights)
    return fit_locally(*merged), y.ndim == 1


def _evaluated(
    func: Function, X: FloatArray, gradient_of: Function | None, weights: FloatArray
) -> tuple[LocalFit, bool]:
    X, weights = X[weights > 0], weights[weights > 0]
    values = evaluate(func, X)
    n_features = X.shape[1]
    columns = values.reshape(len(X), -1)
    if gradient_of is None:
        gradients, kinks = gradient(func, X)
        if kinks.all():
            raise ValueError("expected points at which the function is smooth, got kinks only")
        X, weights = X[~kinks], weights[~kinks]
        columns, gradients = columns[~kinks], gradients[~kinks]
    else:
        gradients = np.asarray(gradient_of(X), dtype=np.float64)
        if gradients.shape != (*values.shape, n_features):
            raise ValueError(
                f"expected gradients of shape {(*values.shape, n_features)}, got {gradients.shape}"
            )
        gradients = gradients.reshape(len(X), -1, n_features)
    covariances = np.zeros((*columns.shape, n_features + 1, n_features + 1))
    return LocalFit(X, columns, gradients, covariances, weights, 1.0), values.ndim == 1


def check_sample_weight(sample_weight: ArrayLike | None, n_samples: int) -> FloatArray:
    """Return sample weights as an array, 1 for each sample of None.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or None
        The weights.
    n_samples : int
        How many there are to be.

    Returns
    -------
    ndarray of shape (n_samples,)
        The weights in float64.

    Raises
    ------
    ValueError
        If they are of another shape, not finite, negative, or all zero.
    """
    if sample_weight is None:
        return np.ones(n_samples)
    weights: FloatArray = check_array(
        sample_weight, dtype=np.float64, ensure_2d=False, input_name="sample_weight"
    )
    if weights.shape != (n_samples,) or weights.min() < 0 or not weights.any():
        raise ValueError(
            f"expected {n_samples} sample weights that are not negative, nor all zero, got "
            f"{sample_weight!r}"
        )
    return weights


def _with_error(value: float, std: float) -> str:
    if std <= _ZERO:  # normalised to this value
        return f"{value:g}"
    text = f"{round(value, 4) + 0.0:.4f}"  # no negative zero
    return text if np.isinf(std) else f"{text} +- {std:.1g}"
