#!/usr/bin/env bash
# The fault matrix at length, on both brokers: every test that docs/faults.md names, and its table with the results.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
scripts/setup.sh bench
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
export AMBIT_BROKER_BIN=${AMBIT_BROKER_BIN:-${CARGO_TARGET_DIR:-$cache/target}/debug/ambit-broker}
export AMBIT_FAULT_ROUNDS=${AMBIT_FAULT_ROUNDS:-50}
scripts/broker.sh
. scripts/kafka.sh

mapfile -t tests < <(awk -F'|' '/^\| [A-Z][0-9]/ { print $5 }' docs/faults.md | grep -o '`[a-z_]*`' | tr -d '`' | sort -u)
[ "${#tests[@]}" -gt 0 ] || { echo "faults: docs/faults.md names no tests" >&2; exit 1; }
echo "${#tests[@]} tests, rounds of each: $AMBIT_FAULT_ROUNDS (AMBIT_FAULT_ROUNDS)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
cargo test --locked --no-fail-fast --workspace --lib --tests -- --show-output "${tests[@]}" 2>&1 | tee "$log" || code=$?

printf '\n%-4s %-9s %s\n' '#' result fault
while IFS='|' read -r _ id fault _ named _; do
  result=ok
  for name in $(grep -o '`[a-z_]*`' <<<"$named" | tr -d '`'); do
    if ! grep -Eq "^test (.*::)?$name \.\.\. " "$log" && [ "$result" = ok ]; then result="NOT RUN"; fi
    if grep -A3 -E "^---- (.*::)?$name stdout" "$log" | grep -q '^SKIPPED' && [ "$result" = ok ]; then result="in part"; fi
    if grep -Eq "^test (.*::)?$name \.\.\. FAILED" "$log"; then result=FAILED; fi
  done
  if [ "$result" = FAILED ] || [ "$result" = "NOT RUN" ]; then code=1; fi
  printf '%-4s %-9s %s\n' "$(xargs <<<"$id")" "$result" "$(sed 's/^ *//; s/ *$//' <<<"$fault")"
done < <(grep -E '^\| [A-Z][0-9]' docs/faults.md)
exit "$code"
