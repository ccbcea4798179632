# Everything here works on a machine with Python 3.11 to 3.13 and nothing else. `make` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

BIN := .venv/bin
DIST := dist

.PHONY: help setup demo up down test outages lint mutate evidence statistics docs wheel release lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## make .venv and install what requirements.lock pins; in seconds where nothing changed
	@scripts/setup-venv.sh

demo: setup ## a whole federation on this machine, end to end
	@$(BIN)/hyperfed demo

up: setup ## start SeaweedFS, Prefect with its UI, a worker and two demo clients; print where
	@$(BIN)/hyperfed dev up

down: ## end exactly what `up` has started; the data stay
	@$(BIN)/hyperfed dev down

test: lint ## the linters, then every test except those marked slow or browser, on every core
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow and not browser"

outages: setup ## nights without a store, a server or a worker, by the real clock: a quarter of an hour
	@$(BIN)/pytest -m outage -n 3

lint: setup ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup ## measure codec, verification, merge and nights beside their alternatives, which live in benchmarks/.venv
	@[ -x benchmarks/.venv/bin/python ] || $(BIN)/python -m venv benchmarks/.venv
	@benchmarks/.venv/bin/pip install -q -r benchmarks/requirements.txt -e '.[compiled]'
	@benchmarks/.venv/bin/python benchmarks/run.py $(BENCH_ARGUMENTS)

mutate: setup ## break one line at a time for MINUTES (10) and name what no test notices
	@$(BIN)/python scripts/mutate.py --minutes $(or $(MINUTES),10) $(MUTATE_ARGUMENTS)

evidence: setup ## play federations of known truth and write docs/evidence.md with its pictures
	@$(BIN)/python benchmarks/evidence.py

statistics: setup ## simulate what the published numbers are worth and write docs/statistics.md's tables and picture
	@$(BIN)/python benchmarks/statistics_page.py

docs: setup ## build the documentation site into site/, with every link checked; its tools live in .venvs/docs
	@[ .venvs/docs/installed -nt docs/requirements.txt ] || { $(BIN)/python -m venv .venvs/docs \
		&& .venvs/docs/bin/pip install -q -r docs/requirements.txt && touch .venvs/docs/installed; }
	@$(BIN)/python scripts/write_reference.py --check
	@NO_MKDOCS_2_WARNING=1 .venvs/docs/bin/mkdocs build --strict --quiet
	@echo "site/index.html"

wheel: setup ## build the wheel (the library and the command) with the lock's hatchling, and print its path
	@$(BIN)/python -m hatchling build -t wheel -d $(DIST) 2>&1

release: setup ## build twice and compare bytes, check the wheel on each Python, describe it (CycloneDX); a rehearsal until CHANGELOG.md has the version
	@$(BIN)/python scripts/release/make.py

COMPILE := $(BIN)/uv pip compile pyproject.toml --all-extras --python-version 3.11 --upgrade --generate-hashes \
	--no-emit-index-url --no-annotate --no-header --quiet

lock: setup ## resolve pyproject.toml again into requirements.lock, and at its lower bounds into requirements-lowest.lock
	@$(COMPILE) --universal --output-file requirements.lock
	@$(BIN)/python scripts/lowest_versions.py >.venv/lowest.txt
	@$(COMPILE) --constraint .venv/lowest.txt --constraint deployments/older-prefect.txt --output-file requirements-lowest.lock

clean: ## remove .venv and every cache
	@rm -rf .venv .venvs build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
