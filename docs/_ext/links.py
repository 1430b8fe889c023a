"""Links to names that no page defines where a docstring says they are.

A name of :mod:`gnorm` itself leads to the room that it comes from. Those of other projects lead to
their pages, which have the address of the name: no inventory has to be fetched.
"""

from docutils import nodes

PAGES = {
    "sklearn": "https://scikit-learn.org/stable/modules/generated/{}.html",
    "joblib": "https://joblib.readthedocs.io/en/stable/generated/{}.html",
    "matplotlib": "https://matplotlib.org/stable/api/_as_gen/{}.html",
    "numpy": "https://numpy.org/doc/stable/reference/generated/{}.html",
    "scipy": "https://docs.scipy.org/doc/scipy/reference/generated/{}.html",
}
# What has no page of its own.
SECTIONS = {
    "sklearn.utils.metadata_routing": "https://scikit-learn.org/stable/metadata_routing.html",
}


def resolve(app, env, node, contnode):
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    project, _, name = target.partition(".")
    if project == "gnorm":
        return in_its_room(app, env, node, contnode, name)
    address = SECTIONS.get(target) or PAGES.get(project, "").format(target)
    if not address:
        return None
    return nodes.reference("", "", contnode, internal=False, refuri=address)


def in_its_room(app, env, node, contnode, name):
    python = env.domains["py"]
    found = [full for full in python.objects if full.endswith(f".{name}") and full.count(".") == 2]
    if "." in name or len(found) != 1:
        return None
    kind = python.objects[found[0]].objtype
    role = {"function": "func", "exception": "exc"}.get(kind, kind)
    return python.resolve_xref(env, node["refdoc"], app.builder, role, found[0], node, contnode)


def setup(app):
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
