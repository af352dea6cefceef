# Two commands do all the set-up: `make demo` and `make test`. Needs only make and Python >= 3.11.
PYTHON ?= python3
TEST_ENV := .venv
DEMO_ENV := .venv-demo
N ?= 3
# Three workers on two cores: the tests of a live Airflow mostly wait.
SPREAD := -n 3 --no-loadscope-reorder
# Bytecode saves seconds in every Airflow process; an environment that turns it off must not slow the demo.
unexport PYTHONDONTWRITEBYTECODE
unexport UV_PYTHON

.PHONY: demo test check unit chaos bench bench-drift docs dist requirements clean help

help:
	@echo "make demo    the flights of 2013 through the whole life of a model (UI=0: end instead of keeping the UIs up;"
	@echo "             INCIDENT=celsius, labels, ...: with an injected incident, docs/demo.md)"
	@echo "make test    ruff, mypy --strict, import-linter and the tests"
	@echo "make chaos   kills around the ledgers' commits, N=$(N) times"
	@echo "make bench   paired figures against peers (ONLY=name for one row)"
	@echo "make bench-drift   how often drift, policies and the gate are right, on N=50 simulated streams a row; ONLY=profiles,"
	@echo "             rows, flights, policies, daily or gate for one part"
	@echo "make docs    the documentation site in site/;  make dist  the wheel in dist/"

demo: $(DEMO_ENV)/ready
	@$(DEMO_ENV)/bin/python -m include.demo

test: check unit

check: $(TEST_ENV)/ready
	$(TEST_ENV)/bin/ruff format --check .
	$(TEST_ENV)/bin/ruff check .
	$(TEST_ENV)/bin/mypy
	$(TEST_ENV)/bin/lint-imports

unit: $(TEST_ENV)/ready
	$(TEST_ENV)/bin/python -m pytest $(SPREAD) $(ARGS)

chaos: $(TEST_ENV)/ready
	$(TEST_ENV)/bin/python -m tests.chaos --n $(N) $(if $(ONLY),--only $(ONLY))

bench: $(TEST_ENV)/ready
	$(TEST_ENV)/bin/python -m tests.bench $(if $(ONLY),--only $(ONLY))

bench-drift: N := $(if $(filter file,$(origin N)),50,$(N))
bench-drift: $(TEST_ENV)/ready
	OMP_NUM_THREADS=1 $(TEST_ENV)/bin/python -W ignore -m tests.bench_drift --n $(N) --only "$(ONLY)"

docs: $(TEST_ENV)/ready
	$(TEST_ENV)/bin/mkdocs build --strict

dist: $(TEST_ENV)/ready
	$(TEST_ENV)/bin/uv build --wheel --out-dir dist

# The wheel is installed, not the source folder: the demo runs what a user installs.
$(DEMO_ENV)/ready: requirements/demo.txt pyproject.toml $(shell find airflow_mlops_provider -name '*.py')
	@echo "environment: $(DEMO_ENV)"
	@test -x $(DEMO_ENV)/bin/uv || ($(PYTHON) -m venv $(DEMO_ENV) && $(DEMO_ENV)/bin/python -m pip install -q uv)
	@$(DEMO_ENV)/bin/uv pip install -q --python $(DEMO_ENV)/bin/python --compile-bytecode -r requirements/demo.txt
	@$(DEMO_ENV)/bin/uv pip install -q --python $(DEMO_ENV)/bin/python --compile-bytecode --no-deps --reinstall-package airflow-mlops-provider .
	@touch $@

$(TEST_ENV)/ready: requirements/test.txt pyproject.toml
	@echo "environment: $(TEST_ENV)"
	@test -x $(TEST_ENV)/bin/uv || ($(PYTHON) -m venv $(TEST_ENV) && $(TEST_ENV)/bin/python -m pip install -q uv)
	@$(TEST_ENV)/bin/uv pip install -q --python $(TEST_ENV)/bin/python --compile-bytecode -r requirements/test.txt
	@$(TEST_ENV)/bin/uv pip install -q --python $(TEST_ENV)/bin/python --no-deps -e .
	@touch $@

# The tools and the lowest versions come from pyproject.toml's own extras and bounds.
COMPILE := $(TEST_ENV)/bin/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-header
requirements: $(TEST_ENV)/ready
	for name in airflow demo nannyml spark test; do $(COMPILE) requirements/$$name.in -o requirements/$$name.txt; done
	$(COMPILE) pyproject.toml $(addprefix --extra ,lake mlflow feast dbt evidently s3) -o requirements/tools.txt
	$(COMPILE) pyproject.toml --extra lake --extra mlflow requirements/torch.in -o requirements/torch.txt
	$(COMPILE) pyproject.toml --extra all requirements/lowest.in --resolution lowest-direct --upgrade -o requirements/lowest.txt

clean:
	rm -rf .demo .bench dist site
