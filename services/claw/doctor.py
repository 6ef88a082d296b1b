"""`claw doctor`: everything that a claw needs, checked one by one, each with what to do about it."""

import os
import platform
import shutil
import time
from pathlib import Path
from typing import Literal

import msgspec

from claw import capabilities
from claw.runner import machine
from claw.settings import Settings, from_env
from claw.state import Journal
from contract.client import SpineClient
from contract.clock import parse_iso
from contract.env import SettingsError
from contract.errors import SpineError, Unauthorized
from contract.fleet_client import FleetClient
from contract.retry import ONCE

SKEW_MOST_SECONDS = 5.0
DISK_LEAST_BYTES = 512 << 20


class Check(msgspec.Struct, frozen=True):
    """One finding; `detail` says what was seen and, when it failed, the fix."""

    name: str
    state: Literal["ok", "failed", "hint"]
    detail: str


def examine() -> list[Check]:
    """Check this machine; without usable settings only these are reported."""
    try:
        used = from_env()
    except SettingsError as e:
        return [Check("settings", "failed", fault) for fault in e.faults]
    return [
        Check(
            "settings", "ok", f"mode {used.mode}, targets {', '.join(used.targets) or 'all that the token may claim'}"
        ),
        *_spine(used),
        _git(used),
        _state(used),
        _disk("state disk", used.state_dir),
        _disk("work disk", used.work_dir),
        Check("capabilities", "ok", ", ".join(capabilities.find(used))),
        _facts(used),
        *_allowances(used),
        _service(),
    ]


def table(checks: list[Check]) -> str:
    """Lay the findings out for people."""
    return "\n".join(f"{check.state:<7} {check.name:<13} {check.detail}" for check in checks)


def _spine(used: Settings) -> list[Check]:
    found = []
    for url in used.base_urls:
        try:
            sent = time.time()
            health = SpineClient(url, used.token, read_seconds=10, retry=ONCE).health()
            took = time.time() - sent
            found.append(Check("spine", "ok", f"{url} answers in {took * 1000:.0f} ms"))
            found.append(_skew(health.get("time"), sent + took / 2))
        except SpineError as e:
            fix = "start the spine there, or correct SPINE_BASE_URL"
            found.append(Check("spine", "failed", f"{url} does not answer ({e.code}); {fix}"))
    if any(check.name == "spine" and check.state == "ok" for check in found):
        token = _token(used)
        found += [token, _machine(used)] if token.state == "ok" else [token]
    return found


def _skew(told: object, local: float) -> Check:
    try:
        ahead = local - parse_iso(str(told)) / 1000
    except ValueError:
        return Check("clock", "hint", "the spine does not tell its time; the clocks were not compared")
    if abs(ahead) > SKEW_MOST_SECONDS:
        how = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the spine"
        return Check("clock", "failed", f"{how}; set the clock")
    return Check("clock", "ok", "agrees with the spine's")


def _token(used: Settings) -> Check:
    client = SpineClient(used.base_urls, used.token_now(), read_seconds=10, retry=ONCE)
    try:
        client.jobs(status="running", limit=1)
    except Unauthorized:
        return Check("token", "failed", "the spine does not know this token; join again, or correct it")
    except SpineError as e:
        return Check("token", "failed", f"the spine answered {e.code}: {e.detail}")
    return Check("token", "ok", "accepted")


def _machine(used: Settings) -> Check:
    try:
        known = machine.itself(FleetClient(used.base_urls, used.token_now(), read_seconds=10, retry=ONCE))
    except SpineError as e:
        return Check("machine", "hint", f"the spine did not tell what it knows of this machine ({e.code})")
    if known is None:
        return Check("machine", "hint", "the spine has not heard of it yet; the first claim makes it known")
    shown = f"{known.name} is {known.state}, last heard of at {known.seen_at}"
    return Check("machine", "ok" if known.state == "active" else "hint", shown)


def _facts(used: Settings) -> Check:
    found = capabilities.facts(used)
    sizes = {
        name: f"{value / (1 << 30):.1f} GiB"
        for name, value in found.items()
        if name.endswith("Bytes") and isinstance(value, int)
    }
    return Check("facts", "ok", ", ".join(f"{name} {sizes.get(name, value)}" for name, value in found.items()))


def _git(used: Settings) -> Check:
    path = shutil.which("git", path=used.base_env["PATH"])
    if path is not None:
        return Check("git", "ok", path)
    if used.allowed_repos:
        return Check("git", "failed", "not found, and CLAW_ALLOWED_REPOS allows repositories; install git")
    return Check("git", "hint", "not found; jobs with a repo will not be claimed")


def _state(used: Settings) -> Check:
    folder = used.state_dir
    try:
        Journal(folder).open()
        probe = folder / f".probe.{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as e:
        return Check("state folder", "failed", f"{folder} cannot be written ({e.strerror}); correct CLAW_STATE_DIR")
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        return Check("state folder", "failed", f"{folder} is not private to this user; chmod 700 and chown it")
    waiting = len(list((folder / "undelivered").glob("*.json"))) if (folder / "undelivered").is_dir() else 0
    if waiting:
        return Check("state folder", "hint", f"{folder} has {waiting} undelivered results; read their reasons there")
    return Check("state folder", "ok", str(folder))


def _disk(name: str, folder: Path) -> Check:
    folder = capabilities.existing(folder)
    free = shutil.disk_usage(folder).free
    shown = f"{free / (1 << 30):.1f} GiB free at {folder}"
    return Check(name, "ok" if free >= DISK_LEAST_BYTES else "failed", shown)


def _allowances(used: Settings) -> list[Check]:
    found = []
    if not used.allowed_repos:
        found.append(Check("repositories", "hint", "CLAW_ALLOWED_REPOS is empty: jobs with a repo fail here"))
    if not used.agent_command and used.dispatching is None:
        lacks = (
            "neither CLAW_AGENT_COMMAND nor spine-dispatch with a gateway's token: jobs whose spec is a text fail here"
        )
        found.append(Check("agent", "hint", lacks))
    if not used.allowed_commands:
        found.append(Check("commands", "hint", "CLAW_ALLOWED_COMMANDS is empty: phases may start any program"))
    return found


def _service() -> Check:
    if platform.system() == "Darwin":
        return Check("service", "hint", "keep it running with launchd: KeepAlive, ExitTimeOut above CLAW_DRAIN_SECONDS")
    return Check(
        "service", "hint", "keep it running with systemd: KillMode=mixed, TimeoutStopSec above CLAW_DRAIN_SECONDS"
    )
