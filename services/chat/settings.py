"""The chat front's settings: one frozen struct, built once from the environment. Nobody else reads the environment."""

import base64
import binascii
import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from contract import sdnotify
from contract.env import EnvReader, Secret, Setting, base_url, base_urls, newer_token
from contract.logs import FORMATS, LEVELS

DEFAULT_URL = "http://127.0.0.1:36725"
DISCORD_URL = "https://discord.com/api/v10"
LISTEN = "127.0.0.1:36727"
PREFIX = "!spine"
NOWHERE = "none"

SETTINGS: tuple[Setting, ...] = (
    Setting("SPINE_BASE_URL", DEFAULT_URL, "where the spine is; several, separated by commas, fail over"),
    Setting("SPINE_TOKEN", "required", "a token of the role chat"),
    Setting("SPINE_TOKEN_FILE", "", "a file with the token; better than the variable, which other programs may show"),
    Setting("SPINE_PUBLIC_URL", "", "the spine's address for people: what is too long for a chat is linked there"),
    Setting("DISCORD_TOKEN", "", "the token of a Discord bot; without it there is no Discord"),
    Setting("DISCORD_TOKEN_FILE", "", "a file with that token"),
    Setting("DISCORD_API_URL", DISCORD_URL, "where Discord's REST interface is, if not there: a proxy, a test"),
    Setting("ALLOWED_USER_ID", "", "ids of the Discord users who are answered, separated by commas; nobody else is"),
    Setting("ALLOWED_CHANNEL_ID", "", "id of the one Discord channel that is read; empty: direct messages only"),
    Setting("ANNOUNCE_CHANNEL_ID", "", "id of the Discord channel that notices go to"),
    Setting("OPENCLAW_GATEWAY_URL", "", "an OpenClaw gateway, whose chats are a second way in; empty: none"),
    Setting("OPENCLAW_GATEWAY_TOKEN", "", "that gateway's token"),
    Setting("OPENCLAW_GATEWAY_TOKEN_FILE", "", "a file with it"),
    Setting("OPENCLAW_ALLOWED", "", "who is answered there, as `channel:sender`, separated by commas"),
    Setting("OPENCLAW_PREFIX", PREFIX, "the word with which a message there begins that is for the fleet"),
    Setting("OPENCLAW_ANNOUNCE", "", "the chat there that notices go to, as `channel:to`"),
    Setting("BOT_COOLDOWN_SECONDS", "3", "from the start of a user's job to that of his next one, at least"),
    Setting("BOT_MAX_CONCURRENT", "1", "jobs of one user that may be queued or running"),
    Setting("CHAT_WAIT_SECONDS", "120", "when a user is told that his job is still running"),
    Setting("CHAT_TARGET", "any", "target of the jobs that are submitted"),
    Setting("CHAT_STATE_DIR", "~/.spine/chat", "folder of the answers that are owed, and of what was announced"),
    Setting("CHAT_LISTEN", LISTEN, "host and port for notices, the gateway's hook and health; none: no such door"),
    Setting("CHAT_NOTICES_SECRET", "", "the secret (whsec_…) with which the spine signs notices"),
    Setting("CHAT_NOTICES_SECRET_FILE", "", "a file with it"),
    Setting("CHAT_HOOK_TOKEN", "", "the token with which the OpenClaw gateway tells what was written there"),
    Setting("CHAT_HOOK_TOKEN_FILE", "", "a file with it"),
    Setting("SPINE_LOG_LEVEL", "info", "debug, info, warning or error"),
    Setting("SPINE_LOG_FORMAT", "auto", "json, text, or auto: JSON unless a terminal shows it"),
)

_ID = re.compile(r"[0-9]{1,20}")
_PAIR = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}:[^\s,]{1,200}")
_PREFIX = re.compile(r"[^\s`|\x00-\x20\x7f]{1,32}")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:]{2,45}\]")
_NOBODY: frozenset[str] = frozenset()


class Discord(msgspec.Struct, frozen=True, kw_only=True):
    """A Discord bot. `channel_id` None: it reads direct messages only; else that channel only."""

    token: Secret
    api_url: str
    users: frozenset[str]
    channel_id: str | None
    announce_channel_id: str | None


class OpenClaw(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway whose chats are heard by a hook; `users` and `announce` are `channel:sender` and `channel:to`.

    A message that is for the fleet begins with the word `prefix`.
    """

    url: str
    token: Secret
    hook_token: Secret
    users: frozenset[str]
    announce: str | None
    prefix: str


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway's hook is given: where it calls, its token, and the word that it heeds."""

    url: str
    token: Secret
    prefix: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds as the names say; `base_urls` has at least one address; `listen` is host and port; at least one chat."""

    base_urls: tuple[str, ...]
    token: Secret
    token_file: Path | None
    public_url: str | None
    discord: Discord | None
    openclaw: OpenClaw | None
    cooldown_seconds: int
    max_concurrent: int
    wait_seconds: int
    target: str
    state_dir: Path
    listen: tuple[str, int] | None
    notices_secret: Secret | None
    log_level: str
    log_format: str

    def secrets(self) -> tuple[str, ...]:
        """Return the values that no log and no chat may show."""
        found = [self.token, self.notices_secret]
        found += [self.discord.token] if self.discord else []
        found += [self.openclaw.token, self.openclaw.hook_token] if self.openclaw else []
        return tuple(secret for secret in found if secret)

    def newer_token(self, used: str) -> str | None:
        """Return the spine's token that the file holds now, when it is not the one that was used. It may wait 1 s."""
        return newer_token(used, [self.token_file])


def from_env(environ: Mapping[str, str] | None = None) -> Settings:
    """Build the settings.

    Raises:
        SettingsError: naming every variable that cannot be used, and its fix.
    """
    env = EnvReader(os.environ if environ is None else environ)
    token = env.secret("SPINE_TOKEN")
    if token is None and not env.faults:
        env.faults.append("SPINE_TOKEN: missing; give a token of the role chat in it, or a file in SPINE_TOKEN_FILE")
    default: tuple[str, ...] = (DEFAULT_URL,)
    secret = env.secret("CHAT_NOTICES_SECRET")
    found = Settings(
        base_urls=env.custom("SPINE_BASE_URL", base_urls, default),
        token=token or Secret(""),
        token_file=env.secret_file("SPINE_TOKEN"),
        public_url=env.custom("SPINE_PUBLIC_URL", base_url, None),
        discord=_discord(env),
        openclaw=_openclaw(env),
        cooldown_seconds=env.integer("BOT_COOLDOWN_SECONDS", 3, 0, 3600),
        max_concurrent=env.integer("BOT_MAX_CONCURRENT", 1, 1, 100),
        wait_seconds=env.integer("CHAT_WAIT_SECONDS", 120, 1, 86_400),
        target=env.text("CHAT_TARGET", "any"),
        state_dir=env.absolute("CHAT_STATE_DIR", "~/.spine/chat"),
        listen=env.custom("CHAT_LISTEN", _address, _address(LISTEN)),
        notices_secret=secret,
        log_level=env.choice("SPINE_LOG_LEVEL", "info", LEVELS),
        log_format=env.choice("SPINE_LOG_FORMAT", "auto", FORMATS),
    )
    if not env.faults:
        _check(env, found)
    env.finish()
    return found


def for_hook(url: str | None = None, environ: Mapping[str, str] | None = None) -> Hook:
    """Build what a gateway's hook is given; without `url` it calls this machine, where CHAT_LISTEN says.

    Raises:
        SettingsError
    """
    env = EnvReader(os.environ if environ is None else environ)
    token = env.secret("CHAT_HOOK_TOKEN")
    if token is None and not env.faults:
        env.faults.append("CHAT_HOOK_TOKEN: missing; make one as with `openssl rand -hex 32`, for service and hook")
    prefix, listen = env.custom("OPENCLAW_PREFIX", _prefix, PREFIX), env.custom("CHAT_LISTEN", _address, None)
    env.finish()
    port = (listen or _address(LISTEN) or ("", 0))[1]
    return Hook(url=url or f"http://127.0.0.1:{port}/openclaw", token=token or Secret(""), prefix=prefix)


def notifier() -> sdnotify.Notifier:
    """Take the service manager's variables out of the environment, so that nothing else answers it."""
    return sdnotify.take(os.environ)


def notices_key(secret: str) -> bytes:
    """Return the key that a secret of Standard Webhooks stands for.

    Raises:
        ValueError
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as e:
        raise ValueError("expected whsec_ and base64, as of `openssl rand -base64 32`") from e
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError("expected whsec_ and 24 to 64 bytes as base64, as of `openssl rand -base64 32`")
    return key


def _discord(env: EnvReader) -> Discord | None:
    token = env.secret("DISCORD_TOKEN")
    users = env.custom("ALLOWED_USER_ID", _ids, _NOBODY)
    channel, announce = (env.custom(name, _one_id, None) for name in ("ALLOWED_CHANNEL_ID", "ANNOUNCE_CHANNEL_ID"))
    url = env.custom("DISCORD_API_URL", base_url, DISCORD_URL)
    if token is None:
        return None
    if not users and not any(fault.startswith("ALLOWED_USER_ID") for fault in env.faults):
        env.faults.append("ALLOWED_USER_ID: missing; name who may speak to the bot, by Discord user ids")
    return Discord(token=token, api_url=url, users=users, channel_id=channel, announce_channel_id=announce)


def _openclaw(env: EnvReader) -> OpenClaw | None:
    url = env.custom("OPENCLAW_GATEWAY_URL", base_url, None)
    token, hook = env.secret("OPENCLAW_GATEWAY_TOKEN"), env.secret("CHAT_HOOK_TOKEN")
    users = env.custom("OPENCLAW_ALLOWED", _pairs, _NOBODY)
    announce, prefix = env.custom("OPENCLAW_ANNOUNCE", _pair, None), env.custom("OPENCLAW_PREFIX", _prefix, PREFIX)
    if url is None:
        return None
    for name, given in (("OPENCLAW_GATEWAY_TOKEN", token), ("CHAT_HOOK_TOKEN", hook), ("OPENCLAW_ALLOWED", users)):
        if not given and not any(fault.startswith(name) for fault in env.faults):
            env.faults.append(f"{name}: missing; OPENCLAW_GATEWAY_URL needs it")
    return OpenClaw(
        url=url,
        token=token or Secret(""),
        hook_token=hook or Secret(""),
        users=users,
        announce=announce,
        prefix=prefix,
    )


def _check(env: EnvReader, found: Settings) -> None:
    """Note what does not go together."""
    if found.discord is None and found.openclaw is None:
        env.faults.append("DISCORD_TOKEN: missing, and so is OPENCLAW_GATEWAY_URL; set up at least one of the two")
    announced = [
        name
        for name, given in (
            ("ANNOUNCE_CHANNEL_ID", found.discord and found.discord.announce_channel_id),
            ("OPENCLAW_ANNOUNCE", found.openclaw and found.openclaw.announce),
        )
        if given
    ]
    if announced and found.notices_secret is None:
        env.faults.append(f"{announced[0]}: needs CHAT_NOTICES_SECRET, with which the spine signs what it announces")
    if found.notices_secret is not None:
        try:
            notices_key(found.notices_secret)
        except ValueError as e:
            env.faults.append(f"CHAT_NOTICES_SECRET: {e}")
        if not announced:
            env.faults.append("CHAT_NOTICES_SECRET: needs a place for notices: ANNOUNCE_CHANNEL_ID, OPENCLAW_ANNOUNCE")
    if found.listen is None and (found.notices_secret is not None or found.openclaw is not None):
        env.faults.append("CHAT_LISTEN: notices and the gateway's hook come in there; give a host and a port")


def _ids(text: str) -> frozenset[str]:
    return frozenset(_one_id(part.strip()) for part in text.split(",") if part.strip())


def _one_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no id of Discord; ids are whole numbers")
    return text


def _pairs(text: str) -> frozenset[str]:
    return frozenset(_pair(part.strip()) for part in text.split(",") if part.strip())


def _pair(text: str) -> str:
    if not _PAIR.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a channel and an id, as in telegram:12345")
    return text


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError(
            f"{text[:40]!r} is no word that begins a message; give up to 32 letters and signs, as in {PREFIX}"
        )
    return text


def _address(text: str) -> tuple[str, int] | None:
    if text == NOWHERE:
        return None
    host, _, port = text.rpartition(":")
    if not _HOST.fullmatch(host) or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"{text[:40]!r} is not a host and a port, as in {LISTEN}")
    return host.strip("[]"), int(port)
