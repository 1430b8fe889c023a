"""Former place of :mod:`gnorm.solvers.path`, which pickles of version 0.1 name."""

from gnorm.solvers.path import NormPath, gln_norm_path

__all__ = ["NormPath", "gln_norm_path"]
