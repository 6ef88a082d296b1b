#!/usr/bin/env bash
# Installs the OpenClaw gateway that tests run against, with the Node that it needs, into a cache folder outside the project
# (SPINE_GATEWAY_CACHE, else ~/.cache/spinal-cord/gateway). Run it as often as you like: what is there already is left alone.
#
#   gateway.sh          installs what is missing
#   gateway.sh where    prints the folder with the packages; fails when they are not there
#
# Exact versions with their digests stand in tests/support/gateway; npm holds each package against its digest. No package's
# own install script is run.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
pins=$here/tests/support/gateway
cache=${SPINE_GATEWAY_CACHE:-$HOME/.cache/spinal-cord/gateway}
# Other pins are another folder, so that two checkouts of different age do not take each other's away.
folder=$cache/$(cat "$pins/package.json" "$pins/package-lock.json" | sha256sum | cut -c 1-16)
SECONDS_MOST=540

say() { printf 'gateway: %s\n' "$*"; }
die() { printf 'gateway: %s\n' "$*" >&2; exit 1; }
complete() { [ -f "$folder/.complete" ]; }

if [ "${1:-}" = where ]; then
  complete || exit 1
  printf '%s\n' "$folder"
  exit
fi

find_npm() {
  command -v npm >/dev/null && return
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || die "npm is needed: install Node.js with npm, then try again"
  say "installing npm from Debian's packages …"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends npm >/dev/null
}

works() {
  local node=$1/node_modules/.bin/node
  "$node" --version && "$node" "$1/node_modules/openclaw/openclaw.mjs" --version
}

mkdir -p "$cache"
case $(realpath "$cache")/ in "$here"/*) die "$cache lies in the project: name a folder outside in SPINE_GATEWAY_CACHE" ;; esac
exec 9>"$cache/.lock"
flock --wait "$SECONDS_MOST" 9 || die "another run holds $cache/.lock"

if ! complete; then
  find_npm
  say "installing OpenClaw into $folder (about 650 MB) …"
  rm -rf "$folder" "$folder.part"
  mkdir "$folder.part"
  cp "$pins/package.json" "$pins/package-lock.json" "$folder.part"
  # The Node that runs npm may be older than the one that OpenClaw wants: that one is among the packages.
  (cd "$folder.part" && timeout "$SECONDS_MOST" npm ci --ignore-scripts --engine-strict=false --no-audit --no-fund \
    --fetch-timeout=60000 --loglevel=error >"$cache/install.log" 2>&1) ||
    { tail -n 20 "$cache/install.log" >&2; die "npm could not install the packages (all it said: $cache/install.log)"; }
  [ -x "$folder.part/node_modules/.bin/node" ] || die "there is no Node among the packages for this machine ($(uname -sm))"
  works "$folder.part" >/dev/null || die "what was installed does not run"
  touch "$folder.part/.complete"
  mv "$folder.part" "$folder"
fi
say "$(works "$folder" | tr '\n' ' ')in $folder"
