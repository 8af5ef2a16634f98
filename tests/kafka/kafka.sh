#!/usr/bin/env bash
# Apache Kafka in KRaft mode, one node (broker and controller), from Maven's jars.
#   kafka.sh install                  copies the jars to the cache; exit code 3 when Maven's registry is out of reach
#   kafka.sh home                     prints where the jars are
#   kafka.sh run --port P --dir DIR   runs it in the foreground; formats DIR the first time and keeps it afterwards
#   kafka.sh start --port P --dir DIR runs it in the background; prints `ready 127.0.0.1:P` once it takes connections
#   kafka.sh stop --dir DIR           stops what `start` started
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's/.*<kafka.version>\(.*\)<.*/\1/p' "$here/pom.xml")
home=${AMBIT_KAFKA_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/ambit/kafka-$version}
ready_within=60
stop_within=30

fail() {
  echo "kafka.sh: $*" >&2
  exit 2
}

install() {
  [ -e "$home/complete" ] && return
  command -v mvn >/dev/null || fail "Maven is missing: run scripts/setup.sh"
  mkdir -p "$home"
  echo "copying Apache Kafka $version to the cache (once)"
  if ! mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$home/libs" \
    >"$home/install.log" 2>&1; then
    tail -n 5 "$home/install.log" >&2
    echo "####################################################################" >&2
    echo "## Apache Kafka $version could not be had from Maven's registry:" >&2
    echo "## it is out of reach, or refuses the jars. Everything: $home/install.log" >&2
    echo "####################################################################" >&2
    exit 3
  fi
  touch "$home/complete"
}

options() {
  port="" dir=""
  while [ $# -gt 0 ]; do
    case $1 in
      --port) port=${2:-}; shift 2 || fail "--port needs a value" ;;
      --dir) dir=${2:-}; shift 2 || fail "--dir needs a value" ;;
      *) fail "unknown option $1" ;;
    esac
  done
  [ -n "$dir" ] || fail "--dir is missing"
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

listens() { # port
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Whether what `start` started still runs: the number may belong to another process by now, or to a zombie.
runs() { # dir
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$1"
}

port_is_free() {
  [ -n "$port" ] || fail "--port is missing"
  if listens "$port"; then fail "port $port is taken: stop what listens there, or choose another --port"; fi
}

run() {
  options "$@"
  [ -e "$home/complete" ] || fail "the jars are not there: run kafka.sh install"
  port_is_free
  mkdir -p "$dir"
  local classpath="$home/libs/*" controller
  controller=$(free_port)
  cat >"$dir/server.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/logs
auto.create.topics.enable=false
message.max.bytes=17825792
replica.fetch.max.bytes=17825792
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.hours=24
num.network.threads=2
num.io.threads=2
CONF
  # A restart gets another controller port: the voters are read from the properties, not from the formatted log.
  if [ ! -e "$dir/logs/meta.properties" ]; then
    local cluster
    cluster=$(java -cp "$classpath" kafka.tools.StorageTool random-uuid 2>/dev/null)
    java -cp "$classpath" kafka.tools.StorageTool format -t "$cluster" -c "$dir/server.properties" \
      >"$dir/format.log" 2>&1 || { cat "$dir/format.log" >&2; exit 2; }
  fi
  exec java -Xms256m -Xmx512m -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -Dorg.slf4j.simpleLogger.showDateTime=true -cp "$classpath" kafka.Kafka "$dir/server.properties" \
    >>"$dir/kafka.log" 2>&1
}

start() {
  options "$@"
  if runs "$dir"; then fail "Kafka already runs in $dir"; fi
  port_is_free
  mkdir -p "$dir"
  setsid "$0" run "$@" </dev/null >"$dir/start.log" 2>&1 &
  local deadline=$((SECONDS + ready_within))
  echo $! >"$dir/pid"
  until listens "$port" && grep -q . "$dir/logs/meta.properties" 2>/dev/null; do
    if ! runs "$dir"; then
      cat "$dir/start.log" >&2
      tail -n 20 "$dir/kafka.log" >&2 2>/dev/null || true
      fail "Kafka ended before it was ready"
    fi
    [ "$SECONDS" -lt "$deadline" ] || { stop --dir "$dir"; fail "not ready within $ready_within s: see $dir/kafka.log"; }
    sleep 0.1
  done
  echo "ready 127.0.0.1:$port"
}

stop() {
  options "$@"
  local deadline=$((SECONDS + stop_within)) signal=TERM
  while runs "$dir"; do
    kill -s "$signal" "$(cat "$dir/pid")" 2>/dev/null || true
    if [ "$SECONDS" -ge "$deadline" ]; then signal=KILL; fi
    sleep 0.2
  done
  rm -f "$dir/pid"
}

case ${1:-} in
  install) install ;;
  home) echo "$home" ;;
  run | start | stop) "$@" ;;
  *) sed -n '2,7p' "$0"; exit 2 ;;
esac
