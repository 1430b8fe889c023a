"""Former name of :mod:`gnorm.solvers`, kept for pickles and imports of version 0.1."""

from gnorm.solvers import (
    MarginSolution,
    NormPath,
    NotSeparableError,
    Status,
    gln_norm_path,
    max_margin,
)

__all__ = [
    "MarginSolution",
    "NormPath",
    "NotSeparableError",
    "Status",
    "gln_norm_path",
    "max_margin",
]
