#!/usr/bin/env bash
# tokens.sh IMAGE: makes a token for each role in secrets/, one file each; what is there already stays as it is.
# The folder is its owner's alone. The files in it are 0444, because the numeric users of the containers must read them.
set -euo pipefail
cd "$(dirname "$0")"
image=${1:?the image of the spine}
umask 077
mkdir -p secrets && chmod 700 secrets
for role in head left-claw right-claw; do
  file=secrets/$role.token
  [ -s "$file" ] && continue
  rm -f "$file.new"
  docker run --rm --network none --read-only "$image" spine token "$role" >"$file.new"
  [ -s "$file.new" ] || { echo "tokens: $image made no token for $role" >&2; exit 1; }
  chmod 444 "$file.new"
  mv "$file.new" "$file"
  echo "tokens: made compose/$file"
done
