# Set-up, checks and the example run. `make help` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# Python keeps what it compiled: without, each process of the tests compiles it all again, for 3 s.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --no-deps --disable-pip-version-check --no-input
PYTEST := $(BIN)/python -m pytest
# A file's tests stay in one process, as they share what its fixtures made.
SIDE_BY_SIDE := --ignore=tests/flink --numprocesses auto --maxprocesses 4 --dist loadfile
PYTEST_WITHOUT_JVM := $(PYTEST) -m "not flink and not slow" $(SIDE_BY_SIDE)
# Stamps say what was done already: those of the environment lie in it, so that they go with it.
RUNTIME := $(VENV)/.stamp-runtime
EDITABLE := $(VENV)/.stamp-editable
NOTEBOOK := $(VENV)/.stamp-notebook
TESTING := $(VENV)/.stamp-test
STAMPS := .run/stamps
WARM := $(STAMPS)/warm
PREPARED := $(STAMPS)/prepared
JARS := $(STAMPS)/jars

UDF_SOURCES := $(shell find udfs -name '*.py')
EXAMPLE_CONFIG := conf/backtest.yaml
LIVE_CONFIG := conf/live.yaml
# The last of the example's files to be written: where it is, all are.
EXAMPLE_BARS := data/example/ECHOUSD.parquet
REAL_CONFIG := conf/real.yaml
REAL_BARS := data/real/EURUSD-2017-12.parquet

.PHONY: golden help setup setup-test jars backtest backtest-real live test test-live test-fast check
.PHONY: bench chaos test-soak lock dashboards deploy
.PHONY: clean clean-all notebook pictures
.PHONY: need-python need-java need-maven need-uv need-promtool

help:  ## print these targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

# ---- set-up ----------------------------------------------------------------------------------

setup: need-java $(EDITABLE) $(WARM) $(PREPARED)  ## build .venv from the lock (first time: 1-2 minutes, 1.3 GB)

setup-test: need-promtool setup $(TESTING)  ## the same with what only tests need

jars: need-java need-maven $(EDITABLE) $(JARS)  ## fetch what live runs need: connectors, a local Fluss and Kafka (210 MB; a backtest needs none)

need-python:
	@bash scripts/need.sh python > /dev/null

need-java:
	@bash scripts/need.sh java

need-maven:
	@bash scripts/need.sh maven

need-uv:
	@bash scripts/need.sh uv

need-promtool:
	@bash scripts/need.sh promtool

$(RUNTIME): requirements-build.lock requirements.lock
	@python=$$(bash scripts/need.sh python); \
	if ! $(BIN)/python -m pip --version > /dev/null 2>&1; then \
	  echo "setup: virtual environment in $(VENV) (some 5 s)"; \
	  $$python -m venv $(VENV); \
	fi
	@echo "setup: packages of requirements.lock (first time 45-90 s, 1.3 GB)"
	@$(PIP) --require-hashes -r requirements-build.lock
	@$(PIP) --require-hashes --no-build-isolation -r requirements.lock
	@touch $@

$(EDITABLE): $(RUNTIME) pyproject.toml requirements.in
	@echo "setup: the command $(BIN)/tradeflow"
	@$(PIP) --no-build-isolation -e .
	@touch $@

$(NOTEBOOK): $(RUNTIME) requirements-notebook.lock
	@echo "setup: packages of requirements-notebook.lock (some 20 s)"
	@$(PIP) --require-hashes -r requirements-notebook.lock
	@touch $@

$(TESTING): $(NOTEBOOK) requirements-test.lock
	@echo "setup: packages of requirements-test.lock (some 20 s)"
	@$(PIP) --require-hashes -r requirements-test.lock
	@touch $@

$(WARM): $(RUNTIME) $(UDF_SOURCES) $(wildcard cli/warm.py)
	@mkdir -p $(@D)
	@if [ -f cli/warm.py ]; then \
	  echo "setup: compiling the kernels (some 30 s)"; \
	  $(BIN)/python -m cli.warm; \
	fi
	@touch $@

$(PREPARED): $(RUNTIME) $(wildcard jobs/runtime.py jobs/jvm.py jobs/training.py)
	@mkdir -p $(@D)
	@if [ -f jobs/runtime.py ]; then \
	  echo "setup: Flink's folder and its class archive (some 15 s)"; \
	  $(BIN)/python -c 'from jobs.runtime import prepare; prepare()'; \
	fi
	@touch $@

$(JARS): pom.xml jobs/jar_patches.py jobs/java_classes.py jobs/live/pulse.py
	@echo "jars: copying the jars of pom.xml to .run/jars (210 MB)"
	@rm -rf .run/jars.part
	@mkdir -p $(@D)
	@mvn --quiet --batch-mode --strict-checksums generate-resources \
	  -Djars.folder="$(CURDIR)/.run/jars.part" 2>&1 | sed 's/\x1b\[[0-9;]*m//g'
	@$(BIN)/python -m jobs.jar_patches .run/jars.part
	@rm -rf .run/jars && mv .run/jars.part .run/jars
	@touch $@

# ---- the example -----------------------------------------------------------------------------

backtest: setup $(EXAMPLE_BARS)  ## run the example configuration on simulated bars
	@$(BIN)/tradeflow backtest --config $(EXAMPLE_CONFIG) --overwrite

# Order only: a newer environment is no reason to write the same bars again.
$(EXAMPLE_BARS): | setup
	@$(BIN)/tradeflow data simulate --out $(@D)

backtest-real: setup $(REAL_BARS)  ## run conf/real.yaml on a year of EUR/USD by the hour (first time: 170 kB from PyPI)
	@$(BIN)/tradeflow backtest --config $(REAL_CONFIG) --overwrite

# The package is never installed: its wheel is a zip, and the bars are a file in it. Gaps are the
# weekends and Christmas, so the check is of bars of a market that closes.
$(REAL_BARS): requirements-real.lock | setup
	@echo "backtest-real: bars out of the wheel of gym-anytrading 2.0.0 (PyPI, MIT licence, 170 kB)"
	@rm -rf .run/real
	@$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-input --no-deps \
	  --only-binary :all: --require-hashes --dest .run/real -r requirements-real.lock
	@$(BIN)/tradeflow data import .run/real/gym_anytrading-*.whl --out $(@D) \
	  --member gym_anytrading/datasets/data/FOREX_EURUSD_1H_ASK.csv --format csv --symbol EURUSD \
	  --timeframe 1h --map ts=Time --time-format '%d.%m.%Y %H:%M:%S.%f'
	@$(BIN)/tradeflow data check '$(@D)/EURUSD-*.parquet' --timeframe 1h
	@echo "backtest-real: the bars that are missing are those of weekends and of Christmas"
	@touch $@

# The view ends with Ctrl-C, or once all bars are worked. The stack runs on: the next call resumes.
live: setup jars $(EXAMPLE_BARS)  ## run conf/live.yaml on this machine and feed it the example bars, an hour a minute
	@$(BIN)/tradeflow up --config $(LIVE_CONFIG)
	@$(BIN)/tradeflow watch --config $(LIVE_CONFIG) --replay 60x || [ $$? -eq 130 ]

# A notebook needs no Java. The server listens on this machine only, and asks for its token.
notebook: $(EDITABLE) $(WARM) $(NOTEBOOK)  ## open the first backtest in JupyterLab
	@$(BIN)/jupyter lab --ip=127.0.0.1 $(if $(filter 0,$(shell id -u)),--allow-root) \
	  --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks/first_backtest.ipynb

# ---- checks ----------------------------------------------------------------------------------

test: setup-test check  ## style, types, tests without a JVM, those that wait, then those with one
	@echo "test: without a JVM"
	@$(PYTEST_WITHOUT_JVM)
	@echo "test: those that wait for clocks and sockets"
	@$(PYTEST) -m slow $(SIDE_BY_SIDE)
	@echo "test: with Flink"
	@$(PYTEST) -m flink

test-live: setup-test jars  ## real stores, live against backtest, kills, alerts: an hour on two slow cores
	@$(PYTEST) -m "live and not soak"

test-soak: setup-test jars  ## longer live tests: drills, whole runs on Kafka, a replay at 60x, containers
	@$(PYTEST) -m "live and soak"

# `make chaos KILLS=20 SEED=3 STORE=kafka`; PATIENCE=5 for what must hold with the usual patience.
KILLS ?= 100
SEED ?= 7
STORE ?= fluss
PATIENCE ?=
chaos: setup-test jars  ## kill and pause the processes of a live run at random, an hour, then read every table
	@$(BIN)/python -m tests.chaos --kills $(KILLS) --seed $(SEED) --store $(STORE) \
	  $(if $(PATIENCE),--patience $(PATIENCE))

test-fast: setup-test check  ## style, types, and the tests that need no JVM and wait for nothing: some two minutes
	@$(PYTEST_WITHOUT_JVM)

check: setup-test  ## style and types only
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || \
	  { echo "check: run '$(BIN)/ruff format .' for the files above"; exit 1; }
	@$(BIN)/mypy --strict udfs schemas scripts/dashboards

bench: setup-test  ## every benchmark under benchmarks/, one after another
	@for script in $(sort $(wildcard benchmarks/bench_*.py)); do \
	  echo "bench: $$script"; $(BIN)/python "$$script"; \
	done

# ---- upkeep ----------------------------------------------------------------------------------

# Pins stay where they still fit; `make lock UPGRADE=--upgrade` takes the newest.
UPGRADE ?=
COMPILE = uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate \
  --no-emit-index-url --custom-compile-command "make lock" $(UPGRADE)

golden: setup-test  ## write the golden of the small run anew; read its difference
	@$(BIN)/python -m tests.golden.lines

pictures: setup-test  ## render docs/pictures and the notebooks' outputs anew
	@$(BIN)/python -m scripts.render_pictures
	@$(BIN)/python -m scripts.render_notebooks

dashboards: setup-test  ## render Grafana's dashboards and their page anew
	@$(BIN)/python -m scripts.render_dashboards

deploy: setup  ## render what containers and Kubernetes are told of Flink and of the jobs
	@$(BIN)/python -m scripts.render_deploy

lock: need-uv  ## resolve requirements*.in to the locks again
	@$(COMPILE) requirements-build.in --output-file requirements-build.lock
	@$(COMPILE) requirements.in --output-file requirements.lock
	@$(COMPILE) --no-deps requirements-real.in --output-file requirements-real.lock
	@$(COMPILE) requirements-notebook.in --constraints requirements.lock \
	  $$(sed -nE 's/^([A-Za-z0-9._-]+)==.*/--no-emit-package \1/p' requirements.lock) \
	  --output-file requirements-notebook.lock
	@$(COMPILE) requirements-test.in --constraints requirements.lock \
	  --constraints requirements-notebook.lock \
	  $$(sed -nE 's/^([A-Za-z0-9._-]+)==.*/--no-emit-package \1/p' \
	    requirements.lock requirements-notebook.lock) \
	  --output-file requirements-test.lock

clean:  ## remove caches and what set-up prepared; keep .venv, data and runs
	@rm -rf .run build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-all: clean  ## the same, and .venv
	@rm -rf $(VENV)
