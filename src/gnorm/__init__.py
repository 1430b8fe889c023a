"""The norms that gated networks implicitly minimise, and their max-margin solutions.

Names load on first use, so that ``import gnorm`` costs next to nothing: cvxpy is imported by
``atoms`` and by the first conic solve, matplotlib by the first plot.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Read by type checkers and editors only; at run time __getattr__ does the same by the table below.
if TYPE_CHECKING:
    from gnorm import (
        atoms,
        boundary,
        datasets,
        descent,
        estimators,
        gated,
        gates,
        homogeneity,
        kernels,
        losses,
        margin,
        norms,
        plotting,
        relu,
        selection,
        solvers,
        svm,
        svm_cv,
    )
    from gnorm.estimators import (
        FReLUClassifier,
        FReLUClassifierCV,
        FReLURegressor,
        FReLURegressorCV,
        FReLUSVC,
        FReLUSVCCV,
        GatedL2SVC,
        GLNNormClassifier,
        GLNNormClassifierCV,
        GLNNormRegressor,
        GLNNormRegressorCV,
        GLNNormSVC,
        GLNNormSVCCV,
        ShallowGLNSVC,
    )
    from gnorm.gates import (
        CategoryGates,
        FixedGates,
        HyperplaneGates,
        JoinedGates,
        OpenGates,
        QuantileGates,
        ReLUGates,
        SelectedGates,
        TreeGates,
    )
    from gnorm.relu import (
        ReLUNormClassifier,
        ReLUNormRegressor,
        ReLUNormSVC,
        ReLUSolution,
        relu_max_margin,
    )
    from gnorm.solvers import (
        MarginSolution,
        NormPath,
        NotSeparableError,
        Solution,
        gln_norm_path,
        max_margin,
        solve,
    )

    __version__: str

__all__ = [
    "CategoryGates",
    "FReLUClassifier",
    "FReLUClassifierCV",
    "FReLURegressor",
    "FReLURegressorCV",
    "FReLUSVC",
    "FReLUSVCCV",
    "FixedGates",
    "GLNNormClassifier",
    "GLNNormClassifierCV",
    "GLNNormRegressor",
    "GLNNormRegressorCV",
    "GLNNormSVC",
    "GLNNormSVCCV",
    "GatedL2SVC",
    "HyperplaneGates",
    "JoinedGates",
    "MarginSolution",
    "NormPath",
    "NotSeparableError",
    "OpenGates",
    "QuantileGates",
    "ReLUGates",
    "ReLUNormClassifier",
    "ReLUNormRegressor",
    "ReLUNormSVC",
    "ReLUSolution",
    "SelectedGates",
    "ShallowGLNSVC",
    "Solution",
    "TreeGates",
    "__version__",
    "atoms",
    "boundary",
    "datasets",
    "descent",
    "estimators",
    "gated",
    "gates",
    "gln_norm_path",
    "homogeneity",
    "kernels",
    "losses",
    "margin",
    "max_margin",
    "norms",
    "plotting",
    "relu",
    "relu_max_margin",
    "selection",
    "solve",
    "solvers",
    "svm",
    "svm_cv",
]

_MODULE_OF = {
    "CategoryGates": "gates",
    "FReLUClassifier": "estimators",
    "FReLUClassifierCV": "estimators",
    "FReLURegressor": "estimators",
    "FReLURegressorCV": "estimators",
    "FReLUSVC": "estimators",
    "FReLUSVCCV": "estimators",
    "FixedGates": "gates",
    "GLNNormClassifier": "estimators",
    "GLNNormClassifierCV": "estimators",
    "GLNNormRegressor": "estimators",
    "GLNNormRegressorCV": "estimators",
    "GLNNormSVC": "estimators",
    "GLNNormSVCCV": "estimators",
    "GatedL2SVC": "estimators",
    "HyperplaneGates": "gates",
    "JoinedGates": "gates",
    "MarginSolution": "solvers",
    "NormPath": "solvers",
    "NotSeparableError": "solvers",
    "OpenGates": "gates",
    "QuantileGates": "gates",
    "ReLUGates": "gates",
    "ReLUNormClassifier": "relu",
    "ReLUNormRegressor": "relu",
    "ReLUNormSVC": "relu",
    "ReLUSolution": "relu",
    "SelectedGates": "gates",
    "ShallowGLNSVC": "estimators",
    "Solution": "solvers",
    "TreeGates": "gates",
    "gln_norm_path": "solvers",
    "max_margin": "solvers",
    "relu_max_margin": "relu",
    "solve": "solvers",
}
_MODULES = {
    "atoms",
    "boundary",
    "datasets",
    "descent",
    "estimators",
    "gated",
    "gates",
    "homogeneity",
    "kernels",
    "losses",
    "margin",
    "norms",
    "plotting",
    "relu",
    "selection",
    "solvers",
    "svm",
    "svm_cv",
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
