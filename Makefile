# Every target builds .venv/ when it is missing or older than its inputs.
PYTHON ?= python3
TORCH  := $(shell grep '^torch==' constraints.txt)
BIN    := .venv/bin
JOBS   ?= 2
STAMP  := .venv/.installed
PIP    := $(BIN)/python -m pip install -qq --disable-pip-version-check

.PHONY: env study test lint bench figures docs notebooks clean

env: $(STAMP)

# torch goes first and by itself: its build (CPU or CUDA) is then the one that pip is set up to
# prefer on this machine, and the rest is resolved around it.
$(STAMP): pyproject.toml constraints.txt
	@echo "[env] making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "[env] Python 3.11 or newer is needed: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "[env] installing $(TORCH) (1 of 2)"
	@$(PIP) "$(TORCH)"
	@echo "[env] installing the other dependencies, pinned in constraints.txt (2 of 2)"
	@$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@
	@echo "[env] ready"

# The main job: train the planted lineage, gather the evidence, decide, draw the figures.
study: $(STAMP)
	$(BIN)/interp study organism

# Redraws every study's figures and reports from its tables, byte by byte as they are committed
# (about two minutes). Needs no model; the pages of features do, and are left as they are.
figures: $(STAMP)
	$(BIN)/interp figures

# Writes docs/api/ from the docstrings; a test refuses pages that are stale.
docs: $(STAMP)
	$(BIN)/python docs/make_api.py

# A file's tests stay together, as they share what is trained for them.
test: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	@set -e; for script in bench/[!_]*.py; do \
	    if test -e "$$script"; then echo "[bench] $$script"; $(BIN)/python "$$script" --quick; fi; \
	done

notebooks: $(STAMP)
	$(BIN)/jupyter lab notebooks

# Keeps .venv/ and the cache of trained models and results, both long to make again.
clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find interp tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
