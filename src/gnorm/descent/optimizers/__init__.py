"""The parts of an optimiser: directions by geometry, momentum, rates and the like."""

from gnorm.descent.optimizers.adam import AdaptiveMoments
from gnorm.descent.optimizers.base import Part, Step
from gnorm.descent.optimizers.geometries import (
    L1,
    L2,
    Geometry,
    Linf,
    Lp,
    PerLayer,
    Riemannian,
    Spectral,
)
from gnorm.descent.optimizers.high_order import (
    Conjugate,
    GradientStructure,
    HighOrder,
    PowerGrowth,
    gradient_structure,
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
    "Conjugate",
    "Direction",
    "Geometry",
    "GradientStructure",
    "HighOrder",
    "Linf",
    "Logarithm",
    "Lp",
    "Momentum",
    "Part",
    "PerLayer",
    "PowerGrowth",
    "Rate",
    "Riemannian",
    "Spectral",
    "Step",
    "WeightDecay",
    "gradient_structure",
]
