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
  if [ -n "$token_file" ]; then
    [ -s "$token_file" ] || die "--token-file: $token_file is not there, or empty"
    [ "$token_file" -ef "$file" ] || (umask 077 && cat "$token_file" >"$file.new" && mv "$file.new" "$file")
  fi
  [ -s "$file" ] || die "no token for $1: give --token-file (the spine's machine has it in secrets/$1.token of its settings)"
  chmod 600 "$file"
}
