"""Whether this machine can run an agent on an OpenClaw gateway, and what `spine-dispatch` is given for it.

That program reads its own settings; a claw hands on those of its environment and of claw.env. Nothing of them reaches a
job: the agent itself runs in the gateway.
"""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from contract.env import EnvReader, Secret, Setting

SETTINGS: tuple[Setting, ...] = (
    Setting("OPENCLAW_GATEWAY_URL", "http://127.0.0.1:18789", "with spine-dispatch: where the OpenClaw gateway is"),
    Setting("OPENCLAW_GATEWAY_TOKEN", "from openclaw.json", "with spine-dispatch: the gateway's token"),
    Setting("OPENCLAW_GATEWAY_TOKEN_FILE", "", "with spine-dispatch: a file with the gateway's token, best so"),
)
PROGRAM = "spine-dispatch"
_PREFIXES = ("OPENCLAW_", "DISPATCH_")
_NAMES = ("SPINE_DISPATCH_HOME", "LOKI_PUSH_URL")
_SECRETS = ("OPENCLAW_GATEWAY_PASSWORD", "DISPATCH_WEBHOOK_URL", "DISPATCH_WEBHOOK_SECRET")
NEVER_PASSED = ("OPENCLAW_GATEWAY_TOKEN", "OPENCLAW_GATEWAY_TOKEN_FILE", "OPENCLAW_GATEWAY_PASSWORD")
_OWN = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "LOGNAME", "SSL_CERT_FILE")


class Dispatching(msgspec.Struct, frozen=True, kw_only=True):
    """The command, its environment, and the secrets that no log may show. One that came as a file stays a file."""

    command: tuple[str, ...]
    env: dict[str, str]
    secrets: tuple[Secret, ...]


def find(read: EnvReader, env: Mapping[str, str], command: tuple[str, ...]) -> Dispatching | None:
    """Return how to run it; None where the program is not installed, or no gateway's token is known.

    A file of a token that cannot be read is noted as a fault: every text would fail here.

    Args:
        read: reads `env`.
        command: as it was set; else the program beside this one, or in the PATH.
    """
    url, token = read.optional("OPENCLAW_GATEWAY_URL"), read.secret("OPENCLAW_GATEWAY_TOKEN")
    words = command or _installed(env)
    # The token in OpenClaw's configuration is for the address there alone.
    if not words or not (token or (url is None and _configuration(env).is_file())):
        return None
    told = {name: value for name, value in env.items() if name.startswith(_PREFIXES) or name in _NAMES}
    given = {name: value for name, value in told.items() if value.strip()}
    own = {name: env[name] for name in _OWN if name in env}
    secrets = tuple(Secret(given[name]) for name in _SECRETS if given.get(name, "").strip())
    return Dispatching(command=words, env={**own, **given}, secrets=(token, *secrets) if token else secrets)


def _installed(env: Mapping[str, str]) -> tuple[str, ...]:
    beside = Path(sys.executable).with_name(PROGRAM)
    found = str(beside) if beside.is_file() else shutil.which(PROGRAM, path=env.get("PATH", ""))
    return (found,) if found else ()


def _configuration(env: Mapping[str, str]) -> Path:
    """Return where OpenClaw's configuration would be, which may hold a token."""
    named = env.get("OPENCLAW_CONFIG_PATH", "").strip()
    home = env.get("OPENCLAW_HOME", "").strip() or env.get("HOME", "")
    folder = env.get("OPENCLAW_STATE_DIR", "").strip() or str(Path(home) / ".openclaw")
    return Path(named or Path(folder) / "openclaw.json").expanduser()
