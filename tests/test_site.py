"""The documentation in a browser: every page opens, links lead somewhere, formulas are drawn."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

REPOSITORY = Path(__file__).parents[1]
BROWSERS = "chromium", "chromium-browser", "google-chrome"
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
TEX = re.compile(r"\\[a-zA-Z]{2,}|\$\$")
ERROR = re.compile(r"CONSOLE.*(error|refused|failed)|Uncaught", re.IGNORECASE)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium"),
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


def opened(path, width):
    """The page as the browser has it after its scripts have run, and what it logged."""
    run = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *("--enable-logging=stderr", f"--window-size={width},900", path.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return run.stdout, run.stderr


def test_every_page_in_a_browser(site):
    paths = sorted(site.rglob("*.html"))
    assert len(paths) > 40
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    shown = [path for path in paths if "_modules" not in path.parts]
    wrong = []
    for path in shown:
        html, log = opened(path, 390)
        wrong += [f"{path.name}: {line}" for line in log.splitlines() if ERROR.search(line)]
        wrong += [f"{path.name}: {tex}" for tex in TEX.findall(" ".join(Page(html).text))]
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
