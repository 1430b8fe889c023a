"""Print the oldest supported dependencies as pip constraints.

pyproject.toml is the only place where a floor is written; this turns `name>=version` into
`name==version` for the runtime dependencies and the `plot` extra.
"""

import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]

for requirement in project["dependencies"] + project["optional-dependencies"]["plot"]:
    floor = re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement)
    if floor is None:
        raise SystemExit(f"expected 'name>=version' in pyproject.toml, got {requirement!r}")
    print("==".join(floor.groups()))
