# `make` lists the targets. Environments are made once; a second run installs nothing.
# Variables: ARCHIVE, OPTIONS (of `make analyze`), PYTEST_OPTIONS, COVERAGE (empty: not measured),
# PYTHON310, PYTHON_STANDALONE.
.DEFAULT_GOAL := help
.PHONY: help analyze test test-standalone test-study test-formats torture fuzz lint generated docs release-check clean

ARCHIVE ?= fixtures/ner-small.tar.gz
OPTIONS ?= --force --plots
# More processes than the two cores of CI: many tests wait for other processes. With worksteal the
# tests of a module stay in one process, where they share what the module makes.
PYTEST_OPTIONS ?= -q -n 3 --dist worksteal
COVERAGE ?= --cov --cov-report=

# The trainers, loggers and architectures that only .venv-formats has.
TRAINER_TESTS := $(addprefix tests/monitor/test_,architectures.py hugging_face.py loggers.py other_trainers.py)
# Compiled modules are kept, whatever the machine's settings: most tests start processes of their own.
export PYTHONDONTWRITEBYTECODE :=
MAKE_VENV := setup.py pyproject.toml scripts/tools/make_venv.sh scripts/tools/find_python.sh

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
	    printf '%-16s %s\n' "$$target" "$$text"; done

analyze: .venv/installed ## analyze ARCHIVE (URL or path) with AllenNLP; the report is written to analysis/
	.venv/bin/allennlp analyze '$(ARCHIVE)' $(OPTIONS)

test: .venv/installed ## run the tests with AllenNLP on Python 3.10
	.venv/bin/python -m pytest $(PYTEST_OPTIONS)

test-standalone: .venv-standalone/installed ## run the tests without AllenNLP on the newest Python
	.venv-standalone/bin/python -m pytest $(PYTEST_OPTIONS) $(COVERAGE)

test-study: .venv-standalone/installed ## run the tests of the scripts that repeat the study of 2018, which take minutes
	.venv-standalone/bin/python -m pytest $(PYTEST_OPTIONS) -m study tests/experiments

test-formats: .venv-formats/installed ## read files of the real libraries of other formats; run real trainers and loggers
	.venv-formats/bin/python -m pytest $(PYTEST_OPTIONS) tests/formats $(TRAINER_TESTS)

torture: .venv-standalone/installed ## kill runs and zoos at every change of their directory for an hour (TORTURE seconds)
	TORTURE=$${TORTURE:-3600} .venv-standalone/bin/python -m pytest -q -s tests/security/test_kills.py
	CLUSTER_KILLS=$${CLUSTER_KILLS:-50} .venv-standalone/bin/python -m pytest -q -s tests/security/test_cluster_kills.py

fuzz: .venv-standalone/installed ## give every reader changed files for ten minutes (FUZZ seconds), other ones each time
	FUZZ=$${FUZZ:-600} FUZZ_FIRST=$${FUZZ_FIRST:-$$(date +%s)} .venv-standalone/bin/python -m pytest -q -s tests/security/test_fuzz.py

lint: .venv-standalone/installed ## run ruff, mypy and import-linter
	.venv-standalone/bin/ruff check .
	.venv-standalone/bin/ruff format --check .
	.venv-standalone/bin/mypy
	.venv-standalone/bin/lint-imports

generated: .venv-standalone/installed ## write the files generated from the code: pages of docs/, the schemas
	.venv-standalone/bin/python -m scripts.tools.make_attributes
	.venv-standalone/bin/python -m scripts.tools.make_cli_docs
	.venv-standalone/bin/python -m scripts.tools.make_schemas
	.venv-standalone/bin/python -m scripts.tools.make_metrics_docs
	.venv-standalone/bin/python -m scripts.tools.make_figure_docs
	.venv-standalone/bin/python -m scripts.tools.make_weightwatcher_docs
	.venv-standalone/bin/python -m scripts.tools.make_house_docs

release-check: test-study ## run test-study, build wheel and sdist twice, install and run the wheel in fresh environments (minutes)
	.venv-standalone/bin/python -m scripts.tools.release_check

docs: .venv-standalone/installed ## build the documentation site into build/site, without a network
	NO_MKDOCS_2_WARNING=1 .venv-standalone/bin/python -m mkdocs build --strict

clean: ## remove all environments
	rm -rf .venv .venv-standalone .venv-formats

.venv/installed: constraints.txt $(MAKE_VENV)
	@scripts/tools/make_venv.sh .venv 3.10 constraints.txt test

.venv-standalone/installed: constraints-standalone.txt $(MAKE_VENV)
	@scripts/tools/make_venv.sh .venv-standalone standalone constraints-standalone.txt test,lint,browser,docs

.venv-formats/installed: constraints-formats.txt .venv-standalone/installed $(MAKE_VENV)
	@scripts/tools/make_venv.sh .venv-formats standalone constraints-formats.txt test,formats .venv-standalone
