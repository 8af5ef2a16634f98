# Sourced: Apache Kafka beside the embedded broker, as AMBIT_KAFKA_HOME, or a loud word where Maven's registry cannot be reached.
# shellcheck shell=bash
kafka=0
tests/kafka/kafka.sh install || kafka=$?
case $kafka in
  0)
    AMBIT_KAFKA_HOME=$(tests/kafka/kafka.sh home)
    export AMBIT_KAFKA_HOME
    ;;
  3) echo "SKIPPED: Apache Kafka, its jars could not be had from Maven's registry" ;;
  *) exit "$kafka" ;;
esac
