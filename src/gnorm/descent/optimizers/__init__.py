"""The parts of an optimiser: directions by geometry, momentum, rates and the like."""

from gnorm.descent.optimizers.adam import AdaptiveMoments
from gnorm.descent.optimizers.base import Part, Step
from gnorm.descent.optimizers.batches import Batches
from gnorm.descent.optimizers.geometries import (
    L1,
    L2,
    Geometry,
    Linf,
    Lp,
    PerLayer,
    Riemannian,
    Spectral,
    check_geometry,
)
from gnorm.descent.optimizers.parts import (
    Average,
    Direction,
    Logarithm,
    Momentum,
    Rate,
    WeightDecay,
)

__all__ = [
    "L1",
    "L2",
    "AdaptiveMoments",
    "Average",
    "Batches",
    "Direction",
    "Geometry",
    "Linf",
    "Logarithm",
    "Lp",
    "Momentum",
    "Part",
    "PerLayer",
    "Rate",
    "Riemannian",
    "Spectral",
    "Step",
    "WeightDecay",
    "check_geometry",
]
