# Spinal Cord: `make` shows what there is. Only git, make, python3 (3.11 or newer) and its venv module are needed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check -qq
DOCKER := docker info >/dev/null 2>&1
export SPINAL_CORD_VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# While an image fetches packages it trusts what this machine does: that includes a proxy that opens TLS.
CA := $(or $(CA),$(PIP_CERT),$(SSL_CERT_FILE),$(wildcard /etc/ssl/certs/ca-certificates.crt))
COMPOSE := docker compose --project-directory compose
COMPOSE_HA := $(COMPOSE) --file compose/compose.ha.yaml
# Processes that tests run in, also on two cores: most wait for something. 0 is none but pytest's own.
WORKERS ?= 4
TEST := $(PY) -m pytest --numprocesses $(WORKERS) --dist loadfile

##@ Use
.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.run ## Start a spine and a claw, do one real job, serve until Ctrl-C (ONCE=1 ends after the result)
	@$(PY) examples/run.py $(if $(ONCE),--once)

.PHONY: venv
venv: $(VENV)/.run ## Make .venv with what running needs: spine, claw, spine-head

##@ Containers on one machine (Docker)
.PHONY: images
images: ## Build the images of spine, claw, head and chat (BASE=image; TAG=name; PLATFORM=linux/arm64; CA=bundle.pem, what this machine trusts without it)
	@VERSION=$(SPINAL_CORD_VERSION) TAG=$(or $(TAG),$(SPINAL_CORD_VERSION)) REVISION=$$(git rev-parse HEAD) CA=$(CA) docker buildx bake --file images/bake.hcl $(if $(PLATFORM),--set '*.platform=$(PLATFORM)')

.PHONY: tokens
ifeq ($(origin INVENTORY),command line)
tokens: $(VENV)/.deploy
	@$(PLAY) tokens
else
tokens: images ## Make a token for each role in compose/secrets, or beside INVENTORY=…; those that are there stay
	@compose/tokens.sh spinal-cord/spine:$(SPINAL_CORD_VERSION)
endif

.PHONY: up
up: tokens ## Start spine, head and two claws, and wait until all are healthy
	@$(COMPOSE) up --detach --no-build --wait || { $(COMPOSE) logs --tail=20; exit 1; }
	@$(COMPOSE) ps

.PHONY: down
down: ## Stop them; what they keep stays in its volumes
	@$(COMPOSE) down

.PHONY: ps
ps: ## Show the containers and their health
	@$(COMPOSE) ps

.PHONY: logs
logs: ## Follow their logs (S=spine for one of them)
	@$(COMPOSE) logs --follow --tail=100 $(S)

.PHONY: backup
backup: ## Write a backup of the running spine to TO (backups/spine-<time>.tar)
	@compose/backup.sh save $(or $(TO),backups/spine-$(shell date -u +%Y%m%dT%H%M%SZ).tar)

.PHONY: restore
restore: ## Put the backup FROM in the place of the spine's store, which is set aside
	@compose/backup.sh load $(or $(FROM),$(error say which: make restore FROM=backups/spine-….tar))

.PHONY: observe
observe: images ## Make what compose.observability.yaml needs: a viewer's token, and the image of Prometheus
	@compose/tokens.sh spinal-cord/spine:$(SPINAL_CORD_VERSION) viewer
	@docker build --quiet --tag spinal-cord/prometheus:$(SPINAL_CORD_VERSION) compose/prometheus

.PHONY: up-ha
up-ha: images ## Start two of each: databases, spines, heads, claws, and a proxy; also after one of them was lost
	@compose/tokens.sh spinal-cord/spine:$(SPINAL_CORD_VERSION) ha
	@$(COMPOSE_HA) build --quiet postgres-a proxy
	@$(COMPOSE_HA) up --detach --no-build --wait || { $(COMPOSE_HA) logs --tail=20; exit 1; }
	@compose/ha.sh guard
	@$(COMPOSE_HA) ps

.PHONY: down-ha
down-ha: ## Stop those; what they keep stays in its volumes
	@$(COMPOSE_HA) down

.PHONY: promote
promote: ## Make DB (postgres-a or postgres-b) the primary of `up-ha`, in the place of the other
	@compose/ha.sh promote $(or $(DB),$(error say which: make promote DB=postgres-b))

##@ A fleet of machines (Ansible)
INVENTORY ?= ansible/inventory/hosts.yml
PLATFORMS ?= linux-x86_64 linux-aarch64 darwin-arm64 darwin-x86_64
PYTHONS ?= 3.11 3.12 3.13
CONTROLLER = $(PY) ansible/controller.py
PLAY = $(CONTROLLER) play --inventory $(INVENTORY)

.PHONY: wheelhouse
wheelhouse: $(VENV)/.deploy ## Build the release for all platforms (PLATFORMS=, PYTHONS= for some)
	@$(CONTROLLER) release $(addprefix --platform ,$(PLATFORMS)) $(addprefix --python ,$(PYTHONS))

.PHONY: deploy
deploy: export CA := $(CA)
deploy: wheelhouse ## Take the machines of INVENTORY to a working fleet of this release (ARGS='--check --diff')
	@$(PLAY) site $(ARGS)

.PHONY: rollback
rollback: $(VENV)/.deploy ## Put the machines back to the release before
	@$(PLAY) rollback $(ARGS)

.PHONY: rotate
rotate: $(VENV)/.deploy ## Give ROLE (head, chat, or a claw's name) another token, while everything runs
	@$(PLAY) rotate --extra-vars rotate_name=$(or $(ROLE),$(error say whose: make rotate ROLE=left-claw)) $(ARGS)

.PHONY: doctor
doctor: $(VENV)/.deploy ## Show how each machine does; fails when something is wrong
	@$(CONTROLLER) doctor --inventory $(INVENTORY)

.PHONY: uninstall
uninstall: $(VENV)/.deploy ## Take everything off the machines but what they kept
	@$(PLAY) uninstall $(ARGS)

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
test: $(VENV)/.dev ## Run the tests; without a Docker Engine or a gateway, those that need none
	@left=; $(DOCKER) || left='not docker'; \
	  .ci/gateway.sh where >/dev/null || left="$${left:+$$left and }not gateway"; $(TEST) -m "$$left"

.PHONY: test-one
test-one: $(VENV)/.dev ## Run the tests that match T, as in `make test-one T=tests/unit/contract` or T='-k claim'
	@$(PY) -m pytest $(or $(T),$(error say which: make test-one T=tests/unit))

.PHONY: soak
soak: $(VENV)/.dev ## Run the long tests, or those in T, for at most an hour, and write docs/reference/soak.md
	@SOAK=1 $(PY) -m pytest -m soak --timeout=0 --verbose --capture=no $(T)

.PHONY: bench
bench: $(VENV)/.bench ## Measure the server beside other queues (ten minutes) and write docs/reference/speed.md
	@$(PY) -m tests.bench

.PHONY: pictures
pictures: $(VENV)/.run ## Draw the pictures of the docs that come from the code
	@$(PY) docs/pictures/life_of_a_job.py
	@$(PY) docs/pictures/board.py

.PHONY: screenshots
screenshots: $(VENV)/.dev ## Take the pictures of the dashboard, of a fleet at work (needs Docker)
	@$(PY) -m docs.pictures.screenshots

.PHONY: site
site: $(VENV)/.dev ## Build the documents into static pages, build/site/index.html
	@$(PY) docs/site/build.py

##@ Maintain
.PHONY: lock
lock: $(VENV)/.run ## Write requirements/*.txt anew (UPGRADE=1 takes newer versions)
	@$(PIP) install --require-hashes -r requirements/lock.txt
	@.ci/lock.sh

.PHONY: engine
engine: ## Make sure that a Docker Engine and the base images are there (installs on Debian, as root)
	@.ci/engine.sh

.PHONY: gateway
gateway: ## Install the OpenClaw gateway that tests run against, outside the project (SPINE_GATEWAY_CACHE=folder)
	@.ci/gateway.sh

.PHONY: clean
clean: ## Remove .venv, caches and what `make run` left
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .spinal-cord build dist services/*.egg-info
	@find services tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps in one environment: running needs far less than deploying, that less than developing, the benchmark one thing more.
$(VENV)/.run: requirements/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@test -x $(PY) || { echo 'Making $(VENV) …'; $(PYTHON) -m venv $(VENV); }
	@$(PIP) install --require-hashes -r requirements/run.txt && $(PIP) install --no-deps --no-build-isolation -e . && touch $@

$(VENV)/.deploy: requirements/deploy.txt $(VENV)/.run
	@echo 'Installing Ansible …' && $(PIP) install --require-hashes -r requirements/deploy.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	@echo 'Installing the development tools …' && $(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.dev
	@$(PIP) install --require-hashes -r requirements/bench.txt && touch $@
