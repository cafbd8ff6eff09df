# Two commands matter: `make demo` and `make test`. Both install what they need, on a machine with Python 3.11 or newer.

BIN := .venv/bin
WORKERS ?= 2
# the tests of a file share what they start, so one process runs them; what waits most comes first, so that all end together
SPREAD := --dist loadfile --no-loadscope-reorder
export PYTHON
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export UV_LINK_MODE ?= copy
export UV_COMPILE_BYTECODE ?= 1
# programs are started hundreds of times: each compiles our modules where Python may not keep what it has compiled
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo dev test check unit format bench lock clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

install: .venv/.installed ## Install the locked dependencies into .venv

.venv/.installed: requirements.lock pyproject.toml client/pyproject.toml
	@python=$$(.ci/python) && test -x $(BIN)/python || "$$python" -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m ensurepip >/dev/null
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)"
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable . --editable client
	@touch $@

demo: install ## Move invented studies between two archives on this machine
	$(BIN)/adit demo

dev: install ## Start the whole stack on this machine
	$(BIN)/adit up

test: install check ## Run the checks and all tests
	.ci/system-packages
	$(BIN)/pytest -q -n $(WORKERS) $(SPREAD) tests/acceptance tests/integration tests/unit tests/house

check: install ## Run the checks that start nothing: format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --no-cache .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache

unit: install ## Run the tests that need no other program
	$(BIN)/pytest -q -n $(WORKERS) $(SPREAD) tests/unit tests/house

format: install ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install ## Measure; prints the figures
	.ci/system-packages
	$(BIN)/python -m tests.benchmarks

lock: install ## Write requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --group dev pyproject.toml client/pyproject.toml --universal --python-version 3.11 -o requirements.lock
	echo hatchling | $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --constraint requirements.lock pyproject.toml - --universal --python-version 3.11 -o deployments/containers/requirements.lock

clean: ## Remove what was installed and cached; keeps the data directory
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
