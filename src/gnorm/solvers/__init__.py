"""The engine: exact solutions with a certificate, for any norm of kernels and any loss."""

from gnorm.solvers.active_set.start import Near
from gnorm.solvers.api import max_margin, solve
from gnorm.solvers.solution import MarginSolution, NotSeparableError, Solution, Status

__all__ = [
    "MarginSolution",
    "Near",
    "NotSeparableError",
    "Solution",
    "Status",
    "max_margin",
    "solve",
]
