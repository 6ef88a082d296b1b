"""OpenClaw's own configuration file, read for the gateway's address and token (contract: gateway, section 1).

It is JSON in which comments and a comma before a closing bracket are allowed. Pure: the caller names the file.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

DEFAULT_PORT = 18789
_TOKENS = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/|,(?=(?:\s|//[^\n]*|/\*.*?\*/)*[}\]])', re.DOTALL)
_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says; `faults` tell why a member that is there cannot be used."""

    url: str | None = None
    token: str | None = None
    password: str | None = None
    open: bool = False
    """The gateway asks for nothing (`gateway.auth.mode` is none)."""
    faults: tuple[str, ...] = ()


def path_in(environ: Mapping[str, str]) -> Path:
    """Return where the file is: OPENCLAW_CONFIG_PATH, else openclaw.json in OPENCLAW_STATE_DIR or in ~/.openclaw."""
    named, state = (environ.get(name, "").strip() for name in ("OPENCLAW_CONFIG_PATH", "OPENCLAW_STATE_DIR"))
    if named:
        return Path(named).expanduser()
    if state:
        return Path(state).expanduser() / "openclaw.json"
    return Path(environ.get("OPENCLAW_HOME", "").strip() or "~").expanduser() / ".openclaw" / "openclaw.json"


def read(path: Path, environ: Mapping[str, str]) -> Found:
    """Read the file; one that is not there says nothing, one that cannot be read or understood is a fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Found()
    except (OSError, UnicodeDecodeError) as e:
        return Found(faults=(f"{path}: cannot be read ({e.__class__.__name__}); set OPENCLAW_GATEWAY_TOKEN instead",))
    try:
        config = msgspec.json.decode(_plain(text))
    except msgspec.MsgspecError as e:
        fix = "only comments and trailing commas are allowed besides JSON; mend it, or set OPENCLAW_GATEWAY_TOKEN"
        return Found(faults=(f"{path}: {e}; {fix}",))
    return _found(path, _dict(_dict(config).get("gateway")), environ)


def _found(path: Path, gateway: dict[str, Any], environ: Mapping[str, str]) -> Found:
    auth, remote = _dict(gateway.get("auth")), _dict(gateway.get("remote"))
    faults: list[str] = []

    def secret(where: str, value: object) -> str | None:
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            faults.append(
                f"{path}: {where} is a reference to a secret, which only the gateway can resolve; "
                "set OPENCLAW_GATEWAY_TOKEN to the token itself"
            )
            return None
        variable = _VARIABLE.fullmatch(value.strip())
        if variable is None:
            return value.strip()
        found = environ.get(variable[1], "").strip()
        if not found:
            faults.append(f"{path}: {where} is ${{{variable[1]}}}, which is not set here; set OPENCLAW_GATEWAY_TOKEN")
        return found or None

    if gateway.get("mode") == "remote":
        url = remote.get("url")
        return Found(
            url=url if isinstance(url, str) else None,
            token=secret("gateway.remote.token", remote.get("token")),
            faults=tuple(faults),
        )
    port = gateway.get("port")
    scheme = "wss" if _dict(gateway.get("tls")).get("enabled") is True else "ws"
    mode = auth.get("mode")
    return Found(
        url=f"{scheme}://127.0.0.1:{port if isinstance(port, int) else DEFAULT_PORT}",
        token=None if mode == "password" else secret("gateway.auth.token", auth.get("token")),
        password=secret("gateway.auth.password", auth.get("password")) if mode == "password" else None,
        open=mode == "none",
        faults=tuple(faults),
    )


def _plain(text: str) -> str:
    # A text in quotes stays as it is; a comment becomes a blank, a comma before a bracket nothing.
    def keep(match: re.Match[str]) -> str:
        found = match[0]
        return found if found.startswith('"') else "" if found == "," else " "

    return _TOKENS.sub(keep, text.removeprefix("\ufeff"))


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
