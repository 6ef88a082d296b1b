#!/bin/sh
# spinal start|stop|restart|status|run spine|claw|head|chat: a service of this user, where nothing else looks after services.
# `start` does nothing where it runs already, so that cron may say it every minute. `restart` hands a claw's job over.
# Written by install.sh, which knows the paths.
set -eu
prefix='@PREFIX@' config='@CONFIG@' state='@STATE@'
verb=${1:-} role=${2:-}
bin=$prefix/current/venv/bin
case $role in
  spine) set -- "$bin/spine" serve ;;
  claw) set -- "$bin/claw" run ;;
  head) set -- "$bin/spine-head" loop --policy "$config/policy.toml" ;;
  chat) set -- "$bin/spine-chat" run ;;
  *) verb= ;;
esac
pidfile=$state/$role.pid log=$state/$role.log

words_of() { if [ -r "/proc/$1/cmdline" ]; then tr '\0' ' ' <"/proc/$1/cmdline"; else ps -o args= -p "$1"; fi 2>/dev/null; }

# The process that was started here, if it is still that one: a pid may have gone to somebody else.
pid() {
  [ -f "$pidfile" ] || return 1
  read -r found <"$pidfile"
  kill -0 "$found" 2>/dev/null && words_of "$found" | grep -q "venv/bin/${1##*/} " && printf '%s\n' "$found"
}

start() {
  ! pid "$@" >/dev/null || return 0
  mkdir -p "$state/$role"
  chmod 700 "$state" "$state/$role"
  [ ! -f "$log" ] || [ "$(wc -c <"$log")" -lt 10000000 ] || mv "$log" "$log.1"
  cd "$state/$role"
  umask 077
  detach=$(command -v setsid || command -v nohup)
  "$detach" "$prefix/current/launchd/wrapper.sh" "$config/$role.env" "$@" >>"$log" 2>&1 </dev/null &
  started=$!
  sleep 1
  if kill -0 "$started" 2>/dev/null; then
    printf '%s\n' "$started" >"$pidfile"
  else
    tail -n 5 "$log" >&2
    exit 1
  fi
}

# ends SIGNAL SECONDS PROGRAM…
ends() {
  signal=$1 left=$2
  shift 2
  found=$(pid "$@") || return 0
  kill "-$signal" "$found"
  while [ "$left" -gt 0 ] && kill -0 "$found" 2>/dev/null; do sleep 1; left=$((left - 1)); done
  ! kill -0 "$found" 2>/dev/null || { printf 'spinal: %s (%s) has not ended\n' "$role" "$found" >&2; exit 1; }
}

case $verb in
  run) exec "$prefix/current/launchd/wrapper.sh" "$config/$role.env" "$@" ;;
  start) start "$@" ;;
  stop) ends TERM 90 "$@" ;;
  restart)
    case $role in claw) ends HUP 90 "$@" ;; *) ends TERM 90 "$@" ;; esac
    start "$@"
    ;;
  status)
    found=$(pid "$@") || { printf '%s does not run\n' "$role"; exit 3; }
    printf '%s runs (%s)\n' "$role" "$found"
    ;;
  *) sed -n '2,3s/^# //p' "$0" >&2; exit 2 ;;
esac
