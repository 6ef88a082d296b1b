#!/bin/sh
# uninstall.sh claw|claw-tick|head: launchd runs it no more. A claw drains first. What it kept, settings and programs stay.
set -eu
case ${1:-} in
  claw | claw-tick | head) label=org.spinal-cord.$1 ;;
  *) printf 'launchd/uninstall.sh: give claw, claw-tick or head\n' >&2; exit 2 ;;
esac
[ "$(uname -s)" = Darwin ] || { printf 'launchd/uninstall.sh: launchd is on a Mac only\n' >&2; exit 1; }
for domain in "gui/$(id -u)" "user/$(id -u)"; do
  launchctl bootout "$domain/$label" 2>/dev/null || true
done
rm -f "$HOME/Library/LaunchAgents/$label.plist"
