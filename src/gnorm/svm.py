"""Max-margin classifiers of the gated norms, as scikit-learn estimators.

An estimator joins three things: gates fitted to the inputs, the engine of :mod:`gnorm.margin` on
the gated design, and scikit-learn's conventions. What differs between the classes is the default
gates and the norm, that is, the design.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import check_scalar, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from gnorm import gated
from gnorm.gates import HyperplaneGates, ReLUGates
from gnorm.margin.design import GatedDesign, PredictorL2Design
from gnorm.margin.engine import (
    check_activations,
    check_sample_weight,
    merged_design,
    warn_if_unfinished,
)
from gnorm.margin.merge import Merged
from gnorm.margin.path import share_gram
from gnorm.margin.problem import MarginProblem
from gnorm.margin.solution import NotSeparableError
from gnorm.margin.warm import Near, is_at_bound
from gnorm.svm_fit import Before, Data, check_positive, in_parallel, of_all_samples, solve_class

__all__ = ["FReLUSVC", "GLNNormSVC", "GatedL2SVC", "ShallowGLNSVC"]

_SHARED_PARAMETERS = """
    C : float, default=1.0
        Weight of the hinge loss, positive. ``numpy.inf`` is the hard margin; it raises
        :class:`gnorm.NotSeparableError`, with a certificate, if the gated data are not separable.
    gates : transformer, default=None
        Any gates of :mod:`gnorm.gates`, or an object with their ``fit`` and ``transform``. It is
        cloned and fitted. None makes the default gates from the parameters around it.
    cutoff : {"median", "random", "zero"}, default="median"
        Where the default gates cut each projection. Not used if ``gates`` is given.
    fit_intercept : bool, default=True
        Whether to append a constant feature, as the paper does. The intercept is a weight like
        any other: each context of each unit has its own, and all are inside the norm. That is
        the intercept of :class:`~sklearn.svm.LinearSVC` and not the free one of
        :class:`~sklearn.svm.SVC`.
    intercept_scaling : float, default=1.0
        Value of the constant feature. The larger, the less the norm of an intercept costs.
    class_weight : dict or "balanced", default=None
        Factors of the sample weights by class, with all that these do; "balanced" makes them
        inversely proportional to the total weight of the classes.
    method : {"auto", "interior-point", "working-set", "primal", "clarabel", "scs"}, default="auto"
        How to solve, see :func:`gnorm.max_margin`.
    tol : float, default=1e-4
        Relative duality gap at which a problem counts as solved.
    max_iter : int, default=100
        Most iterations of the method. A first-order method such as "scs" needs thousands.
    memory_limit : float, default=None
        Most memory in bytes that the solve of one problem may take beside the data, see
        :func:`gnorm.max_margin`; None for half of what is free when it begins. What is solved at
        the same time takes as much each: with many ``n_jobs`` on large data, set it.
    random_state : int, RandomState instance or None, default=None
        Draws the hyperplanes of the default gates. Pass an int for reproducible fits. Not used if
        ``gates`` is given.
    warm_start : bool, default=False
        Whether ``fit`` starts from the solution of the call before, if there is one of as many
        samples, units, contexts and features. The optimum is the same; it is found sooner if ``C``
        became less, or labels or weights changed little. From a much smaller ``C`` nothing is
        gained, and the fit starts anew. On the same inputs and weights the gates are kept as well,
        unless their parameters changed, even if they were drawn without a seed.
    n_jobs : int, default=None
        Problems that are solved at the same time, in threads unless a
        :class:`joblib.parallel_config` says otherwise: classes against the rest, which share gates
        and Gram matrix, and the splits of a cross-validation. None means 1 outside of such a
        context, -1 all processors. After Ctrl-C threads go on to the end of their solve.
    verbose : int, default=0
        1 prints a line an iteration, and in a cross-validation a line for each problem of a split.
"""

_SHARED_ATTRIBUTES = """
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    gates_ : transformer
        The fitted gates.
    zeta_ : ndarray of shape (n_problems, n_units, n_contexts, n_features)
        Unit weights; one problem for two classes, else one per class against the rest. With
        ``fit_intercept`` the last feature is the constant one.
    intercept_ : ndarray of shape (n_problems, n_units, n_contexts)
        What the constant feature adds to the decision value in each context,
        ``intercept_scaling * zeta_[..., -1]``; zeros without ``fit_intercept``.
    norm_ : ndarray of shape (n_problems,)
        Induced norm of each predictor. It is that of the gates in use: gates with exactly one
        context on per unit induce the GLN norm, on/off gates the FReLU norm.
    margin_ : ndarray of shape (n_problems,)
        Geometric margin, the least :math:`y_n f(x_n)` divided by the norm.
    duality_gap_ : ndarray of shape (n_problems,)
        Certified relative gap between the primal and the dual value, over all samples.
    dual_coef_ : ndarray of shape (n_problems, n_support)
        Dual coefficients times labels, :math:`y_n a_n`, of the support vectors.
    support_ : ndarray of shape (n_support,)
        Indices of the samples that support at least one of the predictors.
    unit_norms_ : ndarray of shape (n_problems, n_units)
        Norm of each unit, the Frobenius norm of its weights; zero for the units that the
        predictor does without.
    n_iter_ : ndarray of shape (n_problems,)
        Iterations of the method.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where ``X`` has names that are all strings.
"""


_SHARED_SECTIONS = {
    "shared_parameters": _SHARED_PARAMETERS,
    "shared_attributes": _SHARED_ATTRIBUTES,
}


def with_shared_sections(cls: type, without: tuple[str, ...] = ()) -> type:
    """Fill in what the docstrings of all estimators have in common, but for some parameters."""
    assert cls.__doc__ is not None
    for section, text in _SHARED_SECTIONS.items():
        for name in without:
            text = re.sub(rf"(?m)^    {name} : .*\n(?:        .*\n)+", "", text)
        cls.__doc__ = cls.__doc__.replace(f"    {{{section}}}", text.strip("\n"))
    return cls


class _GatedSVC(ClassifierMixin, BaseEstimator):
    """What the classifiers share: all but the default gates and the norm."""

    _design: ClassVar[type[GatedDesign]] = GatedDesign
    # scikit-learn shows the documentation of parameters, in HTML, beside a link to more of it. The
    # package has no address, so the link leads nowhere else.
    _doc_link_module = "gnorm"
    _doc_link_template = "#{estimator_name}"

    def _default_gates(self) -> Any:
        raise NotImplementedError

    def _fit_activations(self, X: Any) -> np.ndarray:
        """Activations of the training data; a subclass may learn from them."""
        return self._activations(X)

    def _activations(self, X: Any) -> np.ndarray:
        return check_activations(self.gates_.transform(X), X.shape[0])

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the gates, then the max-margin predictor.

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
        with self._all_or_nothing():
            data = self._checked(X, y, sample_weight)
            check_positive(self.C, "C", is_infinite_allowed=True)
            before = self.__dict__.pop("_before", None)
            before = before if self.warm_start else None
            self._fit_gates(data, before)
            Cs = np.full(len(data.signs()), float(self.C))
            self._fit_predictors(data, Cs, before)
        return self

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Forget the fit before; come back to it if the new one fails."""
        before = self.__dict__.copy()
        for name in before:
            if name.endswith("_"):
                delattr(self, name)
        try:
            yield
        except BaseException:  # Ctrl-C as well; it is raised again
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _checked(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None) -> Data:
        """Return the samples of positive weight; parameters that concern them are checked."""
        X, targets = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64)
        check_classification_targets(targets)
        check_positive(self.intercept_scaling, "intercept_scaling")
        check_positive(self.tol, "tol")
        check_scalar(self.max_iter, "max_iter", Integral, min_val=1)
        sample_weight = check_sample_weight(sample_weight, len(targets))
        weight = sample_weight * self._class_factors(targets, sample_weight)
        kept = np.flatnonzero(weight)  # a sample of weight 0 is as if it were absent
        classes, labels = np.unique(targets[kept], return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                "expected samples of positive weight of at least 2 classes, "
                f"got {len(classes)} class: {', '.join(map(str, classes))}"
            )
        if self.gates is not None and not hasattr(self.gates, "transform"):
            raise TypeError(f"expected gates with fit and transform, got {self.gates!r}")
        return Data(X[kept], labels, classes, sample_weight[kept], weight[kept], kept, len(targets))

    def _fit_gates(self, data: Data, before: Before | None = None) -> None:
        """Fit the gates, or keep those of the call before if they would be the same."""
        gates = self._default_gates() if self.gates is None else clone(self.gates)
        kept = None if before is None else before.gates_like(gates, data.digest)
        self.gates_ = gates.fit(data.X, sample_weight=data.weight) if kept is None else kept

    def _design_of(self, data: Data) -> tuple[GatedDesign, Merged]:
        """Geometry of the distinct samples, with their weights as bounds."""
        activations = self._fit_activations(data.X)
        X = self._augmented(data.X)
        return merged_design(self._design, X, data.labels, activations, data.weight)

    def _fit_predictors(self, data: Data, Cs: np.ndarray, before: Before | None = None) -> None:
        """Solve the problem of each class against the rest, or of the two classes, at its C."""
        self.classes_ = data.classes
        design, merged = self._design_of(data)
        signs = data.signs()
        notes = [""]
        starts: list[Near | None] = [None] * len(signs)
        memory_limit = self.memory_limit
        if len(signs) > 1:
            first = MarginProblem(design, signs[0][merged.rows], merged.times(Cs[0]).upper)
            memory_limit = share_gram(first, self.method, memory_limit)
            notes = [f"This is class {name} against the rest." for name in data.classes]
        if before is not None:
            starts = before.starts(signs, Cs, design, merged)
        options = {name: getattr(self, name) for name in ("method", "tol", "max_iter", "verbose")}
        tasks = [
            partial(solve_class, design, merged, *one, memory_limit=memory_limit, **options)
            for one in zip(signs, Cs, starts, notes, strict=True)
        ]
        try:
            solutions = in_parallel(self.n_jobs, tasks)
        except NotSeparableError as error:
            raise of_all_samples(error, data) from None
        for solution in solutions:
            warn_if_unfinished(solution, self.tol, stacklevel=4)
        self.zeta_ = np.stack([solution.zeta for solution in solutions])
        self.norm_ = np.array([solution.norm for solution in solutions])
        self.margin_ = np.array([solution.margin for solution in solutions])
        self.duality_gap_ = np.array([solution.duality_gap for solution in solutions])
        self.unit_norms_ = np.stack([solution.unit_norms for solution in solutions])
        self.n_iter_ = np.array([solution.n_iter for solution in solutions])
        signed = np.stack(
            [sign * solution.dual_coef for sign, solution in zip(signs, solutions, strict=True)]
        )
        supporting = np.flatnonzero(signed.any(axis=0))
        self.support_ = data.kept[supporting]
        self.dual_coef_ = signed[:, supporting]
        self.intercept_ = (
            self.intercept_scaling * self.zeta_[..., -1]
            if self.fit_intercept
            else np.zeros(self.zeta_.shape[:-1])
        )
        if self.warm_start:
            self._before = Before(
                self.gates_,
                self.gates_.get_params(),
                data.digest,
                Cs,
                len(data.kept),
                supporting,
                self.zeta_,
                self.dual_coef_,
                is_at_bound(np.abs(self.dual_coef_), Cs[:, None] * data.weight[supporting]),
            )

    def _class_factors(self, targets: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Factor of the weight of each sample that its class gives."""
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            # scikit-learn's formula with the sample weights, which its function lacks before 1.7
            _, labels = np.unique(targets, return_inverse=True)
            totals = np.bincount(labels, weights=weight)
            totals[totals == 0] = np.inf
            return (weight.sum() / (np.count_nonzero(np.isfinite(totals)) * totals))[labels]
        factors = compute_sample_weight(self.class_weight, targets)
        if not np.all(np.isfinite(factors) & (factors >= 0)):
            raise ValueError(
                f"expected finite, non-negative values in class_weight, got {self.class_weight}"
            )
        return factors

    def _augmented(self, X: Any) -> Any:
        """Inputs with the constant feature."""
        if not self.fit_intercept:
            return X
        constant = np.full((X.shape[0], 1), float(self.intercept_scaling))
        if sparse.issparse(X):
            return sparse.hstack([X, constant], format="csr")
        return np.hstack([X, constant])

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
            column a class, each against the rest.
        """
        check_is_fitted(self, "zeta_")
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        values = np.empty((X.shape[0], len(self.zeta_)))
        n_gates = self.zeta_[0, ..., 0].size
        width = n_gates if sparse.issparse(X) else max(n_gates, X.shape[1])
        for rows in gated.row_blocks(X.shape[0], width):
            activations, augmented = self._activations(X[rows]), self._augmented(X[rows])
            for k, zeta in enumerate(self.zeta_):
                values[rows, k] = gated.decision_values(augmented, activations, zeta)
        return values[:, 0] if values.shape[1] == 1 else values

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class _ContextSVC(_GatedSVC):
    """A classifier whose default gates are hyperplane contexts."""

    def __init__(
        self,
        n_units: int = 50,
        n_contexts: int = 2,
        *,
        C: float = 1.0,
        gates: Any = None,
        cutoff: str = "median",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: dict[Any, float] | str | None = None,
        method: str = "auto",
        tol: float = 1e-4,
        max_iter: int = 100,
        memory_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_units = n_units
        self.n_contexts = n_contexts
        self.C = C
        self.gates = gates
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

    def _default_gates(self) -> HyperplaneGates:
        return HyperplaneGates(
            self.n_units, self.n_contexts, cutoff=self.cutoff, random_state=self.random_state
        )


@with_shared_sections
class GLNNormSVC(_ContextSVC):
    r"""Max-margin classifier of the GLN norm, solved exactly.

    .. math::

        \min_f \tfrac12 \|f\|_{\mathrm{GLN}}^2 + \sum_n C_n \max(0, 1 - y_n f(x_n)), \qquad
        f(x) = \sum_h \langle \zeta_{h, c_h(x)}, x \rangle

    Each unit reads from its gate in which of its contexts an input lies and adds a linear
    predictor of that context. The GLN norm is what gradient descent on a gated linear network of
    two layers implicitly minimises [1]_; it is a group norm over units, so units may drop out.
    One unit with one context is the linear SVM.

    Parameters
    ----------
    n_units : int, default=50
        Number of gated units of the default gates. Not used if ``gates`` is given.
    n_contexts : int, default=2
        Contexts of each unit, a power of two. Not used if ``gates`` is given.
    {shared_parameters}

    Attributes
    ----------
    {shared_attributes}

    See Also
    --------
    FReLUSVC : The same for on/off gates.
    GatedL2SVC : The same predictors under the L2 norm.
    gnorm.max_margin : The engine, for given activations.

    References
    ----------
    .. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
       generalized gated linear networks. arXiv:2202.02649.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from gnorm import GLNNormSVC
    >>> X, digit = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X / 16, digit < 5, random_state=0)
    >>> classifier = GLNNormSVC(n_units=20, random_state=0).fit(X_train, y_train)
    >>> bool(classifier.score(X_test, y_test) > 0.95), bool(classifier.duality_gap_[0] <= 1e-4)
    (True, True)
    """


@with_shared_sections
class FReLUSVC(_GatedSVC):
    r"""Max-margin classifier of the FReLU norm, solved exactly.

    .. math::

        \min_\zeta \tfrac12 \Bigl( \sum_h \|\zeta_h\| \Bigr)^2
            + \sum_n C_n \max(0, 1 - y_n f(x_n)), \qquad
        f(x) = \sum_h g_h(x) \langle \zeta_h, x \rangle

    A frozen-gate ReLU network: each unit is a linear predictor that its gate switches on or off.
    The group norm is what gradient descent on the weights of such a network implicitly
    minimises [1]_.

    Parameters
    ----------
    n_units : int, default=50
        Number of gated units of the default gates, to which comes one unit that is always open.
        Not used if ``gates`` is given.
    {shared_parameters}

    Attributes
    ----------
    {shared_attributes}

    See Also
    --------
    GLNNormSVC : The same for units with several contexts.
    gnorm.ReLUGates : Random gates, or those of a trained network.

    References
    ----------
    .. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
       generalized gated linear networks. arXiv:2202.02649.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from gnorm import FReLUSVC
    >>> X, digit = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X / 16, digit < 5, random_state=0)
    >>> classifier = FReLUSVC(n_units=20, random_state=0).fit(X_train, y_train)
    >>> bool(classifier.score(X_test, y_test) > 0.95), bool(classifier.duality_gap_[0] <= 1e-4)
    (True, True)
    """

    def __init__(
        self,
        n_units: int = 50,
        *,
        C: float = 1.0,
        gates: Any = None,
        cutoff: str = "median",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: dict[Any, float] | str | None = None,
        method: str = "auto",
        tol: float = 1e-4,
        max_iter: int = 100,
        memory_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_units = n_units
        self.C = C
        self.gates = gates
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

    def _default_gates(self) -> ReLUGates:
        return ReLUGates(self.n_units, cutoff=self.cutoff, random_state=self.random_state)


@with_shared_sections
class GatedL2SVC(_ContextSVC):
    r"""The predictors of a gated linear network under their L2 norm.

    The rival that isolates what the GLN norm does: the same functions, but the penalty is
    :math:`\tfrac12 C^{-H} \sum_\gamma \|\beta_\gamma\|^2`, half the mean square of the predictors
    of all contexts. It is an ordinary kernel machine with the kernel
    :func:`gnorm.kernels.predictor_l2_kernel` and no free bias. The square root of the quadratic
    form printed in [1]_, equations (23) and (25), is not this norm; here is the right one.

    Parameters
    ----------
    n_units : int, default=50
        Number of gated units of the default gates. Not used if ``gates`` is given.
    n_contexts : int, default=2
        Contexts of each unit, a power of two. Not used if ``gates`` is given.
    {shared_parameters}

    Attributes
    ----------
    {shared_attributes}

    See Also
    --------
    GLNNormSVC : The same functions under the GLN norm.
    gnorm.norms.predictor_rms_norm : The norm, ``norm_``.

    References
    ----------
    .. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
       generalized gated linear networks. arXiv:2202.02649.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gnorm import GatedL2SVC
    >>> X, digit = load_digits(return_X_y=True)
    >>> classifier = GatedL2SVC(n_units=10, random_state=0).fit(X[:900] / 16, digit[:900] < 5)
    >>> bool(classifier.score(X[900:] / 16, digit[900:] < 5) > 0.85)
    True
    """

    _design = PredictorL2Design


@with_shared_sections
class ShallowGLNSVC(_ContextSVC):
    r"""A linear max-margin predictor of its own for every global context.

    The rival without architectural constraints: units share nothing, so every combination of
    contexts that occurs in the training data has a free linear predictor, and the penalty is
    :math:`\tfrac12 \sum_\gamma \|\beta_\gamma\|^2`. It is the kernel machine of
    :func:`gnorm.kernels.shallow_kernel`, and a gated linear network of one unit whose contexts
    are the global ones. In contexts that training did not show, the decision value is 0. The
    number of contexts grows as ``n_contexts ** n_units``: keep ``n_units`` small.

    Parameters
    ----------
    n_units : int, default=3
        Number of units of the default gates, whose contexts together make the global context.
        Not used if ``gates`` is given.
    n_contexts : int, default=2
        Contexts of each unit, a power of two. Not used if ``gates`` is given.
    {shared_parameters}

    Attributes
    ----------
    contexts_ : ndarray of bool, shape (n_global_contexts, n_units, n_contexts)
        The global contexts seen in ``fit``. In ``zeta_`` and ``unit_norms_`` they are the
        contexts of a single unit.
    {shared_attributes}

    See Also
    --------
    GLNNormSVC : Units that share weights between global contexts.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gnorm import ShallowGLNSVC
    >>> X, digit = load_digits(return_X_y=True)
    >>> classifier = ShallowGLNSVC(n_units=2, random_state=0).fit(X[:900] / 16, digit[:900] < 5)
    >>> len(classifier.contexts_), bool(classifier.score(X[900:] / 16, digit[900:] < 5) > 0.8)
    (4, True)
    """

    def __init__(
        self,
        n_units: int = 3,
        n_contexts: int = 2,
        *,
        C: float = 1.0,
        gates: Any = None,
        cutoff: str = "median",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: dict[Any, float] | str | None = None,
        method: str = "auto",
        tol: float = 1e-4,
        max_iter: int = 100,
        memory_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            n_units,
            n_contexts,
            C=C,
            gates=gates,
            cutoff=cutoff,
            fit_intercept=fit_intercept,
            intercept_scaling=intercept_scaling,
            class_weight=class_weight,
            method=method,
            tol=tol,
            max_iter=max_iter,
            memory_limit=memory_limit,
            random_state=random_state,
            warm_start=warm_start,
            n_jobs=n_jobs,
            verbose=verbose,
        )

    def _fit_activations(self, X: Any) -> np.ndarray:
        activations = super()._activations(X)
        self.contexts_ = np.unique(activations, axis=0)
        return self._one_unit(activations)

    def _activations(self, X: Any) -> np.ndarray:
        return self._one_unit(super()._activations(X))

    def _one_unit(self, activations: np.ndarray) -> np.ndarray:
        """One unit, one context for each global context seen in training."""
        known = {context.tobytes(): i for i, context in enumerate(self.contexts_)}
        index = np.array([known.get(context.tobytes(), -1) for context in activations])
        return (index[:, None] == np.arange(len(known)))[:, None, :]
