"""How functions scale: degrees, dilations, Euler's identity, kinks, and what follows for learning.

Nothing here knows of networks: a function is a callable of rows, from an array of shape (n_samples,
n_features) to one of shape (n_samples,) or (n_samples, n_outputs).
"""

from gnorm.homogeneity.approximate import ApproximateHomogeneity, approximate_homogeneity
from gnorm.homogeneity.calculus import (
    HomogeneousFunction,
    average,
    compose,
    limit_along,
    multiply,
    power,
    radial_spherical,
)
from gnorm.homogeneity.clarke import (
    ClarkeSubdifferential,
    MaxAffine,
    PiecewiseAffine,
    ReLUComposition,
    clarke_subdifferential,
)
from gnorm.homogeneity.degree import (
    Degree,
    NotHomogeneousError,
    check_homogeneous,
    estimate_degree,
    euler_residual,
)
from gnorm.homogeneity.dilation import Dilation
from gnorm.homogeneity.estimators import (
    HomogeneityWarning,
    HomogeneousClassifier,
    HomogeneousRegressor,
)
from gnorm.homogeneity.identification import FoundDilation, find_dilation

__all__ = [
    "ApproximateHomogeneity",
    "ClarkeSubdifferential",
    "Degree",
    "Dilation",
    "FoundDilation",
    "HomogeneityWarning",
    "HomogeneousClassifier",
    "HomogeneousFunction",
    "HomogeneousRegressor",
    "MaxAffine",
    "NotHomogeneousError",
    "PiecewiseAffine",
    "ReLUComposition",
    "approximate_homogeneity",
    "average",
    "check_homogeneous",
    "clarke_subdifferential",
    "compose",
    "estimate_degree",
    "euler_residual",
    "find_dilation",
    "limit_along",
    "multiply",
    "power",
    "radial_spherical",
]
