"""The max-margin engine: exact solutions with a certificate."""

from gnorm.margin.engine import max_margin, solve
from gnorm.margin.path import NormPath, gln_norm_path
from gnorm.margin.solution import MarginSolution, NotSeparableError, Status

__all__ = [
    "MarginSolution",
    "NormPath",
    "NotSeparableError",
    "Status",
    "gln_norm_path",
    "max_margin",
    "solve",
]
