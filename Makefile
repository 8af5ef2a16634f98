# `make` lists what there is to do. Everything installs what it needs on a Debian machine with Rust and Node.js.

cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ambit
export CARGO_TARGET_DIR ?= $(cache)/target
export AMBIT_BROKER_TARGET_DIR ?= $(cache)/broker-target
# Where `ambit` finds the broker; benches take the release build whatever this says.
export AMBIT_BROKER_BIN ?= $(AMBIT_BROKER_TARGET_DIR)/debug/ambit-broker

.DEFAULT_GOAL := help
.PHONY: help setup console broker build demo test bench faults clean
# Cargo uses all cores by itself, and the steps share its caches.
.NOTPARALLEL:

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## install what is missing on this machine
	@scripts/setup.sh

console: setup ## build the web console
	@scripts/console.sh

broker: setup ## build the embedded broker
	@scripts/broker.sh

build: setup console broker ## build ambit (development profile)
	cargo build --locked

demo: build ## run everything with a simulated fleet of agents; Ctrl-C ends it
	@"$(CARGO_TARGET_DIR)/debug/ambit" --data-dir data/demo demo

test: ## formatting, lints, all tests on both brokers, the console and the browser
	@scripts/test.sh

bench: setup console ## measure against raw Kafka, both brokers (release build)
	@scripts/bench.sh

faults: setup console ## the fault matrix at length, on both brokers
	@scripts/faults.sh

clean: ## remove build results (neither data nor the caches that checkouts share)
	rm -rf target broker/target dashboards/dist dashboards/node_modules tests/browser/node_modules
