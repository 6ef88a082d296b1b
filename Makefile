# Spinal Cord: `make` shows what there is. Only git, make, python3 (3.11 or newer) and its venv module are needed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check -qq
DOCKER := docker info >/dev/null 2>&1

##@ Use
.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.run ## Start a spine and a claw, do one real job, serve until Ctrl-C (ONCE=1 ends after the result)
	@$(PY) examples/run.py $(if $(ONCE),--once)

##@ Develop
.PHONY: install
install: $(VENV)/.dev ## Make .venv with everything for development

.PHONY: check
check: $(VENV)/.dev ## Lint, format, types, walls, and that every module imports
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .
	@$(PY) -m mypy && $(VENV)/bin/lint-imports
	@$(PY) .ci/modules.py

.PHONY: format
format: $(VENV)/.dev ## Put the code into the shape that check asks for
	@$(PY) -m ruff check --fix-only . && $(PY) -m ruff format .

.PHONY: test
test: $(VENV)/.dev ## Run the tests; without a Docker Engine, those that need none
	@if $(DOCKER); then $(PY) -m pytest; else $(PY) -m pytest -m 'not docker'; fi

.PHONY: test-one
test-one: $(VENV)/.dev ## Run the tests that match T, as in `make test-one T=tests/unit/contract` or T='-k claim'
	@$(PY) -m pytest $(or $(T),$(error say which: make test-one T=tests/unit))

.PHONY: soak
soak: $(VENV)/.dev ## Run the long tests and write docs/reference/soak.md
	@SOAK=1 $(PY) -m pytest -m soak --timeout=0

.PHONY: bench
bench: $(VENV)/.bench ## Measure the server beside other queues (ten minutes) and write docs/reference/speed.md
	@$(PY) -m tests.bench

##@ Maintain
.PHONY: lock
lock: $(VENV)/.run ## Write requirements/*.txt anew (UPGRADE=1 takes newer versions)
	@$(PIP) install --require-hashes -r requirements/lock.txt
	@.ci/lock.sh

.PHONY: engine
engine: ## Make sure that a Docker Engine and the base images are there (installs on Debian, as root)
	@.ci/engine.sh

.PHONY: clean
clean: ## Remove .venv, caches and what `make run` left
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .spinal-cord build dist services/*.egg-info
	@find services tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Three stamps in one environment: running needs far less than developing, and the benchmark one thing more.
$(VENV)/.run: requirements/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@test -x $(PY) || { echo 'Making $(VENV) …'; $(PYTHON) -m venv $(VENV); }
	@$(PIP) install --require-hashes -r requirements/run.txt && $(PIP) install --no-deps --no-build-isolation -e . && touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	@echo 'Installing the development tools …' && $(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.dev
	@$(PIP) install --require-hashes -r requirements/bench.txt && touch $@
