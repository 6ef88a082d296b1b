#!/bin/sh
# One host, without Ansible. From a checkout:
#   ./install.sh spine                                    the server, with a token for head, chat, left-claw and right-claw
#   ./install.sh claw --name NAME --token-file FILE       a worker (--tick: once a minute, not resident)
#   ./install.sh head --token-file FILE                   the review loop, and spine-head
#   ./install.sh chat --token-file FILE                   the chat front: --discord-token-file FILE --allow ID (may come again)
#   ./install.sh remove spine|claw|head|chat|all          stop it and take it off; settings, tokens and data stay
# Options: --url URL (where the spine is), --claw NAME (spine: a token for a further claw; may come again),
#          --no-start (lay everything, start nothing), --gateway-token-file FILE (claw, chat: of the OpenClaw gateway),
#          --notices-secret-file FILE, --hook-token-file FILE (chat: docs/howto/chat.md).
# As root where systemd runs: units, as in systemd/. As any other user, also in WSL and containers: in that user's home, with a
# start script and a line for crontab; on a Mac as launchd agents. Run again it upgrades; a running job goes on.
# PYTHON names another Python. Without a registry: PIP_NO_INDEX=1 PIP_FIND_LINKS=folder-of-wheels.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/install/lay.sh"
. "$here/install/tokens.sh"
. "$here/install/run.sh"

usage() { sed -n '2,11s/^# \{0,1\}//p' "$here/install.sh" >&2; exit 2; }

verb=install role=${1:-} name='' url='' token_file='' gateway_token='' tick='' start=yes claws=''
discord_token='' notices_secret='' hook_token='' allowed=''
[ $# -gt 0 ] && shift
if [ "$role" = remove ]; then
  verb=remove role=${1:-}
  [ $# -gt 0 ] && shift
fi
while [ $# -gt 0 ]; do
  case $1 in
    --tick) tick=yes && shift && continue ;;
    --no-start) start='' && shift && continue ;;
    --name | --url | --token-file | --gateway-token-file | --claw) [ $# -ge 2 ] || usage ;;
    --discord-token-file | --notices-secret-file | --hook-token-file | --allow) [ $# -ge 2 ] || usage ;;
    *) usage ;;
  esac
  case $1 in
    --name) name=$2 ;;
    --url) url=$2 ;;
    --token-file) token_file=$2 ;;
    --gateway-token-file) gateway_token=$2 ;;
    --claw) claws="$claws $2" ;;
    --discord-token-file) discord_token=$2 ;;
    --notices-secret-file) notices_secret=$2 ;;
    --hook-token-file) hook_token=$2 ;;
    --allow) allowed=${allowed:+$allowed,}$2 ;;
  esac
  shift 2
done
case $verb-$role in
  install-spine | install-claw | install-head | install-chat) ;;
  remove-spine | remove-claw | remove-head | remove-chat | remove-all) ;;
  *) usage ;;
esac

choose_places # sets mode, prefix, config, state
[ -n "$name" ] || [ "$role" != claw ] || name=$(uname -n | cut -d. -f1 | tr A-Z a-z)
for one in $name $claws; do
  case $one in
    *[!a-z0-9._-]* | [!a-z0-9]* | head | any | all | viewer | chat | spine | reaper | skyclaw | broker)
      die "$one cannot be a claw's name: a-z, 0-9, dot, hyphen, underscore, and no name that means another" ;;
  esac
done

if [ "$verb" = remove ]; then
  take_off "$role"
  exit 0
fi
find_python
enough_room
lay_release "$role"
lay_settings "$role"
case $role in
  spine) make_tokens head chat left-claw right-claw $claws ;;
  claw)
    take_token "$name"
    take_gateway_token "$name"
    ;;
  head) take_token head ;;
  chat)
    take_token chat
    take_chat_secrets
    ;;
esac
check_settings "$role"
switch_release
run_it "$role"
