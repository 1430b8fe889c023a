"""Classifiers and regressors of the gated norms, as scikit-learn estimators.

An estimator joins gates, a norm, a loss and a method. ``base`` has what all have in common,
``classifiers``, ``regressors`` and ``svc`` name the combinations, and ``cv`` has for each one that
chooses ``C`` by cross-validation along the path.
"""

from gnorm.estimators.classifiers import FReLUClassifier, GLNNormClassifier
from gnorm.estimators.cv import (
    FReLUClassifierCV,
    FReLURegressorCV,
    FReLUSVCCV,
    GLNNormClassifierCV,
    GLNNormRegressorCV,
    GLNNormSVCCV,
)
from gnorm.estimators.regressors import FReLURegressor, GLNNormRegressor
from gnorm.estimators.svc import FReLUSVC, GatedL2SVC, GLNNormSVC, ShallowGLNSVC

__all__ = [
    "FReLUClassifier",
    "FReLUClassifierCV",
    "FReLURegressor",
    "FReLURegressorCV",
    "FReLUSVC",
    "FReLUSVCCV",
    "GLNNormClassifier",
    "GLNNormClassifierCV",
    "GLNNormRegressor",
    "GLNNormRegressorCV",
    "GLNNormSVC",
    "GLNNormSVCCV",
    "GatedL2SVC",
    "ShallowGLNSVC",
]
