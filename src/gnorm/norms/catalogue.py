"""The catalogue: which architecture and which descent induce which norm.

A norm of the package is a line of the table below. Names, the table of the documentation and the
tests of all norms come from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature

from gnorm.norms.base import Norm, QuasiNorm, UnitNorm
from gnorm.norms.convolution import Convolution
from gnorm.norms.fourier_l1 import FourierL1
from gnorm.norms.frelu import FReLU
from gnorm.norms.gln import GLN
from gnorm.norms.group import GroupNorm
from gnorm.norms.k_support import KSupport
from gnorm.norms.l1 import L1
from gnorm.norms.l2 import L2
from gnorm.norms.lp_groups import LpGroups
from gnorm.norms.max_abs import MaxAbs
from gnorm.norms.nuclear import Nuclear
from gnorm.norms.operator import Operator
from gnorm.norms.predictor_l2 import PredictorL2
from gnorm.norms.quasi import DeepDiagonal, DeepFourier, DeepLinear, QuadraticActivation

__all__ = ["Row", "catalogue", "get_norm", "table"]

_NAMES: dict[str, type[Norm | QuasiNorm]] = {
    "gln": GLN,
    "frelu": FReLU,
    "group": GroupNorm,
    "predictor_l2": PredictorL2,
    "l1": L1,
    "l2": L2,
    "lp_groups": LpGroups,
    "max_abs": MaxAbs,
    "nuclear": Nuclear,
    "operator": Operator,
    "fourier_l1": FourierL1,
    "convolution": Convolution,
    "k_support": KSupport,
    "deep_diagonal": DeepDiagonal,
    "deep_linear": DeepLinear,
    "deep_fourier": DeepFourier,
    "quadratic_activation": QuadraticActivation,
}


@dataclass(frozen=True)
class Row:
    """A row of the catalogue.

    Attributes
    ----------
    name : str
        Name by which ``norm=`` takes it, where no parameter is needed.
    norm : type
        Its class.
    architecture, geometry : str
        The network that induces it, and the descent.
    formula, dual_formula : str
        The norm and its dual, in TeX; a quasi-norm has no dual.
    solver : str
        How a problem with it is solved.
    is_convex : bool
        Whether it is a norm, which a solver takes.
    references : tuple of str
        Where it comes from.
    """

    name: str
    norm: type[Norm | QuasiNorm]
    architecture: str
    geometry: str
    formula: str
    dual_formula: str
    solver: str
    is_convex: bool
    references: tuple[str, ...]


def _solver(norm: type[Norm | QuasiNorm]) -> str:
    if issubclass(norm, QuasiNorm):
        return "none: not convex"
    if issubclass(norm, UnitNorm):
        return "the engine's own, cvxpy"
    if issubclass(norm, Nuclear):
        return "factored, cvxpy"
    return "linear programs for piecewise linear losses, cvxpy" if norm.is_polyhedral else "cvxpy"


def catalogue() -> tuple[Row, ...]:
    """Return a row for every norm and quasi-norm of the package.

    Returns
    -------
    tuple of Row
        The rows, norms first.

    Examples
    --------
    >>> from gnorm.norms import catalogue
    >>> [row.name for row in catalogue() if row.geometry.startswith("l-infinity")]
    ['max_abs']
    """
    return tuple(
        Row(
            name=name,
            norm=norm,
            architecture=norm.architecture,
            geometry=norm.geometry,
            formula=norm.formula,
            dual_formula=norm.dual_formula if issubclass(norm, Norm) else "",
            solver=_solver(norm),
            is_convex=issubclass(norm, Norm),
            references=norm.references,
        )
        for name, norm in _NAMES.items()
    )


def get_norm(norm: str | Norm) -> Norm:
    """Return the norm of a name, or a norm as it is.

    Parameters
    ----------
    norm : str or Norm
        A norm, or the name of one that needs no parameters, see :func:`catalogue`.

    Returns
    -------
    Norm
        The norm.

    Raises
    ------
    ValueError
        If no norm has that name, if it needs parameters, or if it is a quasi-norm, which is not
        convex.

    Examples
    --------
    >>> from gnorm.norms import get_norm
    >>> get_norm("max_abs")
    MaxAbs()
    """
    if isinstance(norm, Norm):
        return norm
    found: type[Norm | QuasiNorm] | None = _NAMES.get(norm) if isinstance(norm, str) else None
    if isinstance(norm, QuasiNorm):
        found = type(norm)
    if found is None:
        names = [
            name for name, each in _NAMES.items() if issubclass(each, Norm) and _is_plain(each)
        ]
        raise ValueError(
            f"norm must be None, one of {names} or an object of gnorm.norms, got {norm!r}"
        )
    if issubclass(found, QuasiNorm):
        raise ValueError(
            f"expected a norm, got the quasi-norm {found.__name__}, which is not convex and has no "
            f"solver; {found.convex_name} is the norm of the network of two layers, and "
            "gnorm.descent trains deeper ones"
        )
    if not _is_plain(found):
        example = found.examples()[-1]
        raise ValueError(
            f"expected an object for norm={norm!r}, which has parameters, such as {example!r}"
        )
    return found()


def _is_plain(norm: type) -> bool:
    """Whether a norm is made without parameters."""
    return all(each.default is not each.empty for each in signature(norm).parameters.values())


def table() -> str:
    """Markdown table of the catalogue, for the documentation."""
    head = ["architecture", "descent", "norm", "formula", "dual", "solved by"]
    lines = [" | ".join(["", *head, ""]).strip(), "|---" * len(head) + "|"]
    for row in catalogue():
        dual = row.dual_formula.replace(r",\ ", "$, $")  # a line breaks between formulas only
        cells = [
            row.architecture,
            row.geometry,
            f"{{class}}`~gnorm.norms.{row.norm.__name__}`",
            f"${row.formula}$",
            f"${dual}$" if dual else "-",
            row.solver,
        ]
        # a bar would end the cell
        lines.append(
            "| "
            + " | ".join(
                cell.replace("|", r"\vert ").replace(r"\\vert ", r"\Vert ") for cell in cells
            )
            + " |"
        )
    return "\n".join(lines) + "\n"
