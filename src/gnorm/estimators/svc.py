"""Max-margin classifiers: presets of gates and norm with the hinge loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnorm.estimators.base import ContextGates, OnOffGates
from gnorm.estimators.classifiers import GatedClassifier
from gnorm.estimators.data import TrainingData
from gnorm.gating import Activations, OpenContexts
from gnorm.losses import Hinge, Loss
from gnorm.norms import Norm

__all__ = ["FReLUSVC", "GLNNormSVC", "GatedL2SVC", "ShallowGLNSVC"]


class _MaxMargin(GatedClassifier):
    """The hinge loss."""

    def _loss_of(self, data: TrainingData) -> Loss:
        return Hinge()


class GLNNormSVC(ContextGates, _MaxMargin):
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
    norm : str or Norm, default=None
        The norm, one of :mod:`gnorm.norms` or the name of one without parameters, see
        :func:`gnorm.norms.catalogue`. None is the norm that the gates induce.
    C : float, default=1.0
        Weight of the hinge loss, positive. ``numpy.inf`` is the hard margin; it raises
        :class:`gnorm.NotSeparableError`, with a certificate, if the gated data are not
        separable. On standardised tables 1 is nearly the hard margin: where samples are noisy,
        choose it by cross-validation, as :class:`gnorm.GLNNormSVCCV` does.
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
    zeta_ : ndarray of shape (n_problems, n_units, n_contexts, n_features)
        Unit weights; one problem for two classes, else one per class against the rest. With
        ``fit_intercept`` the last feature is the constant one.
    context_intercepts_ : ndarray of shape (n_problems, n_units, n_contexts)
        What the constant feature adds to the decision value in each context,
        ``intercept_scaling * zeta_[..., -1]``; zeros without ``fit_intercept``.
    norm_ : ndarray of shape (n_problems,)
        Induced norm of each predictor. It is that of the gates in use: gates with exactly one
        context on per unit induce the GLN norm, on/off gates the FReLU norm.
    margin_ : ndarray of shape (n_problems,)
        Geometric margin, the least :math:`y_n f(x_n)` divided by the norm. No distance between
        inputs: the decision function jumps where a gate switches, see
        :meth:`distance_to_boundary`.
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

    def __init__(
        self,
        n_units: int = 50,
        n_contexts: int = 2,
        *,
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


class FReLUSVC(OnOffGates, _MaxMargin):
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
    norm : str or Norm, default=None
        The norm, one of :mod:`gnorm.norms` or the name of one without parameters, see
        :func:`gnorm.norms.catalogue`. None is the norm that the gates induce.
    C : float, default=1.0
        Weight of the hinge loss, positive. ``numpy.inf`` is the hard margin; it raises
        :class:`gnorm.NotSeparableError`, with a certificate, if the gated data are not
        separable. On standardised tables 1 is nearly the hard margin: where samples are noisy,
        choose it by cross-validation, as :class:`gnorm.GLNNormSVCCV` does.
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
    zeta_ : ndarray of shape (n_problems, n_units, n_contexts, n_features)
        Unit weights; one problem for two classes, else one per class against the rest. With
        ``fit_intercept`` the last feature is the constant one.
    context_intercepts_ : ndarray of shape (n_problems, n_units, n_contexts)
        What the constant feature adds to the decision value in each context,
        ``intercept_scaling * zeta_[..., -1]``; zeros without ``fit_intercept``.
    norm_ : ndarray of shape (n_problems,)
        Induced norm of each predictor. It is that of the gates in use: gates with exactly one
        context on per unit induce the GLN norm, on/off gates the FReLU norm.
    margin_ : ndarray of shape (n_problems,)
        Geometric margin, the least :math:`y_n f(x_n)` divided by the norm. No distance between
        inputs: the decision function jumps where a gate switches, see
        :meth:`distance_to_boundary`.
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


class GatedL2SVC(ContextGates, _MaxMargin):
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
    C : float, default=1.0
        Weight of the hinge loss, positive. ``numpy.inf`` is the hard margin; it raises
        :class:`gnorm.NotSeparableError`, with a certificate, if the gated data are not
        separable. On standardised tables 1 is nearly the hard margin: where samples are noisy,
        choose it by cross-validation, as :class:`gnorm.GLNNormSVCCV` does.
    gates : transformer, default=None
        Any gates of :mod:`gnorm.gates`, or an object with their ``fit`` and ``transform``. It
        is cloned and fitted. None makes the default gates from the parameters around it.
    segment : selector, default=None
        Columns that the gates see, as they are: names, positions, a slice, a mask or a callable, as
        in :class:`~sklearn.compose.ColumnTransformer`. They may be of any type, and missing where
        the gates take that. None are all that the linear map sees or, with ``features``, all.
    features : selector, default=None
        Columns that the linear map sees, finite numbers. None are all but ``segment``.
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
    zeta_ : ndarray of shape (n_problems, n_units, n_contexts, n_features)
        Unit weights; one problem for two classes, else one per class against the rest. With
        ``fit_intercept`` the last feature is the constant one.
    context_intercepts_ : ndarray of shape (n_problems, n_units, n_contexts)
        What the constant feature adds to the decision value in each context,
        ``intercept_scaling * zeta_[..., -1]``; zeros without ``fit_intercept``.
    norm_ : ndarray of shape (n_problems,)
        Induced norm of each predictor. It is that of the gates in use: gates with exactly one
        context on per unit induce the GLN norm, on/off gates the FReLU norm.
    margin_ : ndarray of shape (n_problems,)
        Geometric margin, the least :math:`y_n f(x_n)` divided by the norm. No distance between
        inputs: the decision function jumps where a gate switches, see
        :meth:`distance_to_boundary`.
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

    norm = "predictor_l2"

    def __init__(
        self,
        n_units: int = 50,
        n_contexts: int = 2,
        *,
        C: float = 1.0,
        gates: Any = None,
        segment: Any = None,
        features: Any = None,
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
        self.C = C
        self.gates = gates
        self.segment = segment
        self.features = features
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


class ShallowGLNSVC(ContextGates, _MaxMargin):
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
    C : float, default=1.0
        Weight of the hinge loss, positive. ``numpy.inf`` is the hard margin; it raises
        :class:`gnorm.NotSeparableError`, with a certificate, if the gated data are not
        separable. On standardised tables 1 is nearly the hard margin: where samples are noisy,
        choose it by cross-validation, as :class:`gnorm.GLNNormSVCCV` does.
    gates : transformer, default=None
        Any gates of :mod:`gnorm.gates`, or an object with their ``fit`` and ``transform``. It
        is cloned and fitted. None makes the default gates from the parameters around it.
    segment : selector, default=None
        Columns that the gates see, as they are: names, positions, a slice, a mask or a callable, as
        in :class:`~sklearn.compose.ColumnTransformer`. They may be of any type, and missing where
        the gates take that. None are all that the linear map sees or, with ``features``, all.
    features : selector, default=None
        Columns that the linear map sees, finite numbers. None are all but ``segment``.
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
    contexts_ : ndarray of bool, shape (n_global_contexts, n_units, n_contexts)
        The global contexts seen in ``fit``. In ``zeta_`` and ``unit_norms_`` they are the
        contexts of a single unit.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    gates_ : transformer
        The fitted gates.
    zeta_ : ndarray of shape (n_problems, n_units, n_contexts, n_features)
        Unit weights; one problem for two classes, else one per class against the rest. With
        ``fit_intercept`` the last feature is the constant one.
    context_intercepts_ : ndarray of shape (n_problems, n_units, n_contexts)
        What the constant feature adds to the decision value in each context,
        ``intercept_scaling * zeta_[..., -1]``; zeros without ``fit_intercept``.
    norm_ : ndarray of shape (n_problems,)
        Induced norm of each predictor. It is that of the gates in use: gates with exactly one
        context on per unit induce the GLN norm, on/off gates the FReLU norm.
    margin_ : ndarray of shape (n_problems,)
        Geometric margin, the least :math:`y_n f(x_n)` divided by the norm. No distance between
        inputs: the decision function jumps where a gate switches, see
        :meth:`distance_to_boundary`.
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
        segment: Any = None,
        features: Any = None,
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
        self.C = C
        self.gates = gates
        self.segment = segment
        self.features = features
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

    def _fit_activations(self, X: Any) -> OpenContexts:
        activations = super()._activations(X)
        rows = activations
        if isinstance(activations, OpenContexts):  # in the order of their arrays: none, the last...
            codes = activations.contexts.astype(np.intp)
            rows = np.where(codes < 0, 0, activations.shape[2] - codes)
        _, first = np.unique(rows, axis=0, return_index=True)
        self.contexts_ = np.asarray(activations[first])
        return self._one_unit(activations)

    def _activations(self, X: Any) -> OpenContexts:
        return self._one_unit(super()._activations(X))

    def _shared_rules(self) -> None:
        """Nothing is shared between contexts."""

    def _named_units(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """One unit, whose contexts are called after the ones that are on in each of the gates."""
        names = getattr(self.gates_, "context_names_", None)
        if names is None:
            names = [[str(c) for c in range(self.contexts_.shape[2])]] * self.contexts_.shape[1]
        joined = [
            ", ".join("/".join(of_unit[c] for c in np.flatnonzero(on)) for of_unit, on in pairs)
            for pairs in (zip(names, context, strict=True) for context in self.contexts_)
        ]
        return np.array(["context"], dtype=object), [np.array(joined, dtype=object)]

    def _one_unit(self, activations: Activations) -> OpenContexts:
        """One unit, one context for each global context seen in training."""
        contexts = self.contexts_
        rows: Any = activations
        if isinstance(activations, OpenContexts):
            rows = activations.contexts
            contexts = np.where(contexts.any(axis=2), contexts.argmax(axis=2), -1)
            contexts = contexts.astype(rows.dtype)
        known = {context.tobytes(): i for i, context in enumerate(contexts)}
        index = np.array([known.get(context.tobytes(), -1) for context in rows])
        return OpenContexts(index[:, None], len(known))
