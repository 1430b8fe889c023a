"""The max-margin engine: exact solutions with a certificate."""

from gnorm.margin.engine import max_margin, solve
from gnorm.margin.solution import MarginSolution, NotSeparableError, Status

__all__ = ["MarginSolution", "NotSeparableError", "Status", "max_margin", "solve"]
