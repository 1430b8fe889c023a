"""Write the addresses of the project, once it has some, into every file that waits for them.

    python .ci/address.py https://example.org/owner/gnorm https://example.org/documentation

The first is that of the repository, the second that of the documentation. It is done once: this
script and its test go with the change that it makes.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WAITS = "wait for a public address: .ci/address.py writes them"


def places(repository, documentation):
    """Yield each file, what stands there without an address, and what does with one."""
    yield (
        "pyproject.toml",
        f"# [project.urls] {WAITS}",
        f"""[project.urls]
Repository = "{repository}"
Documentation = "{documentation}"
Issues = "{repository}/issues"
Changelog = "{repository}/blob/main/CHANGELOG.md\"""",
    )
    yield (  # the links of README.md, where an index shows it
        "pyproject.toml",
        r"replacement = '\1'",
        rf"replacement = '[\1]({repository}/blob/main/\2)'",
    )
    yield (
        "CITATION.cff",
        f"# repository-code and url {WAITS}",
        f"repository-code: {repository}\nurl: {documentation}",
    )
    yield (
        "conda/recipe.yaml",
        f"# repository and documentation {WAITS}",
        f"repository: {repository}\n  documentation: {documentation}",
    )
    yield (
        "SECURITY.md",
        "The project has no public tracker yet: tell those you have the package from.",
        f"Tell us by an issue: <{repository}/issues>.",
    )


def main(repository, documentation):
    texts = {}
    for name, without, with_address in places(repository, documentation):
        text = texts.get(name) or (ROOT / name).read_text(encoding="utf-8")
        if text.count(without) != 1:
            found = text.count(without)
            raise SystemExit(f"expected {without!r} once in {name}, found it {found} times")
        texts[name] = text.replace(without, with_address)
    for name, text in texts.items():
        (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
