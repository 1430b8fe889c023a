"""Formulas as MathML, which browsers draw by themselves: no script and no network.

An HTML math renderer named "mathml" for Sphinx, from TeX by latex2mathml.
"""

import re

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

LIMITED = re.compile(r"\\(min|max|sup|inf)\s*_")
CLOSING = re.compile(r"(\\[bB]igg?[rm]?\s*[)\]}])(?=\s*[\^_])")
SIZES = re.compile(r"\\[bB]igg?[lrm]?\s*(?=\\[lr]angle)")


def as_mathml(tex, display):
    # what latex2mathml does not know: sizes of angle brackets, and arg
    tex = SIZES.sub("", tex).replace(r"\arg", r"\operatorname{arg}")
    tex = CLOSING.sub(r"{\1}", tex)  # with an index a bracket by itself would not grow
    if display == "block":
        tex = LIMITED.sub(r"\\\1\\limits_", tex)  # what it is taken over stands below
    return convert(" ".join(tex.split()), display=display)


def visit_math(self, node):
    self.body.append(as_mathml(node.astext(), "inline"))
    raise SkipNode


def visit_math_block(self, node):
    tex = node.astext()
    # lines that end in a double backslash stand below each other, aligned at their ampersands
    if r"\\" in tex and r"\begin{" not in tex:
        tex = rf"\begin{{aligned}} {tex} \end{{aligned}}"
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(as_mathml(tex, "block"))
    self.body.append("</div>\n")
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
