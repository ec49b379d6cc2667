# Two commands do everything: `make rehearse` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# On a machine without an NVIDIA GPU: make rehearse TORCH_INDEX=<the CPU index that PyTorch's install page shows>
TORCH_INDEX ?=

.PHONY: venv rehearse test test-sglang lint format soak bench bench-check audit fuzz sglang-env clean

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

rehearse: venv  ## miner + local chain + rehearsal validator + status page, on this machine alone
	$(BIN)/streetvision-miner rehearse $(ARGS)

test: lint  ## everything CI runs
	$(BIN)/python -m pytest --durations=10 -n auto --maxprocesses 4 --dist loadfile -m "not alone" tests
	$(BIN)/python -m pytest --durations=10 -m alone tests

test-sglang: venv .venv-sglang-cpu/.installed  ## the contract suite against the real SGLang, on a CPU (minutes)
	SGLANG_PYTHON=$(CURDIR)/.venv-sglang-cpu/bin/python $(BIN)/python -m pytest --durations=10 --timeout 900 tests/vlm/real

.venv-sglang-cpu/.installed: tests/vlm/real/requirements.txt
	$(PYTHON) -m venv .venv-sglang-cpu
	.venv-sglang-cpu/bin/python -m pip install --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	.venv-sglang-cpu/bin/python -m pip install --no-deps -r tests/vlm/real/requirements.txt
	touch $@

audit: venv .venv-audit/.installed  ## licences, SBOM (sbom.json) and, where the network has the advice, known vulnerabilities
	$(BIN)/python tools/audit.py --sbom sbom.json --pip-audit .venv-audit/bin/pip-audit

.venv-audit/.installed:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit
	touch $@

fuzz: venv  ## broken inputs by the million: a quarter of an hour of CPU
	nice -n 15 $(BIN)/python bench/fuzz.py --check

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: venv  ## load and everything that goes wrong, for 20 minutes; ARGS="--hours 24" on the real clock
	$(BIN)/python bench/soak.py --check $(or $(ARGS),--minutes 20)

bench: venv  ## every benchmark, short form
	set -e; for b in $(filter-out bench/check.py,$(wildcard bench/*.py)); do echo "== $$b"; $(BIN)/python $$b --quick; done

bench-check: venv  ## the same, judged: what was met and what was missed; ARGS="wire swap" for some of them
	$(BIN)/python bench/check.py $(ARGS)

sglang-env: .venv-sglang/.installed  ## SGLang, in an environment of its own (GPU hosts)

.venv-sglang/.installed: deploy/sglang/requirements.txt
	$(PYTHON) -m venv .venv-sglang
	.venv-sglang/bin/python -m pip install --quiet --upgrade pip
	.venv-sglang/bin/python -m pip install -r deploy/sglang/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) .venv-audit .venv-sglang .venv-sglang-cpu .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
