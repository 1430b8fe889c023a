"""Two-layer ReLU networks of any width as scikit-learn estimators."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_expit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.utils import check_scalar, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from gnorm.gated import as_numbers
from gnorm.losses import LogLoss, Loss, get_loss
from gnorm.relu.api import relu_max_margin
from gnorm.relu.patterns import activation_patterns
from gnorm.relu.solution import ReLUSolution, relu_values
from gnorm.solvers.solution import NotSeparableError
from gnorm.solvers.validation import check_sample_weight

__all__ = ["ReLUNormClassifier", "ReLUNormRegressor", "ReLUNormSVC"]

_OPTIONS = (
    "tol",
    "max_iter",
    "max_neurons",
    "oracle",
    "penalize_bias",
    "penalize_linear",
    "memory_limit",
    "verbose",
)


class _ReLUNorm(BaseEstimator):
    """Solve and evaluate, for a classifier or a regressor to inherit from."""

    _doc_link_module = "gnorm"
    _doc_link_template = "#{estimator_name}"

    def _loss_of(self) -> str | Loss:
        loss: str | Loss = self.loss
        return loss

    def _check_parameters(self) -> None:
        for name in ("C", "intercept_scaling"):
            value = check_scalar(
                getattr(self, name), name, Real, min_val=0, include_boundaries="neither"
            )
            if np.isnan(value):
                raise ValueError(f"expected {name} > 0, got {value}")

    def _validated(self, X: Any, y: ArrayLike, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        X, targets = validate_data(self, X, y, dtype=np.float64, **options)
        return X, targets

    def _solve(self, X: np.ndarray, problems: np.ndarray, weight: np.ndarray) -> list[ReLUSolution]:
        """Solve for the targets of each row, over the samples of positive weight."""
        options = {name: getattr(self, name) for name in _OPTIONS}
        kept = np.flatnonzero(weight)
        patterns = self._patterns(X[kept], weight[kept])
        try:
            solutions = [
                relu_max_margin(
                    self._augmented(X[kept]),
                    y[kept],
                    self.C,
                    loss=self._loss_of(),
                    sample_weight=weight[kept],
                    patterns=patterns,
                    random_state=self.random_state,
                    **options,
                )
                for y in problems
            ]
        except NotSeparableError as error:
            raise error.scattered(kept, len(weight)) from None
        self.neurons_ = [solution.neurons for solution in solutions]
        self.coefs_ = [solution.coefs for solution in solutions]
        self.linear_ = [solution.linear for solution in solutions]
        self.norm_ = np.array([solution.norm for solution in solutions])
        self.lower_bound_ = np.array([solution.lower_bound for solution in solutions])
        self.duality_gap_ = np.array([solution.duality_gap for solution in solutions])
        self.status_ = [solution.status.value for solution in solutions]
        self.n_iter_ = np.array([solution.n_iter for solution in solutions])
        self._networks = [solution.to_network() for solution in solutions]
        return solutions

    def _patterns(self, X: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
        """Activations of the samples that neurons may have, None for any."""
        patterns = self.patterns
        if patterns is None:
            return None
        if hasattr(patterns, "transform"):
            opened: np.ndarray = clone(patterns).fit(X, sample_weight=weight).transform(X)
            return opened
        is_name = isinstance(patterns, str) and patterns == "all"
        if not is_name and (isinstance(patterns, bool) or not isinstance(patterns, Integral)):
            shape = getattr(patterns, "shape", None)
            got = repr(patterns) if shape is None else f"an array of shape {shape}"
            raise ValueError(f'expected patterns to be a number, "all" or gates, got {got}')
        n_patterns = None if isinstance(patterns, str) else patterns
        return activation_patterns(self._augmented(X), n_patterns, random_state=self.random_state)

    def _augmented(self, X: np.ndarray) -> np.ndarray:
        """Inputs with the constant feature."""
        if not self.fit_intercept:
            return X
        return np.column_stack((X, np.full(len(X), float(self.intercept_scaling))))

    def _outputs(self, X: Any) -> np.ndarray:
        """Values of the networks, shape (n_samples, n_outputs)."""
        check_is_fitted(self, "neurons_")
        X = self._augmented(validate_data(self, X, dtype=np.float64, reset=False))
        each = zip(self.neurons_, self.coefs_, self.linear_, strict=True)
        return np.column_stack([relu_values(X, u, c) + X @ linear for u, c, linear in each])

    def to_network(self) -> list[tuple[np.ndarray, np.ndarray]]:
        r"""Balanced weights of the networks :math:`\sum_j v_j (x \cdot w_j)_+`, `linear_` apart.

        Returns
        -------
        list of tuple
            For each output the hidden weights, (n_neurons, n_features), the last of them that of
            the constant feature if there is one, and the output weights, (n_neurons,).
        """
        check_is_fitted(self, "neurons_")
        return list(self._networks)


class _ReLUNormClassifier(ClassifierMixin, _ReLUNorm):
    """Labels, class weights and predictions."""

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the network; for more than two classes, one for each class against the rest.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training inputs.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative factors of ``C``. A sample of weight k counts as k copies.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        NotSeparableError
            If ``C`` is infinite and no network separates the samples.
        ValueError
            For malformed input, if fewer than two classes have samples of positive weight, or if a
            linear function that costs nothing separates them and the loss has no minimum there.

        Warns
        -----
        ConvergenceWarning
            If the gap that is certified is above ``tol``; ``status_`` says why.
        """
        X, labels = self._validated(X, y)
        check_classification_targets(labels)
        self._check_parameters()
        weight = check_sample_weight(sample_weight, len(labels))
        weight = weight * compute_sample_weight(self.class_weight, labels)
        self.classes_ = np.unique(labels[weight > 0])
        if len(self.classes_) < 2:
            raise ValueError(
                "expected samples of positive weight of at least 2 classes, "
                f"got {len(self.classes_)} class"
            )
        positives = self.classes_[1 if len(self.classes_) == 2 else 0 :]
        problems = np.where(labels == positives[:, None], 1.0, -1.0)
        solutions = self._solve(X, problems, weight)
        self.margin_ = np.array([solution.margin for solution in solutions])
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Evaluate the networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Signed values; positive for the second of two classes.
        """
        values = self._outputs(X)
        return values[:, 0] if len(self.classes_) == 2 else values

    def predict(self, X: Any) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        values = self.decision_function(X)
        winner = (values > 0).astype(int) if values.ndim == 1 else np.argmax(values, axis=1)
        return self.classes_[winner]


class ReLUNormSVC(_ReLUNormClassifier):
    r"""Max-margin ReLU network of any width.

    .. math::

        \min_{c, u} \tfrac12 \Bigl( \sum_j |c_j| \Bigr)^2 + \sum_n C_n\, l(y_n, f(x_n)), \qquad
        f(x) = \sum_j c_j (x \cdot u_j)_+, \quad \|u_j\| = 1

    over any number of neurons: the norm that gradient descent on wide two-layer ReLU networks
    implicitly minimises [1]_. The gap over all widths is certified.

    Parameters
    ----------
    C : float, default=1.0
        Weight of the loss, positive. ``numpy.inf`` is the hard margin; it raises
        :class:`gnorm.NotSeparableError` if no network separates the samples.
    fit_intercept : bool, default=True
        Whether to append a constant feature, which gives the neurons biases. They are inside the
        norm like any other weight, unless `penalize_bias` is False.
    intercept_scaling : float, default=1.0
        Value of the constant feature. The larger, the less the norm of a bias costs.
    class_weight : dict or "balanced", default=None
        Factors of the sample weights by class.
    oracle : {"auto", "exact", "bounded", "local"}, default="auto"
        How neurons are found and bounded, see :func:`gnorm.relu.relu_max_margin`.
    patterns : int, "all" or gates, default=None
        Neurons of some activation patterns alone, see :func:`gnorm.relu.relu_max_margin`: those of
        so many drawn directions, all that there are, or those of gates with one context, which see
        the inputs without the constant, such as :class:`gnorm.gates.ReLUGates`. The gap is that
        over these. None for all neurons.
    penalize_bias : bool, default=True
        Whether biases are inside the norm. If not, an intercept is free too; for one or two
        features.
    penalize_linear : bool, default=True
        Whether a linear function costs what neurons that compute it do. If not, one is added to the
        network outside of the norm.
    tol : float, default=1e-4
        Relative duality gap at which a problem counts as solved.
    max_iter : int, default=None
        Most rounds of column generation; None for 200.
    max_neurons : int, default=None
        Neurons in use at which to stop; None for any number.
    memory_limit : float, default=None
        Most memory in bytes of an exact search; None for half of what is free.
    random_state : int, RandomState instance or None, default=0
        Draws the first neurons, and the starts of the ascents.
    verbose : int, default=0
        1 prints a line a round.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    neurons_, coefs_ : list of ndarray
        Unit vectors and output weights of each network. With ``fit_intercept`` the last feature is
        the constant one.
    linear_ : list of ndarray
        Coefficients of what each network has outside of the norm, zeros if there is nothing.
    norm_, lower_bound_, duality_gap_ : ndarray of shape (n_problems,)
        Norm, bound of the objective over networks of any width, or of the given patterns, and the
        certified relative gap.
    status_ : list of str
        How each solve ended, see :class:`gnorm.relu.ReLUStatus`. "bounded" and "local" are no
        certificates: no better neuron was found, and the gap says what the bound leaves open.
    margin_ : ndarray of shape (n_problems,)
        Least :math:`y_n f(x_n)` divided by the norm.
    n_iter_ : ndarray of shape (n_problems,)
        Rounds.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where ``X`` has names that are all strings.

    References
    ----------
    .. [1] L. Chizat and F. Bach (2020). Implicit bias of gradient descent for wide two-layer neural
       networks trained with the logistic loss. COLT.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.relu import ReLUNormSVC
    >>> X = np.random.default_rng(0).normal(size=(40, 1))
    >>> y = np.abs(X[:, 0]) > 0.5
    >>> classifier = ReLUNormSVC(C=100.0).fit(X, y)
    >>> bool(classifier.score(X, y) > 0.9), classifier.status_
    (True, ['optimal'])
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: dict[Any, float] | str | None = None,
        oracle: str = "auto",
        patterns: Any = None,
        penalize_bias: bool = True,
        penalize_linear: bool = True,
        tol: float = 1e-4,
        max_iter: int | None = None,
        max_neurons: int | None = None,
        memory_limit: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.oracle = oracle
        self.patterns = patterns
        self.penalize_bias = penalize_bias
        self.penalize_linear = penalize_linear
        self.tol = tol
        self.max_iter = max_iter
        self.max_neurons = max_neurons
        self.memory_limit = memory_limit
        self.random_state = random_state
        self.verbose = verbose

    def _loss_of(self) -> str | Loss:
        return "hinge"


def _has_probabilities(estimator: Any) -> bool:
    """Raise AttributeError unless the loss is the log loss."""
    if estimator.loss == LogLoss.name or isinstance(estimator.loss, LogLoss):
        return True
    raise AttributeError(f"expected loss='log_loss' for probabilities, got {estimator.loss!r}")


class ReLUNormClassifier(_ReLUNormClassifier):
    r"""ReLU network of any width as a classifier, with a choice of loss.

    .. math::

        \min_{c, u} \tfrac12 \Bigl( \sum_j |c_j| \Bigr)^2 + \sum_n C_n\, l(y_n, f(x_n)), \qquad
        f(x) = \sum_j c_j (x \cdot u_j)_+, \quad \|u_j\| = 1

    over any number of neurons: the norm that gradient descent on wide two-layer ReLU networks
    implicitly minimises [1]_. The gap over all widths is certified.

    Parameters
    ----------
    loss : str or Loss, default="log_loss"
        "log_loss", "squared_hinge", "hinge" or one of :mod:`gnorm.losses`. Probabilities come with
        the log loss alone.
    C : float, default=1.0
        Weight of the loss, positive. ``numpy.inf`` is the hard margin; it raises
        :class:`gnorm.NotSeparableError` if no network separates the samples.
    fit_intercept : bool, default=True
        Whether to append a constant feature, which gives the neurons biases. They are inside the
        norm like any other weight, unless `penalize_bias` is False.
    intercept_scaling : float, default=1.0
        Value of the constant feature. The larger, the less the norm of a bias costs.
    class_weight : dict or "balanced", default=None
        Factors of the sample weights by class.
    oracle : {"auto", "exact", "bounded", "local"}, default="auto"
        How neurons are found and bounded, see :func:`gnorm.relu.relu_max_margin`.
    patterns : int, "all" or gates, default=None
        Neurons of some activation patterns alone, see :func:`gnorm.relu.relu_max_margin`: those of
        so many drawn directions, all that there are, or those of gates with one context, which see
        the inputs without the constant, such as :class:`gnorm.gates.ReLUGates`. The gap is that
        over these. None for all neurons.
    penalize_bias : bool, default=True
        Whether biases are inside the norm. If not, an intercept is free too; for one or two
        features.
    penalize_linear : bool, default=True
        Whether a linear function costs what neurons that compute it do. If not, one is added to the
        network outside of the norm.
    tol : float, default=1e-4
        Relative duality gap at which a problem counts as solved.
    max_iter : int, default=None
        Most rounds of column generation; None for 200.
    max_neurons : int, default=None
        Neurons in use at which to stop; None for any number.
    memory_limit : float, default=None
        Most memory in bytes of an exact search; None for half of what is free.
    random_state : int, RandomState instance or None, default=0
        Draws the first neurons, and the starts of the ascents.
    verbose : int, default=0
        1 prints a line a round.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    neurons_, coefs_ : list of ndarray
        Unit vectors and output weights of each network. With ``fit_intercept`` the last feature is
        the constant one.
    linear_ : list of ndarray
        Coefficients of what each network has outside of the norm, zeros if there is nothing.
    norm_, lower_bound_, duality_gap_ : ndarray of shape (n_problems,)
        Norm, bound of the objective over networks of any width, or of the given patterns, and the
        certified relative gap.
    status_ : list of str
        How each solve ended, see :class:`gnorm.relu.ReLUStatus`. "bounded" and "local" are no
        certificates: no better neuron was found, and the gap says what the bound leaves open.
    margin_ : ndarray of shape (n_problems,)
        Least :math:`y_n f(x_n)` divided by the norm.
    n_iter_ : ndarray of shape (n_problems,)
        Rounds.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where ``X`` has names that are all strings.

    References
    ----------
    .. [1] L. Chizat and F. Bach (2020). Implicit bias of gradient descent for wide two-layer neural
       networks trained with the logistic loss. COLT.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.relu import ReLUNormClassifier
    >>> X = np.random.default_rng(0).normal(size=(40, 1))
    >>> y = np.abs(X[:, 0]) > 0.5
    >>> classifier = ReLUNormClassifier(C=100.0).fit(X, y)
    >>> bool(classifier.score(X, y) > 0.9), classifier.status_
    (True, ['optimal'])
    """

    def __init__(
        self,
        *,
        loss: str | Loss = "log_loss",
        C: float = 1.0,
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: dict[Any, float] | str | None = None,
        oracle: str = "auto",
        patterns: Any = None,
        penalize_bias: bool = True,
        penalize_linear: bool = True,
        tol: float = 1e-4,
        max_iter: int | None = None,
        max_neurons: int | None = None,
        memory_limit: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.loss = loss
        self.C = C
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.oracle = oracle
        self.patterns = patterns
        self.penalize_bias = penalize_bias
        self.penalize_linear = penalize_linear
        self.tol = tol
        self.max_iter = max_iter
        self.max_neurons = max_neurons
        self.memory_limit = memory_limit
        self.random_state = random_state
        self.verbose = verbose

    def _loss_of(self) -> str | Loss:
        loss = get_loss(self.loss)
        if not loss.is_margin:
            raise ValueError(
                "expected a loss of labels, 'log_loss', 'squared_hinge' or 'hinge', "
                f"got {self.loss!r}"
            )
        return loss

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]  # of scikit-learn, without types
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class, of classes against the rest made to add up to 1.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        return np.exp(self.predict_log_proba(X))

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]  # of scikit-learn, without types
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Their logarithms.
        """
        values = self._outputs(X)
        if len(self.classes_) == 2:
            return log_expit(np.column_stack((-values[:, 0], values[:, 0])))
        logarithms = log_expit(values)
        return logarithms - np.logaddexp.reduce(logarithms, axis=1, keepdims=True)


class ReLUNormRegressor(RegressorMixin, _ReLUNorm):
    r"""ReLU network of any width as a regressor, with a choice of loss.

    .. math::

        \min_{c, u} \tfrac12 \Bigl( \sum_j |c_j| \Bigr)^2 + \sum_n C_n\, l(y_n, f(x_n)), \qquad
        f(x) = \sum_j c_j (x \cdot u_j)_+, \quad \|u_j\| = 1

    over any number of neurons: the norm that gradient descent on wide two-layer ReLU networks
    implicitly minimises [1]_. The gap over all widths is certified.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        "squared_error", "absolute_error", "epsilon_insensitive", "huber", "quantile" or one of
        :mod:`gnorm.losses`.
    C : float, default=1.0
        Weight of the loss, positive.
    fit_intercept : bool, default=True
        Whether to append a constant feature, which gives the neurons biases. They are inside the
        norm like any other weight, unless `penalize_bias` is False.
    intercept_scaling : float, default=1.0
        Value of the constant feature. The larger, the less the norm of a bias costs.
    oracle : {"auto", "exact", "bounded", "local"}, default="auto"
        How neurons are found and bounded, see :func:`gnorm.relu.relu_max_margin`.
    patterns : int, "all" or gates, default=None
        Neurons of some activation patterns alone, see :func:`gnorm.relu.relu_max_margin`: those of
        so many drawn directions, all that there are, or those of gates with one context, which see
        the inputs without the constant, such as :class:`gnorm.gates.ReLUGates`. The gap is that
        over these. None for all neurons.
    penalize_bias : bool, default=True
        Whether biases are inside the norm. If not, an intercept is free too; for one or two
        features.
    penalize_linear : bool, default=True
        Whether a linear function costs what neurons that compute it do. If not, one is added to the
        network outside of the norm.
    tol : float, default=1e-4
        Relative duality gap at which a problem counts as solved.
    max_iter : int, default=None
        Most rounds of column generation; None for 200.
    max_neurons : int, default=None
        Neurons in use at which to stop; None for any number.
    memory_limit : float, default=None
        Most memory in bytes of an exact search; None for half of what is free.
    random_state : int, RandomState instance or None, default=0
        Draws the first neurons, and the starts of the ascents.
    verbose : int, default=0
        1 prints a line a round.

    Attributes
    ----------
    neurons_, coefs_ : list of ndarray
        Unit vectors and output weights of each network. With ``fit_intercept`` the last feature is
        the constant one.
    linear_ : list of ndarray
        Coefficients of what each network has outside of the norm, zeros if there is nothing.
    norm_, lower_bound_, duality_gap_ : ndarray of shape (n_problems,)
        Norm, bound of the objective over networks of any width, or of the given patterns, and the
        certified relative gap.
    status_ : list of str
        How each solve ended, see :class:`gnorm.relu.ReLUStatus`. "bounded" and "local" are no
        certificates: no better neuron was found, and the gap says what the bound leaves open.
    n_iter_ : ndarray of shape (n_problems,)
        Rounds.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where ``X`` has names that are all strings.

    References
    ----------
    .. [1] L. Chizat and F. Bach (2020). Implicit bias of gradient descent for wide two-layer neural
       networks trained with the logistic loss. COLT.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm.relu import ReLUNormRegressor
    >>> X = np.random.default_rng(0).normal(size=(40, 1))
    >>> regressor = ReLUNormRegressor(C=100.0).fit(X, np.abs(X[:, 0]))
    >>> bool(regressor.score(X, np.abs(X[:, 0])) > 0.99), regressor.status_
    (True, ['optimal'])
    """

    def __init__(
        self,
        *,
        loss: str | Loss = "squared_error",
        C: float = 1.0,
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        oracle: str = "auto",
        patterns: Any = None,
        penalize_bias: bool = True,
        penalize_linear: bool = True,
        tol: float = 1e-4,
        max_iter: int | None = None,
        max_neurons: int | None = None,
        memory_limit: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.loss = loss
        self.C = C
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.oracle = oracle
        self.patterns = patterns
        self.penalize_bias = penalize_bias
        self.penalize_linear = penalize_linear
        self.tol = tol
        self.max_iter = max_iter
        self.max_neurons = max_neurons
        self.memory_limit = memory_limit
        self.random_state = random_state
        self.verbose = verbose

    def _loss_of(self) -> str | Loss:
        loss = get_loss(self.loss)
        if loss.is_margin:
            raise ValueError(f"expected a loss of targets, got {self.loss!r}")
        return loss

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training inputs.
        y : array-like of shape (n_samples,)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative factors of ``C``. A sample of weight k counts as k copies.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For malformed input.

        Warns
        -----
        ConvergenceWarning
            If the gap that is certified is above ``tol``; ``status_`` says why.
        """
        X, targets = self._validated(X, y, y_numeric=True)
        self._check_parameters()
        weight = check_sample_weight(sample_weight, len(targets))
        self._solve(X, as_numbers(targets, "y")[None], weight)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,)
            Predictions.
        """
        return self._outputs(X)[:, 0]
