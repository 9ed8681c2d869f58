# make demo: the embedded workflow, end to end. make test: the tests.
PYTHON ?= python3
BIN := .venv/bin
CORES ?= all
WORKERS ?= 2
# a process for each worker; the tests of a file stay together, for they share what they made
PARALLEL := --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

# make test-cluster: a real Slurm on this machine (Debian, root). make test-cloud: results in a local S3 bucket.
.PHONY: demo test coverage test-cluster test-cloud lint format docs lock clean
.DELETE_ON_ERROR:

.venv/installed: envs/requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is too old; Python 3.11 or newer is needed (PYTHON=... names another)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r envs/requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

demo: .venv/installed
	$(BIN)/snakemake --cores $(CORES) all
	$(BIN)/snakemake --cores 1 --report results/demo/report.zip >results/demo/logs/report.log 2>&1 || { tail -n 5 results/demo/logs/report.log; exit 1; }
	@echo "figures: results/demo/figures"
	@echo "report:  results/demo/report.zip (open report.html in it)"

test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL)

coverage: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) --cov=v4egg --cov-branch --cov-report=term:skip-covered --cov-fail-under=95

test-cluster: .venv/installed
	$(BIN)/python -m pytest -m cluster tests/cluster

test-cloud: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -r envs/cloud.lock
	$(BIN)/python -m pytest -m cloud tests/cloud

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/snakemake --lint

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

docs: .venv/installed
	$(BIN)/python -m v4egg.workflow.reference
	$(BIN)/python -m v4egg.workflow.environments
	$(BIN)/python -m v4egg.workflow.results_pages
	$(BIN)/python -m v4egg.workflow.rule_graph

lock:
	{ sed -n '1p' envs/requirements.lock; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//'; } > envs/requirements.lock.new
	mv envs/requirements.lock.new envs/requirements.lock

clean:
	rm -rf .venv .snakemake results/*
