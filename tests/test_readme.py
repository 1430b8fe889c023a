"""README and documentation: their code, and the examples, print what is shown there."""

import contextlib
import io
import os
import re
import runpy
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

REPOSITORY = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    not (REPOSITORY / "docs").exists(), reason="the source distribution has no documentation"
)

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [
    "README.md",
    "docs/index.md",
    "docs/guide.md",
    "docs/descent.md",
    "docs/geometry.md",
    "docs/atoms.md",
    "docs/homogeneity.md",
    "docs/networks.md",
]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
SECONDS = re.compile(r"\d+\.\d+ s\b")


def assert_alike(printed, shown):
    """Same words and nearly the same numbers: another machine may round to other supports."""
    texts = [SECONDS.sub("(time)", text) for text in (printed, shown)]
    words = [NUMBER.sub("#", text).split() for text in texts]
    assert words[0] == words[1], printed
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in texts]
    np.testing.assert_allclose(*numbers, rtol=0.05, atol=2e-3, err_msg=printed)


@pytest.fixture
def elsewhere(tmp_path):
    """An empty working directory and no window, whatever the blocks draw and save."""
    matplotlib.use("Agg")
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)
    pyplot.close("all")


@pytest.mark.parametrize("name", PAGES)
def test_python_blocks(name, elsewhere):
    blocks = BLOCK.findall((REPOSITORY / name).read_text(encoding="utf-8"))
    assert blocks
    namespace = {}
    for code, shown in blocks:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, name, "exec"), namespace)
        assert_alike(output.getvalue(), shown)


def test_quickstart(elsewhere, capsys):
    quickstart = runpy.run_path(str(REPOSITORY / "examples/quickstart.py"))
    quickstart["main"]()
    printed = capsys.readouterr().out
    assert printed.endswith("figure: build/quickstart.svg\n")
    for name in ("quickstart", "quickstart_tall"):
        assert (elsewhere / f"build/{name}.svg").read_bytes().startswith(b"<?xml")
        assert (REPOSITORY / f"docs/images/{name}.svg").exists()

    shown = re.search(r"`make demo` prints\n\n```text\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    plane, plane_shown = (text.partition("\n\n")[0] for text in (printed, shown[1]))
    # how small the gap is depends on where the solver stops
    assert_alike(*(text.partition(", certified")[0] for text in (plane, plane_shown)))
    assert_alike(*(text.splitlines()[-1] for text in (plane, plane_shown)))
    table, table_shown = (read_table(text, quickstart["COLUMNS"]) for text in (printed, shown[1]))
    assert len(table) == 7
    assert table[0] == table_shown[0] == {name: name for name in quickstart["COLUMNS"]}
    for row, row_shown in zip(table[1:], table_shown[1:], strict=True):
        for column in ("model", "C"):
            assert row[column] == row_shown[column]
        # the number of support vectors and the gap depend on where within tol the solver stops
        for column in ("held out [%]", "norm", "margin"):
            assert_alike(row[column], row_shown[column])


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("balance", "descent"),
        ("reading_a_fit", "guide"),
        pytest.param("depth", "descent", marks=pytest.mark.slow),
        pytest.param("implicit_bias", "descent", marks=pytest.mark.slow),
        pytest.param("dead_units", "descent", marks=pytest.mark.slow),
        ("layer_norms", "descent"),
        pytest.param("geometries", "geometry", marks=pytest.mark.slow),
        pytest.param("rates", "descent", marks=pytest.mark.slow),
        pytest.param("two_balls", "descent", marks=pytest.mark.slow),
        pytest.param("matrix_completion", "norms", marks=pytest.mark.slow),
        pytest.param("neural_collapse", "descent", marks=pytest.mark.slow),
        pytest.param("lexicographic", "descent", marks=pytest.mark.slow),
        pytest.param("custom_problem", "atoms", marks=pytest.mark.slow),
        pytest.param("transformer_homogeneity", "homogeneity", marks=pytest.mark.slow),
        pytest.param("physical_laws", "homogeneity", marks=pytest.mark.slow),
        pytest.param("zoomed_digits", "homogeneity", marks=pytest.mark.slow),
    ],
)
def test_example(name, page, elsewhere, capsys):
    script = f"examples/plot_{name}.py"
    runpy.run_path(str(REPOSITORY / script))["main"]("folder/figure.svg")
    printed, _, last = capsys.readouterr().out.partition("figure: ")
    assert last == "folder/figure.svg\n"
    assert (elsewhere / "folder/figure.svg").read_bytes().startswith(b"<?xml")

    text = (REPOSITORY / f"docs/{page}.md").read_text(encoding="utf-8")
    assert f"](images/{name}.svg)" in text
    _, _, after = text.partition(f"`python {script}`")
    shown = re.search(r"^```text\n(.*?)^```", after, re.DOTALL | re.MULTILINE)
    assert_alike(printed, shown[1])


def test_custom_problem_compiles_once(elsewhere):
    example = runpy.run_path(str(REPOSITORY / "examples/plot_custom_problem.py"))
    parts, labels = example["load"]()
    first, *others = example["solve_path"](parts, labels, n_units=3, penalties=[0.2, 0.1, 0.05])
    assert all(record["compiling"] < first["compiling"] for record in others)
    norms, losses = zip(
        *((path["norm"], path["losses"][0]) for path in [first, *others]), strict=True
    )
    assert list(norms) == sorted(norms)  # a smaller penalty: a larger norm
    assert list(losses) == sorted(losses, reverse=True)  # and a smaller training loss


def read_table(text, columns):
    """Rows of the paragraph that is a table, by column."""
    rows = [line for line in text.split("\n\n")[2].splitlines() if line]
    edges = np.cumsum([0] + [int(form[1:]) for form in columns.values()])
    return [
        {
            name: row[start:stop].strip()
            for name, start, stop in zip(columns, edges, edges[1:], strict=False)
        }
        for row in rows
    ]


@pytest.mark.parametrize("name", PAGES)
def test_links(name):
    path = REPOSITORY / name
    targets = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    missing = [
        target
        for target in targets
        if not target.startswith("http") and not (path.parent / target).exists()
    ]
    assert targets
    assert not missing
