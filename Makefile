# Development tasks. `make help` lists them.
#
# Locks are complete, so they are installed with --no-deps: otherwise pip would resolve extras that the lock has
# settled, and refuse the lock as soon as one of their packages has a newer release. `pip check` makes sure that nothing
# is missing.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
RIVALS := .venv-rivals
AIRFLOW := .venv-airflow
DOCS := .venv-docs
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

include gcp.mk

.DEFAULT_GOAL := help
.PHONY: help install demo serve demo-cloud cloud test test-cloud test-browser test-airflow test-flink test-spark test-kafka test-members test-terraform image-check check check-long \
  check-fresh check-gcp-extra mutation docs pictures \
  lint types coverage bench lock generated clean

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed; say where it is: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing Dropcast into $(VENV) (once; takes minutes on a slow connection) ..."
	@$(PIP) install --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --no-deps --editable .
	@$(BIN)/python -m pip check
	@$(BIN)/python -m pipeline.core.compile_kernels
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@$(PIP) install --require-hashes --no-deps -r requirements-dev.lock
	@$(BIN)/python -m pip check
	@touch $@

install: $(VENV)/.installed  ## set up the virtual environment

demo: $(VENV)/.installed  ## make sample files, forecast them, query and draw the forecasts
	@$(BIN)/python demo/run.py

PORT ?= 8080
serve: $(VENV)/.installed  ## serve forecasts over HTTP on this machine (PORT=8080)
	$(BIN)/dropcast serve --port=$(PORT)

test: $(VENV)/.installed-dev  ## the tests, in a few minutes
	$(BIN)/python -m pytest -m "not long and not cloud and not browser and not terraform" -n 2

test-cloud: $(VENV)/.installed-dev  ## the tests against Pub/Sub, Cloud Storage and BigQuery servers on this machine (needs Go)
	$(BIN)/python -m tests.local_cloud install
	DROPCAST_REQUIRE_CLOUD=1 $(BIN)/python -m pytest -m "cloud and not long and not kafka" -n 2 --dist loadfile

test-browser: $(VENV)/.installed-dev  ## the tests of HTML pages, in a headless Chromium, which it downloads
	$(BIN)/python -m tests.browser.install
	DROPCAST_REQUIRE_BROWSER=1 $(BIN)/python -m pytest tests/browser -m "browser and not long"

test-airflow: $(AIRFLOW)/.installed  ## the tests of the Airflow DAG, in a separate environment
	$(AIRFLOW)/bin/python -m pytest --confcutdir=tests/airflow tests/airflow

$(AIRFLOW)/.installed: orchestration/airflow/requirements.txt
	@echo "Installing Airflow into $(AIRFLOW) (once; takes minutes on a slow connection) ..."
	@$(PYTHON) -m venv --clear $(AIRFLOW)
	@$(AIRFLOW)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r $<
	@$(AIRFLOW)/bin/python -m pip check
	@touch $@

test-members: $(VENV)/.installed-dev $(RIVALS)/.installed  ## the members of --model=auto against statsmodels and statsforecast
	DROPCAST_REFERENCE_PYTHON=$(RIVALS)/bin/python $(BIN)/python -m pytest tests/core/members -m long

test-flink: $(VENV)/.installed-dev  ## the pipeline, batch and with messages, on a Flink cluster on this machine (needs Java 17, Maven and Go)
	@if command -v java >/dev/null && command -v mvn >/dev/null && command -v go >/dev/null; \
	then $(BIN)/python -m tests.flink && DROPCAST_REQUIRE_FLINK=1 $(BIN)/python -m pytest tests/flink -m flink; \
	else echo "NOT TESTED: Flink (Java 17, Maven and Go are needed)"; fi

test-spark: $(VENV)/.installed-dev  ## the batch pipeline on Spark on this machine (needs Java 17, Maven and Go)
	@if command -v java >/dev/null && command -v mvn >/dev/null && command -v go >/dev/null; \
	then $(BIN)/python -m tests.spark && DROPCAST_REQUIRE_SPARK=1 $(BIN)/python -m pytest tests/spark -m spark; \
	else echo "NOT TESTED: Spark (Java 17, Maven and Go are needed)"; fi

test-kafka: $(VENV)/.installed-dev  ## the pipeline on a topic of Kafka, on a broker on this machine (needs Java, Maven and Go)
	@if command -v java >/dev/null && command -v mvn >/dev/null; \
	then $(BIN)/python -m tests.kafka && DROPCAST_REQUIRE_KAFKA=1 DROPCAST_REQUIRE_CLOUD=1 \
	  $(BIN)/python -m pytest tests/kafka -m "kafka and not long" -n 2; \
	else echo "NOT TESTED: Kafka (Java and Maven are needed)"; fi

test-terraform: $(VENV)/.installed-dev  ## the Terraform module, with stand-ins for its providers (needs Go and Terraform)
	@if command -v terraform >/dev/null; \
	then $(BIN)/python -m tests.terraform_provider >/dev/null && $(BIN)/python -m pytest tests/contracts -m terraform; \
	else echo "NOT TESTED: terraform/ (Terraform is not installed: https://developer.hashicorp.com/terraform/install)"; fi

pictures: $(VENV)/.installed-dev  ## draw the pictures of the README and docs/ (downloads a headless Chromium)
	$(BIN)/python -m tests.browser.install >/dev/null
	PYTHONPATH=. $(BIN)/python docs/pictures/draw.py

docs: $(DOCS)/.installed  ## build the documentation into site/; any warning fails
	$(DOCS)/bin/python -m sphinx --fail-on-warning --keep-going --quiet docs site

$(DOCS)/.installed: requirements-docs.lock
	@$(PYTHON) -m venv --clear $(DOCS)
	@$(DOCS)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r $<
	@$(DOCS)/bin/python -m pip check
	@touch $@

cloud: $(VENV)/.installed-dev  ## start the servers of test-cloud and print what to export (needs Go; Ctrl-C ends them)
	@$(BIN)/python -m tests.local_cloud

demo-cloud: $(VENV)/.installed-dev  ## upload sample files to a bucket on this machine and watch the streaming pipeline (needs Go)
	@$(BIN)/python demo/run_cloud.py

image-check:  ## build the image on a stand-in base and try it (needs root, debootstrap and buildah; no Docker)
	tests/image/build.sh $(IMAGE_SCRATCH)

lint: $(VENV)/.installed-dev  ## check the style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.cloudbuild cloudbuild.yaml

types: $(VENV)/.installed-dev  ## check the types
	$(BIN)/mypy

check: lint types docs test test-cloud test-kafka test-browser test-terraform  ## all checks that .ci/run runs

check-long: check coverage test-airflow test-members check-gcp-extra mutation  ## all of check, and the slow tests
	DROPCAST_REQUIRE_CLOUD=1 DROPCAST_REQUIRE_BROWSER=1 $(BIN)/python -m pytest -m long

check-fresh:  ## the README's two commands in a fresh clone of the last commit, with empty caches (10 minutes)
	tests/fresh/check.sh

check-gcp-extra: $(VENV)/.installed-dev  ## the pipeline between buckets with what `pip install '.[gcp]'` brings, and nothing else (needs Go)
	tests/fresh/gcp_extra.sh

coverage: $(VENV)/.installed-dev  ## the tests, and how much of the code they cover
	$(BIN)/python -m pytest -m "not long and not cloud and not browser and not terraform" -n 2 --cov --cov-report=term

mutation: $(VENV)/.installed-dev  ## how many mutants of the core the tests kill (long)
	$(BIN)/python -m tests.mutation.run --sample=20 --seconds=3600 --at-least=80

bench: $(VENV)/.installed $(RIVALS)/.installed  ## benchmarks: ratios measured side by side with prophet and others
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/whole_job.py
	$(BIN)/python benchmarks/engines.py --rivals=$(RIVALS)/bin/python

$(RIVALS)/.installed: benchmarks/requirements-rivals.txt
	$(PYTHON) -m venv $(RIVALS)
	$(RIVALS)/bin/python -m pip --disable-pip-version-check --quiet install -r $<
	@touch $@

generated: $(VENV)/.installed-dev  ## rewrite the files that are generated: manifest schema, docs' tables, graph snapshot
	$(BIN)/python -m tests.contracts.generated

lock:  ## resolve the dependencies again (needs uv)
	uv pip compile --universal --generate-hashes --no-header --no-emit-index-url --no-annotate -q \
	  pyproject.toml -o requirements.lock
	uv pip compile --universal --generate-hashes --no-header --no-emit-index-url --no-annotate -q \
	  pyproject.toml --extra dataflow -c requirements.lock -o requirements-dataflow.lock
	uv pip compile --universal --generate-hashes --no-header --no-emit-index-url --no-annotate -q \
	  pyproject.toml --extra dataflow --extra kafka --extra dev -c requirements-dataflow.lock -o requirements-dev.lock
	echo "$$(sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml)" | uv pip compile --universal --generate-hashes --no-header \
	  --no-emit-index-url --no-annotate -q - -o requirements-build.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -q \
	  requirements-docs.in -o requirements-docs.lock
	uv pip compile --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -q \
	  --exclude-newer 2026-08-27 orchestration/airflow/requirements.in -o orchestration/airflow/requirements.txt

clean:  ## remove everything that make created
	rm -rf $(VENV) $(RIVALS) $(AIRFLOW) $(DOCS) site .local-cloud .flink .spark .kafka .browser .terraform-provider .mutation build dist *.egg-info demo/files \
	  demo/forecasts .pytest_cache .mypy_cache .ruff_cache .hypothesis
