# make check: before every commit.  make test: everything; CI and the README call it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.dev
# Let Python keep what it compiled: pytest rewrites each assert, which takes seconds in each of its processes.
unexport PYTHONDONTWRITEBYTECODE
# For the quick tests, which have a process for each core: more threads only wait for one another.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: help test check format lint types unit end-to-end emulators linters encoders flink-install image bench reference lock clean

help: ## these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

test: lint types emulators linters encoders flink-install image ## everything: lint, types, all tests
	$(BIN)/pytest -n 2 --dist loadgroup --durations=5

check: lint types unit ## format, lint, types and the quick tests (two minutes)

unit: $(STAMP)
	$(ONE_THREAD) $(BIN)/pytest -n 2 --dist loadgroup -m "not end_to_end"

end-to-end: $(STAMP) emulators linters encoders flink-install image ## only the tests of complete runs
	$(BIN)/pytest -n 2 --dist loadgroup -m end_to_end

emulators: $(STAMP) # of BigQuery and Cloud Storage, for the tests
	@$(BIN)/python -m tests.emulators.environment
	@$(BIN)/python -m tests.emulators.fake_gcs

linters: $(STAMP) # of manifests, Dockerfile, workflow and alerts, for the tests
	@$(BIN)/python -m tests.manifests.tools

encoders: $(STAMP) # the real encoder's weights and its reference, for the tests
	@$(BIN)/python -m tests.encoders.environment

flink-install: $(STAMP) # the distribution and the runner bundle, for the tests; prints what is missing
	@flink/cluster.sh install || true

image: $(STAMP) # the image and its stand-in bases, for the tests in containers; prints what is missing
	@$(BIN)/python -m tests.containers.engine

format: $(STAMP) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/shellcheck run_local.sh flink/cluster.sh requirements/lock.sh requirements/venv.sh requirements/weights.sh .ci/run deploy-to-eks.sh docker/entrypoint.sh benchmarks/engines/environments.sh

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP) ## the figures of benchmarks/README.md, about 30 minutes
	$(BIN)/python benchmarks/run.py

reference: $(STAMP) ## write the tables of docs/contracts.md and docs/capacity.md that come from the code
	$(BIN)/python -m beam_pcc.config.reference docs/contracts.md
	$(BIN)/python -m beam_pcc.publishing.capacity docs/capacity.md

lock: ## raise the locked versions (needs uv)
	requirements/lock.sh

clean:
	rm -rf $(VENV) .emulators .linters .encoders build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(STAMP): requirements/dev.txt pyproject.toml setup.py requirements/venv.sh requirements/install.py
	PYTHON=$(PYTHON) requirements/venv.sh dev
	@touch $@
