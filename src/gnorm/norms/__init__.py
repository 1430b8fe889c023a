r"""Norms that gated networks implicitly minimise: values, duals, proximal maps, expressions.

The weights ``zeta`` of a gated linear map are of shape (n_units, n_contexts, n_features). Their
predictors are :math:`\beta_\gamma = \sum_h \zeta_{h \gamma_h}`, with mean :math:`\bar\beta` over
all :math:`C^H` global contexts and main effects :math:`d_h` of spread :math:`s_h = \|d_h\|_F`
(see :func:`gnorm.gated.main_effects`). Two functions of zeta are easily confused:

- :func:`gln_norm` is a norm of the predictors, the same for all weights that have them;
- :func:`representation_cost` is what the given weights cost, never less.

A norm is an object, which :func:`gnorm.solve` takes; the functions are doors to it. Values are
accurate to rounding whatever the scale of the entries, 1e200 or 1e-200, as long as plain sums of
entries stay within the range of floats. Every function raises ValueError for an array that is not
finite, real and of the documented shape; a section Raises lists only what comes on top of that.

References
----------
.. [1] S. Lippl, L. F. Abbott and S. Chung (2022). The implicit bias of gradient descent on
   generalized gated linear networks. arXiv:2202.02649.
"""

from gnorm.norms.base import Network, Norm, QuadraticNorm, QuasiNorm, UnitNorm
from gnorm.norms.catalogue import Row, catalogue, get_norm, table
from gnorm.norms.convolution import Convolution
from gnorm.norms.fourier_l1 import FourierL1
from gnorm.norms.frelu import FReLU, frelu_norm
from gnorm.norms.gln import GLN, gln_norm, gln_norm_of_predictors
from gnorm.norms.group import (
    GroupNorm,
    dual_norm,
    prox_representation_cost,
    representation_cost,
    unit_norms,
)
from gnorm.norms.k_support import KSupport
from gnorm.norms.l1 import L1
from gnorm.norms.l2 import L2
from gnorm.norms.lp_groups import LpGroups
from gnorm.norms.max_abs import MaxAbs
from gnorm.norms.nuclear import Nuclear
from gnorm.norms.operator import Operator
from gnorm.norms.predictor_l2 import PredictorL2, predictor_l2_norm, predictor_rms_norm
from gnorm.norms.quasi import DeepDiagonal, DeepFourier, DeepLinear, QuadraticActivation

__all__ = [
    "GLN",
    "L1",
    "L2",
    "Convolution",
    "DeepDiagonal",
    "DeepFourier",
    "DeepLinear",
    "FReLU",
    "FourierL1",
    "GroupNorm",
    "KSupport",
    "LpGroups",
    "MaxAbs",
    "Network",
    "Norm",
    "Nuclear",
    "Operator",
    "PredictorL2",
    "QuadraticActivation",
    "QuadraticNorm",
    "QuasiNorm",
    "Row",
    "UnitNorm",
    "catalogue",
    "dual_norm",
    "frelu_norm",
    "get_norm",
    "gln_norm",
    "gln_norm_of_predictors",
    "predictor_l2_norm",
    "predictor_rms_norm",
    "prox_representation_cost",
    "representation_cost",
    "table",
    "unit_norms",
]
