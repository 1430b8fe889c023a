"""The gallery: quick examples run while the documentation is built, the others show what they drew.

An example takes the path of its figure as its argument. One that is not run has the figure that
stands in docs/images, in the overview and on its page.
"""

import os
import re
from pathlib import Path

from sphinx_gallery.scrapers import figure_rst

QUICK = ("balance", "layer_norms")  # each below ten seconds
NEEDS_DATA = ("error_against_samples",)  # all of MNIST, half an hour
# What a newcomer reads first; the others follow by name.
FIRST = (
    *("implicit_bias", "one_network_five_norms", "reading_a_fit", "moderators", "custom_problem"),
    *("matrix_completion", "relu_boundary", "relu_spline", "geometries", "extrapolation"),
)
COMMAND = re.compile(r"^(?=    .*\bpython examples/)", re.MULTILINE)
LISTING = ".. code-block:: Python"
THUMBNAIL = re.compile(r"/gallery/images/thumb/sphx_glr_(\w+)_thumb\.\w+")


def name_of(path):
    return Path(path).stem.removeprefix("plot_")


class Order:
    """The key by which sphinx-gallery sorts the files of a folder."""

    def __init__(self, folder):
        pass

    def __call__(self, filename):
        name = name_of(filename)
        return FIRST.index(name) if name in FIRST else len(FIRST), name


class Figures:
    """Where the examples that are run save their figures, and how these come onto the page."""

    def __init__(self, folder):
        self.folder = folder

    def __repr__(self):  # sphinx-gallery compares configurations by it
        return "Figures()"

    def figure(self, variables):
        return self.folder / f"{name_of(variables['src_file'])}.svg"

    def arguments(self, _, script_vars):
        self.folder.mkdir(parents=True, exist_ok=True)
        # from the folder that the example runs in: it prints the path, and the page shows it
        return [os.path.relpath(self.figure(script_vars), Path(script_vars["src_file"]).parent)]

    def saved(self, block, block_vars, gallery_conf):
        path = self.figure(block_vars)
        if not path.exists():
            return ""
        image = Path(next(block_vars["image_path_iterator"])).with_suffix(".svg")
        path.rename(image)
        return figure_rst([image], gallery_conf["src_dir"])


def configuration(docs, runs_all):
    """Settings of sphinx-gallery for the folder of the documentation."""
    figures = Figures(docs / "generated/figures")
    pattern = rf"plot_(?!{'|'.join(NEEDS_DATA)})" if runs_all else rf"plot_({'|'.join(QUICK)})\.py"
    return {
        "examples_dirs": "../examples",
        "gallery_dirs": "gallery",
        "filename_pattern": pattern,
        "ignore_pattern": r"^(?!.*plot_).*\.py$",
        "image_scrapers": (figures.saved,),
        "reset_argv": figures.arguments,
        "within_subsection_order": Order,
        "reference_url": {"gnorm": None},
        "show_memory": False,
    }


def drawn(app, stem):
    """Figure of an example among the stored ones, if the example was not run."""
    page = Path(app.srcdir) / "gallery" / f"{stem}.rst"
    found = (Path(app.srcdir) / "images").glob(f"{name_of(stem)}.*")
    return None if was_run(page.read_text(), stem) else next(found, None)


def prepare(app, docname, source):
    """Show commands as such, and the figures of the examples that were not run."""
    folder, _, stem = docname.rpartition("/")
    if folder != "gallery":
        return
    if stem == "index":
        for found in list(THUMBNAIL.finditer(source[0])):
            if stored := drawn(app, found[1]):
                source[0] = source[0].replace(found[0], f"/images/{stored.name}")
    elif stem.startswith("plot_"):
        source[0] = COMMAND.sub("::\n\n", source[0], count=1)
        if stored := drawn(app, stem):
            figure = f".. image:: /images/{stored.name}\n   :alt: The figure that it draws\n\n"
            source[0] = source[0].replace(LISTING, figure + LISTING, 1)


def was_run(text, stem):
    return f"images/sphx_glr_{stem}_001" in text


def setup(app):
    app.connect("source-read", prepare)
    return {"parallel_read_safe": True}
