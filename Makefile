# Everything a person does here. Needs Python 3.11 or newer, git and make; nothing else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PEERS  := .venv-bench
WORKERS ?= 3
PARALLEL = -n $(WORKERS) --dist loadfile --no-loadscope-reorder # tests/conftest.py has the order

.DEFAULT_GOAL := help

unexport PYTHONDONTWRITEBYTECODE # the tests start some hundred processes: each would compile all anew
.DELETE_ON_ERROR:

.PHONY: help run venv test soak check format lock bench clean chart try-chart

help: ## Say what the targets do
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

run: $(VENV)/.run try-chart ## Start the demo: simulated broker, daemon, HTTP on 127.0.0.1:8080
	@exec $(BIN)/mdingest demo

venv: $(VENV)/.dev try-chart ## Make .venv with everything for development

test: $(VENV)/.dev try-chart ## Run the tests
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

soak: $(VENV)/.dev ## Long runs of the real process; ARGS=PART runs one, ARGS=--help lists them
	@$(BIN)/python -m benchmarks.soak $(ARGS)

check: $(VENV)/.dev try-chart ## All that CI demands: format, lint, types, floors, tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

format: $(VENV)/.dev ## Format and fix what can be fixed by itself
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(VENV)/.dev ## Measure, beside the peers that install here
	@$(MAKE) --silent $(PEERS)/.ready || echo "bench: the peers do not install here: measuring without them"
	@if [ -e $(PEERS)/.ready ]; then python=$(PEERS)/bin/python; else python=$(BIN)/python; fi; \
	exec $$python -m benchmarks $(ARGS)

chart: $(BIN)/uv ## Fetch the chart library of the page (run, test and venv try it by themselves)
	$(BIN)/python tools/fetch_chart.py

try-chart: $(BIN)/uv
	@$(BIN)/python tools/fetch_chart.py --optional

# --- environment: the lock files are the only source, hashes are demanded

INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes

$(BIN)/uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("mdingest needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.run: $(BIN)/uv pyproject.toml requirements/run.txt requirements/build.txt
	$(INSTALL) -r requirements/build.txt -r requirements/run.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(INSTALL) -r requirements/dev.txt
	@touch $@

$(PEERS)/.ready: $(VENV)/.run requirements/bench.txt
	@rm -rf $(PEERS)
	$(BIN)/uv venv --quiet --python $(BIN)/python $(PEERS)
	$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python --no-deps --compile-bytecode --require-hashes \
		-r requirements/bench.txt
	$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

# What vnpy wants for its desktop and its bar generator does not.
DESKTOP := pyside6 pyside6-addons pyside6-essentials shiboken6 pyqtgraph qdarkstyle qtpy plotly

LOCK = $(BIN)/uv pip compile --quiet --generate-hashes --universal --no-annotate --python-version 3.11 \
	--custom-compile-command "make lock" $(UPGRADE)

lock: $(BIN)/uv ## Write requirements/*.txt anew; UPGRADE=--upgrade takes newer releases
	$(LOCK) -o requirements/uv.txt requirements/uv.in
	$(LOCK) -o requirements/run.txt pyproject.toml
	$(LOCK) -o requirements/build.txt -c requirements/run.txt --group build
	$(LOCK) -o requirements/dev.txt -c requirements/run.txt -c requirements/build.txt \
		--group build --group dev pyproject.toml
	$(LOCK) -o requirements/node.txt requirements/node.in
	$(LOCK) -o requirements/bench.txt $(DESKTOP:%=--no-emit-package %) \
		--group build pyproject.toml requirements/bench.in

clean: ## Remove .venv and what tools leave; data/ stays
	rm -rf $(VENV) $(PEERS) mdingest/api/web/vendor build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
