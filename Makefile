# Two commands on a fresh machine: make demo, make test. Both begin with make setup.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BROKER ?= embedded
SIZE ?= small
LOCKFLAGS := --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras --allow-unsafe --quiet

.PHONY: help setup dev training demo up chaos loop test test-training lint format kafka-jars fhir-jars lock clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.runtime ## the environment that runs the product (hash-pinned)

$(VENV)/.runtime: requirements/cpu.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/cpu.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

dev: setup $(VENV)/.dev ## the same environment with the tools of the tests

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

training: .venv-train/.training ## the environment of the model factory (torch, transformers, optimum), apart from the product's

.venv-train/.training: requirements/train.txt pyproject.toml
	@test -x .venv-train/bin/python || $(PYTHON) -m venv .venv-train
	.venv-train/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/train.txt
	.venv-train/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## run the whole stream on sample messages (BROKER=kafka for real Kafka)
	@$(BIN)/wardstream demo --broker $(BROKER)

up: setup ## the same stack, kept running until Ctrl-C
	@$(BIN)/wardstream up --broker $(BROKER)

test: dev kafka-jars fhir-jars test-training ## everything, with real Kafka and a HAPI FHIR server (need Java and Maven), real Redis, the model factory
	$(BIN)/python -m pytest --ignore=tests/training

test-training: training ## the model factory: tiny models of every family, end to end
	.venv-train/bin/python -m pytest tests/training

chaos: dev kafka-jars ## faults on real Kafka and Redis, reduced (SIZE=full for the whole of it), and the table
	$(BIN)/python -m benchmarks.chaos --size $(SIZE)

loop: dev training kafka-jars ## the whole way of a model on real Kafka and Redis: samples, review, retraining, gate, shadow, swap, rollback
	$(BIN)/python -m benchmarks.loop

lint: dev ## ruff, mypy strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: dev ## apply the formatter
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

kafka-jars: deploy/kafka/libs/.complete ## the Apache Kafka jars, by Maven

deploy/kafka/libs/.complete: deploy/kafka/pom.xml
	@if command -v mvn >/dev/null && command -v java >/dev/null; then \
	  mvn -q -B -f deploy/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory=libs -DincludeScope=runtime && touch $@; \
	else echo "Java or Maven is missing: tests on real Kafka will be skipped by name"; fi

fhir-jars: deploy/fhir-test/libs/.complete ## the jars of a HAPI FHIR server for the tests, by Maven (290 MB)

deploy/fhir-test/libs/.complete: deploy/fhir-test/pom.xml
	@if command -v mvn >/dev/null && command -v java >/dev/null; then \
	  mvn -q -B -f deploy/fhir-test/pom.xml dependency:copy-dependencies -DoutputDirectory=libs -DincludeScope=runtime && touch $@; \
	else echo "Java or Maven is missing: the test on a HAPI FHIR server will be skipped by name"; fi

lock: export CUSTOM_COMPILE_COMMAND := make lock
lock: ## rewrite the hash-pinned requirement files from pyproject.toml
	$(BIN)/pip-compile $(LOCKFLAGS) --extra cpu --extra scans --extra store --extra embedded --extra build -o requirements/cpu.txt pyproject.toml
	$(BIN)/pip-compile $(LOCKFLAGS) --extra gpu --extra scans --extra store --extra build -o requirements/gpu.txt pyproject.toml
	$(BIN)/pip-compile $(LOCKFLAGS) --extra cpu --extra scans --extra store --extra embedded --extra build --extra dev -o requirements/dev.txt pyproject.toml
	$(BIN)/pip-compile $(LOCKFLAGS) --extra cpu --extra store --extra build --extra train -o requirements/train.txt pyproject.toml

clean: ## remove what make made
	rm -rf $(VENV) .venv-train deploy/kafka/libs deploy/fhir-test/libs var out .mypy_cache .ruff_cache .pytest_cache .hypothesis
