# `make demo` and `make test` do all the set-up by themselves; `make help` lists the rest.
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Kept bytecode: each of the tests' many processes would compile everything anew without it.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint types check gpu-check bench constraints clean

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# The marker is newer than what it was made from only after a whole, successful installation.
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "vit needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (PyTorch is large: some minutes the first time)"
	@$(PIP) install --quiet --constraint constraints.txt torch torchvision
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: .venv/ready  ## train a ViT on handwritten digits, about a minute
	@$(BIN)/vit train experiment=digits

test: .venv/ready  ## the quick tests, by two processes (JOBS=4: by four)
	$(BIN)/python -m pytest -m 'not slow' -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations=25

test-slow: .venv/ready  ## the long proofs
	$(BIN)/python -m pytest -m slow

lint: .venv/ready  ## ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/ready  ## mypy
	$(BIN)/mypy

check: lint types test  ## all that CI asks

gpu-check: .venv/ready  ## on a machine with GPUs: bf16, compile, NCCL, memory, under 10 minutes
	$(BIN)/python -m pytest -m gpu --no-header -rs tests/gpu

bench: .venv/ready  ## compare speeds with other libraries
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/vit bench

constraints: .venv/ready  ## pin what .venv holds
	@{ head -1 constraints.txt; $(PIP) freeze --exclude-editable | grep -viE '^(nvidia|cuda|triton)'; } > .constraints.new
	@mv .constraints.new constraints.txt

clean:  ## remove .venv and caches, keep runs
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache dist build
