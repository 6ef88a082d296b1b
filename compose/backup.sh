#!/usr/bin/env bash
# backup.sh save FILE.tar | load FILE.tar: a backup of the running spine into one file, or such a file in the place of the
# store. Before a load the spine is stopped; what was in the store is set aside in its volume, not deleted.
set -euo pipefail
verb=${1:?save or load} file=$(realpath -m "${2:?a file}")
cd "$(dirname "$0")"
compose() { docker compose --project-directory . "$@"; }
name=backup-$(date -u +%Y%m%dT%H%M%SZ)-$$

case $verb in
save)
  [ ! -e "$file" ] || { echo "backup: $file exists; nothing is written over" >&2; exit 1; }
  mkdir -p "$(dirname "$file")"
  umask 077 # a backup holds everything that jobs were told
  trap 'rm -f "$file.part"' EXIT
  # 3: done, and something of what was there could not be taken along; the program has named it.
  compose exec -T spine sh -c "
    spine backup /backups/$name >&2; code=\$?
    case \$code in 0|3) tar -C /backups/$name -cf - . || code=1;; esac
    rm -rf /backups/$name
    exit \$code" >"$file.part" </dev/null || { code=$?; [ "$code" = 3 ] || exit "$code"; }
  sync "$file.part"
  mv "$file.part" "$file"
  echo "backup: wrote $file"
  exit "${code:-0}"
  ;;
load)
  [ -r "$file" ] || { echo "restore: cannot read $file" >&2; exit 1; }
  tar -tf "$file" >/dev/null 2>&1 || { echo "restore: $file is no whole tar file; nothing was changed" >&2; exit 1; }
  compose stop spine
  code=0
  compose run --rm --no-deps -T spine sh -c "
    mkdir /backups/$name && tar -C /backups/$name -xf - && spine restore --replace /backups/$name; code=\$?
    rm -rf /backups/$name
    exit \$code" <"$file" || code=$?
  # Whether or not it was taken: a refused backup has changed nothing, and the spine goes on with what it had.
  compose up --detach --no-build --wait spine
  exit "$code"
  ;;
*)
  echo "backup.sh: save or load, not $verb" >&2
  exit 2
  ;;
esac
