# Every command of the project. `make help` lists them.
# What they need: Python 3.11 or newer, make and git. Everything else is installed below .venv or built into a cache.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(BIN)/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml requirements/uv.txt requirements/dev.txt
	@echo "Installing the locked packages into $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib operator sandbox || true # else each start compiles again, where the environment forbids to write
	@touch $@

.PHONY: setup
setup: $(READY) ## install the locked packages into .venv

.PHONY: demo
demo: $(READY) ## show the operator at work on a real API server
	@$(BIN)/python -m sandbox.demo

.PHONY: cluster
cluster: $(READY) ## start the local cluster alone and keep it until Ctrl-C
	@$(BIN)/python -m sandbox.cluster

# Test files run side by side. A process has clusters of its own, about 1.5 GB with all of them; PROCESSES=0 runs one file after another.
PROCESSES ?= auto
SIDE_BY_SIDE := --numprocesses $(PROCESSES) --maxprocesses 4 --no-loadscope-reorder

WORDED := README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md Makefile docs charts config crds gitops operator tools sandbox bench tests

.PHONY: check
check: $(READY) ## lint, types, layers, workflows, wording, generated files, the documentation's links
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/python -m tools.workflows
	@PYTHONPATH=operator $(BIN)/lint-imports --no-logo
	@$(BIN)/deptry operator
	@$(BIN)/codespell --dictionary - --dictionary tools/wording.txt $(WORDED)
	@$(BIN)/codespell --dictionary tools/wording.txt --regex '[A-Z]?[a-z]+' operator tools sandbox bench tests # words in identifiers
	@$(BIN)/python -m dora_operator.crd --check crds
	@$(BIN)/python -m tools.chart --check
	@$(BIN)/python -m tools.reference --check
	@$(MAKE) --no-print-directory docs

.PHONY: unit
unit: $(READY) ## the quick tests: no cluster
	@$(BIN)/python -m pytest tests/flow tests/unit $(SIDE_BY_SIDE)

.PHONY: coverage
coverage: $(READY) ## the quick tests with branch coverage, by file
	@$(BIN)/python -m pytest tests/flow tests/unit $(SIDE_BY_SIDE) --cov --cov-report=term

.PHONY: mutants
mutants: $(READY) ## mutation tests of domain/: the score, and each change that no test finds
	@$(BIN)/python -m tools.mutants

.PHONY: image-test
image-test: $(READY) programs ## build and run the image with buildah (as root; apt-get install buildah debootstrap)
	@$(BIN)/python -m pytest tests/image -s

PIP_AUDIT := 2.10.1
SBOM ?= dist/sbom.json

.PHONY: sbom
sbom: $(READY) ## write dist/sbom.json: what the image installs, with hashes (CycloneDX)
	@mkdir -p $(dir $(SBOM))
	@set -o pipefail; $(BIN)/python -m tools.sbom requirements/runtime.txt | PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py \
	  requirements --pyproject pyproject.toml --mc-type application --output-reproducible --output-format JSON \
	  --output-file $(SBOM) -
	@echo "$(SBOM)"

.PHONY: audit
audit: $(READY) ## check for known vulnerabilities of the image's packages; needs a network
	@$(UV) tool run --quiet --from pip-audit==$(PIP_AUDIT) pip-audit --strict --require-hashes --disable-pip -r requirements/runtime.txt

.PHONY: release
release: $(READY) ## set the version everywhere and date the changelog: make release VERSION=0.2.0
	@$(BIN)/python -m tools.release prepare "$(VERSION)"

DIST ?= dist

.PHONY: dist
dist: $(READY) ## build kubectl's plugin into dist/: one file, an archive and its krew manifest (DIST_URL: where it will be)
	@$(BIN)/python -m tools.plugin $(DIST)

CHAOS_SEEDS ?= 1000

.PHONY: chaos
chaos: $(READY) programs ## the long tests with faults: CHAOS_SEEDS generated lives, every crash, a failing API server
	@CHAOS_SEEDS=$(CHAOS_SEEDS) $(BIN)/python -m pytest tests/chaos tests/cluster/test_faults.py tests/cluster/test_high_availability.py $(SIDE_BY_SIDE) --timeout 1800

.PHONY: test
test: check programs ## check and every test, on the real API server too
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE)

.PHONY: compat
compat: $(READY) ## the tests on the oldest and the newest supported Kubernetes, and the alerts with promtool; 20 minutes, once the programs are built
	@$(BIN)/python -m tools.alerts
	@for version in oldest newest; do \
	  echo "Kubernetes: $$version supported version"; \
	  DORA_OPERATOR_KUBERNETES=$$version $(BIN)/python -m pytest tests/cluster $(SIDE_BY_SIDE) || exit 1; \
	done

.PHONY: gitops-test
gitops-test: $(READY) programs ## build Argo CD (about 7 minutes, once), and let it sync gitops/repository on the local cluster
	@$(BIN)/python -m sandbox.cluster --build-only --argo-cd
	@$(BIN)/python -m pytest tests/cluster/test_gitops_repository.py

.PHONY: programs
programs: $(READY) ## build the local cluster's programs, Helm and the chart's linters into the cache, and fetch CRDs, where they are missing
	@$(BIN)/python -m sandbox.cluster --build-only --rollouts --helm --gitops

.PHONY: crd
crd: $(READY) ## write crds/ from the models
	@$(BIN)/python -m dora_operator.crd crds

.PHONY: reference
reference: $(READY) ## write the generated pages of docs/reference/ from the models and values.yaml
	@$(BIN)/python -m tools.reference

.PHONY: docs
docs: $(READY) ## build the documentation into site/; a broken link fails
	@set -o pipefail; NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict 2>&1 | { grep -v '^INFO' || true; }

.PHONY: chart
chart: $(READY) ## write the generated parts of charts/ from the models and values.yaml
	@$(BIN)/python -m tools.chart

.PHONY: config
config: $(READY) ## write config/ from the chart, with Helm
	@$(BIN)/python -m tools.chart.kustomize

.PHONY: bench
bench: $(READY) ## measure: start, memory, time from a change to its PATCH
	@$(BIN)/python -m bench

.PHONY: walk
walk: $(READY) ## trace the operator: which functions an applied resource and an abort go through
	@$(BIN)/python -m tools.walk

.PHONY: truth
truth: $(READY) ## simulate years of deployments: Datadog's numbers beside the truth, by the source of its marks
	@$(BIN)/python -m bench.truth

.PHONY: lock
lock: $(READY) ## lock the packages again after a change of pyproject.toml
	@$(COMPILE) requirements/uv.in -o requirements/uv.txt
	@$(COMPILE) --group dev pyproject.toml -o requirements/dev.txt
	@$(COMPILE) -c requirements/dev.txt pyproject.toml -o requirements/runtime.txt

.PHONY: clean
clean: ## remove .venv and what the tools left here (the cache of built programs stays: see README)
	@rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
