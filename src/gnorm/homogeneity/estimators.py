r"""Estimators that learn on the unit sphere of a dilation and are extended to all of space.

A homogeneous function is known everywhere once it is known on the sphere:
:math:`f(x) = \|x\|_d^\nu \, f(\pi(x))`. So any estimator g that is fitted on the sphere gives one,

.. math:: h(x) = \|x\|_d^\nu \, g(\pi(x)),

and its error is known as well: if :math:`|g - f| \le \epsilon` on the sphere, then
:math:`|h - f| \le \epsilon \|x\|_d^\nu` everywhere; data that a dilation d(s) moves have
:math:`e^{2 \nu s}` times the squared error, exactly.

References
----------
.. [1] A. Polyakov (2023). Homogeneous artificial neural network. arXiv:2311.17973.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, has_fit_parameter, validate_data

from gnorm.homogeneity.dilation import Dilation
from gnorm.homogeneity.evaluation import FloatArray
from gnorm.homogeneity.identification import check_sample_weight, find_dilation
from gnorm.homogeneity.local_fit import samples_needed

__all__ = ["HomogeneityWarning", "HomogeneousClassifier", "HomogeneousRegressor"]

# Logarithm of the largest number, and nearly minus that of the smallest of full precision.
_LOG_LARGEST = float(np.log(np.finfo(np.float64).max))
WEIGHTINGS = ("sphere", "space")
DilationLike: TypeAlias = (
    "Dilation | ArrayLike | Callable[[int], Dilation | ArrayLike] | str | None"
)


_Method = TypeVar("_Method", bound=Callable[..., Any])


class HomogeneityWarning(UserWarning):
    """A dilation was to be estimated, and the samples do not say which."""


class _OnSphere(MetaEstimatorMixin, BaseEstimator):
    """Dilation, projection and delegation: what regressor and classifier have in common."""

    estimator: Any
    dilation: Any
    estimator_: Any
    dilation_: Dilation

    def _find_dilation(
        self, X: FloatArray, y: FloatArray, weights: FloatArray | None, **options: Any
    ) -> Dilation:
        """Dilation that the parameter asks for."""
        n_features = X.shape[1]
        chosen = self.dilation
        if isinstance(chosen, str):
            if chosen != "estimate":
                raise ValueError(f"expected dilation='estimate', got {chosen!r}")
            return _estimated(X, y, weights, **options)
        if callable(chosen) and not isinstance(chosen, Dilation):
            chosen = chosen(n_features)
        if chosen is None:
            return Dilation.standard(n_features)
        dilation = chosen if isinstance(chosen, Dilation) else Dilation(chosen)
        if dilation.n_features != n_features:
            raise ValueError(
                f"expected a dilation of {n_features} features, as X has, got one of "
                f"{dilation.n_features}"
            )
        return dilation

    def _decompose(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Logarithms of the norm and points on the sphere; zero stays zero, with norm 0."""
        logs, sphere = np.full(len(X), -np.inf), np.zeros_like(X)
        nonzero = X.any(axis=1)
        if nonzero.any():
            logs[nonzero], sphere[nonzero] = self.dilation_.decompose(X[nonzero])
        return logs, sphere

    def _fit_inner(self, sphere: FloatArray, target: Any, weights: FloatArray | None) -> None:
        self.estimator_ = clone(self.estimator)
        if weights is None:
            self.estimator_.fit(sphere, target)
            return
        if not has_fit_parameter(self.estimator_, "sample_weight"):
            raise ValueError(
                "expected an estimator whose fit takes sample_weight, got "
                f"{type(self.estimator_).__name__}"
            )
        self.estimator_.fit(sphere, target, sample_weight=weights)

    def _on_sphere(self, X: ArrayLike) -> tuple[FloatArray, FloatArray]:
        check_is_fitted(self)
        return self._decompose(validate_data(self, X, dtype=np.float64, reset=False))


class HomogeneousRegressor(RegressorMixin, _OnSphere):
    r"""Regressor that is homogeneous: it learns on the sphere and extrapolates by its degree.

    .. math:: h(x) = \|x\|_d^\nu \, g(\pi(x))

    where g is any regressor, fitted to the points :math:`\pi(x_n)` and the values
    :math:`y_n / \|x_n\|_d^\nu`. A vector field is :math:`\|x\|_d^\nu \, d(\log \|x\|_d) \,
    g(\pi(x))`.

    Parameters
    ----------
    estimator : estimator
        Regressor g.
    dilation : None, "estimate", Dilation, array-like or callable, default=None
        Dilation d: None for scaling, weights or a generator, or a function from the number of
        features to one of these. "estimate" takes that of :func:`find_dilation` for the given
        degree. If the samples are too few or do not say which it is, it warns and takes the one
        nearest to scaling that fits, or scaling.
    degree : float, default=1.0
        Degree :math:`\nu`.
    vector_field : bool, default=False
        Whether y is a vector field, with as many outputs as features.
    weighting : {"sphere", "space"}, default="sphere"
        What error g minimises if it minimises a squared one. On the "sphere" each sample counts the
        same: the error relative to :math:`\|x_n\|_d^\nu`, right where noise scales as that does.
        In "space" the n-th has the weight :math:`\|x_n\|_d^{2 \nu}`, so that the sum is that of
        :math:`(y_n - h(x_n))^2`: far samples decide. Not for vector fields, whose components have
        weights of their own. Sample weights multiply either.

    Attributes
    ----------
    estimator_ : estimator
        The fitted g.
    dilation_ : Dilation
        The dilation.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has names.

    See Also
    --------
    HomogeneousClassifier : Classifier that is constant along orbits.
    find_dilation : Dilation and degree of a data set.

    References
    ----------
    .. [1] A. Polyakov (2023). Homogeneous artificial neural network. arXiv:2311.17973.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> from gnorm.homogeneity import HomogeneousRegressor
    >>> X = np.random.default_rng(0).uniform(-1, 1, size=(500, 2))
    >>> y = np.abs(X[:, 0] * X[:, 1])
    >>> model = HomogeneousRegressor(KNeighborsRegressor(5), degree=2).fit(X, y)
    >>> model.predict([[300.0, 400.0]]).round(-3)
    array([120000.])
    """

    def __init__(
        self,
        estimator: Any,
        *,
        dilation: DilationLike = None,
        degree: float = 1.0,
        vector_field: bool = False,
        weighting: str = "sphere",
    ) -> None:
        self.estimator = estimator
        self.dilation = dilation
        self.degree = degree
        self.vector_field = vector_field
        self.weighting = weighting

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.target_tags.single_output = inner.target_tags.single_output
        tags.target_tags.multi_output = inner.target_tags.multi_output
        tags.non_deterministic = inner.non_deterministic
        if inner.regressor_tags is not None:
            tags.regressor_tags.poor_score = inner.regressor_tags.poor_score
        return tags

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> HomogeneousRegressor:
        r"""Fit the regressor on the sphere.

        At zero, every homogeneous function of positive degree is zero: samples there say nothing
        and are left out. One of degree 0 may have any value there, and learns it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Values.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights, passed to the estimator.

        Returns
        -------
        HomogeneousRegressor
            The fitted regressor.

        Raises
        ------
        ValueError
            If an option is none of those above, the dilation is not one of as many features, all
            samples are zero, a norm to the power of the degree is no number, or weights are needed
            that the estimator does not take.
        """
        if not isinstance(self.degree, Real) or not np.isfinite(self.degree):
            raise ValueError(f"expected a finite number as degree, got {self.degree!r}")
        if self.weighting not in WEIGHTINGS:
            raise ValueError(f"expected weighting as one of {WEIGHTINGS}, got {self.weighting!r}")
        if self.vector_field and self.weighting == "space":
            raise ValueError(
                "expected weighting='sphere' for a vector field, whose components are weighted "
                "differently in space, got 'space'"
            )
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        y = y.astype(np.float64)
        if self.vector_field and y.shape != X.shape:
            raise ValueError(f"expected a vector field of shape {X.shape}, got {y.shape}")
        weights = None if sample_weight is None else check_sample_weight(sample_weight, len(X))
        self.dilation_ = self._find_dilation(
            X, y, weights, degree=float(self.degree), vector_field=self.vector_field
        )
        logs, sphere = self._decompose(X)
        if self.degree != 0 or self.vector_field:
            known = ~np.isneginf(logs)
            if not known.any():
                raise ValueError("expected a sample other than zero, got zeros only")
            logs, sphere, y = logs[known], sphere[known], y[known]
            weights = None if weights is None else weights[known]
            target = self._scale(y, -logs)
        else:
            target = y
        if self.weighting == "space" and self.degree != 0:
            importance = _power(logs, 2.0 * self.degree)
            weights = importance if weights is None else weights * importance
        self._fit_inner(sphere, target, weights)
        return self

    def predict(self, X: ArrayLike) -> FloatArray:
        """Values, extrapolated from the sphere.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Values.

        Raises
        ------
        ValueError
            If the degree is negative and a sample is zero, where there is no value; or the norm of
            a sample to the power of the degree is no number.
        """
        logs, sphere = self._on_sphere(X)
        values = np.asarray(self.estimator_.predict(sphere), dtype=np.float64)
        if self.degree == 0 and not self.vector_field:
            return values
        at_zero = np.isneginf(logs)
        if self.degree < 0 and at_zero.any():
            raise ValueError(
                "expected samples other than zero, where a function of negative degree has no "
                f"value, got zero in row {int(np.argmax(at_zero))}"
            )
        values = self._scale(values, np.where(at_zero, 0.0, logs))
        values[at_zero] = 0.0
        return values

    def _scale(self, values: FloatArray, logs: FloatArray) -> FloatArray:
        """Values times the norm to the degree; those of a vector field also moved along."""
        scaled = values * _power(logs, self.degree).reshape(-1, *[1] * (values.ndim - 1))
        return self.dilation_.apply(scaled, logs) if self.vector_field else scaled


def _power(logs: FloatArray, exponent: float) -> FloatArray:
    """Powers of norms, of which the logarithms are given, if they are numbers."""
    powers = float(exponent) * logs
    if np.abs(powers).max() > _LOG_LARGEST:
        raise ValueError(
            f"expected samples whose homogeneous norm to the power of {exponent:g} is a number, "
            f"got one of e^{powers[np.argmax(np.abs(powers))]:.0f}"
        )
    return np.exp(powers)


def _delegates(name: str) -> Callable[[_Method], _Method]:
    """Whether the classifier on the sphere, fitted or not, has the method."""

    def check(self: Any) -> bool:
        getattr(getattr(self, "estimator_", self.estimator), name)  # its own AttributeError
        return True

    decorator: Callable[[_Method], _Method] = available_if(check)
    return decorator


class HomogeneousClassifier(ClassifierMixin, _OnSphere):
    r"""Classifier that is constant along the orbits of a dilation, :math:`h(x) = g(\pi(x))`.

    Zero is an orbit of its own, on no sphere; the classifier g sees it as zero.

    Parameters
    ----------
    estimator : estimator
        Classifier g, fitted to the points :math:`\pi(x_n)`.
    dilation : None, "estimate", Dilation, array-like or callable, default=None
        Dilation: None for scaling, weights or a generator, or a function from the number of
        features to one of these. "estimate" takes that along which the indicators of the classes
        change least, by :func:`find_dilation` with degree 0. If the samples are too few or do not
        say which it is, it warns and takes the one nearest to scaling that fits, or scaling.

    Attributes
    ----------
    estimator_ : estimator
        The fitted g.
    dilation_ : Dilation
        The dilation.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has names.

    See Also
    --------
    HomogeneousRegressor : The same for values.

    References
    ----------
    .. [1] A. Polyakov (2023). Homogeneous artificial neural network. arXiv:2311.17973.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from gnorm.homogeneity import HomogeneousClassifier
    >>> X = np.random.default_rng(0).uniform(0, 1, size=(500, 2))
    >>> y = X[:, 1] > X[:, 0] ** 2
    >>> model = HomogeneousClassifier(KNeighborsClassifier(5), dilation=[1, 2]).fit(X, y)
    >>> model.predict([[100.0, 20_000.0], [100.0, 5_000.0]])
    array([ True, False])
    """

    def __init__(self, estimator: Any, *, dilation: DilationLike = None) -> None:
        self.estimator = estimator
        self.dilation = dilation

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.non_deterministic = inner.non_deterministic
        if inner.classifier_tags is not None:
            tags.classifier_tags.multi_class = inner.classifier_tags.multi_class
            tags.classifier_tags.poor_score = inner.classifier_tags.poor_score
        return tags

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> HomogeneousClassifier:
        """Fit the classifier on the sphere.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights, passed to the estimator.

        Returns
        -------
        HomogeneousClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If the dilation is not one of as many features, or weights are given that the estimator
            does not take.
        """
        rows, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        weights = None if sample_weight is None else check_sample_weight(sample_weight, len(rows))
        indicators = (labels[:, None] == np.unique(labels)).astype(np.float64)
        self.dilation_ = self._find_dilation(rows, indicators, weights, degree=0.0)
        self._fit_inner(self._decompose(rows)[1], labels, weights)
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        _, sphere = self._on_sphere(X)
        labels: NDArray[Any] = self.estimator_.predict(sphere)
        return labels

    @_delegates("predict_proba")
    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Probabilities of the classes, if the estimator has them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities.
        """
        _, sphere = self._on_sphere(X)
        probabilities: FloatArray = self.estimator_.predict_proba(sphere)
        return probabilities

    @_delegates("decision_function")
    def decision_function(self, X: ArrayLike) -> FloatArray:
        """Decision values, if the estimator has them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Decision values.
        """
        _, sphere = self._on_sphere(X)
        values: FloatArray = self.estimator_.decision_function(sphere)
        return values


def _estimated(
    X: FloatArray, y: FloatArray, weights: FloatArray | None, **options: Any
) -> Dilation:
    """Dilation that the samples point to; scaling where they do not, with a warning."""
    n_features = X.shape[1]
    standard = Dilation.standard(n_features)
    all_weights = np.ones(len(X)) if weights is None else weights
    present = all_weights > 0
    n_distinct = len(np.unique(X[present], axis=0))
    if n_distinct < samples_needed(n_features):
        _warn(
            f"expected at least {samples_needed(n_features)} different samples to estimate a "
            f"dilation of {n_features} features, got {n_distinct}: scaling is used"
        )
        return standard
    if not y[present].any():
        _warn("expected values other than zero to estimate a dilation, got zeros: scaling is used")
        return standard
    found = find_dilation(y, X, sample_weight=all_weights, **options)
    if found.dilation is None or not found.is_homogeneous:
        _warn(f"expected samples that point to a dilation, got {found}: scaling is used")
        return standard
    if not found.is_identifiable:
        _warn(f"expected samples that are homogeneous under one dilation only, got {found}")
    return found.dilation


def _warn(message: str) -> None:
    warnings.warn(message, HomogeneityWarning, stacklevel=5)
