"""Sphinx configuration: `make docs`. It does without what it fetches, so the build works offline.

`GNORM_DOCS=full` runs every example of the gallery that needs no data of its own, minutes instead
of seconds.
"""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

from gnorm import norms
from gnorm.solvers.methods import table

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
import gallery  # noqa: E402
import links  # noqa: E402

IS_FULL = os.environ.get("GNORM_DOCS") == "full"

nitpicky = True  # a reference that leads nowhere is an error

project = "gnorm"
author = "the gnorm developers"
copyright = "2026, the gnorm developers"
version = release = installed_version("gnorm")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "gallery",
    "links",
    "mathml",
    "sidebar",
]
exclude_patterns = [
    "_build",
    "generated/methods.md",
    "generated/norms.md",
    "**sg_execution_times.rst",
]
generated = HERE / "generated"
generated.mkdir(exist_ok=True)
(generated / "methods.md").write_text(table())
(generated / "norms.md").write_text(norms.table())
# Names of other projects: by their inventories where the network is there, else by an empty one,
# and links.py knows the pages. Where one of the two can be read, the other is no warning.
(generated / "none.inv").write_bytes(links.EMPTY_INVENTORY)
intersphinx_mapping = {
    name: (address, (None, str(generated / "none.inv")))
    for name, address in links.INVENTORIES.items()
}
intersphinx_timeout = 5  # seconds
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"gnorm {release}"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["gnorm.css"]
html_math_renderer = "mathml"

sphinx_gallery_conf = gallery.configuration(HERE, IS_FULL)

# MyST: $formulas$, and an anchor for every heading down to the third level.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# A room's __all__ says what is public, and each name has a page. Inherited methods are shown where
# gnorm defines them.
autosummary_ignore_module_all = False
autosummary_imported_members = True
autosummary_context = {"in_parent": links.in_parent}
autodoc_default_options = {"member-order": "bysource"}
autodoc_type_aliases = links.ALIASES
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
numpydoc_show_class_members = False  # autodoc lists them
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # words that name no type
numpydoc_xref_aliases = links.types()
suppress_warnings = [
    "ref.citation",  # a docstring may name its source without citing it in a line
    "config.cache",  # the gallery is configured by functions
]


def skip_member(app, what, name, obj, skip, options):
    """Leave out what estimators inherit from scikit-learn: its links lead into its own pages."""
    return True if (getattr(obj, "__module__", None) or "").startswith("sklearn.") else None


def setup(app):
    """Connect the hook above."""
    app.connect("autodoc-skip-member", skip_member)
