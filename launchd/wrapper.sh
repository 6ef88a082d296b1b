#!/bin/sh
# wrapper.sh ENV_FILE PROGRAM [ARGUMENT…]: become the program, with what the file sets in its environment.
# A property list is there for everybody to read, so neither settings nor tokens stand in it. The file, and each token file
# that it names, must belong to this user and be closed to all others; else nothing is started (78: trying again does not
# help).
set -eu

refuse() { printf 'wrapper: %s\n' "$*" >&2; exit 78; }

private() {
  [ -f "$1" ] || refuse "$1 is not there"
  # The form of ls is the same on every system; stat's is not. A Mac adds an @ or a + behind the mode.
  # shellcheck disable=SC2012
  found=$(ls -lnL -- "$1" | awk 'NR == 1 {print substr($1, 1, 10), $3}')
  case $found in
    -r[-w]-------" $(id -u)") ;;
    *" $(id -u)") refuse "$1 can be read or written by others; chmod 600 it" ;;
    *) refuse "$1 belongs to another user; chown it to $(id -un)" ;;
  esac
}

[ $# -ge 2 ] || refuse 'give a file of settings, and a program'
settings=$1
shift
private "$settings"
set -a
# shellcheck disable=SC1090
. "$settings"
set +a
for name in SPINE_TOKEN_FILE HEAD_TOKEN_FILE LEFT_CLAW_TOKEN_FILE RIGHT_CLAW_TOKEN_FILE OPENCLAW_GATEWAY_TOKEN_FILE \
  DISPATCH_WEBHOOK_URL_FILE DISPATCH_WEBHOOK_SECRET_FILE; do
  eval "file=\${$name:-}"
  [ -z "$file" ] || private "$file"
done
exec "$@"
