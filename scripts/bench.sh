#!/usr/bin/env bash
# Measures in a release build, on the embedded broker and on Apache Kafka, in one run.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
scripts/setup.sh bench
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
scripts/broker.sh --release
export AMBIT_BROKER_BIN=${AMBIT_BROKER_TARGET_DIR:-$cache/broker-target}/release/ambit-broker
kafka=0
tests/kafka/kafka.sh install || kafka=$?
case $kafka in
  0)
    AMBIT_KAFKA_HOME=$(tests/kafka/kafka.sh home)
    export AMBIT_KAFKA_HOME
    ;;
  3) echo "SKIPPED: Apache Kafka, its jars could not be had from Maven's registry" ;;
  *) exit "$kafka" ;;
esac
exec cargo bench --locked --bench pipeline -- "$@"
