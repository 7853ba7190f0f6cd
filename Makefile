# What a developer does with this checkout. `make` alone lists it.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The newest Python the machine has, of those the project supports.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PY := .venv/bin/python

# make install: where to, which Python will run it, and which libraries it gets private copies of (auto: those that this
# Python lacks; none; or names).
PREFIX ?= /usr/local
RUN_PYTHON ?= /usr/bin/python3
VENDOR ?= auto

.PHONY: help run test vm lint bench install deb clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: .venv/ready ## a daemon and a client on a simulated kernel, to look around
	$(PY) -m damoctl.demo

test: .venv/ready ## every test; virtual machines only with CI=true or `make vm`
	$(PY) -m pytest

vm: .venv/ready ## every test, with real kernels in virtual machines (minutes; needs QEMU)
	DAMOD_VM=1 $(PY) -m pytest

lint: .venv/ready ## ruff and mypy, as CI runs them
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: .venv/ready ## measurements, beside the peer where there is one
	$(PY) -m tests.bench

install: .venv/ready ## this damod on this machine, as root (DESTDIR=, PREFIX=/usr/local, RUN_PYTHON=, VENDOR=)
	$(PY) -m install.layout --destdir '$(or $(DESTDIR),/)' --prefix '$(PREFIX)' --python '$(RUN_PYTHON)' --vendor '$(VENDOR)'

deb: .venv/ready ## a Debian package in dist/ (SUITE=bookworm or trixie; default: this machine's)
	$(PY) -m install.deb $(if $(SUITE),--suite $(SUITE))

clean: ## forget the environment and every cache in the checkout; downloaded kernels stay
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Redone only when the dependencies may have changed. The stamp is written last, so a failed install is tried again.
.venv/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "damod needs Python 3.11 or newer, and there is none in PATH" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get install -y --no-install-recommends python3-venv \
				|| { apt-get update && apt-get install -y --no-install-recommends python3-venv; }; \
		else \
			echo "this Python has no venv module; on Debian: sudo apt-get install python3-venv" >&2; exit 1; \
		fi; }
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --editable '.[dev]'
	@touch $@
