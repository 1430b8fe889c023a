"""The sidebar unfolds the part of the site that the page is in.

Furo unfolds every part on every page, which with a page for each name takes half of the build.
"""


def collapse(app, pagename, templatename, context, doctree):
    whole = context.get("toctree")
    if whole:
        context["toctree"] = lambda **options: whole(**options | {"collapse": True})


def setup(app):
    app.connect("html-page-context", collapse, priority=400)  # before Furo draws the sidebar
    return {"parallel_read_safe": True, "parallel_write_safe": True}
