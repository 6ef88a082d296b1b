"""Dispatch's settings: one frozen struct, built once from the environment. Nobody else reads the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from contract.env import EnvReader, Secret, Setting, SettingsError
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
    Setting("SPINE_DISPATCH_HOME", DEFAULT_HOME, "folder of the device's identity, the ledger and the prompts"),
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


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`home` is absolute."""

    home: Path
    gateway: Address


def from_env(environ: Mapping[str, str] | None = None) -> Settings:
    """Build the settings. What is wrong with the gateway's address or token stays in it until a verb needs the gateway.

    Raises:
        SettingsError: naming every variable that cannot be used, and its fix.
    """
    found = os.environ if environ is None else environ
    env = EnvReader(found)
    home = env.custom("SPINE_DISPATCH_HOME", _folder, Path(DEFAULT_HOME).expanduser())
    address = _address(found)
    env.finish()
    return Settings(home=home, gateway=address)


def _address(environ: Mapping[str, str]) -> Address:
    env = EnvReader(environ)
    given, token = env.custom("OPENCLAW_GATEWAY_URL", socket_url, None), env.secret("OPENCLAW_GATEWAY_TOKEN")
    port = env.integer("OPENCLAW_GATEWAY_PORT", 18789, 1, 65535) if env.optional("OPENCLAW_GATEWAY_PORT") else None
    for name in ("OPENCLAW_CONFIG_PATH", "OPENCLAW_STATE_DIR", "OPENCLAW_HOME"):
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


def _folder(text: str) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError as e:
        raise ValueError(str(e)) from e
    if not path.is_absolute():
        raise ValueError(f"{text!r} is not absolute; begin it with / or ~")
    return path


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
