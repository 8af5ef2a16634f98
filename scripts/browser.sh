#!/usr/bin/env bash
# Starts the demo on free ports with data of its own, clicks through the console, and ends it again. Then once more with a
# policy that revokes nothing without people, and with people.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
target=${CARGO_TARGET_DIR:-$cache/target}
export AMBIT_BROKER_BIN=${AMBIT_BROKER_BIN:-${CARGO_TARGET_DIR:-$cache/target}/debug/ambit-broker}
dir=$(mktemp -d)
demo=
finish() {
  [ -z "$demo" ] || { kill "$demo" 2>/dev/null && wait "$demo" || true; }
  rm -rf "$dir"
}
trap finish EXIT

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() { # name; its configuration's end on standard input
  gateway=127.0.0.1:$(free_port)
  cat >"$dir/$1.toml" <<CONF
data_dir = "$dir/$1"
[broker]
listen = "127.0.0.1:$(free_port)"
[gateway]
listen = "$gateway"
$(cat)
CONF
  rm -f "$dir/url"
  "$target/debug/ambit" --config "$dir/$1.toml" demo --listen "127.0.0.1:$(free_port)" --url-file "$dir/url" --seconds 600 \
    >"$dir/out" 2>"$dir/log" &
  demo=$!
  for _ in $(seq 300); do
    [ -s "$dir/url" ] && return
    if ! kill -0 "$demo" 2>/dev/null; then
      echo "the demo did not start:" >&2
      tail -n 20 "$dir/log" >&2
      exit 1
    fi
    sleep 0.2
  done
  echo "the demo has not started within a minute" >&2
  exit 1
}

click() { # tokens
  tests/browser/run.sh "$(cat "$dir/url")" "$@" || {
    echo "the demo's log ends with:" >&2
    tail -n 20 "$dir/log" >&2
    exit 1
  }
  kill "$demo"
  wait "$demo" || true
  demo=
}

token() { # name role
  "$target/debug/ambit" --config "$dir/people.toml" token create --name "$1" --role "$2" --tenant acme --days 1 2>/dev/null
}

start alone </dev/null
click

cat >"$dir/policy.toml" <<'POLICY'
[budget]
revocations_per_hour = 0
[[rule]]
name = "end the task"
min_severity = "high"
action = "revoke_task"
POLICY
start people <<CONF
[enforcement]
policy_file = "$dir/policy.toml"
CONF
AMBIT_GATEWAY="http://$gateway $(cat "$dir/people/keys/gateway.token")"
export AMBIT_GATEWAY
click "$(token kim responder)" "$(token lee responder)" "$(token vic viewer)"
