"""Layers of networks, one kind a file: values, derivatives, and how they scale."""

from gnorm.descent.layers.attention import Attention
from gnorm.descent.layers.base import Condition, DegreeOne, Layer
from gnorm.descent.layers.bias import Bias
from gnorm.descent.layers.columns import Columns, Identity, Join, Split
from gnorm.descent.layers.convolution import Convolution
from gnorm.descent.layers.dense import Dense
from gnorm.descent.layers.diagonal import Diagonal
from gnorm.descent.layers.normalization import BatchNorm, LayerNorm
from gnorm.descent.layers.quadratic import Quadratic
from gnorm.descent.layers.relu import LeakyReLU, ReLU
from gnorm.descent.layers.select import Select, gated
from gnorm.descent.layers.sums import Sum, positionwise, residual

__all__ = [
    "Attention",
    "BatchNorm",
    "Bias",
    "Columns",
    "Condition",
    "Convolution",
    "DegreeOne",
    "Dense",
    "Diagonal",
    "Identity",
    "Join",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Quadratic",
    "ReLU",
    "Select",
    "Split",
    "Sum",
    "gated",
    "positionwise",
    "residual",
]
