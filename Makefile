# `make up` and `make test` are the two that matter; `make help` lists the rest.
# Needs Python >= 3.11 with venv, and a package index. uv is used where it is there, pip where it is not.

PYTHON ?= python3
VENV := .venv
# vLLM's own environment, where FORMA_TEST_VLLM does not name a python that has it.
VLLM_VENV ?= .venv-vllm
BIN := $(VENV)/bin
# Tests wait more than they reckon: two processes for each of two cores.
WORKERS ?= 4
.DEFAULT_GOAL := help

# Running needs the product's requirements only; the stamp files say which set is installed.
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

define install
	@$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	 echo "Forma needs Python 3.11 or later with venv, and $(PYTHON) is not that: make $(MAKECMDGOALS) PYTHON=python3.13" >&2; exit 1; }
	@echo "Installing into $(VENV); the first time takes a minute."
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || rm -rf $(VENV)
	@command -v uv >/dev/null 2>&1 && uv venv -q --allow-existing --python $(PYTHON) $(VENV) || $(PYTHON) -m venv $(VENV)
	@if command -v uv >/dev/null 2>&1; then uv pip install -q --python $(BIN)/python --require-hashes -r $(1); \
	 else $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $(1); fi
endef

.PHONY: help up test test-fair test-money test-vllm bench bench-ledger bench-queue bench-fair soak check format install install-dev requirements doctor clean

help:  ## show this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ {printf "  make %-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(INSTALLED)  ## run Forma: servers, sandbox, bot, worker, web, in this terminal
	@exec $(BIN)/python -m cli up

doctor: $(INSTALLED)  ## check a set-up
	@$(BIN)/python -m cli doctor

test: $(INSTALLED_DEV)  ## the whole suite, embedded servers included
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m "not slow and not money and not vllm and not fair" $(ARGS)

test-fair: $(INSTALLED_DEV)  ## the slow tests of the fair queue: long histories, many seeds, the benchmark's scenes (20 min)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m fair $(ARGS)

test-money: $(INSTALLED_DEV)  ## the tests of money at full size: every kill point, long histories (hours)
	$(BIN)/python -m tests.money $(ARGS)

test-vllm: $(INSTALLED_DEV)  ## the whole path with a real vLLM on the CPU; makes its environment, 2.5 GB (10 min)
	@test -n "$(FORMA_TEST_VLLM)" || $(PYTHON) tests/vllm/environment.py $(VLLM_VENV)
	FORMA_TEST_VLLM="$(or $(FORMA_TEST_VLLM),$(abspath $(VLLM_VENV))/bin/python)" \
	 $(BIN)/python -m pytest -q -m vllm tests/vllm $(ARGS)

bench: $(INSTALLED_DEV)  ## measure: a hundred persons, and the first token, against the bare model server (15 min)
	$(BIN)/python -m bench.chat $(ARGS)

bench-ledger: $(INSTALLED_DEV)  ## measure: holds and settlements against bare asyncpg, and in books of 10 million entries (10 min)
	$(BIN)/python -m bench.ledger $(ARGS)

bench-queue: $(INSTALLED_DEV)  ## measure: the fair queue's operations with 100 to 100 thousand tickets waiting (10 min)
	$(BIN)/python -m bench.queue $(ARGS)

bench-fair: $(INSTALLED_DEV)  ## measure: who waits how long for a slot, under three policies, and in real time (10 min)
	$(BIN)/python -m bench.fair $(ARGS)

soak: $(INSTALLED_DEV)  ## random kills for a night: processes die while people chat (hours)
	$(BIN)/python -m pytest -q -m slow tests/crash $(ARGS)

check: $(INSTALLED_DEV)  ## lint, types, imports, locales, compose file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m cli.check_locales
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

format: $(INSTALLED_DEV)  ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

install: $(INSTALLED)  ## install what running needs into .venv
install-dev: $(INSTALLED_DEV)  ## install what developing needs into .venv

$(INSTALLED): requirements.txt
	$(call install,requirements.txt)
	@touch $@

$(INSTALLED_DEV): requirements-dev.txt
	$(call install,requirements-dev.txt)
	@touch $(INSTALLED) $@

requirements:  ## compile requirements*.txt from pyproject.toml (needs uv)
	uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -o requirements.txt
	uv pip compile -q pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements.txt -o requirements-dev.txt

clean:  ## remove caches and the virtual environment; data stay
	rm -rf $(VENV) $(VLLM_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
