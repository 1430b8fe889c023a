"""The documentation in a browser: every page opens and fits, links lead on, formulas are drawn."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import gnorm
from tests import browser

REPOSITORY = Path(__file__).parents[1]
TEX = re.compile(r"\\[a-zA-Z]{2,}|\$\$")
PHONE, LAPTOP = 390, 1280  # pixels
OLD_NAMES = {"gnorm.margin", "gnorm.svm", "gnorm.svm_cv"}  # for code of version 0.1
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.PATH is None, reason="needs Chromium"),
    pytest.mark.skipif(
        not (REPOSITORY / "docs/conf.py").exists(), reason="there is no documentation here"
    ),
]


class Page(HTMLParser):
    """Text, links and anchors of a page; text in code and scripts is left out."""

    def __init__(self, html):
        super().__init__()
        self.text, self.links, self.anchors, self.hidden = [], [], set(), 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.hidden += tag in ("code", "pre", "script", "style")
        self.anchors.add(attributes.get("id"))
        for name in ("href", "src"):
            if attributes.get(name):
                self.links.append(attributes[name])

    def handle_endtag(self, tag):
        self.hidden -= tag in ("code", "pre", "script", "style")

    def handle_data(self, data):
        if not self.hidden:
            self.text.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True)
    return folder


def test_every_page_in_a_browser(site, tmp_path):
    paths = sorted(site.rglob("*.html"))
    assert len(paths) > 300
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    shown = [path for path in paths if "_modules" not in path.parts]
    wrong = []
    with browser.Browser(tmp_path, PHONE) as window:
        for path in shown:
            wrong += [f"{path.name}: {error}" for error in window.open(path)]
            html = window.value("document.documentElement.outerHTML")
            wrong += [f"{path.name}: {tex}" for tex in TEX.findall(" ".join(Page(html).text))]
            if (width := window.value("document.documentElement.scrollWidth")) > PHONE:
                wrong.append(f"{path.name}: {width} pixels wide")
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                wrong.append(f"{path.name}: no {link}")
                continue
            anchors = pages[target].anchors if target in pages else {""}
            if unquote(parts.fragment) not in anchors | {""}:
                wrong.append(f"{path.name}: no anchor {link}")
    assert not wrong, "\n".join(sorted(set(wrong))[:40])


def test_the_catalogue_of_norms_does_not_scroll(site, tmp_path):
    tables = "[...document.querySelectorAll('.table-wrapper')]"
    catalogue = f"{tables}.find(e => e.innerText.includes('solved by'))"
    with browser.Browser(tmp_path, LAPTOP) as window:
        for name in ("index", "norms"):
            window.open(site / f"{name}.html")
            assert window.value(f"{catalogue}.scrollWidth - {catalogue}.clientWidth") == 0


def test_each_public_name_has_a_page(site):
    listed = (REPOSITORY / "docs/api.rst").read_text().partition(":toctree: generated")[2]
    rooms = re.findall(r"^   (gnorm\S+)", listed, re.MULTILINE)
    assert {f"gnorm.{name}" for name in gnorm._MODULES} - set(rooms) == OLD_NAMES
    # a name of a room within a room may have its page with the outer one
    missing = [
        f"{room}.{name}"
        for room in rooms
        for name in import_module(room).__all__
        if not any(
            (site / f"generated/{place}.{name}.html").exists()
            for place in (room, room.rpartition(".")[0])
        )
    ]
    assert not missing


def test_types_and_sources_are_linked(site):
    links = Page((site / "generated/gnorm.solvers.solve.html").read_text(encoding="utf-8")).links
    assert "gnorm.norms.Norm.html#gnorm.norms.Norm" in links  # a type of the signature
    assert "gnorm.solvers.Solution.html#gnorm.solvers.Solution" in links  # what it returns
    assert any(link.startswith("../_modules/gnorm/solvers/api.html") for link in links)
