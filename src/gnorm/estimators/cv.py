"""Estimators that choose ``C`` by cross-validation along the path."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gnorm.estimators.classifiers import FReLUClassifier, GLNNormClassifier
from gnorm.estimators.regressors import FReLURegressor, GLNNormRegressor
from gnorm.estimators.selection import PathCV
from gnorm.estimators.svc import FReLUSVC, GLNNormSVC
from gnorm.losses import Loss
from gnorm.norms import Norm

__all__ = [
    "FReLUClassifierCV",
    "FReLURegressorCV",
    "FReLUSVCCV",
    "GLNNormClassifierCV",
    "GLNNormRegressorCV",
    "GLNNormSVCCV",
]


class GLNNormSVCCV(PathCV, GLNNormSVC):
    r"""Max-margin classifier of the GLN norm with C chosen by cross-validation.

    :class:`GLNNormSVC` along the path of ``C``: on each split all ``Cs`` are solved, each from the
    solution for the next larger one, and all classes are scored together.

    Parameters
    ----------
    n_units : int, default=50
        Number of gated units of the default gates. Not used if ``gates`` is given.
    n_contexts : int, default=2
        Contexts of each unit, a power of two. Not used if ``gates`` is given.
    norm : str or Norm, default=None
        The norm, one of :mod:`gnorm.norms` or the name of one without parameters, see
        :func:`gnorm.norms.catalogue`. None is the norm that the gates induce.
    Cs : int or array-like of float, default=10
        Weights of the hinge loss to choose from, positive. An int is the length of a geometric grid
        over four decades, from the least C worth solving for, that of gates drawn for it: below it
        the predictor changes nothing but its length. ``numpy.inf`` is the hard margin; it raises
        :class:`gnorm.NotSeparableError` if the training part of a split is not separable. The grid
        is of all samples, as in :class:`~sklearn.linear_model.LassoCV`; pass numbers for one in
        which no held-out part has a say.
    cv : int, cross-validation generator or iterable, default=None
        Splits, as in :class:`~sklearn.model_selection.GridSearchCV`: None is 5-fold, stratified
        for classes. Gates are fitted to the training part of each split. For groups pass the
        splits themselves, ``list(GroupKFold(5).split(X, y, groups))``, or ``groups`` to ``fit``
        by metadata routing.
    scoring : str or callable, default=None
        What to maximise: a name, see :func:`~sklearn.metrics.get_scorer_names`, or a callable
        ``scorer(estimator, X, y)``. None is the accuracy. Sample weights, but not class
        weights, go to the scorer as well: all of ``fit`` that it requests where metadata
        routing is enabled; else ``sample_weight``, if it is given, and a scorer that takes none
        then fails.
    refit : bool, default=True
        Whether to fit the gates and the predictors to all samples at the C chosen. Without it
        there are the scores and the choice, but nothing to predict with: the splits have gates
        of their own, whose predictors cannot be averaged.
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
    C_ : float
        The C of the best mean score over the splits, the least of several. One C serves all
        classes or targets. A C with a score that is NaN is never chosen.
    Cs_ : ndarray of shape (n_Cs,)
        All of them, increasing.
    scores_ : ndarray of shape (n_splits, n_Cs)
        The score of each C on the held-out part of each split.
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
    GLNNormSVC : The same at a given C.
    gnorm.gln_norm_path : The path, for given activations.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gnorm import GLNNormSVCCV
    >>> X, digit = load_digits(return_X_y=True)
    >>> classifier = GLNNormSVCCV(n_units=10, Cs=4, cv=3, random_state=0)
    >>> classifier = classifier.fit(X[:300] / 16, digit[:300] < 5)
    >>> classifier.scores_.shape
    (3, 4)
    >>> bool(classifier.score(X[300:] / 16, digit[300:] < 5) > 0.8)
    True
    """

    def __init__(
        self,
        n_units: int = 50,
        n_contexts: int = 2,
        *,
        norm: str | Norm | None = None,
        Cs: int | ArrayLike = 10,
        cv: Any = None,
        scoring: Any = None,
        refit: bool = True,
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
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_units = n_units
        self.n_contexts = n_contexts
        self.norm = norm
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
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
        self.n_jobs = n_jobs
        self.verbose = verbose


class FReLUSVCCV(PathCV, FReLUSVC):
    r"""Max-margin classifier of the FReLU norm with C chosen by cross-validation.

    :class:`FReLUSVC` along the path of ``C``: on each split all ``Cs`` are solved, each from the
    solution for the next larger one, and all classes are scored together.

    Parameters
    ----------
    n_units : int, default=50
        Number of gated units of the default gates, to which comes one unit that is always open.
        Not used if ``gates`` is given.
    norm : str or Norm, default=None
        The norm, one of :mod:`gnorm.norms` or the name of one without parameters, see
        :func:`gnorm.norms.catalogue`. None is the norm that the gates induce.
    Cs : int or array-like of float, default=10
        Weights of the hinge loss to choose from, positive. An int is the length of a geometric grid
        over four decades, from the least C worth solving for, that of gates drawn for it: below it
        the predictor changes nothing but its length. ``numpy.inf`` is the hard margin; it raises
        :class:`gnorm.NotSeparableError` if the training part of a split is not separable. The grid
        is of all samples, as in :class:`~sklearn.linear_model.LassoCV`; pass numbers for one in
        which no held-out part has a say.
    cv : int, cross-validation generator or iterable, default=None
        Splits, as in :class:`~sklearn.model_selection.GridSearchCV`: None is 5-fold, stratified
        for classes. Gates are fitted to the training part of each split. For groups pass the
        splits themselves, ``list(GroupKFold(5).split(X, y, groups))``, or ``groups`` to ``fit``
        by metadata routing.
    scoring : str or callable, default=None
        What to maximise: a name, see :func:`~sklearn.metrics.get_scorer_names`, or a callable
        ``scorer(estimator, X, y)``. None is the accuracy. Sample weights, but not class
        weights, go to the scorer as well: all of ``fit`` that it requests where metadata
        routing is enabled; else ``sample_weight``, if it is given, and a scorer that takes none
        then fails.
    refit : bool, default=True
        Whether to fit the gates and the predictors to all samples at the C chosen. Without it
        there are the scores and the choice, but nothing to predict with: the splits have gates
        of their own, whose predictors cannot be averaged.
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
    C_ : float
        The C of the best mean score over the splits, the least of several. One C serves all
        classes or targets. A C with a score that is NaN is never chosen.
    Cs_ : ndarray of shape (n_Cs,)
        All of them, increasing.
    scores_ : ndarray of shape (n_splits, n_Cs)
        The score of each C on the held-out part of each split.
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
    FReLUSVC : The same at a given C.
    gnorm.gln_norm_path : The path, for given activations.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gnorm import FReLUSVCCV
    >>> X, digit = load_digits(return_X_y=True)
    >>> classifier = FReLUSVCCV(n_units=10, Cs=4, cv=3, random_state=0)
    >>> classifier = classifier.fit(X[:300] / 16, digit[:300] < 5)
    >>> classifier.scores_.shape
    (3, 4)
    >>> bool(classifier.score(X[300:] / 16, digit[300:] < 5) > 0.8)
    True
    """

    def __init__(
        self,
        n_units: int = 50,
        *,
        norm: str | Norm | None = None,
        Cs: int | ArrayLike = 10,
        cv: Any = None,
        scoring: Any = None,
        refit: bool = True,
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
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_units = n_units
        self.norm = norm
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
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
        self.n_jobs = n_jobs
        self.verbose = verbose


class GLNNormClassifierCV(PathCV, GLNNormClassifier):
    r"""Classifier under the GLN norm with C chosen by cross-validation.

    :class:`GLNNormClassifier` along the path of ``C``: on each split all ``Cs`` are solved, each
    from the solution for the next larger one, and all classes are scored together.

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
    Cs : int or array-like of float, default=10
        Weights of the loss to choose from, positive. An int is the length of a geometric grid over
        four decades, from the least C worth solving for, that of gates drawn for it. ``numpy.inf``
        is the hard margin, for the two hinge losses; it raises :class:`gnorm.NotSeparableError` if
        the training part of a split is not separable. The grid is of all samples, as in
        :class:`~sklearn.linear_model.LassoCV`; pass numbers for one in which no held-out part has a
        say.
    cv : int, cross-validation generator or iterable, default=None
        Splits, as in :class:`~sklearn.model_selection.GridSearchCV`: None is 5-fold, stratified
        for classes. Gates are fitted to the training part of each split. For groups pass the
        splits themselves, ``list(GroupKFold(5).split(X, y, groups))``, or ``groups`` to ``fit``
        by metadata routing.
    scoring : str or callable, default=None
        What to maximise: a name, see :func:`~sklearn.metrics.get_scorer_names`, or a callable
        ``scorer(estimator, X, y)``. None is the accuracy. Sample weights, but not class
        weights, go to the scorer as well: all of ``fit`` that it requests where metadata
        routing is enabled; else ``sample_weight``, if it is given, and a scorer that takes none
        then fails.
    refit : bool, default=True
        Whether to fit the gates and the predictors to all samples at the C chosen. Without it
        there are the scores and the choice, but nothing to predict with: the splits have gates
        of their own, whose predictors cannot be averaged.
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
    C_ : float
        The C of the best mean score over the splits, the least of several. One C serves all
        classes or targets. A C with a score that is NaN is never chosen.
    Cs_ : ndarray of shape (n_Cs,)
        All of them, increasing.
    scores_ : ndarray of shape (n_splits, n_Cs)
        The score of each C on the held-out part of each split.
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
    GLNNormClassifier : The same at a given C.
    gnorm.gln_norm_path : The path, for given activations.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gnorm import GLNNormClassifierCV
    >>> X, digit = load_digits(return_X_y=True)
    >>> classifier = GLNNormClassifierCV(n_units=10, Cs=4, cv=3, random_state=0)
    >>> classifier = classifier.fit(X[:300] / 16, digit[:300] < 5)
    >>> classifier.scores_.shape
    (3, 4)
    >>> bool(classifier.score(X[300:] / 16, digit[300:] < 5) > 0.8)
    True
    """

    def __init__(
        self,
        n_units: int = 50,
        n_contexts: int = 2,
        *,
        loss: str | Loss = "log_loss",
        multi_class: str = "auto",
        norm: str | Norm | None = None,
        Cs: int | ArrayLike = 10,
        cv: Any = None,
        scoring: Any = None,
        refit: bool = True,
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
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_units = n_units
        self.n_contexts = n_contexts
        self.loss = loss
        self.multi_class = multi_class
        self.norm = norm
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
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
        self.n_jobs = n_jobs
        self.verbose = verbose


class FReLUClassifierCV(PathCV, FReLUClassifier):
    r"""Classifier under the FReLU norm with C chosen by cross-validation.

    :class:`FReLUClassifier` along the path of ``C``: on each split all ``Cs`` are solved, each from
    the solution for the next larger one, and all classes are scored together.

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
    Cs : int or array-like of float, default=10
        Weights of the loss to choose from, positive. An int is the length of a geometric grid over
        four decades, from the least C worth solving for, that of gates drawn for it. ``numpy.inf``
        is the hard margin, for the two hinge losses; it raises :class:`gnorm.NotSeparableError` if
        the training part of a split is not separable. The grid is of all samples, as in
        :class:`~sklearn.linear_model.LassoCV`; pass numbers for one in which no held-out part has a
        say.
    cv : int, cross-validation generator or iterable, default=None
        Splits, as in :class:`~sklearn.model_selection.GridSearchCV`: None is 5-fold, stratified
        for classes. Gates are fitted to the training part of each split. For groups pass the
        splits themselves, ``list(GroupKFold(5).split(X, y, groups))``, or ``groups`` to ``fit``
        by metadata routing.
    scoring : str or callable, default=None
        What to maximise: a name, see :func:`~sklearn.metrics.get_scorer_names`, or a callable
        ``scorer(estimator, X, y)``. None is the accuracy. Sample weights, but not class
        weights, go to the scorer as well: all of ``fit`` that it requests where metadata
        routing is enabled; else ``sample_weight``, if it is given, and a scorer that takes none
        then fails.
    refit : bool, default=True
        Whether to fit the gates and the predictors to all samples at the C chosen. Without it
        there are the scores and the choice, but nothing to predict with: the splits have gates
        of their own, whose predictors cannot be averaged.
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
    C_ : float
        The C of the best mean score over the splits, the least of several. One C serves all
        classes or targets. A C with a score that is NaN is never chosen.
    Cs_ : ndarray of shape (n_Cs,)
        All of them, increasing.
    scores_ : ndarray of shape (n_splits, n_Cs)
        The score of each C on the held-out part of each split.
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
    FReLUClassifier : The same at a given C.
    gnorm.gln_norm_path : The path, for given activations.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gnorm import FReLUClassifierCV
    >>> X, digit = load_digits(return_X_y=True)
    >>> classifier = FReLUClassifierCV(n_units=10, Cs=4, cv=3, random_state=0)
    >>> classifier = classifier.fit(X[:300] / 16, digit[:300] < 5)
    >>> classifier.scores_.shape
    (3, 4)
    >>> bool(classifier.score(X[300:] / 16, digit[300:] < 5) > 0.8)
    True
    """

    def __init__(
        self,
        n_units: int = 50,
        *,
        loss: str | Loss = "log_loss",
        multi_class: str = "auto",
        norm: str | Norm | None = None,
        Cs: int | ArrayLike = 10,
        cv: Any = None,
        scoring: Any = None,
        refit: bool = True,
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
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_units = n_units
        self.loss = loss
        self.multi_class = multi_class
        self.norm = norm
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
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
        self.n_jobs = n_jobs
        self.verbose = verbose


class GLNNormRegressorCV(PathCV, GLNNormRegressor):
    r"""Regressor under the GLN norm with C chosen by cross-validation.

    :class:`GLNNormRegressor` along the path of ``C``: on each split all ``Cs`` are solved, each
    from the solution for the next larger one, and all targets are scored together.

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
    epsilon : float, default=0.1
        Errors up to this cost nothing, in "epsilon_insensitive". Not used by other losses.
    delta : float, default=1.35
        Error from which on the loss is linear, in "huber". Not used by other losses.
    quantile : float, default=0.5
        The quantile to predict, between 0 and 1, in "quantile". Not used by other losses.
    norm : str or Norm, default=None
        The norm, one of :mod:`gnorm.norms` or the name of one without parameters, see
        :func:`gnorm.norms.catalogue`; "nuclear" is that of a network whose classes or outputs share
        units. None is the norm that the gates induce.
    Cs : int or array-like of float, default=10
        Weights of the loss to choose from, positive and finite. An int is the length of a geometric
        grid over four decades, from the least C worth solving for, that of gates drawn for it. The
        grid is of all samples, as in :class:`~sklearn.linear_model.LassoCV`; pass numbers for one
        in which no held-out part has a say.
    cv : int, cross-validation generator or iterable, default=None
        Splits, as in :class:`~sklearn.model_selection.GridSearchCV`: None is 5-fold, stratified
        for classes. Gates are fitted to the training part of each split. For groups pass the
        splits themselves, ``list(GroupKFold(5).split(X, y, groups))``, or ``groups`` to ``fit``
        by metadata routing.
    scoring : str or callable, default=None
        What to maximise: a name, see :func:`~sklearn.metrics.get_scorer_names`, or a callable
        ``scorer(estimator, X, y)``. None is R². Sample weights, but not class weights, go to
        the scorer as well: all of ``fit`` that it requests where metadata routing is enabled;
        else ``sample_weight``, if it is given, and a scorer that takes none then fails.
    refit : bool, default=True
        Whether to fit the gates and the predictors to all samples at the C chosen. Without it
        there are the scores and the choice, but nothing to predict with: the splits have gates
        of their own, whose predictors cannot be averaged.
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
    C_ : float
        The C of the best mean score over the splits, the least of several. One C serves all
        classes or targets. A C with a score that is NaN is never chosen.
    Cs_ : ndarray of shape (n_Cs,)
        All of them, increasing.
    scores_ : ndarray of shape (n_splits, n_Cs)
        The score of each C on the held-out part of each split.
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
    GLNNormRegressor : The same at a given C.
    gnorm.gln_norm_path : The path, for given activations.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import StandardScaler
    >>> from gnorm import GLNNormRegressorCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> regressor = GLNNormRegressorCV(n_units=10, Cs=4, cv=3, random_state=0).fit(X[:300], y[:300])
    >>> regressor.scores_.shape
    (3, 4)
    >>> bool(regressor.score(X[300:], y[300:]) > 0.4)
    True
    """

    def __init__(
        self,
        n_units: int = 50,
        n_contexts: int = 2,
        *,
        loss: str | Loss = "squared_error",
        epsilon: float = 0.1,
        delta: float = 1.35,
        quantile: float = 0.5,
        norm: str | Norm | None = None,
        Cs: int | ArrayLike = 10,
        cv: Any = None,
        scoring: Any = None,
        refit: bool = True,
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
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_units = n_units
        self.n_contexts = n_contexts
        self.loss = loss
        self.epsilon = epsilon
        self.delta = delta
        self.quantile = quantile
        self.norm = norm
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
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
        self.n_jobs = n_jobs
        self.verbose = verbose


class FReLURegressorCV(PathCV, FReLURegressor):
    r"""Regressor under the FReLU norm with C chosen by cross-validation.

    :class:`FReLURegressor` along the path of ``C``: on each split all ``Cs`` are solved, each from
    the solution for the next larger one, and all targets are scored together.

    Parameters
    ----------
    n_units : int, default=50
        Number of gated units of the default gates, to which comes one unit that is always open.
        Not used if ``gates`` is given.
    loss : str or Loss, default="squared_error"
        The loss: "squared_error", "absolute_error", "epsilon_insensitive", "huber", "quantile"
        or one of :mod:`gnorm.losses`. With several targets each is a problem of its own; they
        share the gates and the Gram matrix.
    epsilon : float, default=0.1
        Errors up to this cost nothing, in "epsilon_insensitive". Not used by other losses.
    delta : float, default=1.35
        Error from which on the loss is linear, in "huber". Not used by other losses.
    quantile : float, default=0.5
        The quantile to predict, between 0 and 1, in "quantile". Not used by other losses.
    norm : str or Norm, default=None
        The norm, one of :mod:`gnorm.norms` or the name of one without parameters, see
        :func:`gnorm.norms.catalogue`; "nuclear" is that of a network whose classes or outputs share
        units. None is the norm that the gates induce.
    Cs : int or array-like of float, default=10
        Weights of the loss to choose from, positive and finite. An int is the length of a geometric
        grid over four decades, from the least C worth solving for, that of gates drawn for it. The
        grid is of all samples, as in :class:`~sklearn.linear_model.LassoCV`; pass numbers for one
        in which no held-out part has a say.
    cv : int, cross-validation generator or iterable, default=None
        Splits, as in :class:`~sklearn.model_selection.GridSearchCV`: None is 5-fold, stratified
        for classes. Gates are fitted to the training part of each split. For groups pass the
        splits themselves, ``list(GroupKFold(5).split(X, y, groups))``, or ``groups`` to ``fit``
        by metadata routing.
    scoring : str or callable, default=None
        What to maximise: a name, see :func:`~sklearn.metrics.get_scorer_names`, or a callable
        ``scorer(estimator, X, y)``. None is R². Sample weights, but not class weights, go to
        the scorer as well: all of ``fit`` that it requests where metadata routing is enabled;
        else ``sample_weight``, if it is given, and a scorer that takes none then fails.
    refit : bool, default=True
        Whether to fit the gates and the predictors to all samples at the C chosen. Without it
        there are the scores and the choice, but nothing to predict with: the splits have gates
        of their own, whose predictors cannot be averaged.
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
    C_ : float
        The C of the best mean score over the splits, the least of several. One C serves all
        classes or targets. A C with a score that is NaN is never chosen.
    Cs_ : ndarray of shape (n_Cs,)
        All of them, increasing.
    scores_ : ndarray of shape (n_splits, n_Cs)
        The score of each C on the held-out part of each split.
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
    FReLURegressor : The same at a given C.
    gnorm.gln_norm_path : The path, for given activations.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import StandardScaler
    >>> from gnorm import FReLURegressorCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> regressor = FReLURegressorCV(n_units=10, Cs=4, cv=3, random_state=0).fit(X[:300], y[:300])
    >>> regressor.scores_.shape
    (3, 4)
    >>> bool(regressor.score(X[300:], y[300:]) > 0.4)
    True
    """

    def __init__(
        self,
        n_units: int = 50,
        *,
        loss: str | Loss = "squared_error",
        epsilon: float = 0.1,
        delta: float = 1.35,
        quantile: float = 0.5,
        norm: str | Norm | None = None,
        Cs: int | ArrayLike = 10,
        cv: Any = None,
        scoring: Any = None,
        refit: bool = True,
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
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_units = n_units
        self.loss = loss
        self.epsilon = epsilon
        self.delta = delta
        self.quantile = quantile
        self.norm = norm
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
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
        self.n_jobs = n_jobs
        self.verbose = verbose
