# Part of install.sh: starting what was laid, and taking it off again.
# shellcheck shell=sh disable=SC2154

units_of() {
  case $1-$tick in
    spine-*) say spinal-spine.socket spinal-spine.service ;;
    head-*) say spinal-head.service ;;
    chat-*) say spinal-chat.service ;;
    claw-) say "spinal-claw@$name.service" ;;
    claw-yes) say "spinal-claw-tick@$name.timer" ;;
  esac
}

run_it() {
  case $mode in
    systemd) by_systemd "$1" ;;
    launchd) by_launchd "$1" ;;
    user) by_script "$1" ;;
  esac
}

by_systemd() {
  if [ "$1" = claw ] && ! id claw >/dev/null 2>&1; then
    useradd --system --user-group --create-home --home-dir /var/lib/claw --shell /bin/bash claw
  fi
  before=$(systemctl is-active $(units_of "$1") | grep -c '^active$' || true)
  for unit in "$folder/systemd/spinal-$1"*; do install -m 0644 "$unit" /etc/systemd/system/; done
  systemctl daemon-reload
  [ "$1" != claw ] || systemctl --quiet disable --now "$(tick=$([ -n "$tick" ] || echo yes) && units_of claw)" 2>/dev/null || true
  if [ -z "$start" ]; then
    say "laid; start it with: systemctl enable --now $(units_of "$1")"
    return
  fi
  systemctl --quiet enable --now $(units_of "$1")
  if [ "$before" -gt 0 ]; then
    case $1 in
      claw) [ -n "$tick" ] || systemctl reload "spinal-claw@$name.service" ;; # hands a running job over
      *) systemctl restart "spinal-$1.service" ;;
    esac
  fi
  for unit in $(units_of "$1"); do
    systemctl is-active --quiet "$unit" || sleep 2
    systemctl is-active --quiet "$unit" || die "$unit does not run: journalctl -u $unit"
  done
  say "runs: $(units_of "$1")"
  [ "$1" != spine ] || say "it listens on 127.0.0.1:36725; to change that: systemctl edit spinal-spine.socket"
}

by_launchd() {
  case $1 in spine | chat) by_script "$1"; return ;; esac # no agents of launchd
  [ -n "$start" ] || { say "laid; start it with: $here/launchd/install.sh $1"; return; }
  "$folder/launchd/install.sh" "$1$([ -z "$tick" ] || echo -tick)" --prefix "$prefix" --config "$config" --state "$state"
}

# No manager: a script that starts it in the background, and a line for crontab that keeps it so, also after a restart.
by_script() {
  mkdir -p "$prefix/bin" "$state"
  chmod 700 "$state"
  sed -e "s|@PREFIX@|$prefix|g" -e "s|@CONFIG@|$config|g" -e "s|@STATE@|$state|g" "$here/install/spinal.sh" >"$prefix/bin/spinal.new"
  chmod 755 "$prefix/bin/spinal.new"
  mv "$prefix/bin/spinal.new" "$prefix/bin/spinal"
  if [ -n "$tick" ]; then
    say 'For crontab -e, which begins a pass of the claw every minute:'
    "$prefix/current/venv/bin/claw" cron-entry --env-file "$(settings_file claw)" 2>/dev/null
    return
  fi
  [ -z "$start" ] || "$prefix/bin/spinal" restart "$1"
  say 'For crontab -e, so that it runs after a restart of the machine, and again after a crash:'
  say "* * * * * $prefix/bin/spinal start $1"
}

take_off() {
  [ "$1" != all ] || { for one in spine claw head chat; do take_off "$one"; done; rm -rf "$prefix"; say "removed $prefix"; return; }
  case $mode in
    systemd)
      running=$(systemctl list-unit-files --no-legend "spinal-$1*" 2>/dev/null | cut -d' ' -f1)
      [ -z "$running" ] || systemctl disable --now "spinal-$1*" >/dev/null 2>&1 || true
      # Instances are no files.
      for unit in $(systemctl list-units --all --no-legend --plain "spinal-$1*" | cut -d' ' -f1); do
        systemctl disable --now "$unit" >/dev/null 2>&1 || systemctl stop "$unit" || true
      done
      rm -f "/etc/systemd/system/spinal-$1"*.service "/etc/systemd/system/spinal-$1"*.socket "/etc/systemd/system/spinal-$1"*.timer
      for added in "/etc/systemd/system/spinal-$1"*.service.d; do
        rm -f "$added/gateway.conf" "$added/secrets.conf"
        rmdir "$added" 2>/dev/null || true # what a person has added stays
      done
      systemctl daemon-reload
      kept="$config and $state/spinal-$1"
      ;;
    *)
      if [ "$mode" = launchd ] && [ "$1" != spine ] && [ "$1" != chat ]; then
        for agent in "$1" $([ "$1" != claw ] || echo claw-tick); do "$here/launchd/uninstall.sh" "$agent"; done
      elif [ -x "$prefix/bin/spinal" ]; then
        "$prefix/bin/spinal" stop "$1"
        if crontab -l 2>/dev/null | grep -q "$prefix"; then say "crontab -e: take the line of $1 out"; fi
      fi
      kept="$config and $state/$1"
      ;;
  esac
  say "$1 is off; what it was told and what it kept is still in $kept"
}
