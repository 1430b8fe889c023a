"""Former place of :mod:`gnorm.solvers.solution`, which pickles of version 0.1 name."""

from gnorm.solvers.solution import MarginSolution, NotSeparableError, Status

__all__ = ["MarginSolution", "NotSeparableError", "Status"]
