"""Clawster's JSON files: config.json, secrets.json and the old one of a single file, each member checked by name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

CONFIG = "config.json"
SECRETS = "secrets.json"
_INDIRECT = ("${", "}")

# What is known in config.json, by its path: the least and the most of a number, or None for a text.
_NUMBERS: dict[str, tuple[float, float]] = {
    "node.heartbeat_interval": (0.2, 3600),
    "node.heartbeat_ttl": (0.5, 86_400),
    "node.retry_count": (1, 100),
    "node.retry_delay": (0, 600),
    "node.leader_ttl": (0.5, 3600),
    "election.lock_ttl": (0.5, 3600),
    "logging.max_bytes": (1024, 2**40),
    "logging.backup_count": (0, 1000),
}
_TEXTS = ("node.id", "node.name", "node.endpoint", "logging.level")
_REDIS = ("host", "port", "password", "db")
_NUMBER_MOST = 65535
# What the old file says in milliseconds, and where it stands in the new one.
_OLD_MS = {
    "heartbeat.interval_ms": "node.heartbeat_interval",
    "heartbeat.timeout_ms": "node.heartbeat_ttl",
    "election.timeout_ms": "election.lock_ttl",
}
_PASSED_OVER = ("election.renew_threshold", "election.renewal_interval_ms", "sync", "cluster.enabled")
"""Known to clawster, and without a meaning here: a lease is renewed three times in its life."""


class Files(NamedTuple):
    """What the files say, by path such as `node.heartbeat_interval`; `redis` by member. `notes`: what to tell."""

    config: dict[str, Any]
    redis: dict[str, Any]
    notes: list[str]


def read(folder: Path, config: Path | None, environ: Mapping[str, str], faults: list[str]) -> Files:
    """Read what there is; what cannot be used becomes a fault that names the file, the member and the fix.

    Args:
        folder: of both files; neither need be there.
        config: a file in the place of config.json, which must be there; of the new form or the old one.
    """
    notes: list[str] = []
    found = _load(config or folder / CONFIG, faults, needed=config is not None)
    where = str(config or folder / CONFIG)
    flat: dict[str, Any] = {}
    redis: dict[str, Any] = {}
    written = False
    if isinstance(found.get("cluster"), dict):
        found, own = _modern(found["cluster"]), found["cluster"].get("redis")
        redis |= _login(own, f"{where}: cluster.redis", environ, faults)
        written = _has_password(own)
    for section, members in found.items():
        if not isinstance(members, dict):
            notes.append(f"{where}: {section} is not known, and passed over")
            continue
        if section == "redis":
            redis |= _login(members, f"{where}: redis", environ, faults)
            written = written or _has_password(members)
            continue
        for name, value in members.items():
            path = f"{section}.{name}"
            if section not in _PASSED_OVER and path not in _PASSED_OVER and value not in (None, ""):
                _take(flat, path, value, where, faults, notes)
    secrets = folder / SECRETS
    login = _load(secrets, faults, needed=False)
    for file, secret in ((config or folder / CONFIG, written), (secrets, bool(login))):
        if secret and file.stat().st_mode & 0o007:
            notes.append(f"{file}: others may read it; chmod 600 {file}")
    return Files(flat, redis | _login(login.get("redis", {}), f"{secrets}: redis", environ, faults), notes)


def _modern(old: dict[str, Any]) -> dict[str, Any]:
    """Return the old form as the new one."""
    found: dict[str, dict[str, Any]] = {"node": {}, "election": {}}
    for name, place in (("node_id", "id"), ("node_name", "name")):
        if old.get(name) is not None:
            found["node"][place] = old[name]
    for path, place in _OLD_MS.items():
        section, _, name = path.partition(".")
        members = old.get(section)
        value = members.get(name) if isinstance(members, dict) else None
        if isinstance(value, int | float):
            into, _, member = place.partition(".")
            found[into][member] = value / 1000
    return found


def _load(path: Path, faults: list[str], needed: bool) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if needed:
            faults.append(f"{path}: there is no such file; name a config.json, or leave it out")
        return {}
    except OSError as e:
        faults.append(f"{path}: cannot be read: {e.strerror}")
        return {}
    except ValueError as e:
        faults.append(f"{path}: not JSON: {e}")
        return {}
    except RecursionError:
        faults.append(f"{path}: not JSON: it is nested too deep")
        return {}
    if not isinstance(found, dict):
        faults.append(f"{path}: not a JSON object")
        return {}
    return found


def _take(flat: dict[str, Any], path: str, value: Any, where: str, faults: list[str], notes: list[str]) -> None:
    if path in _TEXTS:
        if not isinstance(value, str):
            faults.append(f"{where}: {path}: {value!r} is not a text; put it in quotes")
        else:
            flat[path] = value.strip()
    elif path == "node.capabilities":
        if not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            faults.append(f'{where}: {path}: not a list of texts, such as ["gpu"]')
        else:
            flat[path] = tuple(value)
    elif path in _NUMBERS:
        least, most = _NUMBERS[path]
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            faults.append(f"{where}: {path}: {value!r} is not a number from {least:g} to {most:g}")
        else:
            flat[path] = value
    else:
        notes.append(f"{where}: {path} is not known, and passed over")


def _variable(value: Any) -> str | None:
    """Return the variable that stands for a value, None for one that is written as it is."""
    indirect = isinstance(value, str) and value.startswith(_INDIRECT[0]) and value.endswith(_INDIRECT[1])
    return value[2:-1] if indirect else None


def _has_password(members: Any) -> bool:
    """Tell whether a password itself is written there, and not where it is to be had."""
    password = members.get("password") if isinstance(members, dict) else None
    return bool(password) and _variable(password) is None


def _login(members: Any, where: str, environ: Mapping[str, str], faults: list[str]) -> dict[str, Any]:
    """Return host, port, password and db as far as they are given; `${NAME}` stands for a variable."""
    if members is None:
        return {}
    if not isinstance(members, dict):
        faults.append(f"{where}: not an object with {', '.join(_REDIS)}")
        return {}
    found: dict[str, Any] = {}
    for name in _REDIS:
        value = members.get(name)
        if (variable := _variable(value)) is not None:
            value = environ.get(variable, "").strip()
            if not value:
                faults.append(f"{where}.{name}: ${{{variable}}} is not set; set it, or write the value here")
                continue
        if value in (None, ""):
            continue
        if name in ("port", "db"):
            if isinstance(value, bool) or not str(value).isascii() or not str(value).isdigit():
                faults.append(f"{where}.{name}: {value!r} is not a whole number")
                continue
            value, least = int(value), 1 if name == "port" else 0
            if not least <= value <= _NUMBER_MOST:
                faults.append(f"{where}.{name}: {value} is not from {least} to {_NUMBER_MOST}")
                continue
        elif not isinstance(value, str):
            faults.append(f"{where}.{name}: not a text; put it in quotes")
            continue
        found[name] = value
    return found
