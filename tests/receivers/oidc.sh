#!/usr/bin/env bash
# The authorization server of tests/receivers/package.json in a directory of its own: prints the path of its script. Exit code
# 3: it cannot be had here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${XDG_CACHE_HOME:-$HOME/.cache}/ambit/oidc
mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
cp "$here/package.json" "$here/oidc.mjs" "$dir/"
if ! cmp -s "$here/package.json" "$dir/complete"; then
  command -v npm >/dev/null || {
    echo "npm is not installed" >&2
    exit 3
  }
  npm --prefix "$dir" install --silent --no-audit --no-fund >&2 || {
    echo "the packages of tests/receivers/package.json could not be installed" >&2
    exit 3
  }
  cp "$here/package.json" "$dir/complete"
fi
echo "$dir/oidc.mjs"
