#!/usr/bin/env bash
# Builds the embedded broker. Its crates ask for a newer compiler than they need: see broker/README.md.
set -euo pipefail
cd "$(dirname "$0")/../broker"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
exec env CARGO_TARGET_DIR="${AMBIT_BROKER_TARGET_DIR:-$cache/broker-target}" cargo build --locked --ignore-rust-version "$@"
