#!/usr/bin/env bash
# Everything that must hold before a change lands. Stops at the first failure; ends with a summary.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
export AMBIT_BROKER_TARGET_DIR=${AMBIT_BROKER_TARGET_DIR:-$cache/broker-target}
export AMBIT_BROKER_BIN=${AMBIT_BROKER_BIN:-$AMBIT_BROKER_TARGET_DIR/debug/ambit-broker}
summary=()

step() { # name command...
  local name=$1 started=$SECONDS
  shift
  echo
  echo "== $name"
  if "$@"; then
    summary+=("ok       $((SECONDS - started)) s  $name")
  else
    local code=$?
    summary+=("FAILED   $((SECONDS - started)) s  $name")
    printf '\n%s\n' "${summary[@]}"
    exit "$code"
  fi
}

skipped() { # name reason
  summary+=("SKIPPED  -    $1: $2")
  echo
  echo "##############################################################"
  echo "## SKIPPED: $1"
  echo "## $2"
  echo "##############################################################"
  if [ "${CI:-}" = true ]; then
    printf '\n%s\n' "${summary[@]}"
    echo "with CI=true a skipped lane is a failure"
    exit 1
  fi
}

step "set-up" scripts/setup.sh
step "console: build" scripts/console.sh
step "console: types" npm --prefix dashboards run --silent typecheck
step "console: unit tests" npm --prefix dashboards run --silent test
step "broker: build" scripts/broker.sh
step "broker: formatting" cargo fmt --manifest-path broker/Cargo.toml --check
step "formatting" cargo fmt --all --check
step "clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
if cargo deny --version >/dev/null 2>&1; then
  step "licences and bans" cargo deny --offline check licenses bans
else
  echo "cargo-deny is not installed: its bans are also checked by tests/it/tidy.rs, licences are not"
fi
kafka=0
tests/kafka/kafka.sh install || kafka=$?
if [ "$kafka" -eq 0 ]; then
  AMBIT_KAFKA_HOME=$(tests/kafka/kafka.sh home)
  export AMBIT_KAFKA_HOME
else
  skipped "the Apache Kafka lane" "Apache Kafka's jars could not be had from Maven's registry"
fi
step "all tests" cargo test --workspace --locked
step "browser" tests/browser/run.sh
printf '\n%s\n' "${summary[@]}"
