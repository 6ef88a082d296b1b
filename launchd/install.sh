#!/bin/sh
# install.sh claw|claw-tick|head: make launchd run it as an agent of this user. The programs, settings and token must be there
# already. Run again after a change: it takes the place of what was there.
#   --prefix DIR   where current/venv and current/launchd are   (~/.local/share/spinal-cord)
#   --config DIR   where claw.env, head.env are                 (~/.config/spinal-cord)
#   --state DIR    folders of the services                      (~/.local/state/spinal-cord)
#   --logs DIR     their logs                                   (~/Library/Logs/spinal-cord)
#   --render DIR   write the property list there and do nothing else
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=$HOME/.local/share/spinal-cord
config=$HOME/.config/spinal-cord
state=$HOME/.local/state/spinal-cord
logs=$HOME/Library/Logs/spinal-cord
render=

die() { printf 'launchd/install.sh: %s\n' "$*" >&2; exit "${2:-1}"; }

role=${1:-}
case $role in
  claw | claw-tick | head) shift ;;
  *) printf 'launchd/install.sh: give claw, claw-tick or head\n' >&2; exit 2 ;;
esac
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || { printf 'launchd/install.sh: %s needs a folder\n' "$1" >&2; exit 2; }
  case $1 in
    --prefix) prefix=$2 ;;
    --config) config=$2 ;;
    --state) state=$2 ;;
    --logs) logs=$2 ;;
    --render) render=$2 ;;
    *) printf 'launchd/install.sh: %s is unknown\n' "$1" >&2; exit 2 ;;
  esac
  shift 2
done
label=org.spinal-cord.$role

# A path as XML text, and then as the replacement of sed's s.
quoted() { printf '%s' "$1" | sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' | sed -e 's/[\&|]/\\&/g'; }

plist() {
  sed -e "s|@PREFIX@|$(quoted "$prefix")|g" -e "s|@CONFIG@|$(quoted "$config")|g" \
    -e "s|@STATE@|$(quoted "$state")|g" -e "s|@LOGS@|$(quoted "$logs")|g" "$here/$label.plist"
}

if [ -n "$render" ]; then
  plist >"$render/$label.plist"
  exit 0
fi
[ "$(uname -s)" = Darwin ] || die 'launchd is on a Mac only'
case $role in claw-tick) settings=claw.env other=claw ;; claw) settings=claw.env other=claw-tick ;; head) settings=head.env other= ;; esac
for needed in venv/bin launchd/wrapper.sh; do
  [ -x "$prefix/current/$needed" ] || die "$prefix/current/$needed is not there: install the programs first"
done
[ -f "$config/$settings" ] || die "$config/$settings is not there: write the settings first"

domain=gui/$(id -u)
launchctl print "$domain" >/dev/null 2>&1 || domain=user/$(id -u) # nobody is logged in at the screen
agents=$HOME/Library/LaunchAgents
mkdir -p "$agents" "$logs" "$state/${role%-tick}"
chmod 700 "$logs" "$state/${role%-tick}"
umask 022
plist >"$agents/.$label.new"
plutil -lint -s "$agents/.$label.new" || die "$label.plist is broken"
if [ -n "$other" ] && [ -f "$agents/org.spinal-cord.$other.plist" ]; then
  launchctl bootout "$domain/org.spinal-cord.$other" 2>/dev/null || true
  rm -f "$agents/org.spinal-cord.$other.plist"
fi
runs() { launchctl print "$domain/$label" 2>/dev/null | grep -q 'state = running'; }
# A claw that is told to hand over leaves its job to the one that is started below; bootout would have it give it back.
if [ "$role" = claw ] && runs; then
  launchctl kill SIGHUP "$domain/$label" || true
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do runs || break; sleep 1; done
fi
launchctl bootout "$domain/$label" 2>/dev/null || true
mv "$agents/.$label.new" "$agents/$label.plist"
# What was there may still be on its way out.
for _ in 1 2 3 4 5 6 7 8 9 10; do launchctl bootstrap "$domain" "$agents/$label.plist" 2>/dev/null && break; sleep 1; done
launchctl print "$domain/$label" >/dev/null || die "launchd did not take $agents/$label.plist"
printf '%s runs as %s; its logs are in %s\n' "$role" "$domain/$label" "$logs"
