#!/usr/bin/env bash
# Clicks through the console of a running ambit in headless Chromium.
#   run.sh http://127.0.0.1:PORT/#token=...        or the same address in AMBIT_URL
#   run.sh ADDRESS RESPONDER RESPONDER VIEWER      three more tokens: what people do, where nothing is revoked without them
# Needs Node.js 20 and Chromium (AMBIT_CHROMIUM names another binary). Pictures go to target/browser/.
set -euo pipefail
cd "$(dirname "$0")"

url=${1:-${AMBIT_URL:-}}
if [ -z "$url" ]; then
  echo "browser test: give the address that ambit prints, as argument or in AMBIT_URL" >&2
  exit 2
fi
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci --no-audit --no-fund --loglevel=error
fi
exec node main.mjs "$url" "${@:2}"
