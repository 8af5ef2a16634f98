#!/usr/bin/env bash
# Everything that must hold before a change lands. Stops at the first failure; ends with a summary.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
export AMBIT_BROKER_BIN=${AMBIT_BROKER_BIN:-$CARGO_TARGET_DIR/debug/ambit-broker}
export PATH=$cache/tools/bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
summary=()

finish() { # exit code
  printf '\n== summary\n'
  printf '%s\n' "${summary[@]}"
  printf 'total    %4d s\n' "$SECONDS"
  exit "$1"
}

step() { # name command...
  local name=$1 started=$SECONDS code=0
  shift
  printf '\n== %s\n' "$name"
  "$@" || code=$?
  local took=$((SECONDS - started))
  if [ "$code" -eq 0 ]; then
    summary+=("$(printf 'ok       %4d s  %s' "$took" "$name")")
    echo "== $name: ok, $took s"
  else
    summary+=("$(printf 'FAILED   %4d s  %s' "$took" "$name")")
    finish "$code"
  fi
}

told() { # name reason
  summary+=("SKIPPED          $1: $2")
  printf '\n##############################################################\n'
  printf '## SKIPPED: %s\n## %s\n' "$1" "$2"
  printf '##############################################################\n'
}

skipped() { # name reason
  told "$@"
  if [ "${CI:-}" = true ]; then
    echo "with CI=true a skipped lane is a failure"
    finish 1
  fi
}

broker() { # cargo's arguments
  (cd broker && cargo "$@")
}

step "set-up" scripts/setup.sh test
step "console: build" scripts/console.sh
step "console: lint" npm --prefix dashboards run --silent lint
step "console: types" npm --prefix dashboards run --silent typecheck
step "console: unit tests" npm --prefix dashboards run --silent test
step "broker: build" scripts/broker.sh
step "broker: formatting" broker fmt --check
step "broker: clippy" broker clippy --locked --ignore-rust-version --all-targets -- -D warnings
step "broker: tests" broker test --locked --ignore-rust-version
step "formatting" cargo fmt --all --check
step "clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
if cargo deny --version >/dev/null 2>&1; then
  step "licences, bans and sources" cargo deny --workspace check licenses bans sources
else
  skipped "licences" "cargo-deny is not installed: cargo install --locked cargo-deny"
fi

# What tests need that may not be there: they would pass without a word.
command -v strace >/dev/null || skipped "whether every commit is fsynced" "strace is not installed"
readers=0
scripts/venv.sh tests/readers/requirements.txt >/dev/null || readers=$?
case $readers in
  0) ;;
  3) skipped "other readers of the table" "tests/readers/requirements.txt could not be installed" ;;
  *) finish "$readers" ;;
esac
data=${AMBIT_DATA:-$(dirname "$PWD")/shared/data}
# Recorded runs lie outside the repository, so that they may be absent everywhere.
[ -d "$data/agentdyn" ] || told "recorded runs" "they are not at $data (AMBIT_DATA names another place)"
kafka=0
tests/kafka/kafka.sh install || kafka=$?
case $kafka in
  0)
    AMBIT_KAFKA_HOME=$(tests/kafka/kafka.sh home)
    export AMBIT_KAFKA_HOME
    ;;
  3) skipped "the Apache Kafka lane" "Apache Kafka's jars could not be had from Maven's registry" ;;
  *) finish "$kafka" ;;
esac
step "all tests" cargo test --workspace --locked
step "envelope beside Cedar: formatting" cargo fmt --manifest-path analytics/cedar/Cargo.toml --check
step "envelope beside Cedar: clippy" cargo clippy --manifest-path analytics/cedar/Cargo.toml --all-targets --locked -- -D warnings
step "envelope beside Cedar: tests" cargo test --manifest-path analytics/cedar/Cargo.toml --locked
openapi=0
scripts/venv.sh tests/openapi/requirements.txt >/dev/null || openapi=$?
case $openapi in
  0) step "OpenAPI document against a running ambit" tests/openapi/run.sh ;;
  3) skipped "OpenAPI document against a running ambit" "tests/openapi/requirements.txt could not be installed" ;;
  *) finish "$openapi" ;;
esac
step "every line of docs/api.md against a running ambit" tests/docs/run.sh
step "browser" scripts/browser.sh
finish 0
