"""The head's settings: one frozen struct, built once from the environment. Nobody else reads the environment."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from contract import sdnotify, trace
from contract.env import EnvReader, Secret, Setting, base_urls, newer_token

DEFAULT_URL = "http://127.0.0.1:36725"
COORDINATOR_URL = "http://127.0.0.1:8787"
"""Where Skyclaw looks when nothing is set."""

SETTINGS: tuple[Setting, ...] = (
    Setting("SPINE_BASE_URL", DEFAULT_URL, "where the spine is; several, separated by commas, fail over"),
    Setting("SPINE_TOKEN", "required", "a head's token"),
    Setting("SPINE_TOKEN_FILE", "", "a file with the token; better than the variable, which other programs may show"),
    Setting("HEAD_STATE_DIR", "~/.spine", "folder of head-loop.json, where a loop stands"),
    Setting("HEAD_LEASE_NAME", "", "name of the lease whose holder's loop acts, where several heads share a spine"),
    Setting("HEAD_LEASE_SECONDS", "15", "how long that lease lasts without a renewal"),
    Setting("HEAD_SKILLS_DIR", "~/.openclaw/skills", "folder of an agent's skills"),
    Setting("SKYCLAW_COORDINATOR_URLS", "", "for enqueue-…: coordinators, tried in order; wins over the next"),
    Setting("SKYCLAW_COORDINATOR_URL", "", "for enqueue-…: the one coordinator"),
    Setting("SKYCLAW_TOKEN", "", "for enqueue-…: Skyclaw's shared token"),
    Setting("TRACEPARENT", "", "the span from which a command is run (W3C): jobs that it submits are in its trace"),
    Setting("SPINE_KILL_POINT", "", "for tests: the named point at which a loop stops"),
    Setting("SPINE_KILL_POINT_FILE", "", "for tests: the file that tells that it was reached"),
)
_FOLDERS = (("HEAD_STATE_DIR", "~/.spine"), ("HEAD_SKILLS_DIR", "~/.openclaw/skills"))
_KEPT_BACK = ("SPINE_TOKEN", "SKYCLAW_TOKEN", "SPINE_KILL_POINT", "SPINE_KILL_POINT_FILE")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`base_urls` has at least one address, without a slash at its end."""

    base_urls: tuple[str, ...]
    token: Secret
    token_file: Path | None
    state_dir: Path
    skills_dir: Path
    lease_name: str | None
    lease_seconds: int
    traceparent: str | None
    kill_point: str | None
    kill_point_file: str | None

    def newer_token(self, used: str) -> str | None:
        """Return the token that the file holds now, when it is not the one that was used. It may wait 1 s."""
        return newer_token(used, [self.token_file])


class Coordinators(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job of Skyclaw is enqueued in its own dialect: addresses in the order in which they are tried."""

    urls: tuple[str, ...]
    token: Secret | None


def from_env(environ: Mapping[str, str] | None = None) -> Settings:
    """Build the settings.

    Raises:
        SettingsError: naming every variable that cannot be used, and its fix.
    """
    env = EnvReader(os.environ if environ is None else environ)
    token = env.secret("SPINE_TOKEN")
    if token is None and not env.faults:
        env.faults.append("SPINE_TOKEN: missing; give a head's token in it, or the name of a file in SPINE_TOKEN_FILE")
    default: tuple[str, ...] = (DEFAULT_URL,)
    urls = env.custom("SPINE_BASE_URL", base_urls, default)
    state, skills = (env.absolute(name, default) for name, default in _FOLDERS)
    _coordinators(env)
    lease = env.custom("HEAD_LEASE_NAME", lease_name, None)
    seconds = env.integer("HEAD_LEASE_SECONDS", 15, 1, 3600)
    traceparent = trace.of_text(env.optional("TRACEPARENT"))
    point, file = env.optional("SPINE_KILL_POINT"), env.optional("SPINE_KILL_POINT_FILE")
    env.finish()
    return Settings(
        base_urls=urls,
        token=token or Secret(""),
        token_file=env.secret_file("SPINE_TOKEN"),
        state_dir=state,
        skills_dir=skills,
        lease_name=lease,
        lease_seconds=seconds,
        traceparent=traceparent,
        kill_point=point,
        kill_point_file=file,
    )


def lease_name(text: str) -> str:
    """Return the name of a lease.

    Raises:
        ValueError: the spine would not take it.
    """
    if not (0 < len(text) <= 128 and text.isascii() and text.isprintable() and text == text.strip()):
        raise ValueError(f"{text[:40]!r} is no name of a lease; give 1 to 128 printable ASCII characters")
    return text


def notifier() -> sdnotify.Notifier:
    """Take the service manager's variables out of the environment, so that no command of a policy answers it."""
    return sdnotify.take(os.environ)


def has_screen(environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether a browser would open where the person sits: not over SSH, nor without a display."""
    found = os.environ if environ is None else environ
    if found.get("SSH_CONNECTION") or found.get("SSH_TTY"):
        return False
    return sys.platform == "darwin" or any(found.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def for_commands(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what commands of a policy see of the environment: all but the token itself (a file's name stays)."""
    found = os.environ if environ is None else environ
    return {name: value for name, value in found.items() if name not in _KEPT_BACK}


def for_enqueue(environ: Mapping[str, str] | None = None) -> Coordinators | None:
    """Return where a job of Skyclaw goes; None is to the spine, as a job of our own with the head's token.

    Skyclaw's addresses win. Without them it is the spine that a head is set up for, in Skyclaw's dialect when there is
    a token for it; and where nothing at all is set, the address that Skyclaw itself would take.

    Raises:
        SettingsError
    """
    env = EnvReader(os.environ if environ is None else environ)
    found = _coordinators(env)
    ours = [name for name in ("SPINE_BASE_URL", "SPINE_TOKEN", "SPINE_TOKEN_FILE") if env.optional(name)]
    default: tuple[str, ...] = (DEFAULT_URL,)
    spines = () if found.urls else env.custom("SPINE_BASE_URL", base_urls, default)
    env.finish()
    if found.urls:
        return found
    if not ours:
        return Coordinators(urls=(COORDINATOR_URL,), token=found.token)
    if found.token is None:
        return None
    return Coordinators(urls=tuple(f"{url}/skyclaw" for url in spines), token=found.token)


def _coordinators(env: EnvReader) -> Coordinators:
    # Not judged here: only two commands need them, and those say what is wrong as Skyclaw does.
    many, one = env.listed("SKYCLAW_COORDINATOR_URLS"), env.optional("SKYCLAW_COORDINATOR_URL")
    return Coordinators(urls=many or ((one,) if one else ()), token=env.secret("SKYCLAW_TOKEN"))
