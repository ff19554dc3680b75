# Two commands matter: make demo, make test. Everything sets up what it needs first.
VENV   ?= .venv
PYTHON ?=
ONLY   ?=
TESTS  ?=
PY     := $(VENV)/bin/python
PLANE  := $(wildcard vosctl/relay/media/dataplane/*.[ch] vosctl/relay/media/build.py)

.PHONY: help setup demo test lint format bench proof soak cross fuzz docs clean

help: ## Show this.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## Make .venv, compile the data plane, install missing Debian packages (as root).

$(VENV)/.ready: pyproject.toml requirements-dev.lock build_hook.py scripts/setup.sh vosctl/__init__.py $(PLANE)
	@VENV=$(VENV) $(if $(PYTHON),PYTHON=$(PYTHON)) scripts/setup.sh

$(VENV)/.ready-tests: $(VENV)/.ready scripts/setup.sh requirements-spark.lock
	@VENV=$(VENV) scripts/setup.sh tests

demo: setup ## Apply the example site to two nodes, call through them, scan them. 40 seconds.
	@$(VENV)/bin/vosctl demo run

test: lint $(VENV)/.ready-tests ## Run every check and every test; TESTS=tests/site runs some.
	@$(PY) scripts/tests.py $(TESTS)

lint: setup ## ruff, mypy --strict, and the house's own rules.
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check --quiet . || { $(VENV)/bin/ruff format --check .; exit 1; }
	@$(VENV)/bin/mypy
	@$(PY) scripts/house.py

format: setup ## Let ruff lay out the code.
	@$(VENV)/bin/ruff format .

bench: $(VENV)/.ready-tests ## Measure what the project claims, into bench/results.json; ONLY=name measures one.
	@case '$(ONLY)' in ''|*push-*) VENV=$(VENV) scripts/setup.sh peers;; esac
	@$(PY) -m bench $(ONLY)

fuzz: $(VENV)/.ready-tests ## Hostile packets, NG messages and SDPs for SECONDS (60) each, under sanitizers.
	@VENV=$(VENV) SECONDS_EACH=$(or $(SECONDS),60) scripts/fuzz.sh

proof: $(VENV)/.ready-tests ## Rotate keys for five minutes under 300 calls, with ends that die: no byte lost or garbled. As root.
	@VOSCTL_ROTATION_SECONDS=300 VOSCTL_ROTATION_EVERY=20 $(PY) -m pytest -s -n0 tests/rotation/test_rotation_calls.py

soak: $(VENV)/.ready-tests ## Relay packets for 20 minutes at half the loss-free rate: nothing lost, nothing grown. As root.
	@$(PY) -m bench.relay_soak

cross: $(VENV)/.ready-tests ## Compile the data plane for aarch64 and put its vectors to it under QEMU. As root; fetches both.
	@VENV=$(VENV) scripts/cross.sh

docs: setup ## Build docs/*.md into build/docs as HTML; every link must lead somewhere.
	@$(PY) scripts/docs.py build/docs

clean: ## Remove everything that was built, the .venv too.
	rm -rf $(VENV) .venv-peers build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis vosctl/relay/media/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
