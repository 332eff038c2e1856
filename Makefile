# Every target sets up what it needs; a second time that is instant. PYTHON picks the interpreter (3.11 or newer).
PYTHON ?= python3
DOCS ?= 1000
SOURCE ?=
CORPUS ?= default
BIN := .venv/bin
RAG := $(BIN)/rag-assets
ENSURE = $(RAG) ensure --corpus $(CORPUS) $(if $(SOURCE),--source $(SOURCE))

.DEFAULT_GOAL := help
.PHONY: help setup run test lint bench ui ensure-ragas-ready ensure-ragas-1k ensure-ragas-5k ensure-ragas-10k populate-token-embeddings validate-dataset-state

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-28s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; choose one with: make PYTHON=python3.12 setup" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ragas]'
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ragas,dev]'
	touch $@

.venv/installed-bench: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ragas,bench]'
	touch $@

.env: .venv/installed
	$(BIN)/python -m rag_assets.instance

setup: .venv/installed .env ## Create .venv, install the locked packages, prepare DAGSTER_HOME and .env

run: setup ## Build the default corpus, print its evaluation, answer a question
	$(ENSURE) ragas-eval --auto-fix
	$(RAG) query --corpus $(CORPUS) "What is the difference between a shallow and a deep copy?"
	@echo
	@echo "Next: make ui (the asset graph, checks and plots), $(RAG) query \"your question\", $(RAG) init (your own documents)."

test: setup .venv/installed-dev ## Run the tests; SLOW=1 runs the slow ones too
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(if $(SLOW),,-m "not slow")

lint: setup .venv/installed-dev ## Formatting, style, types, and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup .venv/installed-bench ## Time everything against a baseline in the same run; FULL=1: at the sizes of the targets
	$(BIN)/python -m benchmarks $(if $(FULL),--full)

ui: setup ## Dagster's UI at http://127.0.0.1:3000
	$(RAG) ui

ensure-ragas-ready: setup ## DOCS documents ready for evaluation (SOURCE=beir:PATH picks the source)
	$(ENSURE) ragas-eval --docs $(DOCS) --auto-fix

ensure-ragas-1k: ## … 1,000 documents
	$(MAKE) ensure-ragas-ready DOCS=1000

ensure-ragas-5k: ## … 5,000 documents
	$(MAKE) ensure-ragas-ready DOCS=5000

ensure-ragas-10k: ## … 10,000 documents
	$(MAKE) ensure-ragas-ready DOCS=10000

populate-token-embeddings: setup ## Token embeddings of DOCS documents, nothing else
	$(ENSURE) token-embeddings --docs $(DOCS) --auto-fix

validate-dataset-state: setup ## Look whether DOCS documents are ready for evaluation; writes nothing
	$(ENSURE) ragas-eval --docs $(DOCS) --validate-only
