"""Aliases: short names for a channel, its target and its secrets. They stand in a file that its owner alone can read.

The file is JSON: `{"team_room": {"channel": "webhook", "url": "https://…", "secrets": ["whsec_…"]}, …}`. An entry that
cannot be used harms no other; what is wrong is told without a word of what it holds.
"""

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from contract.env import Secret
from contract.outcall import check_url

FILE_MOST = 1 << 20
ALIASES_MOST = 500
# Where a container's engine or a service manager lays secrets for the service alone; their modes are not its owner's.
_HANDED = ("/run/secrets/", "/run/credentials/")
_NAME = msgspec.json.Decoder(Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")])

Text = Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
Token = Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"^[!-~]+\Z")]
Address = Annotated[str, Meta(max_length=320, pattern=r"^[^@\s<>,;:\"\x00-\x1f\x7f]+@[A-Za-z0-9.-]+\Z")]


class Alias(msgspec.Struct, rename="camel", kw_only=True, frozen=True, forbid_unknown_fields=True, tag_field="channel"):
    """Base of what a name may stand for."""

    def __repr__(self) -> str:  # secrets stand in it
        return f"{type(self).__name__}(…)"

    def check(self) -> None:
        """Look for what the form alone does not tell.

        Raises:
            ValueError: saying what to change, and nothing of a secret.
        """
        url = getattr(self, "url", None)
        if url is not None:
            try:
                check_url(url)
            except ValueError as e:
                raise ValueError(f"url: {e}") from e


class Webhook(Alias, frozen=True, tag="webhook"):
    """A receiver of signed CloudEvents. `secrets`: one, or two while they are rotated."""

    url: str
    secrets: Annotated[list[Token], Meta(min_length=1, max_length=2)]

    def check(self) -> None:
        """Also that each secret is one."""
        super().check()
        self.signing_keys()

    def signing_keys(self) -> list[bytes]:
        """Return the secrets as the keys that they stand for.

        Raises:
            ValueError
        """
        found = []
        for n, secret in enumerate(self.secrets):
            try:
                key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            except binascii.Error as e:
                raise ValueError(f"secrets[{n}]: expected whsec_ and base64, as of `openssl rand -base64 32`") from e
            if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
                raise ValueError(f"secrets[{n}]: expected whsec_ and 24 to 64 bytes as base64")
            found.append(key)
        return found


class AgentHook(Alias, frozen=True, tag="openclaw-agent"):
    """An OpenClaw gateway's `/hooks/agent`: a run of an agent that is told of the notice."""

    url: str
    token: Token
    agent_id: Text | None = None
    session_key: Text | None = None
    deliver: bool | None = None


class WakeHook(Alias, frozen=True, tag="openclaw-wake"):
    """An OpenClaw gateway's `/hooks/wake`: a line for the main session."""

    url: str
    token: Token
    mode: Literal["now", "next-heartbeat"] = "now"


class Message(Alias, frozen=True, tag="openclaw-message"):
    """A chat, through the `message` tool of an OpenClaw gateway. `via`: telegram and so on; `to`: whom there."""

    url: str
    token: Token
    via: Text | None = None
    to: Text | None = None
    session_key: Text | None = None


class Discord(Alias, frozen=True, tag="discord"):
    """An incoming webhook of Discord."""

    url: str


class Loki(Alias, frozen=True, tag="loki"):
    """A log store that takes Loki's push."""

    url: str
    labels: dict[Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}\Z")], Text] = {}
    tenant: Text | None = None
    token: Token | None = None
    username: Text | None = None
    password: Text | None = None


class Email(Alias, frozen=True, tag="email"):
    """Mail by a server that takes it. `security`: how the connection is kept secret."""

    host: Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._:-]+\Z")]
    sender: Address = msgspec.field(name="from")
    to: Annotated[list[Address], Meta(min_length=1, max_length=50)]
    security: Literal["starttls", "tls", "none"] = "starttls"
    port: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    username: Text | None = None
    password: Text | None = None

    def check(self) -> None:
        """Also that a password is not sent in the clear."""
        if (self.username is None) != (self.password is None):
            raise ValueError("username: goes with password")
        if self.password is not None and self.security == "none":
            raise ValueError("security: a password needs starttls or tls")


Kind = Webhook | AgentHook | WakeHook | Message | Discord | Loki | Email


class Entry(msgspec.Struct, frozen=True):
    """One name of the file: what it stands for, or the problem with it. `channel` as far as it could be told."""

    name: str
    channel: str | None
    alias: Kind | None
    problem: str | None


class Unusable(ValueError):
    """The file as a whole cannot be used."""


def read(path: Path) -> dict[str, Entry]:
    """Read a file of aliases.

    Raises:
        Unusable: it is no such file, others can read it, or it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as source:
            kept = os.fstat(handle)
            if not stat.S_ISREG(kept.st_mode):
                raise Unusable(f"{path} is not a file")
            if kept.st_mode & 0o077 and not str(path.absolute()).startswith(_HANDED):
                raise Unusable(f"{path} holds secrets and others can read it: chmod 600 {path}")
            data = source.read(FILE_MOST + 1)
    except OSError as e:
        raise Unusable(f"cannot read {path}: {e.strerror}") from e
    if len(data) > FILE_MOST:
        raise Unusable(f"{path} is larger than {FILE_MOST} bytes")
    try:
        found = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Unusable(f"{path}: expected a JSON object of aliases by name") from e
    if len(found) > ALIASES_MOST:
        raise Unusable(f"{path}: {len(found)} aliases, at most {ALIASES_MOST}")
    entries = {}
    for name, raw in found.items():
        plain = name.removeprefix("@")
        if plain in entries:
            raise Unusable(f"{path}: the alias {plain[:64]} stands there twice")
        entries[plain] = _entry(plain, bytes(raw))
    return entries


def _entry(name: str, raw: bytes) -> Entry:
    channel: str | None = None
    try:
        _NAME.decode(msgspec.json.encode(name))
    except msgspec.ValidationError:
        return Entry(name[:64], None, None, "a name has 1 to 64 of a-z, 0-9, dot, hyphen and underscore")
    try:
        members: Any = msgspec.json.decode(raw)
        if isinstance(members, dict) and isinstance(members.get("channel"), str):
            channel = members["channel"][:40]
        alias = msgspec.json.decode(raw, type=Kind)
        alias.check()
    except (ValueError, RecursionError) as e:  # msgspec's errors name the place and the kind of what stands there
        return Entry(name, channel, None, str(e))
    return Entry(name, channel, alias, None)


def secrets_of(alias: Kind) -> list[Secret]:
    """Return what of an alias must never be shown: also its address, which is a secret where it opens a door."""
    found = [getattr(alias, name, None) for name in ("token", "password", "url")]
    return [Secret(value) for value in (*found, *getattr(alias, "secrets", [])) if value]
