# Everything a person types. `make` builds .venv by itself and re-uses it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test lint bench clean

help:
	@echo "make demo    learner and provider on this machine, on real data, in under a minute"
	@echo "make test    lint, types and every test"
	@echo "make lint    ruff, mypy and import-linter only"
	@echo "make bench   speed and memory, as a table"
	@echo "make clean   remove .venv and every cache"

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "assistlearn needs Python 3.11 or newer: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/assistlearn demo

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: $(READY) lint
	$(BIN)/pytest

bench: $(READY)
	$(BIN)/python -m experiments.bench

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
