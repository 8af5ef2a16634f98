#!/usr/bin/env bash
# Runs every line of docs/api.md that begins with `curl`, `api` or `tail` against a running ambit, as it stands there, so that the
# page cannot say what is not so. Needs Python 3 and curl.
set -euo pipefail
cd "$(dirname "$0")"
. ../serve.sh
# Nothing is revoked without people, so that a response waits for them.
serve '[budget]
revocations_per_hour = 0
[approval]
approvals = 2
[[rule]]
name = "end the task"
min_severity = "high"
action = "revoke_task"'

mkdir "$dir/work"
python3 lines.py ../../docs/api.md "$url" "$token" "$dir/work" || {
  echo "the log ends with:" >&2
  tail -n 20 "$log" >&2
  exit 1
}
