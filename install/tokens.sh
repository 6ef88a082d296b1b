# Part of install.sh: tokens. A spine keeps digests only; the files in secrets/ are for their owners' machines.
# shellcheck shell=sh disable=SC2154

# make_tokens NAME…: one for each that has none, and its digest where the spine looks for it.
make_tokens() {
  for owner; do
    file=$config/secrets/$owner.token
    if [ ! -s "$file" ]; then
      (umask 077 && "$folder/venv/bin/spine" token "$owner" >"$file.new" && mv "$file.new" "$file")
      say "made $file: copy it to the machine of $owner, then it can go from here"
    fi
    digest=$(tr -d '\n' <"$file" | sha256)
    grep -qs "^$owner $digest\$" "$config/tokens.digests" || printf '%s %s\n' "$owner" "$digest" >>"$config/tokens.digests"
  done
  chmod "$([ "$mode" = systemd ] && echo 644 || echo 600)" "$config/tokens.digests"
}

# take_token NAME: from --token-file, or one that is here already.
take_token() {
  file=$config/secrets/$1.token
  [ -z "$token_file" ] || copy_token --token-file "$token_file" "$file"
  [ -s "$file" ] || die "no token for $1: give --token-file (the spine's machine has it in secrets/$1.token of its settings)"
  chmod 600 "$file"
}

# copy_token OPTION FROM TO
copy_token() {
  [ -s "$2" ] || die "$1: $2 is not there, or empty"
  [ "$2" -ef "$3" ] || (umask 077 && cat "$2" >"$3.new" && mv "$3.new" "$3")
}

# take_gateway_token NAME: from --gateway-token-file, where that is given, and tell the claw of it.
take_gateway_token() {
  [ -n "$gateway_token" ] || return 0
  file=$config/secrets/$1.gateway-token settings=$(settings_file claw)
  ! grep -q '^OPENCLAW_GATEWAY_TOKEN=' "$settings" || die "$settings has OPENCLAW_GATEWAY_TOKEN: take it out, the file takes its place"
  copy_token --gateway-token-file "$gateway_token" "$file"
  chmod 600 "$file"
  if [ "$mode" != systemd ]; then
    grep -q '^OPENCLAW_GATEWAY_TOKEN_FILE=' "$settings" || setting OPENCLAW_GATEWAY_TOKEN_FILE "$file" >>"$settings"
    return
  fi
  for unit in spinal-claw spinal-claw-tick; do
    (umask 022 && mkdir -p "/etc/systemd/system/$unit@$1.service.d")
    printf '[Service]\nLoadCredential=gateway-token:%s\nEnvironment=OPENCLAW_GATEWAY_TOKEN_FILE=%%d/gateway-token\n' "$file" \
      >"/etc/systemd/system/$unit@$1.service.d/gateway.conf"
  done
}

# The secrets of the chat front: the setting that names the file, and what the file's name ends with.
chat_secrets='DISCORD_TOKEN_FILE:discord-token CHAT_NOTICES_SECRET_FILE:notices-secret CHAT_HOOK_TOKEN_FILE:hook-token
  OPENCLAW_GATEWAY_TOKEN_FILE:gateway-token'

# take_chat_secrets: from the files that are given, or those that are here already, and tell the chat front of them.
take_chat_secrets() {
  [ -z "$discord_token" ] || copy_token --discord-token-file "$discord_token" "$config/secrets/chat.discord-token"
  [ -z "$notices_secret" ] || copy_token --notices-secret-file "$notices_secret" "$config/secrets/chat.notices-secret"
  [ -z "$hook_token" ] || copy_token --hook-token-file "$hook_token" "$config/secrets/chat.hook-token"
  [ -z "$gateway_token" ] || copy_token --gateway-token-file "$gateway_token" "$config/secrets/chat.gateway-token"
  told=/etc/systemd/system/spinal-chat.service.d/secrets.conf settings=$(settings_file chat)
  if [ "$mode" = systemd ]; then
    (umask 022 && mkdir -p "${told%/*}" && printf '[Service]\n' >"$told.new")
  fi
  for one in $chat_secrets; do
    file=$config/secrets/chat.${one#*:}
    [ -e "$file" ] || continue
    ! grep -q "^${one%_FILE:*}=" "$settings" || die "$settings has ${one%_FILE:*}: take it out, the file $file takes its place"
    chmod 600 "$file"
    if [ "$mode" = systemd ]; then
      printf 'LoadCredential=%s:%s\nEnvironment=%s=%%d/%s\n' "${one#*:}" "$file" "${one%:*}" "${one#*:}" >>"$told.new"
    elif ! grep -q "^${one%:*}=" "$settings"; then
      setting "${one%:*}" "$file" >>"$settings"
    fi
  done
  [ "$mode" != systemd ] || mv "$told.new" "$told"
}
