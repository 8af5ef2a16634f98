#!/usr/bin/env bash
# Measures drift detection in a release build: false alarms and delays, beside ADWIN of river.
#   AMBIT_BENCH_DATA=DIR   recorded runs (a folder with agentdyn/); skipped when absent
#   AMBIT_BENCH_RIVER=no   without the peer
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
export PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
args=(--data "${AMBIT_BENCH_DATA:-../shared/data}")
if [ "${AMBIT_BENCH_RIVER:-}" != no ]; then
  python=$(scripts/venv.sh analytics/benches/detect/requirements.txt)
  mkdir -p target/bench
  "$python" analytics/benches/detect/adwin.py target/bench/river.json "${AMBIT_BENCH_RIVER_EVENTS:-5000000}" 300
  args+=(--river target/bench/river.json)
fi
# Relative paths are the caller's: cargo runs benchmarks in the folder of their package.
for i in "${!args[@]}"; do
  [ "${args[$i]#--}" != "${args[$i]}" ] || args[i]=$(realpath -m "${args[$i]}")
done
exec ${AMBIT_CARGO:-cargo} bench --locked -p ambit-analytics --bench detect -- "${args[@]}"
