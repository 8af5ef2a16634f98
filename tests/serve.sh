# Starts the built ambit with events in it, for a script that asks it over HTTP; to be sourced.
#   serve POLICY   the response policy; without one, the built-in policy holds
# Sets `url`, `token`, `pid`, `log` and `dir`, a directory of its own; all of it ends and goes with the script.
target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ambit/target}
export AMBIT_BROKER_BIN=${AMBIT_BROKER_BIN:-$target/debug/ambit-broker}
ambit=$target/debug/ambit
[ -x "$ambit" ] || {
  echo "$ambit is not there: run cargo build" >&2
  exit 1
}

dir=$(mktemp -d)
log=$dir/log
pid=
finish() {
  [ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid" || true; }
  rm -rf "$dir"
}
trap finish EXIT

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

serve() {
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
TOML
  if [ $# -gt 0 ]; then
    printf '%s\n' "$1" >"$dir/policy.toml"
    printf '[enforcement]\npolicy_file = "%s"\n' "$dir/policy.toml" >>"$dir/ambit.toml"
  fi
  "$ambit" --config "$dir/ambit.toml" --log warn up --url-file "$dir/url" >/dev/null 2>"$log" &
  pid=$!
  for _ in $(seq 300); do
    [ -s "$dir/url" ] && break
    kill -0 "$pid" 2>/dev/null || { cat "$log" >&2; exit 1; }
    sleep 0.2
  done
  url=$(cat "$dir/url")
  token=${url##*=}
  url=${url%%/#*}
  "$ambit" --config "$dir/ambit.toml" --log warn simulate --events 400 --attack-every 4 >/dev/null
}
