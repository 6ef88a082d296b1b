#!/usr/bin/env bash
# ha.sh promote DATABASE [lossy] | guard | alone | status: what a person does with the two databases of compose.ha.yaml.
# docs/howto/scale-out.md tells when.
set -euo pipefail
verb=${1:-} node=${2:-} lossy=${3:-}
cd "$(dirname "$0")"
export COMPOSE_FILE=${HA_COMPOSE_FILE:-compose.ha.yaml}
compose() { docker compose --project-directory . "$@"; }
databases=(postgres-a postgres-b)

sql() { # sql DATABASE STATEMENT…, as the owner of everything, from inside the container
  local on=$1 words=()
  shift
  for statement; do words+=(-c "$statement"); done
  timeout 20 docker compose --project-directory . exec -T "$on" psql -AtXq -v ON_ERROR_STOP=1 -d postgres "${words[@]}" </dev/null
}
awaits() { sql "$1" "ALTER SYSTEM SET synchronous_standby_names = '$2'" 'SELECT pg_reload_conf()' >/dev/null; }
commits() { # alone, or together with a standby, by what a database's files say: it may be gone; nothing where they do not tell
  compose run --rm --no-deps -T "$1" sh -c '[ -s "$PGDATA/PG_VERSION" ] && said=$(cat "$PGDATA/postgresql.auto.conf") || exit
    case $said in *"synchronous_standby_names = '"''"'"*) echo alone ;; *"synchronous_standby_names = '"'standby'"'"*) echo together ;; esac' </dev/null 2>/dev/null || :
}
primary() { # the one that takes writes
  local one
  for one in "${databases[@]}"; do
    [ "$(sql "$one" 'SELECT pg_is_in_recovery()' 2>/dev/null)" = f ] && { echo "$one"; return; }
  done
  echo 'ha: no database answers that takes writes' >&2
  return 1
}

case $verb in
promote)
  case $node in
  postgres-a) old=postgres-b ;;
  postgres-b) old=postgres-a ;;
  *) echo "ha: which becomes the primary? ha.sh promote ${databases[0]} or ${databases[1]}" >&2; exit 2 ;;
  esac
  [ "$(sql "$node" 'SELECT pg_is_in_recovery()')" = t ] || { echo "ha: $node stands by for nobody; nothing was changed" >&2; exit 1; }
  how=$([ "$lossy" = lossy ] || commits "$old")
  if [ "$lossy" != lossy ] && [ "$how" != together ]; then
    case $how in
    alone) echo "ha: commits on $old waited for no standby: what it acknowledged may be on its disk alone; nothing was changed" >&2 ;;
    *) echo "ha: what $old has left does not tell whether its commits waited for a standby; nothing was changed" >&2 ;;
    esac
    echo "ha: if it runs, or can be started, \`make up-ha\` first; if it is lost: compose/ha.sh promote $node lossy" >&2
    exit 1
  fi
  # The old one first: nobody may be told of a change there from here on.
  compose kill "$old" >/dev/null 2>&1 || :
  [ -z "$(compose ps --quiet --status running "$old")" ] || { echo "ha: $old still runs; nothing was changed" >&2; exit 1; }
  awaits "$node" ''
  [ "$(sql "$node" 'SELECT pg_promote(true, 15)')" = t ] || { echo "ha: $node did not become the primary; see its log" >&2; exit 1; }
  echo "ha: $node is the primary, and has no standby; \`make up-ha\` makes $old one"
  # What the old one has is set aside, so that it is never a second primary, also when it starts while the other is away.
  compose run --rm --no-deps -T "$old" sh -c 'rm -rf "$PGDATA.aside" "$PGDATA.whole"; [ ! -e "$PGDATA" ] || mv "$PGDATA" "$PGDATA.aside"' </dev/null >/dev/null 2>&1
  ;;
guard)
  # Commits wait for the standby again, once it has caught up.
  first=$(primary)
  for _ in $(seq 120); do
    [ "$(sql "$first" "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = 'standby'")" = 1 ] && {
      awaits "$first" standby
      echo "ha: $first is the primary; each commit waits for its standby"
      exit
    }
    sleep 0.5
  done
  echo "ha: no standby of $first has caught up within a minute; commits wait for none" >&2
  exit 1
  ;;
alone)
  first=$(primary)
  awaits "$first" ''
  echo "ha: $first goes on alone: what it acknowledges is on one disk, until \`make up-ha\` gives it a standby"
  ;;
status)
  for one in "${databases[@]}"; do
    printf '%s: %s\n' "$one" "$(sql "$one" "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary, commits ' || CASE current_setting('synchronous_standby_names') WHEN '' THEN 'wait for no standby' ELSE 'wait for a standby, of which there are ' || (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) END END" 2>/dev/null || echo 'does not answer')"
  done
  ;;
*)
  echo "ha.sh: promote, guard, alone or status, not '$verb'" >&2
  exit 2
  ;;
esac
