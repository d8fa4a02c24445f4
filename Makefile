# Every target stands alone on a fresh clone: Python 3.11 or newer, make and PyPI are enough, but for what is said below.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test lint docs cluster-test bench clean

help:
	@echo "make demo          the main job with nothing installed: load on ten backends through a rolling restart"
	@echo "make test          style, types, layers and all tests that need no cluster"
	@echo "make cluster-test  the same library against a real cluster (Linux, root, Go 1.26+; about 20 minutes to build it once)"
	@echo "make bench         every figure the README promises, and the table of them (Linux, Go 1.26+, openssl, haproxy)"
	@echo "make docs          the documentation, into site/"

demo: .venv/core
	@$(BIN)/discovery demo

test: lint
	$(BIN)/python -m pytest -n auto --maxprocesses 8

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

cluster-test: .venv/dev
	$(BIN)/python -m pytest tests/cluster

bench: .venv/dev
	$(BIN)/python -m bench --write

docs: .venv/dev
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv site

.venv/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.13 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

.venv/core: .venv/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/dev: .venv/core
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@
