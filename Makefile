# Every target first brings what it needs (scripts/setup); done once, that takes no time again.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install demo serve test test-long lint format bench clean setup-run setup-demo setup-dev

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: setup-run ## everything that `howdah` needs, into .venv

demo: setup-demo ## the whole story in a few seconds: create, connect, tag, delete
	@scripts/demo

serve: setup-run ## a server in the foreground; options: make serve ARGS="--api-port 9000"
	@exec .venv/bin/howdah serve $(ARGS)

test: setup-dev ## all tests but the long ones; options for pytest: make test ARGS="-k router"
	@scripts/test -m "not long" $(ARGS)

test-long: setup-dev ## all tests
	@scripts/test $(ARGS)

lint: setup-dev ## formatting, rules, types, layers
	@scripts/lint

format: setup-dev ## repair formatting and what rules can repair
	@.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format --quiet .

bench: setup-dev ## all benchmarks; one: make bench ARGS="create --rounds 5"
	@scripts/bench $(ARGS)

clean: ## remove what was made here: the environment and caches (no state, no data)
	@rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .setup.lock src/*.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup-run:
	@scripts/setup run

setup-dev:
	@scripts/setup dev

setup-demo:
	@scripts/setup demo
