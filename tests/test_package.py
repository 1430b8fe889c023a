"""The package as a user finds it: names, version, types, and what an import costs."""

import importlib
import importlib.metadata
import importlib.resources
import inspect
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

import gnorm

REPOSITORY = Path(__file__).parents[1]
PYPROJECT = REPOSITORY / "pyproject.toml"


def modules_after(statement):
    """Names of the modules a fresh interpreter holds after the statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


def test_import_is_light():
    heavy = {"numpy", "scipy", "sklearn", "cvxpy", "clarabel", "scs", "matplotlib"}
    assert not modules_after("import gnorm") & heavy


def test_all_but_atoms_need_neither_cvxpy_nor_matplotlib():
    names = ", ".join(sorted({*gnorm.__all__} - {"atoms"}))
    heavy = {"cvxpy", "clarabel", "scs", "matplotlib"}
    assert not modules_after(f"from gnorm import {names}") & heavy


@pytest.mark.parametrize("name", gnorm.__all__)
def test_public_name_resolves(name):
    assert name in dir(gnorm)
    assert getattr(gnorm, name) is not None


@pytest.mark.parametrize("name", [name for name in gnorm.__all__ if not name.startswith("_")])
def test_public_name_has_docstring(name):
    value = getattr(gnorm, name)
    assert inspect.getdoc(value)
    if not isinstance(value, types.ModuleType):
        assert value.__module__.startswith("gnorm.")


def test_lazy_table_is_all():
    assert {*gnorm._MODULE_OF, *gnorm._MODULES, "__version__"} == set(gnorm.__all__)


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'gnorm' has no attribute 'norm'"):
        gnorm.norm  # noqa: B018


def test_version():
    expected = tomllib.loads(PYPROJECT.read_text())["project"]["version"]
    assert gnorm.__version__ == importlib.metadata.version("gnorm") == expected


def test_types_are_shipped():
    assert importlib.resources.files("gnorm").joinpath("py.typed").is_file()


def test_an_index_shows_the_readme_without_dead_links():
    hook = tomllib.loads(PYPROJECT.read_text())["tool"]["hatch"]["metadata"]["hooks"]
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for step in hook["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(step["pattern"], step["replacement"], text)
    assert set(re.findall(r"\]\((\w+:|[^)]*)", text)) == {"https:"}
    assert "[the norm]" not in text
    assert "| the norm, its exact solution, and descent watched" in text


def test_one_command_sets_the_address(tmp_path):
    names = "pyproject.toml", "CITATION.cff", "SECURITY.md", "conda/recipe.yaml", ".ci/address.py"
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    address, pages = "https://example.org/owner/gnorm", "https://example.org/pages"
    command = [sys.executable, tmp_path / ".ci/address.py", address, pages]
    subprocess.run(command, check=True)
    texts = {name: (tmp_path / name).read_text() for name in names[:-1]}
    project = tomllib.loads(texts["pyproject.toml"])
    assert project["project"]["urls"]["Documentation"] == pages
    hook = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    (step,) = hook["substitutions"]
    readme = re.sub(step["pattern"], step["replacement"], "see [the norm](docs/norms.md)")
    assert readme == f"see [the norm]({address}/blob/main/docs/norms.md)"
    assert f"\nrepository-code: {address}\n" in texts["CITATION.cff"]
    assert f"\n  repository: {address}\n" in texts["conda/recipe.yaml"]
    assert f"<{address}/issues>" in texts["SECURITY.md"]
    assert not any("public" in text for text in texts.values())
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode
    assert "once in pyproject.toml, found it 0 times" in again.stderr


def test_conda_recipe_asks_for_what_the_package_asks():
    recipe = (REPOSITORY / "conda/recipe.yaml").read_text()
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    assert f'version: "{project["version"]}"' in recipe
    run = recipe.partition("  run:\n")[2].partition("\n\n")[0]
    asked = {line.strip("- ").replace(" ", "") for line in run.splitlines()}
    assert asked == {*project["dependencies"], f"python{project['requires-python']}"}


def modules():
    """All modules of the package whose names are public, the package itself included."""
    found = pkgutil.walk_packages(gnorm.__path__, "gnorm.")
    names = [info.name for info in found if "._" not in info.name]
    return [gnorm, *map(importlib.import_module, names)]


def public_functions():
    """Functions, classes and methods that public names of the modules lead to, with their names."""
    for module in modules():
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if getattr(value, "__module__", None) != module.__name__:
                continue  # of another module of the package, or no function or class
            yield f"{module.__name__}.{name}", value
            if inspect.isclass(value):
                for key, member in vars(value).items():
                    function = getattr(member, "fget", getattr(member, "func", member))
                    function = inspect.unwrap(getattr(function, "__func__", function))
                    if not key.startswith("_") and inspect.isfunction(function):
                        yield f"{module.__name__}.{name}.{key}", function


def test_all_that_public_names_lead_to_has_a_docstring():
    found = dict(public_functions())
    assert {"gnorm.solvers.api.solve", "gnorm.gates.base.Gates.transform"} <= found.keys()
    assert len(found) > 1000
    assert [name for name, value in found.items() if not (value.__doc__ or "").strip()] == []
    assert [module.__name__ for module in modules() if not (module.__doc__ or "").strip()] == []
