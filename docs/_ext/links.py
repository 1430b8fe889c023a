"""Links from names to the pages that define them, where no inventory has been fetched.

A name of :mod:`gnorm` itself leads to the room that it comes from. Those of other projects lead to
their pages, which have the address of the name. Types link where docstrings and signatures state
them; one without a page, such as an alias or a part of the engine, stays a word in a signature.
"""

import re
import zlib
from collections import Counter
from importlib import import_module

from docutils import nodes

ROOMS = (
    *("atoms", "boundary", "datasets", "descent", "descent.layers", "estimators", "gates"),
    *("homogeneity", "losses", "norms", "relu", "selection", "solvers"),
)
PAGES = {
    "sklearn": "https://scikit-learn.org/stable/modules/generated/{}.html",
    "joblib": "https://joblib.readthedocs.io/en/stable/generated/{}.html",
    "matplotlib": "https://matplotlib.org/stable/api/_as_gen/{}.html",
    "numpy": "https://numpy.org/doc/stable/reference/generated/{}.html",
    "scipy": "https://docs.scipy.org/doc/scipy/reference/generated/{}.html",
    "pandas": "https://pandas.pydata.org/docs/reference/api/{}.html",
}
CVXPY = "https://www.cvxpy.org/api_reference/cvxpy"
INVENTORIES = {
    "numpy": "https://numpy.org/doc/stable",
    "scipy": "https://docs.scipy.org/doc/scipy",
    "sklearn": "https://scikit-learn.org/stable",
    "cvxpy": "https://www.cvxpy.org",
}
EMPTY_INVENTORY = b"""# Sphinx inventory version 2
# Project: none
# Version: 0
# The remainder of this file is compressed using zlib.
""" + zlib.compress(b"")
# What has no page of its own.
SECTIONS = {
    "sklearn.utils.metadata_routing": "https://scikit-learn.org/stable/metadata_routing.html",
    "numpy.typing.ArrayLike": "https://numpy.org/doc/stable/reference/typing.html",
    "numpy.random.RandomState": "https://numpy.org/doc/stable/reference/random/legacy.html",
    "cvxpy.Expression": f"{CVXPY}.expressions.html",
    "cvxpy.Constraint": f"{CVXPY}.constraints.html",
    "cvxpy.Problem": f"{CVXPY}.problems.html",
}
ABBREVIATED = {"np": "numpy", "cp": "cvxpy"}
# Names that annotations give to types, and the type to show.
ALIASES = {
    "ArrayLike": "numpy.typing.ArrayLike",
    "FloatArray": "numpy.ndarray",
    "BoolArray": "numpy.ndarray",
}
FORWARD = re.compile(r"TypeAliasForwardRef\('([\w.]+)'\)")  # Sphinx leaves that in unions
# Types that everyone knows: numpydoc would link them to Python's own pages.
WORDS = (
    *("None", "bool", "boolean", "True", "False", "list", "tuple", "str", "string", "dict"),
    *("float", "int", "callable", "iterable", "sequence", "scalar", "generator"),
)


def types():
    """Words of the docstrings that name a type, and what they link to."""
    rooms = {room: import_module(f"gnorm.{room}").__all__ for room in ROOMS}
    counts = Counter(name for names in rooms.values() for name in names)
    public = {
        name: f"gnorm.{room}.{name}"
        for room, names in rooms.items()
        for name in names
        if counts[name] == 1 and name[0].isupper()
    }
    arrays = dict.fromkeys(("array-like", "array_like"), "numpy.typing.ArrayLike")
    return dict(zip(WORDS, WORDS, strict=True)) | arrays | public


def in_parent(room):
    """Prefix of the pages of a room all of whose names are names of the room around it, too."""
    around = room.rpartition(".")[0]
    if around in ("", "gnorm"):
        return ""
    names, public = (set(import_module(place).__all__) for place in (room, around))
    return f"~{around}." if names <= public else ""


def resolve(app, env, node, contnode):
    if node.get("refdomain") != "py":
        return None
    first, dot, rest = node["reftarget"].partition(".")
    project = ABBREVIATED.get(first, first)
    target = f"{project}{dot}{rest}"
    if project == "gnorm" and (found := in_its_room(app, env, node, contnode, rest)):
        return found
    address = SECTIONS.get(target) or PAGES.get(project, "").format(target)
    if address:
        return nodes.reference("", "", contnode, internal=False, refuri=address)
    is_annotation = not isinstance(contnode, nodes.literal | nodes.emphasis)
    return contnode if is_annotation else None


def in_its_room(app, env, node, contnode, name):
    python = env.domains["py"]
    found = [full for full in python.objects if full.endswith(f".{name}") and full.count(".") == 2]
    if "." in name or len(found) != 1:
        return None
    kind = python.objects[found[0]].objtype
    role = {"function": "func", "exception": "exc"}.get(kind, kind)
    return python.resolve_xref(env, node["refdoc"], app.builder, role, found[0], node, contnode)


def plain(app, what, name, obj, options, signature, returns):
    """Show the names in :data:`ALIASES` within unions as what they stand for."""
    shown = (text and FORWARD.sub(r"\1", text) for text in (signature, returns))
    return tuple(shown)


def setup(app):
    app.connect("autodoc-process-signature", plain)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
