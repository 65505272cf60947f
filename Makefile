# Run `make help` first.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help run test test-unit test-slow test-engines check docs simulate mutants fuzz soak bench release clean

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

run: .venv/made ## keep the examples in sandboxes.d/ running, on an engine that is there or a private one; Ctrl-C ends it
	@$(PYTHON) -m tests.run_with_engine $(BIN)/reconciler --dir sandboxes.d --state state run

WORKERS := --numprocesses=4

test: .venv/made ## pass the tests, against a Docker Engine of their own, and show what none of them has run
	$(BIN)/pytest -m "not slow" --cov $(WORKERS)

test-unit: .venv/made ## pass those that need neither root nor an engine, and play 200 stories of faults
	$(BIN)/pytest tests/unit $(WORKERS)
	$(BIN)/python -m tests.simulation.seeds 200

test-slow: .venv/made ## pass those that take minutes: an engine that hangs, kills by the hundred, bursts by the thousand
	$(BIN)/pytest -m slow $(WORKERS)

ENGINES ?=
SUITE ?= all

test-engines: .venv/made ## pass SUITE (contract or all) on ENGINES, by default each one of docs/engines.md, and print a table
	$(BIN)/python -m tests.engines $(SUITE) $(ENGINES)

check: .venv/made ## look for mistakes in style, types and imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/made ## write the tables of README.md and docs/ that are made from the code
	$(BIN)/python -m tests.tables

SEEDS ?= 2000
FROM ?= 0

simulate: .venv/made ## play SEEDS stories of faults to the controller, from the seed FROM on, on all cores
	$(BIN)/python -m tests.simulation.seeds $(SEEDS) $(FROM)

MUTANTS ?= 20
SEED ?=

mutants: .venv/made ## plant MUTANTS random mistakes in reconciler/planning, by SEED, and list those that no test and no story notices
	@$(BIN)/python -m tests.mutants $(MUTANTS) $(SEED)

MINUTES ?= 10

fuzz: .venv/made ## for MINUTES, look for a file that is no sandbox, no error, or slow
	@$(BIN)/pip install -qq --disable-pip-version-check --group fuzz
	$(BIN)/python -m tests.hostile.fuzz $(MINUTES)

soak: .venv/made ## for MINUTES, keep 20 sandboxes through edits, kills and engine restarts, and see what grows
	$(BIN)/python -m tests.soak $(MINUTES)

bench: .venv/made ## measure how fast it is, beside Compose and the engine's own limit; a quarter of an hour
	@$(BIN)/python -m tests.bench

release: .venv/made ## build the last commit into dist/: a wheel, an sdist, a package for this Debian, and their checksums
	@docs/packaging/release.sh

clean: ## remove what was made, but for the state directory
	rm -rf .venv .coverage* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/made: pyproject.toml
	@echo "Making the virtual environment .venv"
	@$(PYTHON) -m venv --clear .venv || { \
		echo "Installing python3-venv with apt-get"; \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3-venv && \
		$(PYTHON) -m venv --clear .venv; }
	@echo "Installing what pyproject.toml names, with a pip that knows dependency groups (25.1)"
	@$(BIN)/pip install -qq --disable-pip-version-check 'pip>=25.1'
	@$(BIN)/pip install -qq --disable-pip-version-check --editable . --group dev
	@touch $@
