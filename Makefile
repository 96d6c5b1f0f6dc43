# `make demo` and `make test` create what they need; everything lives in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=

.DEFAULT_GOAL := help

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(BIN)/.installed ## ask the embedded model a question that needs a tool, and run the tool
	$(BIN)/smolcall demo

test: $(BIN)/.installed-dev ## run the tests (no network, no GPU needed)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(BIN)/.installed-dev ## formatting, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test ## everything that continuous integration runs

format: $(BIN)/.installed-dev ## format the code and apply the safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

embedded: $(BIN)/.installed-dev ## train tokenizer and backbone and evaluate them (PRESET=smoke|cpu|gpu)
	$(BIN)/python -m training embedded --preset $(or $(PRESET),smoke)

bench: $(BIN)/.installed-dev ## the README's figures: every way to write a call, side by side
	mkdir -p runs
	$(BIN)/smolcall bench --json runs/bench.json --plot runs/bench.png

clean: ## remove the virtual environment and build output
	rm -rf $(VENV) build dist *.egg-info

.PHONY: help demo test lint check format embedded bench clean
