#!/usr/bin/env bash
# Measures in a release build, on the embedded broker and on Apache Kafka, in one run.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
scripts/setup.sh bench
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
scripts/broker.sh --release
export AMBIT_BROKER_BIN=$CARGO_TARGET_DIR/release/ambit-broker
. scripts/kafka.sh
exec cargo bench --locked --bench pipeline -- "$@"
