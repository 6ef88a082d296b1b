# Part of install.sh: where things go, the release, the settings.
# shellcheck shell=sh disable=SC2034,SC2154

say() { printf '%s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

# By systemd for the whole machine, else for this user alone.
choose_places() {
  if [ "$(id -u)" = 0 ]; then
    [ -d /run/systemd/system ] || die 'systemd does not run here: run this as the user that the service is to run as'
    mode=systemd prefix=/opt/spinal-cord config=/etc/spinal-cord state=/var/lib
  else
    mode=user
    [ "$(uname -s)" != Darwin ] || mode=launchd
    prefix=${XDG_DATA_HOME:-$HOME/.local/share}/spinal-cord
    config=${XDG_CONFIG_HOME:-$HOME/.config}/spinal-cord
    state=${XDG_STATE_HOME:-$HOME/.local/state}/spinal-cord
  fi
}

find_python() {
  for python in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    "$python" -c 'import ensurepip, sys, venv; sys.version_info >= (3, 11) or sys.exit(1)' 2>/dev/null && return
  done
  die 'Python 3.11 or newer with venv and pip is needed (Debian: apt install python3-venv); PYTHON=path names one'
}

enough_room() {
  room=$prefix
  while [ ! -d "$room" ]; do room=$(dirname "$room"); done
  free=$(df -Pk "$room" | awk 'NR == 2 {print int($4 / 1024)}')
  [ "$free" -ge 300 ] || die "$free MB are free at $room, 300 MB are needed"
}

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-64; }

# The release is named by what it is made of; each part of it is marked when it is whole, so that an installation that was cut
# off is taken up again.
lay_release() {
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/pyproject.toml")
  digest=$(cd "$here" && find services systemd launchd requirements pyproject.toml -type f \
    ! -path '*/__pycache__/*' ! -path '*.egg-info/*' -exec cat {} + | sha256 | cut -c1-12)
  release=$version-$digest folder=$prefix/releases/$version-$digest
  # Without its Python a release is none: a system upgrade, or Homebrew, may have taken that away.
  "$folder/venv/bin/python" -c '' 2>/dev/null || rm -rf "$folder/venv" "$folder"/.complete-*
  [ ! -e "$folder/.complete-$1" ] || return 0
  say "installing $1 of release $release in $prefix …"
  # Not as `( … ) || die`: a shell does not stop at the first fault in there.
  set +e
  (
    set -e
    umask 022
    mkdir -p "$folder"
    cd "$folder"
    [ -x venv/bin/pip ] || { rm -rf venv && "$python" -m venv venv; }
    pip() { "$folder/venv/bin/pip" --disable-pip-version-check -qq "$@"; }
    export PIP_ROOT_USER_ACTION=ignore
    if [ ! -e .complete-project ]; then
      rm -rf source wheel systemd launchd
      cp -R "$here/systemd" "$here/launchd" .
      # From a copy: setuptools leaves things behind where it builds.
      mkdir source
      (cd "$here" && tar -cf - pyproject.toml README.md LICENSE services) | tar -xf - -C source
      pip install --require-hashes -r "$here/requirements/build.txt"
      pip wheel --no-deps --no-index --no-build-isolation --wheel-dir wheel ./source
      pip uninstall --yes setuptools
      rm -rf source
      : >.complete-project
    fi
    pip install --require-hashes -r "$here/requirements/$1.txt"
    pip install --no-deps --no-index wheel/*.whl
    : >".complete-$1"
  )
  laid=$?
  set -e
  [ "$laid" = 0 ] || die "release $release could not be installed; what runs goes on running"
}

# From here on what starts, starts from this release. One step: a link is never missing.
switch_release() {
  rm -f "$prefix/.current.new"
  ln -s "releases/$release" "$prefix/.current.new"
  mv -fT "$prefix/.current.new" "$prefix/current" 2>/dev/null || mv -fh "$prefix/.current.new" "$prefix/current"
}

settings_file() {
  case $mode-$1 in
    systemd-claw) say "$config/claw-$name.env" ;;
    *) say "$config/$1.env" ;;
  esac
}

# Settings are written once; afterwards they are the operator's.
lay_settings() {
  (umask 022 && mkdir -p "$config" && mkdir -p "$config/secrets" && chmod 700 "$config/secrets")
  [ "$mode" = systemd ] || chmod 700 "$config"
  file=$(settings_file "$1")
  if [ ! -e "$file" ]; then
    {
      cat "$here/install/$1.env.example"
      printf '\n# --- written by install.sh ---\n'
      case $1 in
        spine) setting SPINE_TOKEN_DIGESTS "$config/tokens.digests" ;;
        claw) setting CLAW_NAME "$name" ;;
      esac
      [ -z "$allowed" ] || setting ALLOWED_USER_ID "$allowed"
      [ "$1" = spine ] || setting SPINE_BASE_URL "${url:-http://127.0.0.1:36725}"
      # Units say these themselves.
      [ "$mode" = systemd ] || case $1 in
        spine) setting SPINE_DATA_DIR "$state/spine" ;;
        claw) setting CLAW_STATE_DIR "$state/claw" && setting SPINE_TOKEN_FILE "$config/secrets/$name.token" ;;
        head) setting HEAD_STATE_DIR "$state/head" && setting SPINE_TOKEN_FILE "$config/secrets/head.token" ;;
        chat) setting CHAT_STATE_DIR "$state/chat" && setting SPINE_TOKEN_FILE "$config/secrets/chat.token" ;;
      esac
    } >"$file.new"
    chmod 600 "$file.new" # systemd reads it as root
    mv "$file.new" "$file"
    say "wrote $file"
  elif [ -n "$url" ]; then
    say "kept $file as it is; --url counts at the first installation"
  fi
  [ "$1" != head ] || [ -e "$config/policy.toml" ] || (umask 022 && cp "$here/compose/policy.toml" "$config/policy.toml")
}

# One line of an env file, as systemd and a shell read it alike.
setting() { printf '%s="%s"\n' "$1" "$(printf '%s' "$2" | sed 's/["\\$`]/\\&/g')"; }

# What a unit is told of besides its settings: the files of its secrets.
handed_over() {
  [ "$mode-$1" = systemd-chat ] || return 0
  for one in $chat_secrets; do
    [ ! -e "$config/secrets/chat.${one#*:}" ] || printf '%s ' "${one%:*}=$config/secrets/chat.${one#*:}"
  done
}

check_settings() {
  file=$(settings_file "$1") bin=$folder/venv/bin
  case $1 in
    spine) checked=$(env -i "PATH=$PATH" "HOME=$HOME" /bin/sh -c 'set -a && . "$1" && exec "$2" check' sh "$file" "$bin/spine" 2>&1) ;;
    *) checked=$(env -i "PATH=$PATH" "HOME=$HOME" SPINE_TOKEN=is-checked-elsewhere $(handed_over "$1") /bin/sh -c \
      'set -a && . "$1" && unset SPINE_TOKEN_FILE && exec "$2" -c "from $3.settings import from_env; from_env()"' \
      sh "$file" "$bin/python" "$1" 2>&1) ;;
  esac || die "$file cannot be used, and nothing was changed that runs:
$(printf '%s\n' "$checked" | tail -n 5)"
}
