#!/usr/bin/env bash
# Builds the embedded broker. Its crates ask for a newer compiler than they need: see broker/README.md.
set -euo pipefail
cd "$(dirname "$0")/../broker"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
# Shared with ambit: what both are built of is built once.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
[ -d "$CARGO_TARGET_DIR" ] || echo "broker: building (the first time takes a few minutes)"
exec cargo build --locked --ignore-rust-version "$@"
