# Every target sets up what it needs: a virtual environment in .venv, and as root on Debian or Ubuntu also the programs
# that tests, demo and bench talk to. As a plain user it names the ones that are missing and runs the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

ROOT := $(shell id -u | grep -qx 0 && command -v apt-get)
APT := DEBIAN_FRONTEND=noninteractive apt-get -q
RUN := .venv/bin/python
TESTS ?= tests
PYTEST = $(RUN) -m pytest $(TESTS) $(if $(ROOT),,--without-missing-tools)

.PHONY: help demo demo-cluster test test-long check bench tools prepared clean

help: ## what can be made here
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 18

demo: .venv/ready tools ## the main job from recipe to pulled image, in a minute, without root
	@$(RUN) -m demo

demo-cluster: .venv/ready tools prepared ## bare boards become a cluster, from a stick, in namespaces of this machine; takes root
	@$(RUN) -m demo.cluster

test: .venv/ready tools prepared ## every test but the slow and the random ones
	@$(PYTEST) -m "not long" -n 2 --dist loadfile

test-long: .venv/ready tools prepared ## the slow and the random ones
	@$(PYTEST) -m long

check: .venv/ready ## style and types
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check
	@$(RUN) -m mypy

bench: .venv/ready tools ## speed and memory beside skopeo, docker-registry and hashlib; writes bench/results.json
	@$(RUN) -m bench

clean: ## remove the virtual environment and every cache
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A Python of 3.11 or later with venv; on a bare Debian or Ubuntu, root gets one.
.venv/ready: pyproject.toml
	@fit='import ensurepip, sys; sys.exit(sys.version_info < (3, 11))'
	find_python() {
	  for name in python3.13 python3.12 python3.11 python3; do
	    if "$$name" -c "$$fit" 2>/dev/null; then echo "$$name"; return; fi
	  done
	}
	python=$$(find_python)
	if test -z "$$python" -a -n "$(ROOT)"; then
	  $(APT) update && $(APT) install -y --no-install-recommends python3 python3-venv
	  python=$$(find_python)
	fi
	if test -z "$$python"; then
	  echo "make: needs Python 3.11 or later with venv; on Debian and Ubuntu: apt-get install python3 python3-venv" >&2
	  exit 1
	fi
	echo "Setting up .venv with $$("$$python" --version) …"
	test -x $(RUN) || "$$python" -m venv .venv
	.venv/bin/pip install -q --upgrade pip
	.venv/bin/pip install -q --editable . --group check --group test
	touch $@

tools: .venv/ready
	@missing=$$($(RUN) -m tests.support.tools)
	if test -n "$$missing" -a -n "$(ROOT)"; then
	  echo "Installing $$missing …"
	  $(APT) update && $(APT) install -y --no-install-recommends $$missing
	elif test -n "$$missing"; then
	  echo "make: this machine lacks: $$missing (apt-get install them as root); what needs them is left out" >&2
	fi

# What tests keep between runs: it takes long the first time, and no test's time-out should pay for it.
prepared: .venv/ready tools
	@$(RUN) -m tests.support.prepare
