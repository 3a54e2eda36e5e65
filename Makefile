# make demo   set up and run the whole path on handwritten digits
# make test   set up and run the tests
# make device-tools  install adb, sshd and Android's shell, for the tests of devices
# make check  ruff and mypy, as CI runs them

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test coverage device-tools check acceptance benchmarks docs dist clean

demo: $(VENV)/.torch
	$(BIN)/edgebench demo || { test $$? -eq 3 && echo 'INCONCLUSIVE: the gates could not be decided on this machine; the report says what would settle each'; }

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not acceptance"

# A quarter slower than the tests alone.
coverage: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not acceptance" --cov --cov-report=term

# Debian's packages. Without root, or without a network, the tests that need them skip and say so.
DEVICE_TOOLS := adb busybox mksh openssh-client openssh-server toybox
device-tools:
	@if dpkg -s $(DEVICE_TOOLS) >/dev/null 2>&1; then echo "device tools: all installed"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  { apt-get -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20 update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(DEVICE_TOOLS); } \
	  || echo "device tools: not installed (is there a network?); their tests will skip"; \
	else echo "device tools: sudo apt-get install $(DEVICE_TOOLS)"; fi

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
	$(BIN)/python benchmarks/scenarios.py --quick
	$(BIN)/python benchmarks/calibration.py --quick
	$(BIN)/python benchmarks/observers.py --quick
	$(BIN)/python benchmarks/passes.py --quick
	$(BIN)/python benchmarks/int8_accuracy.py --quick
	$(BIN)/python benchmarks/error_rates.py --quick
	$(BIN)/python benchmarks/drop_bounds.py --quick
	$(BIN)/python benchmarks/time_to_decision.py --quick
	$(BIN)/python benchmarks/big_runs.py --quick
	$(BIN)/python benchmarks/aa.py --quick
	$(BIN)/python benchmarks/cold_calls.py --quick
	$(BIN)/python benchmarks/disturbed.py --quick
	$(BIN)/python benchmarks/saturation.py --quick
	$(BIN)/python benchmarks/w8a16.py --quick

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
