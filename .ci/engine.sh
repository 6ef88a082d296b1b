#!/usr/bin/env bash
# Makes sure that a Docker Engine answers, with the plugins compose and buildx, and that the two base images of the tests are
# there. Run it as often as you like: what is there already is left alone. Where no image can be pulled, images are made
# from Debian packages.
set -euo pipefail

BASE=debian:bookworm-slim
BARE=spinal-cord/bare:bookworm # what a person starts from: git, make, python3 and venv, and a user that is not root
BARE_PACKAGES=git,make,python3,python3-venv,ca-certificates
CACHE=${CI_CACHE:-/var/cache/spinal-cord-ci}
LOG=/var/log/ci-dockerd.log
PIDFILE=/run/ci-dockerd.pid

say() { printf 'engine: %s\n' "$*"; }
die() { printf 'engine: %s\n' "$*" >&2; exit 1; }
answers() { docker info >/dev/null 2>&1; }
has() { docker image inspect "$1" >/dev/null 2>&1; }
# The mirror that this machine already uses.
mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | awk 'NR == 1'; }

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  command -v apt-get >/dev/null || die "this is not Debian: install and start Docker yourself, then try again"
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

install_engine() {
  command -v dockerd >/dev/null && return
  say "installing the engine from Debian's packages …"
  install_packages docker.io iptables ca-certificates
}

has_plugins() { docker compose version && docker buildx version; } >/dev/null 2>&1

# Debian 12 has neither plugin. They are two static programs, so the next release's packages are taken, and by their pin
# nothing else of it.
install_plugins() {
  has_plugins && return
  say "installing compose and buildx …"
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || die "docker compose and docker buildx are needed: install them, then try again"
  printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
    "$(mirror)" >/etc/apt/sources.list.d/spinal-cord-trixie.sources
  printf 'Package: *\nPin: release n=trixie\nPin-Priority: -10\n\nPackage: docker-compose docker-buildx\nPin: release n=trixie\nPin-Priority: 990\n' \
    >/etc/apt/preferences.d/spinal-cord-trixie
  install_packages docker-compose docker-buildx
  has_plugins || die "docker compose and docker buildx do not answer after their installation"
}

# Tests run the documents' commands, which use curl and jq; a test that is skipped for want of a tool fails the gate.
install_tools() {
  local missing=()
  for tool in curl jq; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  command -v ss >/dev/null || missing+=(iproute2) # a test reads the listen backlog with ss
  command -v ssh-keygen >/dev/null || missing+=(openssh-client) # machines of the deployment tests let in by key
  [ "${#missing[@]}" = 0 ] && return
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    say "installing ${missing[*]} …"
    install_packages "${missing[@]}"
  else
    say "${missing[*]} not found: the tests that need it will say that they were left out"
  fi
}

start_engine() {
  say "starting the engine …"
  if [ -d /run/systemd/system ]; then
    systemctl start docker
  else
    setsid nohup dockerd --pidfile "$PIDFILE" >"$LOG" 2>&1 </dev/null &
  fi
  for _ in $(seq 150); do answers && return; sleep 0.2; done
  tail -n 20 "$LOG" >&2 || true
  die "the engine did not answer within 30 s"
}

# debootstrap NAME IMAGE OPTION…: one packed file per week, so that the next run imports in a second.
debootstrap() {
  local name=$1 image=$2 packed
  packed=$CACHE/$name-$(date -u +%G%V).tar.zst
  if [ ! -s "$packed" ]; then
    command -v mmdebstrap >/dev/null && command -v zstd >/dev/null || install_packages mmdebstrap zstd
    mkdir -p "$CACHE"
    rm -f "$CACHE/$name"-*.tar.zst*
    mmdebstrap --quiet --variant=minbase "${@:3}" --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
      --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
      --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
      bookworm - "$(mirror)" | zstd --quiet -3 >"$packed.part"
    mv "$packed.part" "$packed"
  fi
  zstd --quiet --decompress --stdout "$packed" | docker import --change 'CMD ["bash"]' - "$image" >/dev/null
}

can_debootstrap() { command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; }

make_images() {
  if ! has "$BASE"; then
    say "making $BASE …"
    if can_debootstrap; then
      debootstrap base "$BASE" --include=ca-certificates
    else
      docker pull --quiet "$BASE"
    fi
  fi
  if ! has "$BARE"; then
    say "making $BARE …"
    if can_debootstrap; then
      debootstrap bare "$BARE" --include="$BARE_PACKAGES" --customize-hook='chroot "$1" useradd --create-home --uid 1000 person'
    else
      printf 'FROM %s\nRUN apt-get update && apt-get install -y --no-install-recommends %s && useradd --create-home --uid 1000 person\n' \
        "$BASE" "${BARE_PACKAGES//,/ }" | docker build --quiet --tag "$BARE" - >/dev/null
    fi
  fi
}

install_tools
if ! answers; then
  [ "$(id -u)" = 0 ] || die "no engine answers, and this is not root: start Docker, or join its group, or run this as root"
  install_engine
  answers || start_engine
fi
install_plugins
make_images
say "Docker Engine $(docker version --format '{{.Server.Version}}') answers; images: $BASE, $BARE"
