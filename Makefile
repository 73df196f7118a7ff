# make report   set everything up and write growproof-report.html
# make test     set everything up and pass the tests
# See also: test-extras, bench, lint, clean.  PYTHON=python3.12 chooses the interpreter.

VENV   := .venv
BIN    := $(VENV)/bin
REPORT := growproof-report.html

# A stamp is written last, so that a half-made environment is built again from nothing.
CORE   := $(VENV)/.core
TEST   := $(VENV)/.test
LINT   := $(VENV)/.lint
EXTRAS := $(VENV)/.extras

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: report test test-extras bench lint clean
.DELETE_ON_ERROR:

report: $(CORE)
	$(BIN)/python -m growproof report --all -o $(REPORT)

test: $(TEST)
	$(BIN)/pytest -n auto --dist loadscope

test-extras: $(EXTRAS)
	$(BIN)/pytest -m extras --no-skips -n auto --dist loadscope

bench: $(TEST)
	@set -e; for file in tests/benchmarks/bench_*.py; do \
	    echo "== $$file"; $(BIN)/python "$$file"; \
	done

# The types are checked on the installed wheel, where the packages have the names that users import.
lint: $(LINT)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	rm -rf build $(VENV)/typed
	$(PIP) --no-deps --target $(VENV)/typed . && rm -rf build
	cd $(VENV) && MYPYPATH=typed bin/mypy --config-file ../pyproject.toml --cache-dir .mypy_cache -p growproof

clean:
	rm -rf $(VENV) $(REPORT) growproof-docs.html build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CORE): pyproject.toml
	test -e $@ || { rm -rf $(VENV) && python=$$(PYTHON="$(PYTHON)" sh .ci/find-python) && "$$python" -m venv $(VENV); }
	$(PIP) --editable .
	touch $@

$(TEST): $(CORE)
	$(PIP) --editable ".[test]"
	touch $@

$(LINT): $(TEST)
	$(PIP) --editable ".[lint]"
	touch $@

$(EXTRAS): $(TEST)
	$(PIP) --editable ".[browser,cvc5,dask,notebooks,transformers]"
	PLAYWRIGHT=$(BIN)/playwright sh .ci/find-chromium
	touch $@
