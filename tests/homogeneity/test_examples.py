"""The extrapolation example: its claims, since a network's digits depend on the processor."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not (REPOSITORY / "docs").exists(), reason="the source distribution has no documentation"
)
ROW = re.compile(r"^(.+), (as it is|on the sphere|estimated) +((?: *\d+\.\d{3}){6})$", re.MULTILINE)


def rows(text):
    return {(m[1], m[2]): np.array(m[3].split(), dtype=float) for m in ROW.finditer(text)}


@pytest.mark.slow
def test_extrapolation(tmp_path, capsys):
    path = tmp_path / "figure.png"
    runpy.run_path(str(REPOSITORY / "examples/plot_extrapolation.py"))["main"](path)
    printed = capsys.readouterr().out
    assert path.read_bytes().startswith(b"\x89PNG")
    assert printed.count(": 1.000000 times") == 5

    page = (REPOSITORY / "docs/homogeneity.md").read_text(encoding="utf-8")
    assert "](images/extrapolation.svg)" in page
    errors, shown = rows(printed), rows(page)
    assert len(errors) == 12
    assert errors.keys() == shown.keys()
    for (name, kind), values in errors.items():
        if name in ("forest", "neighbours"):
            np.testing.assert_allclose(values, shown[name, kind], rtol=0.1, atol=0.005)
        if kind == "as it is":
            assert (values[2:] > 0.7).all()
        else:  # better inside the box and at twice its size
            assert (values[:2] < errors[name, "as it is"][:2]).all()
