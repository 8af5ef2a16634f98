#!/usr/bin/env bash
# Installs what is missing on a Debian machine, or says exactly what to install. Quick when nothing is missing.
set -euo pipefail

missing=()
need() { # command package
  command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}
need_file() { # package, then files of which one must exist
  local package=$1 file
  shift
  for file in "$@"; do
    [ -e "$file" ] && return
  done
  missing+=("$package")
}

need cc build-essential
need make make
need pkg-config pkg-config
need cmake cmake
need python3 python3
need curl curl
need git git
need zstd zstd
need strace strace
need chromium chromium
need java openjdk-17-jdk-headless
need mvn maven
need_file zlib1g-dev /usr/include/zlib.h
need_file libssl-dev /usr/include/openssl/ssl.h
need_file ca-certificates /etc/ssl/certs/ca-certificates.crt

if [ ${#missing[@]} -gt 0 ]; then
  echo "installing: ${missing[*]}"
  root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      echo "setup: neither root nor sudo; run as root: apt-get install ${missing[*]}" >&2
      exit 2
    fi
    root=(sudo)
  fi
  export DEBIAN_FRONTEND=noninteractive
  "${root[@]}" apt-get update -qq
  "${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

fail() {
  echo "setup: $*" >&2
  exit 2
}

command -v cargo >/dev/null || fail "Rust is missing: install rustup, then the toolchain that rust-toolchain.toml names"
cargo fmt --version >/dev/null 2>&1 || fail "rustfmt is missing: rustup component add rustfmt"
cargo clippy --version >/dev/null 2>&1 || fail "clippy is missing: rustup component add clippy"
command -v node >/dev/null || fail "Node.js 20 or later is missing"
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || fail "Node.js 20 or later is needed, this is $(node --version)"
command -v npm >/dev/null || fail "npm is missing"
