# Every target runs in its own environment, made on first use:
#   make demo                          uses python3
#   make demo PYTHON=python3.12        uses another interpreter
# A stamp file inside the environment says which extras it holds; pip runs again only when
# pyproject.toml changes, so after the first run everything works offline.

PYTHON ?= python3
OLDEST_PYTHON ?= python3.11
VENV := .venv
OLDEST := .venv-oldest
PYTEST_ARGS ?=
# The tests run on every core, and each of them on one thread.
PYTEST = OPENBLAS_NUM_THREADS=1 $(1)/bin/python -m pytest -n auto
HOSTILE_PROBLEMS ?= 2000
RELEASE_PYTHONS ?= python3.11 python3.12 python3.13

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow test-oldest hostile lint format docs bench release-check clean

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'

demo: $(VENV)/.extra-plot ## install and run the quickstart example
	$(VENV)/bin/python examples/quickstart.py

test: $(VENV)/.extra-test ## run the tests, doctests included, but for the slow ones
	$(call PYTEST,$(VENV)) $(PYTEST_ARGS)

test-slow: $(VENV)/.extra-test ## run the slow tests only
	$(VENV)/bin/python -m pytest -m slow $(PYTEST_ARGS)

# What uses the package as its users do says nothing of a floor that the tests of its parts do not, and
# neither do scikit-learn's own checks but where its floor moves: then run them, too, by
# make test-oldest PYTEST_ARGS="-k test_scikit_learn_checks".
test-oldest: $(OLDEST)/.extra-test ## run the tests of the parts on the oldest supported dependencies
	$(call PYTEST,$(OLDEST)) -k "not test_scikit_learn_checks" --ignore=tests/examples --ignore=tests/hostile \
	  --ignore=tests/test_readme.py --hypothesis-profile=few $(PYTEST_ARGS)

hostile: $(VENV)/.extra-test ## solve hostile problems before an independent judge: HOSTILE_PROBLEMS=20000 for more
	$(VENV)/bin/python -m tests.hostile.campaign --problems $(HOSTILE_PROBLEMS)

lint: $(VENV)/.extra-lint ## check style and types
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

format: $(VENV)/.extra-lint ## format the code
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

docs: $(VENV)/.extra-docs ## build the documentation into docs/_build/html, warnings are errors
	$(VENV)/bin/sphinx-build -W --keep-going -q docs docs/_build/html

bench: $(VENV)/.extra-bench ## measure gnorm against its rivals
	for bench in benchmarks/bench_*.py; do $(VENV)/bin/python $$bench || exit 1; done

release-check: ## build sdist and wheel into dist, and try both as users would, on every Python of RELEASE_PYTHONS
	.ci/release $(RELEASE_PYTHONS)

clean: ## remove environments, caches and built files
	rm -rf $(VENV) $(OLDEST) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist docs/_build docs/generated docs/gallery
	find src tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} +

# $(call make_venv,NAME_OF_INTERPRETER_VARIABLE,folder). Some distributions ship pip but no ensurepip: then the
# interpreter's own pip fills an environment made without one.
define make_venv
	@$($(1)) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "gnorm needs Python 3.11 or newer; '$($(1))' is not that. Name an interpreter that is:" \
	    "make $(1)=/path/to/python3.11" >&2; exit 1; }
	$($(1)) -m venv --clear $(2) >/dev/null 2>&1 \
	  || { $($(1)) -m venv --clear --without-pip $(2) \
	    && $($(1)) -m pip --python $(2)/bin/python install --quiet pip; }
endef

$(VENV)/.made:
	$(call make_venv,PYTHON,$(VENV))
	@touch $@

$(VENV)/.extra-%: pyproject.toml $(VENV)/.made
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

# Only wheels: a floor promises what a user can install, not what compiles here. The oldest wheels
# are those for Python 3.11, so no newer interpreter will do.
$(OLDEST)/.extra-test: pyproject.toml .ci/floors.py
	$(call make_venv,OLDEST_PYTHON,$(OLDEST))
	$(OLDEST)/bin/python .ci/floors.py > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
	  --constraint $(OLDEST)/constraints.txt --editable '.[test]'
	@touch $@
