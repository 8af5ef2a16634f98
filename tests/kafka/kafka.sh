#!/usr/bin/env bash
# Apache Kafka in KRaft mode, one node, from Maven's jars.
#   kafka.sh install                  copies the jars to the cache; exit code 3 when Maven's registry is out of reach
#   kafka.sh home                     prints where the jars are
#   kafka.sh run --port P --dir DIR   runs the broker in the foreground (formats DIR the first time)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
home=${AMBIT_KAFKA_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/ambit/kafka-3.9.1}

fail() {
  echo "kafka.sh: $*" >&2
  exit 2
}

install() {
  [ -e "$home/complete" ] && return
  command -v mvn >/dev/null || fail "Maven is missing: run scripts/setup.sh"
  mkdir -p "$home"
  echo "copying Apache Kafka's jars to the cache (once)"
  if ! mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$home/libs" >"$home/install.log" 2>&1; then
    tail -n 5 "$home/install.log" >&2
    echo "kafka.sh: Maven's registry cannot be reached, or has not got Apache Kafka" >&2
    exit 3
  fi
  touch "$home/complete"
}

run() {
  local port="" dir=""
  while [ $# -gt 0 ]; do
    case $1 in
      --port) port=$2; shift 2 ;;
      --dir) dir=$2; shift 2 ;;
      *) fail "unknown option $1" ;;
    esac
  done
  [ -n "$port" ] && [ -n "$dir" ] || fail "run needs --port and --dir"
  [ -e "$home/complete" ] || fail "the jars are not there: run kafka.sh install"
  mkdir -p "$dir"
  local classpath="$home/libs/*" controller
  controller=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
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
    java -cp "$classpath" kafka.tools.StorageTool format -t "$(java -cp "$classpath" kafka.tools.StorageTool random-uuid)" \
      -c "$dir/server.properties" >"$dir/format.log" 2>&1 || { cat "$dir/format.log" >&2; exit 2; }
  fi
  exec java -Xms256m -Xmx512m -XX:+UseSerialGC -cp "$classpath" kafka.Kafka "$dir/server.properties" \
    >>"$dir/kafka.log" 2>&1
}

case ${1:-} in
  install) install ;;
  home) echo "$home" ;;
  run) shift; run "$@" ;;
  *) sed -n '2,5p' "$0"; exit 2 ;;
esac
