#!/usr/bin/env bash
# Builds the web console into dashboards/dist, unless it is newer than all its sources.
set -euo pipefail
cd "$(dirname "$0")/../dashboards"

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "console: installing packages"
  npm ci --no-audit --no-fund --loglevel=error
fi
if [ ! -e dist/index.html ] || [ -n "$(find src index.html package.json vite.config.ts -newer dist/index.html -print -quit)" ]; then
  echo "console: building"
  npm run --silent build
fi
