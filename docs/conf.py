"""Sphinx configuration: `make docs`. Nothing is fetched, so the build works offline."""

from importlib.metadata import version as installed_version
from pathlib import Path

from gnorm import norms
from gnorm.solvers.methods import table

project = "gnorm"
author = "the gnorm developers"
copyright = "2026, the gnorm developers"
version = release = installed_version("gnorm")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build", "generated/methods.md", "generated/norms.md"]
generated = Path(__file__).parent / "generated"
generated.mkdir(exist_ok=True)
(generated / "methods.md").write_text(table())
(generated / "norms.md").write_text(norms.table())
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"gnorm {release}"

# MyST: $formulas$, and an anchor for every heading down to the third level.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# A room's __all__ says what is public. Inherited methods are shown where gnorm defines them.
autodoc_default_options = {
    "members": True,
    "inherited-members": "BaseException,Canonical,Enum,Problem,tuple",
    "member-order": "bysource",
}
autodoc_typehints = "none"  # the docstrings state types with their shapes
numpydoc_show_class_members = False  # autodoc lists them
suppress_warnings = ["ref.citation"]  # a docstring may name its source without citing it in a line


def skip_member(app, what, name, obj, skip, options):
    """Leave out what estimators inherit from scikit-learn: its links lead into its own pages."""
    return True if (getattr(obj, "__module__", None) or "").startswith("sklearn.") else None


def setup(app):
    """Connect the hook above."""
    app.connect("autodoc-skip-member", skip_member)
