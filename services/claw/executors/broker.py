"""The executor of the broker's commands, done by the claw itself: ping, capabilities, plan_echo and approve_echo.

A plan's id is that of the job that made it. The spine keeps plans and approvals; what a runner before has left on this
machine's disk counts as well, once each.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from claw import outcome
from claw.outcome import Outcome
from claw.settings import Settings
from claw.spec import RunnerOrder

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PLAN_MOST_BYTES = 4 << 20
_SUMMARY_CHARS = 200
VERSION = "mvp"


class Failed(Exception):
    """The command fails for good with this text."""


def run(order: RunnerOrder, job_id: str, settings: Settings) -> Outcome:
    """Carry out one command; returns what the spine is to be told. Its failures are final."""
    command = _COMMANDS.get(order.command)
    try:
        if command is None:
            raise Failed(f"unknown command: {order.command}")
        return outcome.complete(command(order, job_id, settings))
    except Failed as e:
        return outcome.fail(str(e), requeue=False)


def _ping(order: RunnerOrder, job_id: str, settings: Settings) -> str:
    return f"pong: {order.payload}"


def _capabilities(order: RunnerOrder, job_id: str, settings: Settings) -> str:
    worker = settings.dialects.worker_id
    return json.dumps({"worker_id": worker, "capabilities": [*_COMMANDS], "version": VERSION})


def _plan_echo(order: RunnerOrder, job_id: str, settings: Settings) -> str:
    said = order.payload[:_SUMMARY_CHARS]
    plan = {
        "type": "plan",
        "plan_id": job_id,
        "summary": f"Echo plan for: {said}" if said else "Echo plan (no payload)",
        "proposed_actions": ["(no-op)"],
        "requires_approval": True,
    }
    return json.dumps(plan)


def _approve_echo(order: RunnerOrder, job_id: str, settings: Settings) -> str:
    plan_id = order.payload.strip()
    if not plan_id:
        raise Failed("plan_id required")
    if order.approved != plan_id:
        _approve_kept(plan_id, job_id, settings.dialects.runner_folder)
    approval = {
        "type": "approval",
        "plan_id": plan_id,
        "status": "approved",
        "applied": False,
        "note": "no-op (scaffold)",
    }
    return json.dumps(approval)


def _approve_kept(plan_id: str, job_id: str, folder: Path | None) -> None:
    """Approve a plan that a runner before has kept as a file, once: the same job may do it again.

    Raises:
        Failed: there is no such plan, or another job has approved it.
    """
    # Nothing but a plain id is ever made into the name of a file.
    if folder is None or not _UUID.fullmatch(plan_id):
        raise Failed("unknown plan_id")
    try:
        room = os.open(folder / "plans", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as e:
        raise Failed("unknown plan_id") from e
    try:
        plan = _read(room, f"{plan_id}.json")
        if not isinstance(plan, dict) or (plan.get("type"), plan.get("plan_id")) != ("plan", plan_id):
            raise Failed("unknown plan_id")
        if not _mark(room, f"{plan_id}.approved", job_id):
            raise Failed(f"plan {plan_id} was approved already")
    finally:
        os.close(room)


def _read(room: int, name: str) -> Any:
    """Return what a JSON file holds; None for one that is missing, a link, or something else than a file of JSON."""
    try:
        # Neither a link nor a pipe.
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=room)
        with os.fdopen(fd, "rb") as source:
            return msgspec.json.decode(source.read(_PLAN_MOST_BYTES) or b"")
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _mark(room: int, name: str, job_id: str) -> bool:
    """Record which job approves a plan; False when it was another one."""
    # Written first and linked then: of two that come at once one gets the name, and never half a record.
    whole = f".{name}.{os.getpid()}"
    try:
        fd = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=room)
        try:
            with os.fdopen(fd, "wb") as target:
                target.write(msgspec.json.encode({"job": job_id}))
                target.flush()
                os.fsync(fd)
            os.link(whole, name, src_dir_fd=room, dst_dir_fd=room)
            os.fsync(room)
        finally:
            os.unlink(whole, dir_fd=room)
    except FileExistsError:
        found = _read(room, name)
        return isinstance(found, dict) and found.get("job") == job_id
    except OSError as e:
        raise Failed(f"the approval cannot be recorded in RUNNER_STATE_DIR: {e.strerror}") from e
    return True


_COMMANDS: dict[str, Callable[[RunnerOrder, str, Settings], str]] = {
    "ping": _ping,
    "capabilities": _capabilities,
    "plan_echo": _plan_echo,
    "approve_echo": _approve_echo,
}
