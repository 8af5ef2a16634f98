#!/usr/bin/env bash
# Installs what is missing on a Debian machine, or says exactly what to install. Quick when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
need() { # command package
  command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}
need_file() { # file package
  [ -e "$1" ] || missing+=("$2")
}

need cc build-essential
need c++ build-essential
need make make
need pkg-config pkg-config
need cmake cmake
need python3 python3
need curl curl
need git git
need zstd zstd
need chromium chromium
need javac openjdk-17-jdk-headless
need mvn maven
need_file /usr/include/zlib.h zlib1g-dev
need_file /usr/include/openssl/ssl.h libssl-dev
need_file /etc/ssl/certs/ca-certificates.crt ca-certificates

if [ ${#missing[@]} -gt 0 ]; then
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      echo "setup: packages are missing, and this is neither root nor is there sudo. As root, run:" >&2
      echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
      exit 2
    fi
    root=(sudo)
  fi
  command -v apt-get >/dev/null || {
    echo "setup: this is not Debian; install what these packages hold: ${missing[*]}" >&2
    exit 2
  }
  echo "setup: installing ${missing[*]}"
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}"
fi

fail() {
  echo "setup: $*" >&2
  exit 2
}

# at_least 1.95 1.96.2: whether the second version is the first or later
at_least() {
  [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

rust=1.95 node=20.19
command -v cargo >/dev/null || fail "Rust is missing: install rustup (rustup.rs); it reads rust-toolchain.toml"
found=$(rustc --version | cut -d ' ' -f 2)
at_least "$rust" "$found" || fail "Rust $rust or later is needed, this is $found: rustup toolchain install $rust"
cargo fmt --version >/dev/null 2>&1 || fail "rustfmt is missing: rustup component add rustfmt"
cargo clippy --version >/dev/null 2>&1 || fail "clippy is missing: rustup component add clippy"
command -v node >/dev/null || fail "Node.js is missing: install $node or later (nodejs.org)"
found=$(node --version | tr -d v)
at_least "$node" "$found" || fail "Node.js $node or later is needed, this is $found"
command -v npm >/dev/null || fail "npm is missing: it comes with Node.js"
