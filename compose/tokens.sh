#!/usr/bin/env bash
# tokens.sh IMAGE [ha|viewer]: makes a token for each role in secrets/, one file each; with `ha` also the passwords of the
# databases of compose.ha.yaml, and their address; with `viewer` a viewer's token. What is there already stays as it is.
# The folder is its owner's alone. The files in it are 0444, because the numeric users of the containers must read them.
set -euo pipefail
cd "$(dirname "$0")"
image=${1:?the image of the spine} more=${2:-}
umask 077
mkdir -p secrets && chmod 700 secrets

make() { # make FILE COMMAND…: what the command prints becomes the file, unless it is there
  local file=secrets/$1
  [ -s "$file" ] && return
  rm -f "$file.new"
  "${@:2}" >"$file.new"
  [ -s "$file.new" ] || { echo "tokens: $image made no token for $1" >&2; exit 1; }
  chmod 444 "$file.new"
  mv "$file.new" "$file"
  echo "tokens: made compose/$file"
}
chance() { printf '%s%s\n' "$1" "$(head -c 32 /dev/urandom | base64 | tr -d '\n')"; }
token() { docker run --rm --network none --read-only "$image" spine token "$1"; }
# Whichever of the two takes writes is the one to speak to.
address() { printf 'postgresql://spine:%s@postgres-a,postgres-b/spine?target_session_attrs=read-write\n' "$(cat secrets/database.password)"; }

for role in head left-claw right-claw chat; do make "$role.token" token "$role"; done
# What the spine signs for the chat front, and what a gateway shows it.
make chat-notices.secret chance whsec_
make chat-hook.token chance hook-
case $more in
'') ;;
ha)
  for user in database replication; do make "$user.password" token "$user"; done
  make database.url address
  ;;
viewer) make viewer.token token viewer ;;
*) echo "tokens.sh: ha, viewer or nothing, not $more" >&2; exit 2 ;;
esac
