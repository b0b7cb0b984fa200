# Xinqiao: what a contributor does. `make` alone prints this list.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
BENCH ?= all

.DEFAULT_GOAL := help
.PHONY: help demo serve test axe lint types bench docs proto lock clean

help: ## print this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

$(VENV)/runtime: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed (set PYTHON=/path/to/python3.11)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/development: requirements-dev.lock $(VENV)/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	@touch $@

demo: $(VENV)/runtime ## hub and three nodes over real loans: consent, query, transfer, joint models, encrypted scores, audit
	$(BIN)/xinqiao demo --home var/demo

serve: $(VENV)/runtime ## the same, left running, with a portal that has an account for every role
	$(BIN)/xinqiao demo --home var/demo --keep

AXE := tests/e2e/axe

$(AXE)/node_modules: $(AXE)/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix $(AXE) --no-audit --no-fund --loglevel=error && touch $@; \
	else echo "npm is needed for the accessibility tests of pages (Debian: apt-get install npm)"; fi

axe: $(AXE)/node_modules ## install axe-core, the accessibility rules that tests run in every page

test: lint axe ## everything that CI runs: format, lint, types, import rules, tests
	$(BIN)/python -m pytest -m 'slow or not slow'

lint: $(VENV)/development ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/development ## benchmarks, one JSON line each (BENCH=query for some)
	$(BIN)/python -m bench $(BENCH)

docs: $(VENV)/development ## write docs/cli.md and docs/errors.md from the code
	$(BIN)/python -m cli.reference commands > docs/cli.md
	$(BIN)/python -m cli.reference errors > docs/errors.md

proto: $(VENV)/development ## generate proto/gen from proto/xinqiao/v1
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=proto/gen --grpc_python_out=proto/gen \
		--mypy_out=quiet:proto/gen --mypy_grpc_out=quiet:proto/gen proto/xinqiao/v1/*.proto

lock: $(VENV)/development ## resolve the dependencies anew into the three lock files
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
		--strip-extras --allow-unsafe --extra demo --extra postgresql --extra mysql --extra install -o requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
		--strip-extras --allow-unsafe --extra demo --extra postgresql --extra mysql --extra install --extra dev -o requirements-dev.lock pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
		--strip-extras --allow-unsafe --extra demo --extra postgresql --extra mysql --extra install --extra ray -o requirements-ray.lock pyproject.toml

clean: ## remove the virtual environment and what the demo left
	rm -rf $(VENV) var .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
