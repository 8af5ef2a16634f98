#!/usr/bin/env bash
# Installs what is missing on a Debian machine, or says exactly what to install. Quick when nothing is missing.
#   setup.sh demo     what `make demo`, `make build` and `make install` need: Rust, Node.js, a C toolchain
#   setup.sh bench    that, and what Apache Kafka needs
#   setup.sh test     everything
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-test}
case $what in
  demo | bench | test) ;;
  *)
    sed -n '2,5p' "$0"
    exit 2
    ;;
esac

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
rust=1.95 node=20.19 deny=0.20.2
export PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH

fail() {
  echo "setup: $*" >&2
  exit 2
}

# at_least 1.95 1.96.2: whether the second version is the first or later
at_least() {
  [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

# Runs as root; where that cannot be, fails.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}
can_be_root() {
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null 2>&1
}

# The version of a package that could be installed; nothing when there is none. A fresh machine knows of no packages yet.
updated=no
candidate() { # package
  command -v apt-cache >/dev/null || return 0
  LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \(.*\)$/\1/p' | grep -v '(none)' || true
}
update() {
  if [ "$updated" = no ] && command -v apt-get >/dev/null && can_be_root; then
    as_root apt-get -qq update || fail "the lists of packages could not be had: see above"
    updated=yes
  fi
}

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
need_file /usr/include/zlib.h zlib1g-dev
need_file /usr/include/openssl/ssl.h libssl-dev
need_file /etc/ssl/certs/ca-certificates.crt ca-certificates

if [ "$what" != demo ]; then
  need python3 python3
  need mvn maven
  if ! command -v java >/dev/null 2>&1; then
    update
    if [ -n "$(candidate openjdk-17-jre-headless)" ]; then
      missing+=(openjdk-17-jre-headless)
    else
      missing+=(openjdk-21-jre-headless)
    fi
  fi
fi
if [ "$what" = test ]; then
  need git git
  need strace strace
  need chromium chromium
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
fi

# Rust and Node.js are the machine owner's choice where they are there; where they are not, the distribution's will do
# if they are new enough.
if ! command -v cargo >/dev/null; then
  update
  [ -z "$(candidate rustup)" ] || missing+=(rustup)
fi
if ! command -v node >/dev/null; then
  update
  found=$(candidate nodejs)
  if [ -n "$found" ] && at_least "$node" "${found%%[-+~]*}"; then missing+=(nodejs npm); fi
fi

if [ ${#missing[@]} -gt 0 ]; then
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  command -v apt-get >/dev/null || fail "this is not Debian; install what these packages hold: ${missing[*]}"
  if ! can_be_root; then
    echo "setup: packages are missing, and this is neither root nor is there sudo. As root, run:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 2
  fi
  echo "setup: installing ${missing[*]}"
  update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}"
fi

command -v cargo >/dev/null || fail "Rust is missing, and this distribution has no package rustup: install it as rustup.rs
  says (one line), then run this again; which version is taken stands in rust-toolchain.toml"
# With rustup, this installs the toolchain that rust-toolchain.toml names, if it is not there.
found=$(rustc --version | cut -d ' ' -f 2)
at_least "$rust" "$found" || fail "Rust $rust or later is needed, this is $found: rustup toolchain install $rust"
command -v node >/dev/null || fail "Node.js is missing, and this distribution has no $node or later: install the LTS version
  from nodejs.org (the archive for Linux, unpacked to /usr/local, is enough), then run this again"
found=$(node --version | tr -d v)
at_least "$node" "$found" || fail "Node.js $node or later is needed, this is $found: install the LTS version from nodejs.org"
command -v npm >/dev/null || fail "npm is missing: it comes with Node.js (on Debian: apt-get install npm)"

if [ "$what" = test ]; then
  cargo fmt --version >/dev/null 2>&1 || fail "rustfmt is missing: rustup component add rustfmt"
  cargo clippy --version >/dev/null 2>&1 || fail "clippy is missing: rustup component add clippy"
  # What checks the licences; scripts/test.sh says so when it could not be had.
  if ! cargo deny --version >/dev/null 2>&1 && [ ! -x "$cache/tools/bin/cargo-deny" ]; then
    echo "setup: building cargo-deny $deny into $cache/tools (once; takes some minutes)"
    CARGO_TARGET_DIR=$cache/tools/target cargo install --quiet --locked --root "$cache/tools" --version "$deny" cargo-deny ||
      echo "setup: cargo-deny could not be built" >&2
    rm -rf "$cache/tools/target"
  fi
fi
