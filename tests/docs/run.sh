#!/usr/bin/env bash
# Runs every line of docs/api.md that begins with `curl`, `api` or `tail` against a running ambit, as it stands there, so that the
# page cannot say what is not so. Needs Python 3 and curl.
set -euo pipefail
cd "$(dirname "$0")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
export AMBIT_BROKER_BIN=${AMBIT_BROKER_BIN:-${CARGO_TARGET_DIR:-$cache/target}/debug/ambit-broker}
ambit=${CARGO_TARGET_DIR:-$cache/target}/debug/ambit
[ -x "$ambit" ] || {
  echo "$ambit is not there: run cargo build" >&2
  exit 1
}

dir=$(mktemp -d)
pid=
finish() {
  [ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid" || true; }
  rm -rf "$dir"
}
trap finish EXIT

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# Nothing is revoked without people, so that a response waits for them.
cat >"$dir/policy.toml" <<TOML
[budget]
revocations_per_hour = 0
[approval]
approvals = 2
[[rule]]
name = "end the task"
min_severity = "high"
action = "revoke_task"
TOML
cat >"$dir/ambit.toml" <<TOML
data_dir = "$dir/data"
[api]
listen = "127.0.0.1:$(port)"
[gateway]
listen = "127.0.0.1:$(port)"
[broker]
listen = "127.0.0.1:$(port)"
[ingest]
commit_every_ms = 200
[enforcement]
policy_file = "$dir/policy.toml"
TOML
"$ambit" --config "$dir/ambit.toml" --log warn up --url-file "$dir/url" >/dev/null 2>"$dir/log" &
pid=$!
for _ in $(seq 300); do
  [ -s "$dir/url" ] && break
  kill -0 "$pid" 2>/dev/null || { cat "$dir/log" >&2; exit 1; }
  sleep 0.2
done
url=$(cat "$dir/url")
"$ambit" --config "$dir/ambit.toml" --log warn simulate --events 400 --attack-every 4 >/dev/null

mkdir "$dir/work"
python3 lines.py ../../docs/api.md "${url%%/#*}" "${url##*=}" "$dir/work" || {
  echo "the log ends with:" >&2
  tail -n 20 "$dir/log" >&2
  exit 1
}
