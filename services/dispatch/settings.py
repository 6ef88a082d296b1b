"""Dispatch's settings: one frozen struct, built once from the environment. Nobody else reads the environment."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from contract.env import EnvReader, Secret, Setting, SettingsError, base_urls
from contract.outcall import check_url
from dispatch import openclawfile

DEFAULT_URL = f"http://127.0.0.1:{openclawfile.DEFAULT_PORT}"
DEFAULT_HOME = "~/.spine/dispatch"

SETTINGS: tuple[Setting, ...] = (
    Setting("OPENCLAW_GATEWAY_URL", DEFAULT_URL, "where the gateway is; needs OPENCLAW_GATEWAY_TOKEN beside it"),
    Setting("OPENCLAW_GATEWAY_TOKEN", "from openclaw.json", "the gateway's token; wins over gateway.auth.token"),
    Setting("OPENCLAW_GATEWAY_PORT", "18789", "the gateway's port on this machine; wins over gateway.port"),
    Setting("OPENCLAW_CONFIG_PATH", "", "OpenClaw's configuration file, when it is not openclaw.json in its folder"),
    Setting("OPENCLAW_STATE_DIR", "", "OpenClaw's folder, when it is not .openclaw in its home"),
    Setting("OPENCLAW_HOME", "", "the home that OpenClaw takes for this user's"),
    Setting("OPENCLAW_GATEWAY_PASSWORD", "", "the gateway's own; not used here, and kept from verifying commands"),
    Setting("SPINE_DISPATCH_HOME", DEFAULT_HOME, "folder of the device's identity, the ledger and the prompts"),
    Setting("DISPATCH_LABELS_PATH", "", "the ledger, when it is not labels.json in SPINE_DISPATCH_HOME"),
    Setting("DISPATCH_CONFIG_DIR", "", "folder of config.json; else the working directory, then SPINE_DISPATCH_HOME"),
    Setting("DISPATCH_HOST", "the host's name", "this machine's name in events"),
    Setting("LOKI_PUSH_URL", "", "where Loki takes events, such as http://127.0.0.1:3100/loki/api/v1/push"),
    Setting(
        "DISPATCH_WEBHOOK_URL", "", "where else events are posted; jobs take it from DISPATCH_WEBHOOK_URL_FILE alone"
    ),
    Setting("DISPATCH_WEBHOOK_SECRET", "", "signs those posts as Standard Webhooks tells: whsec_ and base64"),
    Setting("SPINE_BASE_URL", "", "the spine that keeps watchers and schedules; several, by commas, fail over"),
    Setting("SPINE_TOKEN", "", "a head's token"),
    Setting("SPINE_TOKEN_FILE", "", "a file with the token; better than the variable, which other programs may show"),
    Setting("DISPATCH_TARGET", "", "the target for which the claw of this machine claims; watchers are sent to it"),
    Setting("SPINE_KILL_POINT", "", "for tests: the named point at which a dispatch stops"),
    Setting("SPINE_KILL_POINT_FILE", "", "for tests: the file that tells that it was reached"),
)
_FOR_JOBS = (
    "SPINE_DISPATCH_HOME",
    "DISPATCH_LABELS_PATH",
    "DISPATCH_CONFIG_DIR",
    "DISPATCH_HOST",
    "DISPATCH_TARGET",
    "LOKI_PUSH_URL",
    "DISPATCH_WEBHOOK_URL_FILE",
    "DISPATCH_WEBHOOK_SECRET_FILE",
    "OPENCLAW_GATEWAY_URL",
    "OPENCLAW_GATEWAY_PORT",
    "OPENCLAW_GATEWAY_TOKEN_FILE",
    "OPENCLAW_CONFIG_PATH",
    "OPENCLAW_STATE_DIR",
    "OPENCLAW_HOME",
    "SPINE_BASE_URL",
    "SPINE_TOKEN_FILE",
)
_OPENCLAWS_PATHS = ("OPENCLAW_CONFIG_PATH", "OPENCLAW_STATE_DIR", "OPENCLAW_HOME")
_KEPT_BACK = (
    "OPENCLAW_GATEWAY_TOKEN",
    "OPENCLAW_GATEWAY_TOKEN_FILE",
    "OPENCLAW_GATEWAY_PASSWORD",
    "DISPATCH_WEBHOOK_URL",
    "DISPATCH_WEBHOOK_URL_FILE",
    "DISPATCH_WEBHOOK_SECRET",
    "DISPATCH_WEBHOOK_SECRET_FILE",
    "SPINE_TOKEN",
    "SPINE_TOKEN_FILE",
    "SPINE_KILL_POINT",
    "SPINE_KILL_POINT_FILE",
)


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where the gateway is (`ws://…` or `wss://…`), and what opens it; `faults` say why it cannot be known."""

    url: str
    token: Secret | None = None
    password: Secret | None = None
    faults: tuple[str, ...] = ()

    def checked(self) -> "Address":
        """Return this address.

        Raises:
            SettingsError: naming what is missing or wrong; verbs that ask no gateway never come here.
        """
        if self.faults:
            raise SettingsError(list(self.faults))
        return self


class Spine(msgspec.Struct, frozen=True, kw_only=True):
    """A spine that is there for watchers and schedules."""

    base_urls: tuple[str, ...]
    token: Secret
    by_file: bool
    """The token came by SPINE_TOKEN_FILE: only so can a job on this machine have it too."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`home` and `labels_path` are absolute; no `spine` where none is configured."""

    home: Path
    gateway: Address
    labels_path: Path
    config_folders: tuple[Path, ...] = ()
    host: str = ""
    loki_url: str | None = None
    webhook_url: Secret | None = None
    webhook_secret: Secret | None = None
    spine: Spine | None = None
    target: str | None = None
    for_jobs: tuple[str, ...] = ()
    """`NAME=value` of what our jobs on this machine need of this environment; no secret."""
    jobs_lack: str | None = None
    """Why such a job would not have the gateway's token that this process has; None when it has it too."""
    jobs_post_nothing: str | None = None
    """Why such a job would post no event to the webhook to which this process does; None when it would, or none is."""
    kill_point: str | None = None
    kill_point_file: str | None = None


def from_env(environ: Mapping[str, str] | None = None) -> Settings:
    """Build the settings. What is wrong with the gateway's address or token stays in it until a verb needs the gateway.

    Raises:
        SettingsError: naming every variable that cannot be used, and its fix.
    """
    found = os.environ if environ is None else environ
    env = EnvReader(found)
    home = env.absolute("SPINE_DISPATCH_HOME", DEFAULT_HOME)
    address, handed_on = _address(found), _for_jobs(found)
    config = env.absolute("DISPATCH_CONFIG_DIR", home) if env.optional("DISPATCH_CONFIG_DIR") else None
    settings = Settings(
        home=home,
        gateway=address,
        labels_path=env.absolute("DISPATCH_LABELS_PATH", home / "labels.json"),
        config_folders=(config,) if config else (Path(), home),
        host=env.text("DISPATCH_HOST", socket.gethostname()),
        loki_url=env.custom("LOKI_PUSH_URL", _called, None),
        webhook_url=_webhook(env),
        webhook_secret=env.secret("DISPATCH_WEBHOOK_SECRET"),
        spine=_spine(env),
        target=env.optional("DISPATCH_TARGET"),
        for_jobs=tuple(f"{name}={value}" for name, value in handed_on.items()),
        jobs_lack=_jobs_lack(address, found, handed_on),
        jobs_post_nothing=_jobs_post_nothing(found),
        kill_point=env.optional("SPINE_KILL_POINT"),
        kill_point_file=env.optional("SPINE_KILL_POINT_FILE"),
    )
    env.finish()
    return settings


def for_commands(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what a verifying command sees of the environment: all but tokens and secrets."""
    found = os.environ if environ is None else environ
    return {name: value for name, value in found.items() if name not in _KEPT_BACK}


def _for_jobs(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a job is given. It begins in a folder of its own, so that no path may hang on this one's."""
    given = {name: environ[name].strip() for name in _FOR_JOBS if environ.get(name, "").strip()}
    if _direct(environ, "DISPATCH_WEBHOOK_SECRET"):
        given.pop("DISPATCH_WEBHOOK_URL_FILE", None)  # rather no event than one that is not signed
    bound = (*(name for name in given if name.endswith("_FILE")), *_OPENCLAWS_PATHS)
    return given | {
        name: str(Path(given[name]).absolute()) for name in bound if name in given and not given[name].startswith("~")
    }


def _jobs_lack(here: Address, environ: Mapping[str, str], handed_on: Mapping[str, str]) -> str | None:
    there = _address(handed_on)
    if not there.faults and (there.token, there.password) == (here.token, here.password):
        return None
    if environ.get("OPENCLAW_GATEWAY_TOKEN", "").strip():
        return (
            "OPENCLAW_GATEWAY_TOKEN is a variable of this environment, which no job sees: put the token into a file "
            "of mode 0600, and name that in OPENCLAW_GATEWAY_TOKEN_FILE"
        )
    return f"a job on this machine would not have the gateway's token: {'; '.join(there.faults)}"


def _jobs_post_nothing(environ: Mapping[str, str]) -> str | None:
    if not _direct(environ, "DISPATCH_WEBHOOK_URL", "DISPATCH_WEBHOOK_URL_FILE"):
        return None
    inside = _direct(environ, "DISPATCH_WEBHOOK_URL", "DISPATCH_WEBHOOK_SECRET")
    if not inside:
        return None
    return (
        f"jobs on this machine post no event to the webhook, since they do not see this environment: give "
        f"{' and '.join(inside)} by a file of mode 0600, named in {' and '.join(f'{name}_FILE' for name in inside)}"
    )


def _direct(environ: Mapping[str, str], *names: str) -> list[str]:
    return [name for name in names if environ.get(name, "").strip()]


def _webhook(env: EnvReader) -> Secret | None:
    url = env.secret("DISPATCH_WEBHOOK_URL")
    try:
        check_url(url or DEFAULT_URL)
    except ValueError as e:
        env.faults.append(f"DISPATCH_WEBHOOK_URL: {e}")
    return url


def _spine(env: EnvReader) -> Spine | None:
    none: tuple[str, ...] = ()
    urls, token = env.custom("SPINE_BASE_URL", base_urls, none), env.secret("SPINE_TOKEN")
    by_file = env.optional("SPINE_TOKEN_FILE") is not None
    return Spine(base_urls=urls, token=token, by_file=by_file) if urls and token else None


def _called(url: str) -> str:
    check_url(url)
    return url


def _address(environ: Mapping[str, str]) -> Address:
    env = EnvReader(environ)
    given, token = env.custom("OPENCLAW_GATEWAY_URL", socket_url, None), env.secret("OPENCLAW_GATEWAY_TOKEN")
    port = env.integer("OPENCLAW_GATEWAY_PORT", 18789, 1, 65535) if env.optional("OPENCLAW_GATEWAY_PORT") else None
    for name in (*_OPENCLAWS_PATHS, "OPENCLAW_GATEWAY_PASSWORD"):
        env.optional(name)
    if given is not None:
        # The token of this machine's gateway is not shown to whatever stands at another address.
        if token is None and not env.faults:
            env.faults.append(
                "OPENCLAW_GATEWAY_TOKEN: missing; OPENCLAW_GATEWAY_URL needs the token of that gateway beside it"
            )
        return Address(url=given, token=token, faults=tuple(env.faults))
    file = openclawfile.read(openclawfile.path_in(environ), environ)
    url = f"ws://127.0.0.1:{port}" if port else file.url or DEFAULT_URL
    try:
        url = socket_url(url)
    except ValueError as e:
        env.faults.append(f"gateway.remote.url: {e}")
    if token is not None:
        return Address(url=url, token=token, faults=tuple(env.faults))
    env.faults.extend(file.faults)
    return Address(
        url=url,
        token=Secret(file.token) if file.token else None,
        password=Secret(file.password) if file.password else None,
        faults=tuple(env.faults),
    )


def socket_url(text: str) -> str:
    """Return a gateway's address as that of a WebSocket, without a slash at its end.

    Raises:
        ValueError: it is no ws, wss, http or https address, or holds a user, a query or a fragment.
    """
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    parts = urlsplit(text.strip())
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"{text!r} is no address such as {DEFAULT_URL} or wss://gateway.example")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an address holds no user, query or fragment; the token goes into OPENCLAW_GATEWAY_TOKEN")
    _ = parts.port  # raises ValueError itself
    return f"{schemes[parts.scheme]}://{parts.netloc}{parts.path}".rstrip("/")
