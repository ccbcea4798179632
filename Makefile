# Everything here works on a machine with Python 3.11 to 3.13 and nothing else. `make` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# No telemetry from anything that is started here.
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false

BIN := .venv/bin

.PHONY: help setup demo up down test lint lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: ## make .venv and install what requirements.lock pins; in seconds where nothing changed
	@scripts/setup-venv.sh

demo: setup ## a whole federation on this machine, end to end
	@$(BIN)/hyperfed demo

up: setup ## start SeaweedFS, Prefect with its UI, a worker and two demo clients; print where
	@$(BIN)/hyperfed dev up

down: ## end exactly what `up` has started; the data stay
	@$(BIN)/hyperfed dev down

test: lint ## the linters, then every test except those marked slow or browser
	@$(BIN)/pytest -m "not slow and not browser"

lint: setup ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup ## measure codec, verification, merge and nights beside their alternatives, which live in benchmarks/.venv
	@[ -x benchmarks/.venv/bin/python ] || $(BIN)/python -m venv benchmarks/.venv
	@benchmarks/.venv/bin/pip install -q -r benchmarks/requirements.txt -e '.[fast,compiled]'
	@benchmarks/.venv/bin/python benchmarks/run.py $(BENCH_ARGUMENTS)

lock: setup ## resolve pyproject.toml again into requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --quiet --output-file requirements.lock

clean: ## remove .venv and every cache
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
