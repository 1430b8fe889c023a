"""Gradient descent on homogeneous networks: the reference that shows what the norms are about."""

from gnorm.descent.diagnostics import (
    Balance,
    Comparison,
    balancedness,
    compare,
    conserved,
    euler_residual,
    inconsistency,
    margin_ratio,
    seminorm,
)
from gnorm.descent.gated_network import Gate, GatedNetwork
from gnorm.descent.history import History, Stop
from gnorm.descent.kkt import KKTPoint, kkt_point, kkt_residual
from gnorm.descent.losses import Exponential, ExponentialLike, Logistic
from gnorm.descent.network import Network
from gnorm.descent.objective import MarginLoss, MatrixFactorization, matrix_factorization
from gnorm.descent.rates import RatePolytope, check_rates
from gnorm.descent.schedules import (
    Constant,
    Damped,
    Decaying,
    MarginGrowth,
    Normalized,
    RisingMomentum,
    Schedule,
    Steps,
)
from gnorm.descent.trainer import DivergenceError, GradientDescent

__all__ = [
    "Balance",
    "Comparison",
    "Constant",
    "Damped",
    "Decaying",
    "DivergenceError",
    "Exponential",
    "ExponentialLike",
    "Gate",
    "GatedNetwork",
    "GradientDescent",
    "History",
    "KKTPoint",
    "Logistic",
    "MarginGrowth",
    "MarginLoss",
    "MatrixFactorization",
    "Network",
    "Normalized",
    "RatePolytope",
    "RisingMomentum",
    "Schedule",
    "Steps",
    "Stop",
    "balancedness",
    "check_rates",
    "compare",
    "conserved",
    "euler_residual",
    "inconsistency",
    "kkt_point",
    "kkt_residual",
    "margin_ratio",
    "matrix_factorization",
    "seminorm",
]
