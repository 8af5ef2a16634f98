#!/usr/bin/env bash
# The fault matrix at length: processes killed at random points, disks filled, brokers taken away, on both brokers.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
export AMBIT_BROKER_BIN=${AMBIT_BROKER_BIN:-${AMBIT_BROKER_TARGET_DIR:-$cache/broker-target}/debug/ambit-broker}
export AMBIT_FAULT_ROUNDS=${AMBIT_FAULT_ROUNDS:-50}
scripts/broker.sh
tests/kafka/kafka.sh install
AMBIT_KAFKA_HOME=$(tests/kafka/kafka.sh home)
export AMBIT_KAFKA_HOME
cargo test --locked --test it --no-run
listed=$(cargo test --quiet --locked --test it -- faults --list)
grep -q ': test$' <<<"$listed" || {
  echo "faults: there are no tests named so in tests/it" >&2
  exit 1
}
echo "rounds of each: $AMBIT_FAULT_ROUNDS (AMBIT_FAULT_ROUNDS)"
exec cargo test --locked --test it -- faults --nocapture
