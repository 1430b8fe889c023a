"""The example in PyTorch, which is no dependency: without it the example says so, and ends."""

import re
import runpy
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = str(REPOSITORY / "examples/torch_network.py")


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it fails
    with pytest.raises(SystemExit, match="needs PyTorch, which gnorm does not install"):
        runpy.run_path(EXAMPLE)


def test_with_torch(capsys):
    pytest.importorskip("torch")
    runpy.run_path(EXAMPLE)["main"]()
    _, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    page = (REPOSITORY / "docs/networks.md").read_text(encoding="utf-8")
    shown = re.findall(r"^ +([\d,]+) +True .*$", page, re.MULTILINE)
    assert [row[0] for row in rows] == shown
    for _, same, squares, norm, margin, certified, residual in rows:
        assert same == certified == "True"
        assert float(norm) <= float(squares)
        assert 0 < float(margin) <= 1
        assert 0 <= float(residual) <= 1
