# The one place that chooses torch. CPU build here; `make run TORCH=torch` takes the newest with CUDA.
TORCH ?= torch==2.13.0
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Clients that are tried against lair (docs/compatibility.md): the Python ones with an
# environment for each set that can live together, by its file in tests/compat/requirements.
COMPAT := .venv-compat
COMPAT_PYTHON := $(patsubst tests/compat/requirements/%.txt,$(COMPAT)/%/.ready,$(wildcard tests/compat/requirements/*.txt))
COMPAT_NODE := tests/compat/node
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test check lint types layers protos protos-check fmt bench bench-scale soak compat docs clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run  ## Set up what is missing, then start lair (ARGS="--port 9000" passes options)
	@$(BIN)/lair up $(ARGS)

test: $(VENV)/.dev $(COMPAT_PYTHON)  ## Set up what is missing, then check layers and stubs and run all tests
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python tools/gen_protos.py --check
	@$(BIN)/python -m pytest $(ARGS)

setup: $(VENV)/.dev  ## Make .venv with everything for users and developers

check: $(VENV)/.dev lint types layers protos-check test  ## All that CI checks

lint: $(VENV)/.dev  ## Style of code and contracts, and that contracts break nobody
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@sh tools/buf_breaking.sh $(BIN)/buf

types: $(VENV)/.dev  ## mypy --strict
	@$(BIN)/mypy

layers: $(VENV)/.dev  ## Who may import whom (ARCHITECTURE.md)
	@$(BIN)/lint-imports --no-cache

protos: $(VENV)/.dev  ## Write gen/ from protos/
	@$(BIN)/python tools/gen_protos.py

protos-check: $(VENV)/.dev  ## Fail where gen/ is not what protos/ gives
	@$(BIN)/python tools/gen_protos.py --check

fmt: $(VENV)/.dev  ## Format code and contracts
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .
	@$(BIN)/buf format -w

bench: $(VENV)/.dev  ## Measure lair against a bare prototype; writes docs/performance.md
	@$(BIN)/python bench/overhead.py $(ARGS)
	@$(BIN)/python bench/policy.py
	@$(BIN)/python -m bench.recording
	@$(BIN)/python bench/report.py

bench-scale: $(VENV)/.dev  ## Measure memory and metrics with millions of rows, for hours; writes docs/performance.md
	@$(BIN)/python -m bench.memory_scale $(ARGS)
	@$(BIN)/python -m bench.metrics_load
	@$(BIN)/python -m bench.outage
	@$(BIN)/python bench/report.py

soak: $(VENV)/.dev  ## Keep a gateway busy for ten minutes; writes docs/performance.md
	@$(BIN)/python -m bench.soak $(ARGS)
	@$(BIN)/python bench/report.py

compat: $(VENV)/.dev $(COMPAT_PYTHON) $(COMPAT_NODE)/node_modules/.ready  ## Try real clients against lair; writes docs/compatibility.md
	@$(BIN)/python -m tests.compat $(ARGS)

docs: $(VENV)/.dev  ## Write the generated pages of docs/
	@$(BIN)/python tools/gen_docs.py

clean:  ## Remove .venv, the clients under test and caches
	rm -rf $(VENV) $(COMPAT) $(COMPAT_NODE)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

$(VENV)/.pip:
	@echo "Setting up $(VENV) (once; a few minutes, mostly torch) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "lair needs Python 3.11 or newer; set PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.run: $(VENV)/.pip pyproject.toml
	@$(PIP) install --quiet "$(TORCH)"
	@$(PIP) install --quiet -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(PIP) install --quiet -e . --group dev
	@touch $@

# The list of requirements is whole, so nothing is left to resolve.
$(COMPAT)/%/.ready: tests/compat/requirements/%.txt
	@echo "Setting up $(COMPAT)/$* (once; a minute) ..."
	@rm -rf $(@D)
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-compile -r $<
	@touch $@

$(COMPAT_NODE)/node_modules/.ready: $(COMPAT_NODE)/package-lock.json
	@cd $(COMPAT_NODE) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
