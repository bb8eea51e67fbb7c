# `make server` and `make test` are all that is needed; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
TOOLS := $(VENV)/installed-tools
JUDGES := $(VENV)/infra/installed
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -q
LOCK := $(COMPILE) pyproject.toml --override overrides.txt

.PHONY: help server test coverage lint infra format postgres redis createdb dropdb migrateup migratedown proto release docs bench lock clean

help:
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

server: $(INSTALLED) ## run the service; starts its own PostgreSQL and Redis where none is named
	@exec $(BIN)/transactions serve --embedded

test: $(TOOLS) $(JUDGES) ## the whole test suite, against servers of its own
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

coverage: $(TOOLS) ## which lines the tests of parts run, in every process that they start
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest tests/unit tests/property tests/integration
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report --skip-covered

lint: $(TOOLS) ## style, types, import rules, generated code and documents, breaking changes, known vulnerabilities
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m infra.protogen --check
	@$(BIN)/buf lint proto/descriptors.binpb --config proto/buf.yaml
	@$(BIN)/buf format proto --diff --exit-code
	@$(BIN)/python -m infra.released
	@$(BIN)/python -m infra.docs --check
	@$(BIN)/python -m infra.vulnerabilities

infra: $(TOOLS) $(JUDGES) ## judge what deploys the service: image, compose, systemd, Kubernetes, AWS, workflows
	@$(BIN)/python -m infra.checks

format: $(TOOLS) ## put the code into the one format
	@$(BIN)/buf format proto --write
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

postgres: $(INSTALLED) ## the embedded PostgreSQL alone, until Ctrl-C
	@exec $(BIN)/python -m infra.local postgres

redis: $(INSTALLED) ## the embedded Redis alone, until Ctrl-C
	@exec $(BIN)/python -m infra.local redis

createdb: $(INSTALLED) ## create the embedded database
	@$(BIN)/python -m infra.local createdb

dropdb: $(INSTALLED) ## drop the embedded database, with all data
	@$(BIN)/python -m infra.local dropdb

migrateup: $(INSTALLED) ## bring the schema up to date (while `make postgres` or DATABASE_URL runs)
	@$(BIN)/transactions migrate up

migratedown: $(INSTALLED) ## take back the newest version of the schema
	@$(BIN)/transactions migrate down

proto: $(TOOLS) ## regenerate what is made from the .proto files
	@$(BIN)/python -m infra.protogen

release: $(TOOLS) ## take the API of now as released: what it has may not be taken back later
	@$(BIN)/python -m infra.released --update

docs: $(TOOLS) ## regenerate the documents that are drawn from the code
	@$(BIN)/python -m infra.docs

bench: $(TOOLS) ## measure beside the peer; writes docs/benchmarks.md (QUICK=1: three minutes, writes nothing)
	@$(BIN)/python -m bench $(if $(QUICK),--quick,--write docs)

lock: $(TOOLS) ## resolve the dependencies anew into the lock files
	@$(BIN)/$(LOCK) --extra embedded --group build --upgrade -o requirements.lock
	@$(BIN)/$(LOCK) --all-extras --group build -c requirements.lock --upgrade -o requirements-dev.lock
	@$(BIN)/$(LOCK) -c requirements.lock --upgrade -o requirements-service.lock
	@$(BIN)/$(COMPILE) --group build -c requirements.lock --upgrade -o requirements-build.lock
	@$(BIN)/$(COMPILE) infra/checks/requirements.in --upgrade -o infra/checks/requirements.lock

clean: ## remove the environment and caches; var/ with its data stays
	@rm -rf .coverage* $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# The stamp is the last thing made: an installation that was interrupted is done again.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) infra/local/check_python.py
	@echo "installing into $(VENV) ..."
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The service needs none of these: they are for those who change it.
$(TOOLS): $(INSTALLED) requirements-dev.lock
	@echo "installing the tools ..."
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

# The tools that judge deployments get an environment of their own: one of them pins what others need newer.
$(JUDGES): $(INSTALLED) infra/checks/requirements.lock
	@echo "installing the judges of deployments ..."
	@$(PYTHON) -m venv $(VENV)/infra
	@$(VENV)/infra/bin/pip install -q --disable-pip-version-check --no-deps --require-hashes -r infra/checks/requirements.lock
	@touch $@
