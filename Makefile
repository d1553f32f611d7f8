# make lab        everything from a fresh clone to JupyterLab; PORT=9000 chooses the port
# make test       style, import rows, tests; ARGS="-k name" chooses, JOBS=4 runs more at a time
# make notebooks  run every notebook headless, results kept in the notebooks
# make check      what make test runs before the tests, and the type checker

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := lab,cpu,demo,test
# two at a time: each may take some gigabytes
JOBS := 2
# pytest ends with 5 where ARGS leave no test
NONE_IS_FINE := || [ $$? -eq 5 ]

.PHONY: lab test notebooks check browser clean
.DEFAULT_GOAL := lab

lab: $(VENV)/.installed
	@$(BIN)/bglab data prepare
	@$(BIN)/bglab lab $(if $(PORT),--port $(PORT))

test: $(VENV)/.installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -m "not browser and not alone" -n $(JOBS) --dist worksteal $(ARGS) $(NONE_IS_FINE)
	@$(BIN)/python -m pytest -m "alone and not browser" $(ARGS) $(NONE_IS_FINE)

browser: $(VENV)/.installed
	@$(BIN)/python -m pytest -m browser $(ARGS)

check: $(VENV)/.installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/pyright

notebooks: $(VENV)/.installed
	@$(BIN)/bglab data prepare
	@$(BIN)/python tests/run_notebooks.py $(NOTEBOOKS)

# one stamp for the whole environment: installed again only when what it is made from has changed
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "bglab needs Python 3.11 or newer; say which one: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

clean:
	rm -rf $(VENV) data/cache
