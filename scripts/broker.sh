#!/usr/bin/env bash
# Builds the embedded broker. Its crates ask for a newer compiler than they need: see broker/README.md.
set -euo pipefail
cd "$(dirname "$0")/../broker"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
export CARGO_TARGET_DIR=${AMBIT_BROKER_TARGET_DIR:-$cache/broker-target}
[ -d "$CARGO_TARGET_DIR" ] || echo "broker: building (the first time takes a few minutes)"
exec cargo build --locked --ignore-rust-version "$@"
