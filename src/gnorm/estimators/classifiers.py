"""Classifiers with a choice of loss, and what all classifiers share."""

from __future__ import annotations

from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_expit, log_softmax, logsumexp
from sklearn.base import ClassifierMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from gnorm.boundary import BoundaryDistance, distance_to_boundary
from gnorm.estimators.base import ContextGates, GatedEstimator, OnOffGates
from gnorm.estimators.data import TrainingData
from gnorm.losses import (
    ClassLoss,
    CrammerSinger,
    Hinge,
    LogLoss,
    Loss,
    Multinomial,
    OneVersusRest,
    get_loss,
)
from gnorm.norms import Norm
from gnorm.solvers import Solution

__all__ = ["FReLUClassifier", "GLNNormClassifier", "GatedClassifier", "LossClassifier"]


class GatedClassifier(ClassifierMixin, GatedEstimator):
    """Labels, class weights and predictions, for a classifier to inherit from."""

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the gates, then the predictors.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training inputs.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative factors of ``C``. A sample of weight k counts as k copies, for the gates
            too, one of weight 0 as absent.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        NotSeparableError
            If ``C`` is infinite and the gated data are not separable.
        ValueError
            For malformed input, or if fewer than two classes have samples of positive weight.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` or Ctrl-C ends a solve above ``tol``; ``duality_gap_`` says where. With
            more than two classes Ctrl-C ends the one of the moment, and in threads the whole fit.
        """
        return self._fit(X, y, sample_weight)

    def _training_data(self, X: Any, y: np.ndarray, sample_weight: np.ndarray) -> TrainingData:
        _check_labels(y)
        weight = sample_weight * self._class_factors(y, sample_weight)
        kept = np.flatnonzero(weight)  # a sample of weight 0 is as if it were absent
        classes, indices = np.unique(y[kept], return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                "expected samples of positive weight of at least 2 classes, "
                f"got {len(classes)} class: {', '.join(map(str, classes))}"
            )
        indices = indices.reshape(-1)
        return TrainingData(
            X[kept], indices, classes, sample_weight[kept], weight[kept], kept, len(y)
        )

    def _weighted(self, data: TrainingData) -> TrainingData:
        if self._is_balanced():  # by the classes of these samples
            return data.weighted(self._class_factors(data.truth, data.sample_weight))
        return data

    def _is_balanced(self) -> bool:
        return isinstance(self.class_weight, str) and self.class_weight == "balanced"

    def _class_factors(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Factor of the weight of each sample that its class gives."""
        if self._is_balanced():
            # scikit-learn's formula with the sample weights, which its function lacks before 1.7
            _, indices = np.unique(y, return_inverse=True)
            totals = np.bincount(indices.reshape(-1), weights=weight)
            totals[totals == 0] = np.inf
            return (weight.sum() / (np.count_nonzero(np.isfinite(totals)) * totals))[indices]
        factors = compute_sample_weight(self.class_weight, y)
        if not np.all(np.isfinite(factors) & (factors >= 0)):
            raise ValueError(
                f"expected finite, non-negative values in class_weight, got {self.class_weight}"
            )
        return factors

    def _check_part(self, part: TrainingData) -> None:
        missing = np.setdiff1d(np.arange(len(part.classes)), part.y)
        if len(missing):
            raise ValueError(
                "expected all classes in the training part of every split, "
                f"got one without {', '.join(map(str, part.classes[missing]))}"
            )

    def _problems(self, data: TrainingData) -> np.ndarray:
        """The two classes, each class against the rest, or all at once."""
        if isinstance(self._loss_of(data), ClassLoss):
            return data.y[None]
        positives = np.arange(len(data.classes))[1 if len(data.classes) == 2 else 0 :]
        return np.where(data.y == positives[:, None], 1.0, -1.0)

    def _notes(self, data: TrainingData) -> list[str]:
        if len(self._problems(data)) == 1:
            return [""]
        return [f"This is class {name} against the rest." for name in data.classes]

    def _keep(self, solutions: list[Solution], data: TrainingData) -> None:
        self.classes_ = data.classes
        self.margin_ = np.array([solution.margin for solution in solutions])

    def decision_function(self, X: Any) -> np.ndarray:
        """Evaluate the predictors.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Decision values, positive for ``classes_[1]`` if there are two classes; else one
            column a class, against the rest or, by the log loss, its log-odds up to a constant.
        """
        values = self._outputs(X)
        return values[:, 0] if values.shape[1] == 1 else values

    def distance_to_boundary(self, X: Any) -> BoundaryDistance:
        """Bound how far inputs are from the nearest of the other side.

        The decision function jumps where a gate switches, so that ``margin_`` is no distance
        between inputs. These are.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        gnorm.boundary.BoundaryDistance
            Bounds of the distances, from each class against the rest if there are more than two,
            in arrays of shape (n_samples,) or (n_samples, n_classes).

        Raises
        ------
        TypeError
            If the gates are no hyperplanes.
        ValueError
            If the predictor is multinomial, or a context is one of several units together.

        See Also
        --------
        gnorm.boundary.distance_to_boundary : What is bounded, and how.
        """
        check_is_fitted(self, "_zeta_")
        if len(self.norm_) != len(self._zeta_):
            raise ValueError(
                "expected decision values of one class against the rest each, got those of "
                f"{len(self._zeta_)} classes of one model"
            )
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        constant = float(self.intercept_scaling) if self.fit_intercept else None
        found = [
            distance_to_boundary(X, self.gates_, zeta, constant=constant) for zeta in self.zeta_
        ]
        return found[0] if len(found) == 1 else _stacked(found)

    def predict(self, X: Any) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        values = self.decision_function(X)
        winner = (values > 0).astype(int) if values.ndim == 1 else np.argmax(values, axis=1)
        return self.classes_[winner]


def _stacked(found: list[BoundaryDistance]) -> BoundaryDistance:
    """One for each class as one, with an axis for the classes."""
    columns = zip(*(vars(each).values() for each in found), strict=True)
    return BoundaryDistance(*(np.stack(column, axis=1) for column in columns))


def _check_labels(y: np.ndarray) -> None:
    """Raise ValueError unless labels are classes, all strings or all numbers."""
    if y.dtype.kind == "O":
        is_text = [isinstance(label, str) for label in y]
        others = [label for label, is_one in zip(y, is_text, strict=True) if not is_one]
        if others and (any(is_text) or not all(isinstance(label, Real) for label in others)):
            stranger = next((label for label in others if not isinstance(label, Real)), others[0])
            raise ValueError(
                f"expected labels of one kind, all strings or all numbers, got {stranger!r} among "
                "others"
            )
    check_classification_targets(y)


def _has_probabilities(estimator: Any) -> bool:
    """Raise AttributeError unless the loss is the log loss."""
    loss = estimator.loss
    if loss in (LogLoss.name, Multinomial.name) or isinstance(loss, LogLoss | Multinomial):
        return True
    raise AttributeError(f"expected loss='log_loss' for probabilities, got {estimator.loss!r}")


_MULTI_CLASS = ("auto", "ovr", "multinomial")
_OF_ALL_CLASSES: dict[type[Loss], type[ClassLoss]] = {LogLoss: Multinomial, Hinge: CrammerSinger}
_OF_ONE_OUTPUT: dict[type[Loss], Loss] = {
    Multinomial: LogLoss(),
    CrammerSinger: Hinge(),
    OneVersusRest: Hinge(),
}


class LossClassifier(GatedClassifier):
    """A choice of loss, and probabilities where it has them."""

    multi_class: str = "auto"  # for what was pickled before it was a parameter

    def _loss_of(self, data: TrainingData) -> Loss:
        loss, n_classes = get_loss(self.loss), len(data.classes)
        if not (loss.is_margin or isinstance(loss, ClassLoss)):
            raise ValueError(
                "expected a loss of labels, 'log_loss', 'squared_hinge' or 'hinge', "
                f"got {self.loss!r}"
            )
        if not isinstance(self.multi_class, str) or self.multi_class not in _MULTI_CLASS:
            raise ValueError(
                f"multi_class must be one of {list(_MULTI_CLASS)}, got {self.multi_class!r}"
            )
        if isinstance(loss, ClassLoss):
            self._check_classes(loss, n_classes)
        joint = type(loss) if isinstance(loss, ClassLoss) else _OF_ALL_CLASSES.get(type(loss))
        if self.multi_class == "multinomial" and joint is None:
            raise ValueError(
                "expected loss='log_loss' or 'hinge' for multi_class='multinomial', "
                f"got {self.loss!r}"
            )
        is_joint = self.multi_class == "multinomial" or (
            self.multi_class == "auto" and isinstance(loss, ClassLoss | LogLoss)
        )
        if joint is not None and is_joint and n_classes > 2:
            return joint(n_classes)
        return _OF_ONE_OUTPUT.get(type(loss), loss)

    def _check_classes(self, loss: ClassLoss, n_classes: int) -> None:
        """Raise ValueError where a loss of all classes is not of these, or each is to be alone."""
        if self.multi_class == "ovr":
            raise ValueError(
                f"expected a loss of one output such as {_OF_ONE_OUTPUT[type(loss)].name!r} for "
                f"multi_class='ovr', got {self.loss!r}"
            )
        if loss.n_classes not in (None, n_classes):
            raise ValueError(
                f"expected a loss of {n_classes} classes, as many as there are, or of "
                f"n_classes=None, got {self.loss!r}"
            )

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]  # of scikit-learn, without types
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
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
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Their logarithms, which are finite where a probability rounds to 0.
        """
        values = self._outputs(X)
        if values.shape[1] == 1:
            return log_expit(np.hstack([-values, values]))
        if len(self.norm_) == 1:
            return log_softmax(values, axis=1)
        each = log_expit(values)  # of each class against the rest, which need not sum to 1
        return each - logsumexp(each, axis=1, keepdims=True)


class GLNNormClassifier(ContextGates, LossClassifier):
    r"""Classifier under the GLN norm, solved exactly, with probabilities.

    .. math::

        \min_f \tfrac12 \|f\|_{\mathrm{GLN}}^2 + \sum_n C_n\, m(y_n f(x_n)), \qquad
        f(x) = \sum_h \langle \zeta_{h, c_h(x)}, x \rangle

    Each unit reads from its gate in which of its contexts an input lies and adds a linear
    predictor of that context. The GLN norm is what gradient descent on a gated linear network of
    two layers implicitly minimises [1]_; it is a group norm over units, so units may drop out.
    With the log loss :math:`m(z) = \log(1 + e^{-z})` it is a logistic regression: one unit with
    one context is :class:`~sklearn.linear_model.LogisticRegression` of the same ``C`` on the
    inputs with the constant feature.

    Parameters
    ----------
    n_units : int, default=50
        Number of gated units of the default gates. Not used if ``gates`` is given.
    n_contexts : int, default=2
        Contexts of each unit, a power of two. Not used if ``gates`` is given.
    loss : str or Loss, default="log_loss"
        The loss: "log_loss", "squared_hinge", "hinge" or one of :mod:`gnorm.losses`.
        Probabilities come with the log loss alone.
    multi_class : {"auto", "ovr", "multinomial"}, default="auto"
        What more than two classes are. "ovr": each class against the rest is a problem of its own.
        "multinomial": all classes are one problem, that of the multinomial model for the log loss
        and that of Crammer and Singer for the hinge, as in :class:`~sklearn.svm.LinearSVC` with
        ``multi_class="crammer_singer"``; ``norm="nuclear"`` then is that of a network with an
        output a class. "auto" is "multinomial" for the log loss and losses of classes,
        else "ovr".
    norm : str or Norm, default=None
        The norm, one of :mod:`gnorm.norms` or the name of one without parameters, see
        :func:`gnorm.norms.catalogue`; "nuclear" is that of a network whose classes or outputs share
        units. None is the norm that the gates induce.
    C : float, default=1.0
        Weight of the loss, positive. ``numpy.inf`` is the hard margin, for hinges of one class or
        of all; it raises :class:`gnorm.NotSeparableError` if the gated data are not separable.
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
    class_weight : dict or "balanced", default=None
        Factors of the sample weights by class, with all that these do; "balanced" makes them
        inversely proportional to the total weight of the classes.
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
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    gates_ : transformer
        The fitted gates.
    zeta_ : ndarray of shape (n_outputs, n_units, n_contexts, n_features)
        Unit weights; one output for two classes, else one per class. With ``fit_intercept`` the
        last feature is the constant one. Each output is a problem, unless all
        classes are one.
    context_intercepts_ : ndarray of shape (n_outputs, n_units, n_contexts)
        What the constant feature adds to the decision value in each context,
        ``intercept_scaling * zeta_[..., -1]``; zeros without ``fit_intercept``.
    norm_ : ndarray of shape (n_problems,)
        Induced norm of each predictor. It is that of the gates in use: gates with exactly one
        context on per unit induce the GLN norm, on/off gates the FReLU norm.
    margin_ : ndarray of shape (n_problems,)
        Geometric margin, the least :math:`y_n f(x_n)` divided by the norm, or the least lead of
        the output of the label where classes are one problem; NaN for the multinomial model. No
        distance between inputs: the decision function jumps where a
        gate switches, see :meth:`distance_to_boundary`.
    duality_gap_ : ndarray of shape (n_problems,)
        Certified relative gap between the primal and the dual value, over all samples.
    dual_coef_ : ndarray of shape (n_outputs, n_support)
        Dual coefficients, signed: minus the derivatives of the losses by the outputs.
    support_ : ndarray of shape (n_support,)
        Indices of the samples with a dual coefficient other than zero; under the log loss, all
        of positive weight.
    unit_norms_ : ndarray of shape (n_problems, n_units)
        Norm of each unit, the Frobenius norm of its weights over all outputs of the problem;
        zero for the units that the predictor does without.
    n_iter_ : ndarray of shape (n_problems,)
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
    FReLUClassifier : The same for on/off gates.
    GLNNormSVC : The same with the hinge loss alone.
    GLNNormClassifierCV : ``C`` chosen by cross-validation.

    References
    ----------
    .. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
       generalized gated linear networks. arXiv:2202.02649.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from gnorm import GLNNormClassifier
    >>> X, digit = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X / 16, digit < 5, random_state=0)
    >>> classifier = GLNNormClassifier(n_units=20, random_state=0).fit(X_train, y_train)
    >>> classifier.predict_proba(X_test).shape, bool(classifier.score(X_test, y_test) > 0.92)
    ((450, 2), True)
    """

    def __init__(
        self,
        n_units: int = 50,
        n_contexts: int = 2,
        *,
        loss: str | Loss = "log_loss",
        multi_class: str = "auto",
        norm: str | Norm | None = None,
        C: float = 1.0,
        gates: Any = None,
        segment: Any = None,
        features: Any = None,
        unit_features: Any = None,
        cutoff: str = "median",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: dict[Any, float] | str | None = None,
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
        self.multi_class = multi_class
        self.norm = norm
        self.C = C
        self.gates = gates
        self.segment = segment
        self.features = features
        self.unit_features = unit_features
        self.cutoff = cutoff
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.method = method
        self.tol = tol
        self.max_iter = max_iter
        self.memory_limit = memory_limit
        self.random_state = random_state
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.verbose = verbose


class FReLUClassifier(OnOffGates, LossClassifier):
    r"""Classifier under the FReLU norm, solved exactly, with probabilities.

    .. math::

        \min_\zeta \tfrac12 \Bigl( \sum_h \|\zeta_h\| \Bigr)^2 + \sum_n C_n\, m(y_n f(x_n)), \qquad
        f(x) = \sum_h g_h(x) \langle \zeta_h, x \rangle

    A frozen-gate ReLU network: each unit is a linear predictor that its gate switches on or off.
    The group norm is what gradient descent on the weights of such a network implicitly
    minimises [1]_. With the log loss :math:`m(z) = \log(1 + e^{-z})` it is a logistic
    regression.

    Parameters
    ----------
    n_units : int, default=50
        Number of gated units of the default gates, to which comes one unit that is always open.
        Not used if ``gates`` is given.
    loss : str or Loss, default="log_loss"
        The loss: "log_loss", "squared_hinge", "hinge" or one of :mod:`gnorm.losses`.
        Probabilities come with the log loss alone.
    multi_class : {"auto", "ovr", "multinomial"}, default="auto"
        What more than two classes are. "ovr": each class against the rest is a problem of its own.
        "multinomial": all classes are one problem, that of the multinomial model for the log loss
        and that of Crammer and Singer for the hinge, as in :class:`~sklearn.svm.LinearSVC` with
        ``multi_class="crammer_singer"``; ``norm="nuclear"`` then is that of a network with an
        output a class. "auto" is "multinomial" for the log loss and losses of classes,
        else "ovr".
    norm : str or Norm, default=None
        The norm, one of :mod:`gnorm.norms` or the name of one without parameters, see
        :func:`gnorm.norms.catalogue`; "nuclear" is that of a network whose classes or outputs share
        units. None is the norm that the gates induce.
    C : float, default=1.0
        Weight of the loss, positive. ``numpy.inf`` is the hard margin, for hinges of one class or
        of all; it raises :class:`gnorm.NotSeparableError` if the gated data are not separable.
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
    class_weight : dict or "balanced", default=None
        Factors of the sample weights by class, with all that these do; "balanced" makes them
        inversely proportional to the total weight of the classes.
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
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    gates_ : transformer
        The fitted gates.
    zeta_ : ndarray of shape (n_outputs, n_units, n_contexts, n_features)
        Unit weights; one output for two classes, else one per class. With ``fit_intercept`` the
        last feature is the constant one. Each output is a problem, unless all
        classes are one.
    context_intercepts_ : ndarray of shape (n_outputs, n_units, n_contexts)
        What the constant feature adds to the decision value in each context,
        ``intercept_scaling * zeta_[..., -1]``; zeros without ``fit_intercept``.
    norm_ : ndarray of shape (n_problems,)
        Induced norm of each predictor. It is that of the gates in use: gates with exactly one
        context on per unit induce the GLN norm, on/off gates the FReLU norm.
    margin_ : ndarray of shape (n_problems,)
        Geometric margin, the least :math:`y_n f(x_n)` divided by the norm, or the least lead of
        the output of the label where classes are one problem; NaN for the multinomial model. No
        distance between inputs: the decision function jumps where a
        gate switches, see :meth:`distance_to_boundary`.
    duality_gap_ : ndarray of shape (n_problems,)
        Certified relative gap between the primal and the dual value, over all samples.
    dual_coef_ : ndarray of shape (n_outputs, n_support)
        Dual coefficients, signed: minus the derivatives of the losses by the outputs.
    support_ : ndarray of shape (n_support,)
        Indices of the samples with a dual coefficient other than zero; under the log loss, all
        of positive weight.
    unit_norms_ : ndarray of shape (n_problems, n_units)
        Norm of each unit, the Frobenius norm of its weights over all outputs of the problem;
        zero for the units that the predictor does without.
    n_iter_ : ndarray of shape (n_problems,)
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
    GLNNormClassifier : The same for units with several contexts.
    FReLUSVC : The same with the hinge loss alone.
    FReLUClassifierCV : ``C`` chosen by cross-validation.

    References
    ----------
    .. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
       generalized gated linear networks. arXiv:2202.02649.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from gnorm import FReLUClassifier
    >>> X, digit = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X / 16, digit < 5, random_state=0)
    >>> classifier = FReLUClassifier(n_units=20, random_state=0).fit(X_train, y_train)
    >>> classifier.predict_proba(X_test).shape, bool(classifier.score(X_test, y_test) > 0.92)
    ((450, 2), True)
    """

    def __init__(
        self,
        n_units: int = 50,
        *,
        loss: str | Loss = "log_loss",
        multi_class: str = "auto",
        norm: str | Norm | None = None,
        C: float = 1.0,
        gates: Any = None,
        segment: Any = None,
        features: Any = None,
        unit_features: Any = None,
        cutoff: str = "median",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: dict[Any, float] | str | None = None,
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
        self.multi_class = multi_class
        self.norm = norm
        self.C = C
        self.gates = gates
        self.segment = segment
        self.features = features
        self.unit_features = unit_features
        self.cutoff = cutoff
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.method = method
        self.tol = tol
        self.max_iter = max_iter
        self.memory_limit = memory_limit
        self.random_state = random_state
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.verbose = verbose
