"""The geometry of a problem: products with the features of all units, which are never built."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnorm import norms
from gnorm.norms import GLN, GroupNorm, Norm, QuadraticNorm
from gnorm.solvers.design.base import Design
from gnorm.solvers.design.features import FeatureDesign
from gnorm.solvers.design.group import GroupDesign
from gnorm.solvers.design.quadratic import QuadraticDesign

__all__ = ["Design", "FeatureDesign", "GroupDesign", "QuadraticDesign", "get_norm", "make_design"]

AnyDesign = Design[Any]


def get_norm(norm: str | Norm | None, activations: np.ndarray) -> Norm:
    """Return the norm that a name stands for; None is the norm of the units that the gates induce.

    For gates with exactly one of several contexts on that is the GLN norm of the predictors.

    Raises
    ------
    ValueError
        If the name is not known, see :func:`gnorm.norms.get_norm`.
    """
    if norm is not None:
        return norms.get_norm(norm)
    is_gln = activations.shape[2] > 1 and bool(np.all(activations.sum(axis=2) == 1))
    return GLN() if is_gln else GroupNorm()


def make_design(norm: Norm, X: Any, activations: np.ndarray) -> AnyDesign:
    """Build the geometry of some inputs and gates under a norm.

    Raises
    ------
    ValueError
        If it is no norm for such gates.
    """
    if isinstance(norm, GroupNorm):
        return GroupDesign(norm, X, activations)
    if isinstance(norm, QuadraticNorm):
        return QuadraticDesign(norm, X, activations)
    return FeatureDesign(norm, X, activations)
