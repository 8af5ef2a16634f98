# `make` lists what there is to do. Everything installs what it needs on a Debian machine with Rust and Node.js.

cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ambit
export CARGO_TARGET_DIR ?= $(cache)/target
# Where `ambit` finds the broker; benches take the release build whatever this says.
export AMBIT_BROKER_BIN ?= $(CARGO_TARGET_DIR)/debug/ambit-broker

# Where `make install` puts both programs, and how they are built.
PREFIX ?= $(HOME)/.local
profile ?= release
built = $(if $(filter dev,$(profile)),debug,$(profile))
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup needed console broker build install demo test bench bench-detect bench-envelope faults clean
# Cargo uses all cores by itself, and the steps share its caches.
.NOTPARALLEL:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## install what is missing on this machine for all of this
	@scripts/setup.sh test

needed:
	@scripts/setup.sh demo

console: needed ## build the web console
	@scripts/console.sh

broker: needed ## build the embedded broker
	@scripts/broker.sh

build: needed console broker ## build ambit (development profile)
	cargo build --locked

install: needed console ## build ambit and its broker, and put them into PREFIX/bin (~/.local)
	cargo build --locked --profile $(profile)
	@scripts/broker.sh --profile $(profile)
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 "$(CARGO_TARGET_DIR)/$(built)/ambit" "$(CARGO_TARGET_DIR)/$(built)/ambit-broker" "$(DESTDIR)$(PREFIX)/bin"
	@echo "$(DESTDIR)$(PREFIX)/bin/ambit is installed, with its broker beside it"

demo: build ## run everything with a simulated fleet of agents; Ctrl-C ends it
	@"$(CARGO_TARGET_DIR)/debug/ambit" --data-dir data/demo demo

test: ## formatting, lints, all tests on both brokers, the console and the browser
	@scripts/test.sh

bench: console ## measure against raw Kafka, both brokers (release build)
	@scripts/bench.sh

bench-detect: ## measure drift detection, beside ADWIN of river (release build)
	@scripts/bench-detect.sh

bench-envelope: ## measure a decision of the compiled envelope, beside Cedar (release build)
	cargo bench --locked --manifest-path analytics/cedar/Cargo.toml

faults: console ## the fault matrix at length, on both brokers
	@scripts/faults.sh

clean: ## remove build results (neither data nor the caches that checkouts share)
	rm -rf target broker/target dashboards/dist dashboards/node_modules tests/browser/node_modules
