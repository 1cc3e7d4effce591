# Two commands do everything: `make book` and `make test`. Both set up .venv from the lock file first.

PYTHON ?= python3
JOBS ?= 2
WORKERS ?= 2
PORT ?= 8000

# The book's matrices are small: threads of the linear algebra library would only wait for each other when two
# chapters or two test workers share the cores.
export OPENBLAS_NUM_THREADS ?= 1

BIN := .venv/bin
INSTALLED := .venv/.installed

# What the pages run in the browser is fetched once; then a fresh build each time: an incremental one would not repeat the warnings of pages that did not change.
BUILD = $(BIN)/python tools/runtime.py && rm -rf _build/html _build/.doctrees _build/jupyter_execute && \
	$(BIN)/jupyter-book build $(1) --path-output . -n -W --keep-going && \
	echo && echo "The book is in _build/html: open $(CURDIR)/_build/html/index.html"

.DEFAULT_GOAL := help
.PHONY: help setup book html pdf slides course assignments run serve widths laws families million bench test lint format lock clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment. Hashes are required for every package, and the package in this folder is built with the locked
# build tools, so nothing comes in unpinned. The stamp makes a changed lock refresh an old .venv.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
		echo "Python 3.11 to 3.13 is needed, and '$(PYTHON)' is not: try 'make PYTHON=python3.12 …'" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "Installing the locked environment into .venv (minutes, the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(INSTALLED) ## Set up .venv from the lock, and nothing else

book: $(INSTALLED) ## Execute every chapter afresh (in a copy) and build the site from it
	$(BIN)/python tools/execute.py --output _build/executed --jobs $(JOBS)
	$(BIN)/python tools/ledger.py _build/executed
	$(call BUILD,_build/executed)

html: $(INSTALLED) ## Build the site from the stored outputs, executing nothing
	$(BIN)/python tools/ledger.py
	$(call BUILD,.)

pdf: html ## Build as html does, then print the whole book as one PDF (needs Chromium or Chrome)
	$(BIN)/python tools/pdf.py

slides: html ## Build as html does, then cut a deck of slides out of each chapter's page, each one file
	$(BIN)/python tools/slides.py

course: assignments ## Write the chapters as notebooks for students (solutions stripped) and for instructors, and the problem sets
	$(BIN)/python tools/course.py

assignments: $(INSTALLED) ## Write the graded problem sets: students' notebooks, and a course folder for nbgrader
	$(BIN)/python tools/assignments.py

run: $(INSTALLED) ## Execute the chapters in place; outputs are stored in normal form
	$(BIN)/python tools/execute.py --jobs $(JOBS)

serve: html ## Build as html does, then serve the site on this machine
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

widths: $(INSTALLED) ## Measure the gap at every width: days, so stop it when you like; it goes on from there
	$(BIN)/python -m experiments.widths $(ARGS)

laws: $(INSTALLED) ## Solve the 1/m law and its bounds in large dimensions (half an hour)
	$(BIN)/python -m experiments.laws $(ARGS)

families: $(INSTALLED) ## Run every experiment of the paper's authors at a small size (an hour or two)
	$(BIN)/python -m experiments.families $(ARGS)

million: $(INSTALLED) ## Train a network of a million neurons beside its limit (seven minutes)
	$(BIN)/python -m experiments.million $(ARGS)

bench: $(INSTALLED) ## Time the drift and the solvers against what they replace (seven minutes of a quiet machine)
	$(BIN)/python -m benchmarks $(ARGS)

# Half of the time of the tests is compilation. These two settings of the compiler halve it: what is
# compiled runs once or twice, so that how it was compiled hardly matters.
test: export XLA_FLAGS ?= --xla_cpu_parallel_codegen_split_count=1 --xla_cpu_use_fusion_emitters=false
test: $(INSTALLED) lint ## Run everything that the project checks
	$(BIN)/python tools/runtime.py
	$(BIN)/python tools/browser.py
	$(BIN)/python -m pytest --numprocesses $(WORKERS)

lint: $(INSTALLED) ## Check the style of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED) ## Bring the code into that style, as far as a program can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# uv resolves for every Python version and platform at once; it is only needed here, so it is not in the lock.
lock: ## Pin the dependencies of pyproject.toml anew (UPGRADE=--upgrade takes newer versions)
	$(PYTHON) -m venv _build/lock
	_build/lock/bin/python -m pip install --quiet uv
	_build/lock/bin/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --extra book --extra test $(UPGRADE) pyproject.toml -o requirements.lock

clean: ## Remove what was built (the environment and finished runs stay: remove .venv, _build/sweeps by hand)
	mkdir -p _build && find _build -mindepth 1 -maxdepth 1 ! -name sweeps -exec rm -rf {} +
	rm -rf book/ledger.md .pytest_cache .ruff_cache .hypothesis
	find benchmarks book experiments mflib tests tools -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
