"""The norms that gated networks implicitly minimise, and their max-margin solutions.

Names load on first use, so that ``import gnorm`` costs next to nothing: cvxpy is imported by
``atoms`` and by the first conic solve, matplotlib by the first plot.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Read by type checkers and editors only; at run time __getattr__ does the same by the table below.
if TYPE_CHECKING:
    from gnorm import atoms, datasets, descent, gated, gates, kernels, margin, norms, plotting, svm
    from gnorm.gates import FixedGates, HyperplaneGates, ReLUGates
    from gnorm.margin import MarginSolution, NotSeparableError, max_margin
    from gnorm.svm import FReLUSVC, GatedL2SVC, GLNNormSVC, ShallowGLNSVC

    __version__: str

__all__ = [
    "FReLUSVC",
    "FixedGates",
    "GLNNormSVC",
    "GatedL2SVC",
    "HyperplaneGates",
    "MarginSolution",
    "NotSeparableError",
    "ReLUGates",
    "ShallowGLNSVC",
    "__version__",
    "atoms",
    "datasets",
    "descent",
    "gated",
    "gates",
    "kernels",
    "margin",
    "max_margin",
    "norms",
    "plotting",
    "svm",
]

_MODULE_OF = {
    "FReLUSVC": "svm",
    "FixedGates": "gates",
    "GLNNormSVC": "svm",
    "GatedL2SVC": "svm",
    "HyperplaneGates": "gates",
    "MarginSolution": "margin",
    "NotSeparableError": "margin",
    "ReLUGates": "gates",
    "ShallowGLNSVC": "svm",
    "max_margin": "margin",
}
_MODULES = {
    "atoms",
    "datasets",
    "descent",
    "gated",
    "gates",
    "kernels",
    "margin",
    "norms",
    "plotting",
    "svm",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        value = getattr(import_module(f"gnorm.{_MODULE_OF[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"gnorm.{name}")
    elif name == "__version__":
        value = import_module("importlib.metadata").version("gnorm")
    else:
        raise AttributeError(f"module 'gnorm' has no attribute {name!r}")
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
