"""The engine: exact solutions with a certificate, for any norm of kernels and any loss."""

from gnorm.solvers.active_set.start import Near
from gnorm.solvers.api import max_margin, solve
from gnorm.solvers.path import NormPath, gln_norm_path
from gnorm.solvers.solution import MarginSolution, NotSeparableError, Solution, Status

__all__ = [
    "MarginSolution",
    "Near",
    "NormPath",
    "NotSeparableError",
    "Solution",
    "Status",
    "gln_norm_path",
    "max_margin",
    "solve",
]
