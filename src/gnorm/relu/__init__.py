"""Two-layer ReLU networks of any width, solved over all neurons with a certificate."""

from gnorm.relu.api import relu_max_margin
from gnorm.relu.estimators import ReLUNormClassifier, ReLUNormRegressor, ReLUNormSVC
from gnorm.relu.patterns import activation_patterns
from gnorm.relu.solution import ReLUSolution, ReLUStatus

__all__ = [
    "ReLUNormClassifier",
    "ReLUNormRegressor",
    "ReLUNormSVC",
    "ReLUSolution",
    "ReLUStatus",
    "activation_patterns",
    "relu_max_margin",
]
