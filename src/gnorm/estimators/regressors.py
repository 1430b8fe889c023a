"""Regressors with a choice of loss, of one target or several."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import MultiOutputMixin, RegressorMixin

from gnorm.estimators.base import ContextGates, GatedEstimator, OnOffGates
from gnorm.estimators.data import TrainingData
from gnorm.gated import as_numbers
from gnorm.losses import ClassLoss, EpsilonInsensitive, Huber, Loss, Quantile, get_loss
from gnorm.norms import Norm
from gnorm.solvers import Solution

__all__ = ["FReLURegressor", "GLNNormRegressor", "GatedRegressor"]


class GatedRegressor(MultiOutputMixin, RegressorMixin, GatedEstimator):
    """Targets and predictions, for a regressor to inherit from."""

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the gates, then the predictor of each target.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative factors of ``C``. A sample of weight k counts as k copies, for the gates
            too, one of weight 0 as absent.

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
            If ``max_iter`` or Ctrl-C ends a solve above ``tol``; ``duality_gap_`` says where.
        """
        return self._fit(X, y, sample_weight)

    def _validated(self, X: Any, y: ArrayLike, **options: Any) -> tuple[Any, np.ndarray]:
        # scikit-learn has its own words for targets that are missing or complex
        if y is not None and getattr(getattr(y, "dtype", None), "kind", "") != "c":
            y = as_numbers(y, "y")
        X, y = super()._validated(X, y, multi_output=True, y_numeric=True, **options)
        return X, y.astype(np.float64)

    def _training_data(self, X: Any, y: np.ndarray, sample_weight: np.ndarray) -> TrainingData:
        kept = np.flatnonzero(sample_weight)  # a sample of weight 0 is as if it were absent
        weight = sample_weight[kept]
        return TrainingData(X[kept], y[kept], np.empty(0), weight, weight, kept, len(y))

    def _loss_of(self, data: TrainingData) -> Loss:
        if isinstance(self.loss, str):
            match self.loss:
                case EpsilonInsensitive.name:
                    return EpsilonInsensitive(self.epsilon)
                case Huber.name:
                    return Huber(self.delta)
                case Quantile.name:
                    return Quantile(self.quantile)
        loss = get_loss(self.loss)
        if loss.is_margin or isinstance(loss, ClassLoss):
            raise ValueError(
                "expected a loss of targets, 'squared_error', 'absolute_error', "
                f"'epsilon_insensitive', 'huber' or 'quantile', got {self.loss!r}"
            )
        return loss

    def _problems(self, data: TrainingData) -> np.ndarray:
        """One problem for each target."""
        return np.ascontiguousarray(np.atleast_2d(data.y.T))

    def _keep(self, solutions: list[Solution], data: TrainingData) -> None:
        self._has_one_target = data.y.ndim == 1

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions, of the shape that ``y`` had in ``fit``.
        """
        values = self._outputs(X)
        return values[:, 0] if self._has_one_target else values


class GLNNormRegressor(ContextGates, GatedRegressor):
    r"""Regressor under the GLN norm, solved exactly.

    .. math::

        \min_f \tfrac12 \|f\|_{\mathrm{GLN}}^2 + \sum_n C_n\, m(y_n, f(x_n)), \qquad
        f(x) = \sum_h \langle \zeta_{h, c_h(x)}, x \rangle

    Each unit reads from its gate in which of its contexts an input lies and adds a linear
    predictor of that context: a piecewise linear function under the norm that gradient descent on
    a gated linear network of two layers implicitly minimises [1]_. With the squared error
    :math:`m(y, f) = \tfrac12 (y - f)^2` one unit with one context is
    :class:`~sklearn.linear_model.Ridge` with ``alpha = 1 / C`` on the inputs with the constant
    feature, whose weight is in the norm: targets far from zero are best centred, as by
    :class:`~sklearn.compose.TransformedTargetRegressor`.

    Parameters
    ----------
    n_units : int, default=50
        Number of gated units of the default gates. Not used if ``gates`` is given.
    n_contexts : int, default=2
        Contexts of each unit, a power of two. Not used if ``gates`` is given.
    loss : str or Loss, default="squared_error"
        The loss: "squared_error", "absolute_error", "epsilon_insensitive", "huber", "quantile"
        or one of :mod:`gnorm.losses`. With several targets each is a problem of its own; they
        share the gates and the Gram matrix.
    norm : str or Norm, default=None
        The norm, one of :mod:`gnorm.norms` or the name of one without parameters, see
        :func:`gnorm.norms.catalogue`; "nuclear" is that of a network whose classes or outputs share
        units. None is the norm that the gates induce.
    epsilon : float, default=0.1
        Errors up to this cost nothing, in "epsilon_insensitive". Not used by other losses.
    delta : float, default=1.35
        Error from which on the loss is linear, in "huber". Not used by other losses.
    quantile : float, default=0.5
        The quantile to predict, between 0 and 1, in "quantile". Not used by other losses.
    C : float, default=1.0
        Weight of the loss, positive and finite.
    gates : transformer, default=None
        Any gates of :mod:`gnorm.gates`, or an object with their ``fit`` and ``transform``. It
        is cloned and fitted. None makes the default gates from the parameters around it.
    segment : selector, default=None
        Columns that the gates see, as they are: names, positions, a slice, a mask or a callable, as
        in :class:`~sklearn.compose.ColumnTransformer`. They may be of any type, and missing where
        the gates take that. None are all that the linear map sees or, with ``features``, all.
    features : selector, default=None
        Columns that the linear map sees, finite numbers. None are all but ``segment``.
    unit_features : list of selectors or array-like of bool, default=None
        Features that each unit sees, its selector among those of the linear map (names, positions,
        a slice or a mask) or its row of a mask; the constant feature all units see. None for all.
        Under the sum of the norms of the units; for the cost see :func:`gnorm.solve`.
    cutoff : {"median", "random", "zero"}, default="median"
        Where the default gates cut each projection. Not used if ``gates`` is given.
    fit_intercept : bool, default=True
        Whether to append a constant feature, as the paper does. Its weights are like any other:
        each context of each unit has its own, ``context_intercepts_``, and all are inside the
        norm. That is the intercept of :class:`~sklearn.svm.LinearSVC` and not the free one of
        :class:`~sklearn.svm.SVC`.
    intercept_scaling : float, default=1.0
        Value of the constant feature. The larger, the less the norm of an intercept costs.
    method : str, default="auto"
        How to solve, see :func:`gnorm.solve`; "auto" chooses by the sizes of the problem.
    tol : float, default=1e-4
        Relative duality gap at which a problem counts as solved.
    max_iter : int, default=None
        Most iterations of the method; None for its own default.
    memory_limit : float, default=None
        Most memory in bytes that the solve of one problem may take beside the data, see
        :func:`gnorm.solve`; None for half of what is free when it begins. What is solved
        at the same time takes as much each: with many ``n_jobs`` on large data, set it.
    random_state : int, RandomState instance or None, default=None
        Draws the hyperplanes of the default gates. Pass an int for reproducible fits. Not used
        if ``gates`` is given.
    warm_start : bool, default=False
        Whether ``fit`` starts from the solution of the call before, if there is one of the same
        loss and of as many samples, units, contexts and features. The optimum is the same; it
        is found sooner if ``C`` became less, or labels, targets or weights changed little. From
        a much smaller ``C`` nothing is gained, and the fit starts anew. On the same inputs and
        weights the gates are kept as well, unless their parameters changed, even if they were
        drawn without a seed.
    n_jobs : int, default=None
        Problems that are solved at the same time, in threads unless a
        :class:`joblib.parallel_config` says otherwise: classes against the rest or targets,
        which share gates and Gram matrix, and the splits of a cross-validation. None means 1
        outside of such a context, -1 all processors. After Ctrl-C threads go on to the end of
        their solve.
    verbose : int, default=0
        1 prints a line an iteration, and in a cross-validation a line a split.

    Attributes
    ----------
    gates_ : transformer
        The fitted gates.
    zeta_ : ndarray of shape (n_targets, n_units, n_contexts, n_features)
        Unit weights, a problem for each target. With ``fit_intercept`` the last feature is the
        constant one.
    context_intercepts_ : ndarray of shape (n_targets, n_units, n_contexts)
        What the constant feature adds to the prediction in each context, ``intercept_scaling *
        zeta_[..., -1]``; zeros without ``fit_intercept``.
    norm_ : ndarray of shape (n_targets,)
        Induced norm of each predictor. It is that of the gates in use: gates with exactly one
        context on per unit induce the GLN norm, on/off gates the FReLU norm.
    duality_gap_ : ndarray of shape (n_targets,)
        Certified relative gap between the primal and the dual value, over all samples.
    dual_coef_ : ndarray of shape (n_targets, n_support)
        Dual coefficients: minus the derivatives of the losses by the predictions.
    support_ : ndarray of shape (n_support,)
        Indices of the samples with a dual coefficient other than zero for at least one target.
    unit_norms_ : ndarray of shape (n_targets, n_units)
        Norm of each unit, the Frobenius norm of its weights; zero for the units that the
        predictor does without.
    n_iter_ : ndarray of shape (n_targets,)
        Iterations of the method.
    segment_columns_ : ndarray of int of shape (n_segment_columns,)
        Positions of the columns that the gates see, where ``segment`` or ``features`` is given.
    feature_columns_ : ndarray of int of shape (n_feature_columns,)
        Positions of those that the linear map sees, where one of them is given.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where ``X`` has names that are all strings.

    See Also
    --------
    FReLURegressor : The same for on/off gates.
    GLNNormClassifier : The same for classes.
    GLNNormRegressorCV : ``C`` chosen by cross-validation.

    References
    ----------
    .. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
       generalized gated linear networks. arXiv:2202.02649.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import StandardScaler
    >>> from gnorm import GLNNormRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> regressor = GLNNormRegressor(n_units=20, C=0.1, random_state=0).fit(X[:300], y[:300])
    >>> bool(regressor.score(X[300:], y[300:]) > 0.4), bool(regressor.duality_gap_[0] <= 1e-4)
    (True, True)
    """

    def __init__(
        self,
        n_units: int = 50,
        n_contexts: int = 2,
        *,
        loss: str | Loss = "squared_error",
        norm: str | Norm | None = None,
        epsilon: float = 0.1,
        delta: float = 1.35,
        quantile: float = 0.5,
        C: float = 1.0,
        gates: Any = None,
        segment: Any = None,
        features: Any = None,
        unit_features: Any = None,
        cutoff: str = "median",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        method: str = "auto",
        tol: float = 1e-4,
        max_iter: int | None = None,
        memory_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_units = n_units
        self.n_contexts = n_contexts
        self.loss = loss
        self.norm = norm
        self.epsilon = epsilon
        self.delta = delta
        self.quantile = quantile
        self.C = C
        self.gates = gates
        self.segment = segment
        self.features = features
        self.unit_features = unit_features
        self.cutoff = cutoff
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.method = method
        self.tol = tol
        self.max_iter = max_iter
        self.memory_limit = memory_limit
        self.random_state = random_state
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.verbose = verbose


class FReLURegressor(OnOffGates, GatedRegressor):
    r"""Regressor under the FReLU norm, solved exactly.

    .. math::

        \min_\zeta \tfrac12 \Bigl( \sum_h \|\zeta_h\| \Bigr)^2 + \sum_n C_n\, m(y_n, f(x_n)), \qquad
        f(x) = \sum_h g_h(x) \langle \zeta_h, x \rangle

    A frozen-gate ReLU network: each unit is a linear predictor that its gate switches on or off.
    The group norm is what gradient descent on the weights of such a network implicitly
    minimises [1]_. It is a group lasso with its penalty squared. The weights of the constant
    feature are in the norm: targets far from zero are best centred, as by
    :class:`~sklearn.compose.TransformedTargetRegressor`.

    Parameters
    ----------
    n_units : int, default=50
        Number of gated units of the default gates, to which comes one unit that is always open.
        Not used if ``gates`` is given.
    loss : str or Loss, default="squared_error"
        The loss: "squared_error", "absolute_error", "epsilon_insensitive", "huber", "quantile"
        or one of :mod:`gnorm.losses`. With several targets each is a problem of its own; they
        share the gates and the Gram matrix.
    norm : str or Norm, default=None
        The norm, one of :mod:`gnorm.norms` or the name of one without parameters, see
        :func:`gnorm.norms.catalogue`; "nuclear" is that of a network whose classes or outputs share
        units. None is the norm that the gates induce.
    epsilon : float, default=0.1
        Errors up to this cost nothing, in "epsilon_insensitive". Not used by other losses.
    delta : float, default=1.35
        Error from which on the loss is linear, in "huber". Not used by other losses.
    quantile : float, default=0.5
        The quantile to predict, between 0 and 1, in "quantile". Not used by other losses.
    C : float, default=1.0
        Weight of the loss, positive and finite.
    gates : transformer, default=None
        Any gates of :mod:`gnorm.gates`, or an object with their ``fit`` and ``transform``. It
        is cloned and fitted. None makes the default gates from the parameters around it.
    segment : selector, default=None
        Columns that the gates see, as they are: names, positions, a slice, a mask or a callable, as
        in :class:`~sklearn.compose.ColumnTransformer`. They may be of any type, and missing where
        the gates take that. None are all that the linear map sees or, with ``features``, all.
    features : selector, default=None
        Columns that the linear map sees, finite numbers. None are all but ``segment``.
    unit_features : list of selectors or array-like of bool, default=None
        Features that each unit sees, its selector among those of the linear map (names, positions,
        a slice or a mask) or its row of a mask; the constant feature all units see. None for all.
        Under the sum of the norms of the units; for the cost see :func:`gnorm.solve`.
    cutoff : {"median", "random", "zero"}, default="median"
        Where the default gates cut each projection. Not used if ``gates`` is given.
    fit_intercept : bool, default=True
        Whether to append a constant feature, as the paper does. Its weights are like any other:
        each context of each unit has its own, ``context_intercepts_``, and all are inside the
        norm. That is the intercept of :class:`~sklearn.svm.LinearSVC` and not the free one of
        :class:`~sklearn.svm.SVC`.
    intercept_scaling : float, default=1.0
        Value of the constant feature. The larger, the less the norm of an intercept costs.
    method : str, default="auto"
        How to solve, see :func:`gnorm.solve`; "auto" chooses by the sizes of the problem.
    tol : float, default=1e-4
        Relative duality gap at which a problem counts as solved.
    max_iter : int, default=None
        Most iterations of the method; None for its own default.
    memory_limit : float, default=None
        Most memory in bytes that the solve of one problem may take beside the data, see
        :func:`gnorm.solve`; None for half of what is free when it begins. What is solved
        at the same time takes as much each: with many ``n_jobs`` on large data, set it.
    random_state : int, RandomState instance or None, default=None
        Draws the hyperplanes of the default gates. Pass an int for reproducible fits. Not used
        if ``gates`` is given.
    warm_start : bool, default=False
        Whether ``fit`` starts from the solution of the call before, if there is one of the same
        loss and of as many samples, units, contexts and features. The optimum is the same; it
        is found sooner if ``C`` became less, or labels, targets or weights changed little. From
        a much smaller ``C`` nothing is gained, and the fit starts anew. On the same inputs and
        weights the gates are kept as well, unless their parameters changed, even if they were
        drawn without a seed.
    n_jobs : int, default=None
        Problems that are solved at the same time, in threads unless a
        :class:`joblib.parallel_config` says otherwise: classes against the rest or targets,
        which share gates and Gram matrix, and the splits of a cross-validation. None means 1
        outside of such a context, -1 all processors. After Ctrl-C threads go on to the end of
        their solve.
    verbose : int, default=0
        1 prints a line an iteration, and in a cross-validation a line a split.

    Attributes
    ----------
    gates_ : transformer
        The fitted gates.
    zeta_ : ndarray of shape (n_targets, n_units, n_contexts, n_features)
        Unit weights, a problem for each target. With ``fit_intercept`` the last feature is the
        constant one.
    context_intercepts_ : ndarray of shape (n_targets, n_units, n_contexts)
        What the constant feature adds to the prediction in each context, ``intercept_scaling *
        zeta_[..., -1]``; zeros without ``fit_intercept``.
    norm_ : ndarray of shape (n_targets,)
        Induced norm of each predictor. It is that of the gates in use: gates with exactly one
        context on per unit induce the GLN norm, on/off gates the FReLU norm.
    duality_gap_ : ndarray of shape (n_targets,)
        Certified relative gap between the primal and the dual value, over all samples.
    dual_coef_ : ndarray of shape (n_targets, n_support)
        Dual coefficients: minus the derivatives of the losses by the predictions.
    support_ : ndarray of shape (n_support,)
        Indices of the samples with a dual coefficient other than zero for at least one target.
    unit_norms_ : ndarray of shape (n_targets, n_units)
        Norm of each unit, the Frobenius norm of its weights; zero for the units that the
        predictor does without.
    n_iter_ : ndarray of shape (n_targets,)
        Iterations of the method.
    segment_columns_ : ndarray of int of shape (n_segment_columns,)
        Positions of the columns that the gates see, where ``segment`` or ``features`` is given.
    feature_columns_ : ndarray of int of shape (n_feature_columns,)
        Positions of those that the linear map sees, where one of them is given.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where ``X`` has names that are all strings.

    See Also
    --------
    GLNNormRegressor : The same for units with several contexts.
    FReLUClassifier : The same for classes.
    FReLURegressorCV : ``C`` chosen by cross-validation.

    References
    ----------
    .. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
       generalized gated linear networks. arXiv:2202.02649.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import StandardScaler
    >>> from gnorm import FReLURegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> regressor = FReLURegressor(n_units=20, C=0.1, random_state=0).fit(X[:300], y[:300])
    >>> bool(regressor.score(X[300:], y[300:]) > 0.4), bool(regressor.duality_gap_[0] <= 1e-4)
    (True, True)
    """

    def __init__(
        self,
        n_units: int = 50,
        *,
        loss: str | Loss = "squared_error",
        norm: str | Norm | None = None,
        epsilon: float = 0.1,
        delta: float = 1.35,
        quantile: float = 0.5,
        C: float = 1.0,
        gates: Any = None,
        segment: Any = None,
        features: Any = None,
        unit_features: Any = None,
        cutoff: str = "median",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        method: str = "auto",
        tol: float = 1e-4,
        max_iter: int | None = None,
        memory_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_units = n_units
        self.loss = loss
        self.norm = norm
        self.epsilon = epsilon
        self.delta = delta
        self.quantile = quantile
        self.C = C
        self.gates = gates
        self.segment = segment
        self.features = features
        self.unit_features = unit_features
        self.cutoff = cutoff
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.method = method
        self.tol = tol
        self.max_iter = max_iter
        self.memory_limit = memory_limit
        self.random_state = random_state
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.verbose = verbose
