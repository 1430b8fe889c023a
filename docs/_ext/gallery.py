"""The gallery: quick examples run while the documentation is built, the others show what they drew.

An example takes the path of its figure as its argument. One that is not run has the figure that
stands in docs/images, in the overview and on its page.
"""

from pathlib import Path

from sphinx_gallery.scrapers import figure_rst
from sphinx_gallery.utils import scale_image

QUICK = ("balance", "layer_norms")  # each below ten seconds
NEEDS_DATA = ("error_against_samples",)  # all of MNIST, half an hour
LISTING = ".. code-block:: Python"


def name_of(path):
    return Path(path).stem.removeprefix("plot_")


class Figures:
    """Where the examples that are run save their figures, and how these come onto the page."""

    def __init__(self, folder):
        self.folder = folder

    def __repr__(self):  # sphinx-gallery compares configurations by it
        return "Figures()"

    def arguments(self, _, script_vars):
        self.folder.mkdir(parents=True, exist_ok=True)
        return [str(self.folder / f"{name_of(script_vars['src_file'])}.png")]

    def saved(self, block, block_vars, gallery_conf):
        path = self.folder / f"{name_of(block_vars['src_file'])}.png"
        if not path.exists():
            return ""
        image = next(block_vars["image_path_iterator"])
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
        "reference_url": {"gnorm": None},
        "show_memory": False,
    }


def stored_thumbnails(app):
    """Give the examples that were not run the thumbnail of their stored figure."""
    pages = Path(app.srcdir) / "gallery"
    for page in pages.glob("plot_*.rst"):
        stored = Path(app.srcdir) / "images" / f"{name_of(page)}.png"
        thumbnail = pages / "images/thumb" / f"sphx_glr_{page.stem}_thumb.png"
        if not was_run(page.read_text(), page.stem) and stored.exists():
            scale_image(str(stored), str(thumbnail), 400, 280)


def stored_figure(app, docname, source):
    """Put the figure of an example that was not run on its page, above its source."""
    folder, _, stem = docname.rpartition("/")
    stored = Path(app.srcdir) / "images" / f"{name_of(stem)}.png"
    if folder == "gallery" and not was_run(source[0], stem) and stored.exists():
        figure = f".. image:: /images/{stored.name}\n   :alt: The figure that the example draws\n\n"
        source[0] = source[0].replace(LISTING, figure + LISTING, 1)


def was_run(text, stem):
    return f"images/sphx_glr_{stem}_001" in text


def setup(app):
    app.connect("builder-inited", stored_thumbnails, priority=900)  # the gallery has been written
    app.connect("source-read", stored_figure)
    return {"parallel_read_safe": True}
