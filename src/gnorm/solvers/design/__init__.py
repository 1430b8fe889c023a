"""The geometry of a problem: products with the features of all units, which are never built."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnorm import norms
from gnorm.gating import Activations, context_counts, evened, open_counts
from gnorm.norms import GLN, GroupNorm, Norm, QuadraticNorm
from gnorm.solvers.design.base import Design
from gnorm.solvers.design.features import FeatureDesign
from gnorm.solvers.design.group import GroupDesign
from gnorm.solvers.design.quadratic import QuadraticDesign
from gnorm.solvers.design.subspaces import SubspaceDesign

__all__ = [
    "Design",
    "FeatureDesign",
    "GroupDesign",
    "QuadraticDesign",
    "SubspaceDesign",
    "get_norm",
    "make_design",
]

AnyDesign = Design[Any]


def get_norm(
    norm: str | Norm | None, activations: Activations, unit_features: np.ndarray | None = None
) -> Norm:
    """Return the norm that a name stands for; None is the norm of the units that the gates induce.

    For gates with exactly one of several contexts on that is the GLN norm of the predictors, if all
    units see all features. Else it has no closed form: of the sum of the norms of the units, which
    it is the least of over all weights of a predictor, the optimum is the same.

    Raises
    ------
    ValueError
        If the name is not known, see :func:`gnorm.norms.get_norm`.
    """
    if norm is not None:
        return norms.get_norm(norm)
    is_gln = unit_features is None and activations.shape[2] > 1
    is_gln = is_gln and bool(np.all(open_counts(activations) == 1))
    return GLN() if is_gln else GroupNorm()


def make_design(
    norm: Norm, X: Any, activations: Activations, unit_features: np.ndarray | None = None
) -> AnyDesign:
    """Build the geometry of some inputs and gates under a norm.

    Under one that does not take rows units become even.

    Raises
    ------
    ValueError
        If it is no norm for such gates, or for units that see some of the features each.
    """
    gates = activations if norm.takes_rows else evened(activations)
    design: AnyDesign
    if unit_features is not None:
        if not isinstance(norm, GroupNorm) or isinstance(norm, GLN):
            raise ValueError(
                "expected norm=None or a sum of the norms of the units, GroupNorm or FReLU, beside "
                f"unit_features, got {norm!r}"
            )
        design = SubspaceDesign(norm, X, gates, unit_features)
    elif isinstance(norm, GroupNorm):
        design = GroupDesign(norm, X, gates)
    elif isinstance(norm, QuadraticNorm):
        design = QuadraticDesign(norm, X, gates)
    else:
        design = FeatureDesign(norm, X, gates)
    design.n_contexts = context_counts(activations)
    return design
