r"""Gates: the functions that decide which weights of a gated network see an input.

A gate maps an input :math:`x` to its activations :math:`g_{hc}(x) \in \{0, 1\}`, one per unit
:math:`h` and context :math:`c`. A gated linear network has exactly one context on per unit; a
frozen ReLU network has one context per unit, on or off.

What a gate learns depends on the samples, their weights and `random_state`, and on targets only
where it says so (:class:`TreeGates`). A sample of integer weight k counts exactly as k copies, one
of weight 0 as absent, and the order of the samples does not matter.
"""

from gnorm.gates.category import CategoryGates
from gnorm.gates.fixed import FixedGates, OpenGates
from gnorm.gates.hyperplanes import HyperplaneGates, ReLUGates
from gnorm.gates.joined import JoinedGates
from gnorm.gates.quantile import QuantileGates
from gnorm.gates.selected import SelectedGates
from gnorm.gates.trees import TreeGates
from gnorm.gating import ContextWeights, OpenContexts

__all__ = [
    "CategoryGates",
    "ContextWeights",
    "FixedGates",
    "HyperplaneGates",
    "JoinedGates",
    "OpenContexts",
    "OpenGates",
    "QuantileGates",
    "ReLUGates",
    "SelectedGates",
    "TreeGates",
]
