# make demo   set up and run the whole path on handwritten digits
# make test   set up and run the tests
# make check  ruff and mypy, as CI runs them

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check acceptance benchmarks docs dist clean

demo: $(VENV)/.torch
	$(BIN)/edgebench demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not acceptance" --cov --cov-report=term

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

acceptance: $(VENV)/.dev
	$(BIN)/edgebench doctor --fix onnx2tf
	$(BIN)/python -m pytest -m acceptance

benchmarks: $(VENV)/.dev
	$(BIN)/python benchmarks/startup.py --quick
	$(BIN)/python benchmarks/fidelity.py --quick
	$(BIN)/python benchmarks/calibration.py --quick
	$(BIN)/python benchmarks/observers.py --quick
	$(BIN)/python benchmarks/int8_accuracy.py --quick

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W -b html docs build/docs

dist: $(VENV)/.dev
	$(BIN)/python -m pip wheel --quiet --no-deps -w dist .

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "edgebench needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[torch]'
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[torch,tensorflow,dev]'
	touch $@ $(VENV)/.torch

$(VENV)/.docs: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .coverage
