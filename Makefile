# The everyday commands, one word each. Every one makes its own environment in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# not quiet: torch alone takes minutes, and a silent command looks like one that hangs
INSTALL = $(BIN)/python -m pip install --no-input --constraint constraints.txt

.PHONY: demo test lint format docs dist clean

demo: $(VENV)/demo  ## run the main job on the embedded data
	$(BIN)/python examples/quickstart.py

test: $(VENV)/test  ## pass the tests
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

lint: $(VENV)/test  ## check style, types, and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python tools/annotations.py skfakespotter
	$(BIN)/python tools/docstrings.py
	$(BIN)/mypy

format: $(VENV)/test  ## put the style right
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

docs: $(VENV)/docs  ## build the site into docs/_build/html
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build/html
	$(BIN)/python tools/links.py docs/_build/html

dist: $(VENV)/dist  ## build wheel and sdist, check them, install and try the wheel
	rm -rf dist build
	$(BIN)/check-manifest
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv $(VENV)/tried
	$(VENV)/tried/bin/python -m pip install --no-input --quiet --constraint constraints.txt dist/*.whl
	cd / && $(abspath $(VENV))/tried/bin/python -W error $(CURDIR)/tools/try_wheel.py

clean:  ## remove what the commands above made
	rm -rf $(VENV) build dist *.egg-info report docs/_build docs/api docs/auto_examples docs/results

$(VENV)/demo: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[faces,plot,sample]"
	touch $@

$(VENV)/test: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[dev]"
	touch $@

$(VENV)/docs: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[docs]"
	touch $@

$(VENV)/dist: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[release]"
	touch $@
