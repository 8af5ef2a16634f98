#!/usr/bin/env bash
# Packages from PyPI in a virtual environment of their own: venv.sh REQUIREMENTS. Prints the path of its Python. Exit code
# 3: they cannot be had here.
set -euo pipefail
requirements=$(realpath "$1")
dir=${XDG_CACHE_HOME:-$HOME/.cache}/ambit/venv
wanted=$(sha256sum "$requirements" | cut -c1-16)
mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
if [ ! -x "$dir/$wanted/bin/python" ] || [ ! -f "$dir/$wanted/complete" ]; then
  rm -rf "${dir:?}/$wanted"
  python3 -m venv "$dir/$wanted" >&2 || {
    echo "python3 with the venv module is not installed" >&2
    exit 3
  }
  "$dir/$wanted/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements" >&2 || {
    echo "the packages of $1 could not be installed" >&2
    exit 3
  }
  touch "$dir/$wanted/complete"
fi
echo "$dir/$wanted/bin/python"
