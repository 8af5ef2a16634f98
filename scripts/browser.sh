#!/usr/bin/env bash
# Starts the demo on free ports with data of its own, clicks through the console, and ends it again.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
target=${CARGO_TARGET_DIR:-$cache/target}
export AMBIT_BROKER_BIN=${AMBIT_BROKER_BIN:-${CARGO_TARGET_DIR:-$cache/target}/debug/ambit-broker}
dir=$(mktemp -d)
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
cat >"$dir/ambit.toml" <<CONF
[broker]
listen = "127.0.0.1:$(free_port)"
[gateway]
listen = "127.0.0.1:$(free_port)"
CONF

"$target/debug/ambit" --config "$dir/ambit.toml" --data-dir "$dir/data" demo \
  --listen "127.0.0.1:$(free_port)" --url-file "$dir/url" --seconds 600 >"$dir/out" 2>"$dir/log" &
demo=$!
finish() {
  kill "$demo" 2>/dev/null || true
  wait "$demo" 2>/dev/null || true
  rm -rf "$dir"
}
trap finish EXIT

for _ in $(seq 300); do
  [ -s "$dir/url" ] && break
  if ! kill -0 "$demo" 2>/dev/null; then
    echo "the demo did not start:" >&2
    tail -n 20 "$dir/log" >&2
    exit 1
  fi
  sleep 0.2
done
tests/browser/run.sh "$(cat "$dir/url")" || {
  echo "the demo's log ends with:" >&2
  tail -n 20 "$dir/log" >&2
  exit 1
}
