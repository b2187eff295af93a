# The everyday commands, one word each. Every one makes its own environment in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# not quiet: torch alone takes minutes, and a silent command looks like one that hangs
INSTALL = $(BIN)/python -m pip install --no-input --constraint constraints.txt

.PHONY: demo test lint format clean

demo: $(VENV)/demo  ## run the main job on the embedded data
	$(BIN)/python examples/plot_quickstart.py

test: $(VENV)/test  ## pass the tests
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

lint: $(VENV)/test  ## check style, types, and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python tools/annotations.py skfakespotter
	$(BIN)/mypy

format: $(VENV)/test  ## put the style right
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

clean:  ## remove what the commands above made
	rm -rf $(VENV) build dist *.egg-info report

$(VENV)/demo: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[faces,plot,sample]"
	touch $@

$(VENV)/test: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[dev]"
	touch $@
