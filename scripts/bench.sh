#!/usr/bin/env bash
# Measures in a release build, on the embedded broker and on Apache Kafka, in one run.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
scripts/broker.sh --release
export AMBIT_BROKER_BIN=${AMBIT_BROKER_TARGET_DIR:-$cache/broker-target}/release/ambit-broker
if tests/kafka/kafka.sh install; then
  AMBIT_KAFKA_HOME=$(tests/kafka/kafka.sh home)
  export AMBIT_KAFKA_HOME
else
  echo "SKIPPED: Apache Kafka, its jars could not be had from Maven's registry"
fi
exec cargo bench --locked --bench pipeline -- "$@"
