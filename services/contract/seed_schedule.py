"""The job record of openclaw-scheduler as one of our schedules: one table of its fields, what becomes of each, and why.

What would change the meaning of a job when it is left out is refused; what only adorns it is dropped and told. (Fields
and defaults: contract of the scheduler, 3.2; delivery: 3.12.)
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args

from contract.wire import CONTEXT_LIKE_MOST, CONTEXT_MOST, DeliveryMode

Record = Mapping[str, Any]
EXEC = "EXEC:"
"""Begins an event of OpenClaw's own cron that is a shell command and no text."""
_RETRY_SECONDS = 30

_OUT = "identity, trust and payment are no part of this product; what a job may do its machine's settings decide"
_OURS = "limits of this kind are the spine's own (docs/reference/limits.md)"


class Note(NamedTuple):
    """Something of a job that is not carried over as it was."""

    field: str
    reason: str


class CannotCarry(ValueError):
    """The job cannot be carried over; `notes` names each field that is in the way."""

    def __init__(self, notes: list[Note]) -> None:
        super().__init__("; ".join(f"{note.field}: {note.reason}" for note in notes))
        self.notes = notes


class Translated(NamedTuple):
    """A body of POST /schedules, without `parentId`: `parent` is the seed's id of the job that it follows, if any."""

    body: dict[str, Any]
    parent: str | None
    notes: list[Note]


# Fields that are carried over by `translate` itself, or that say nothing of what is to be done.
CARRIED = frozenset(
    [
        "name",
        "enabled",
        "schedule_kind",
        "schedule_cron",
        "schedule_at",
        "schedule_tz",
        "schedule_every_ms",
        "run_now",
        "session_target",
        "agent_id",
        "preferred_session_key",
        "payload_kind",
        "payload_message",
        "payload_model",
        "payload_thinking",
        "run_timeout_ms",
        "overlap_policy",
        "resource_pool",
        "delivery_mode",
        "delivery_channel",
        "delivery_to",
        "delete_after_run",
        "ttl_hours",
        "parent_id",
        "trigger_on",
        "trigger_delay_s",
        "trigger_condition",
        "max_retries",
        "approval_required",
        "approval_timeout_s",
        "job_type",
        "execution_intent",
        "context_retrieval",
        "context_retrieval_limit",
    ]
)
SILENT = frozenset(
    [
        "id",
        "created_at",
        "updated_at",
        "origin",
        "next_run_at",
        "last_run_at",
        "last_status",
        "consecutive_errors",
        "delivery_opt_out_reason",
        "queued_count",
        "watchdog_target_label",
        "watchdog_check_cmd",
        "watchdog_timeout_min",
        "watchdog_alert_channel",
        "watchdog_alert_target",
        "watchdog_self_destruct",
        "watchdog_started_at",
        "description",
    ]
)
# Field → the values that mean nothing, and what is told of any other.
DROPPED: dict[str, tuple[tuple[Any, ...], str]] = {
    "delivery_guarantee": (("at-least-once",), "notices are sent at least once, with an id to know a repeat by"),
    "payload_timeout_seconds": ((120,), "a run is bounded by run_timeout_ms; idleness is the gateway's matter"),
    "payload_scope": (("own",), "a prompt sees its own job's context alone"),
    "execution_read_only": (
        (0, False),
        "no executor can promise it; say it in the text, or use a claw that can only read",
    ),
    "approval_auto": (("reject",), "an approval that nobody gives in time cancels the job, and never lets it run"),
    "job_class": (("standard",), "there is no run before a session's compaction"),
    "auth_profile": (("inherit",), "credentials are those of the claw's gateway"),
    "max_queued_dispatches": ((25,), _OURS),
    "max_pending_approvals": ((10,), _OURS),
    "max_trigger_fanout": ((25,), _OURS),
    "output_store_limit_bytes": ((65536,), _OURS),
    "output_excerpt_limit_bytes": ((2000,), _OURS),
    "output_summary_limit_bytes": ((5000,), _OURS),
    "output_offload_threshold_bytes": ((65536,), _OURS),
    "child_credential_policy": (("none",), _OUT),
}
_OUT_PREFIXES = ("identity", "authorization", "evidence", "contract_")
_NOTHING = (None, "", "none", "null", "{}", "[]")


def translate(job: Record) -> Translated:
    """Return a seed's job as a schedule of ours, and what of it is not as it was.

    Raises:
        CannotCarry
    """
    refused: list[Note] = []
    notes = [note for name, value in job.items() if (note := _dropped(name, value)) is not None]

    def part(build: Callable[[Record, list[Note]], dict[str, Any]]) -> dict[str, Any]:
        try:
            return build(job, notes)
        except CannotCarry as e:
            refused.extend(e.notes)
            return {}

    body: dict[str, Any] = {
        "name": "",
        **part(_name),
        **part(_when),
        **part(_life),
        "job": {**part(_work), **part(_limits), **part(_told)},
    }
    is_agents = "agent" in body["job"].get("requires", [])
    body |= part(lambda job, notes: _context(job, notes, is_agents))
    part(_possible)
    if refused:
        raise CannotCarry(refused)
    return Translated(body, _parent(job), notes)


def _dropped(name: str, value: Any) -> Note | None:
    if name in CARRIED or name in SILENT or value in _NOTHING:
        return None
    if name in DROPPED:
        harmless, why = DROPPED[name]
        return None if value in harmless else Note(name, f"dropped: {why}")
    if name.startswith(_OUT_PREFIXES):
        return None if value in (0, False) else Note(name, f"dropped: {_OUT}")
    return Note(name, "dropped: unknown here")


def _refuse(field: str, reason: str) -> CannotCarry:
    return CannotCarry([Note(field, reason)])


def _possible(job: Record, _notes: list[Note]) -> dict[str, Any]:
    faults = []
    if job.get("job_type") not in (None, "", "standard"):
        faults.append(
            Note("job_type", "a watchdog watches a dispatch: `spine-dispatch schedules install` takes its place")
        )
    if job.get("execution_intent") not in (None, "", "execute"):
        faults.append(
            Note("execution_intent", "run as a plan only; submit it as a job with spec.plan, which is approved")
        )
    if job.get("contract_trust_enforcement") == "block":
        faults.append(Note("contract_trust_enforcement", f"it may run only where its trust was proved; {_OUT}"))
    if faults:
        raise CannotCarry(faults)
    return {}


def _name(job: Record, _notes: list[Note]) -> dict[str, Any]:
    name = job.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > 200 or not name.isprintable():
        raise _refuse("name", "1 to 200 printable characters are needed")
    return {"name": name}


def _parent(job: Record) -> str | None:
    return str(job["parent_id"]) if job.get("parent_id") else None


def _when(job: Record, notes: list[Note]) -> dict[str, Any]:
    if _parent(job) is not None:
        return _chain(job)
    zone = job.get("schedule_tz") or "UTC"
    kind = job.get("schedule_kind") or ("at" if job.get("schedule_at") and not job.get("schedule_cron") else "cron")
    if kind == "every" or job.get("schedule_every_ms"):
        seconds = _number(job, "schedule_every_ms", 1000, 315_360_000_000) / 1000
        if seconds != int(seconds):
            notes.append(Note("schedule_every_ms", f"{seconds:g} s are now {math.ceil(seconds)} s: whole seconds"))
        return {"everySeconds": math.ceil(seconds)}
    if kind == "at":
        return {"at": _moment(job.get("schedule_at"), "schedule_at")}
    if kind != "cron":
        raise _refuse("schedule_kind", f"{_shown(kind)} is none of cron, at, every")
    cron = job.get("schedule_cron")
    if not isinstance(cron, str) or not cron.strip():
        raise _refuse("schedule_cron", "missing")
    fields = cron.split()
    if len(fields) == 6 and not cron.startswith("@"):
        if fields[0] != "0":
            raise _refuse("schedule_cron", f"{_shown(cron)} has seconds; five fields, or an interval, are taken")
        notes.append(Note("schedule_cron", "its sixth field, the second 0, is left out"))
        fields = fields[1:]
    return {"cron": " ".join(fields), "timezone": zone}


def _chain(job: Record) -> dict[str, Any]:
    on = {"success": "success", "failure": "failure", "complete": "both"}.get(str(job.get("trigger_on") or "success"))
    if on is None:
        raise _refuse("trigger_on", f"{_shown(job.get('trigger_on'))} is none of success, failure, complete")
    found: dict[str, Any] = {"on": on}
    if job.get("trigger_delay_s"):
        found["delaySeconds"] = _number(job, "trigger_delay_s", 0, 2_592_000)
    condition = job.get("trigger_condition")
    if condition:
        kind, _, wanted = str(condition).partition(":")
        if kind != "contains" or not wanted or len(wanted) > 1000:
            raise _refuse(
                "trigger_condition", f"{_shown(condition)}: only contains:TEXT is taken; a regex has no bound"
            )
        found["condition"] = {"contains": wanted}
    return found


def _life(job: Record, _notes: list[Note]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    overlap = job.get("overlap_policy") or "skip"
    if overlap not in ("allow", "skip", "queue"):
        raise _refuse("overlap_policy", f"{_shown(overlap)} is none of allow, skip, queue")
    found["overlap"] = overlap
    if job.get("enabled") in (0, False):
        found["paused"] = True
    if job.get("delete_after_run"):
        found["deleteAfterRun"] = True
    if job.get("ttl_hours"):
        found["ttlHours"] = _number(job, "ttl_hours", 0, 876_000)
    if job.get("run_now"):
        found["runNow"] = True
    if job.get("approval_required"):
        found["approvalTimeoutSeconds"] = _number(job, "approval_timeout_s", 1, 2_592_000, 3600)
    return found


def _context(job: Record, notes: list[Note], is_agents: bool) -> dict[str, Any]:
    """Return what an agent is shown of earlier runs; a command has no prompt to put it into."""
    how = job.get("context_retrieval")
    if how in _NOTHING:
        return {}
    if not is_agents or how not in ("recent", "hybrid"):
        why = f"{_shown(how)} is none of none, recent, hybrid" if is_agents else "only an agent is shown such"
        notes.append(Note("context_retrieval", f"dropped: {why}"))
        return {}
    asked = int(_number(job, "context_retrieval_limit", 0, 1000, 5))
    if not asked:
        return {}
    if asked > CONTEXT_MOST:
        notes.append(Note("context_retrieval_limit", f"{asked} are now {CONTEXT_MOST}, the most that are shown"))
    found: dict[str, Any] = {"last": min(asked, CONTEXT_MOST)}
    if how == "hybrid":
        notes.append(Note("context_retrieval", "by likeness of words alone: what shares none is not shown"))
        found["like"] = str(job["payload_message"])[:CONTEXT_LIKE_MOST]
    return {"context": found}


def _work(job: Record, notes: list[Note]) -> dict[str, Any]:
    text = job.get("payload_message")
    if not isinstance(text, str) or not text.strip():
        raise _refuse("payload_message", "missing: there is nothing to do")
    target = job.get("session_target") or "isolated"
    if target == "shell" or job.get("payload_kind") == "shellCommand":
        return {"target": "any", "spec": {"run": text}, "requires": ["shell"]}
    if target not in ("main", "isolated"):
        raise _refuse("session_target", f"{_shown(target)} is none of main, isolated, shell")
    if text.startswith(EXEC):
        notes.append(Note("payload_message", f"an event that begins with {EXEC} is a shell job"))
        return {"target": "any", "spec": {"run": text.removeprefix(EXEC).strip()}, "requires": ["shell"]}
    agent = {
        "id": _text(job, "agent_id") or "main",
        "session": target,
        "model": _text(job, "payload_model"),
        "thinking": _text(job, "payload_thinking"),
        "sessionKey": _text(job, "preferred_session_key"),
    }
    meta = {"agent": {name: value for name, value in agent.items() if value}}
    return {"target": "any", "spec": text, "requires": ["agent"], "meta": meta}


def _limits(job: Record, notes: list[Note]) -> dict[str, Any]:
    found: dict[str, Any] = {"maxAttempts": _number(job, "max_retries", 0, 999, 0) + 1}
    if found["maxAttempts"] > 1:
        found["retry"] = {"backoffSeconds": _RETRY_SECONDS, "factor": 2}
    if job.get("run_timeout_ms"):
        found["timeoutSeconds"] = max(1, math.ceil(_number(job, "run_timeout_ms", 1, 2_592_000_000) / 1000))
    if job.get("approval_required"):
        found["needsApproval"] = True
    pool = job.get("resource_pool")
    if pool:
        found |= {"concurrencyKey": f"pool:{pool}", "concurrencyLimit": 1}
        notes.append(Note("resource_pool", "a run waits for its turn in the pool, and is not left out"))
    return found


def _told(job: Record, _notes: list[Note]) -> dict[str, Any]:
    mode = job.get("delivery_mode") or "announce"
    if mode not in get_args(DeliveryMode):
        raise _refuse("delivery_mode", f"{_shown(mode)} is none of {', '.join(get_args(DeliveryMode))}")
    channel, to = job.get("delivery_channel"), job.get("delivery_to")
    if mode == "none" or not (channel or to):
        return {}
    found = {"mode": mode}
    if to and str(to).startswith("@") and re.fullmatch(r"@[a-z0-9][a-z0-9._-]*", str(to)):
        return {"delivery": {**found, "to": str(to)}}  # the name of an alias, which says its channel too
    if channel:
        found["channel"] = str(channel)
    if to:
        found["to"] = str(to)
    return {"delivery": found}


def _text(job: Record, name: str) -> str | None:
    value = job.get(name)
    if value and not isinstance(value, str):
        raise _refuse(name, f"{_shown(value)} is no text")
    return value or None


def _number(job: Record, name: str, least: float, most: float, default: int | None = None) -> Any:
    value = job.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, str):
        try:
            value = float(value) if "." in value else int(value)
        except ValueError:
            raise _refuse(name, f"{_shown(value)} is not a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _refuse(name, f"{_shown(value)} is not a number from {least:g} to {most:g}")
    return value


def _moment(value: Any, name: str) -> str:
    """Write a moment as ISO 8601. SQLite's form has no zone: it is UTC. A number is milliseconds."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 4_102_444_800_000:
            moment = datetime.fromtimestamp(value / 1000, UTC)
        else:
            moment = datetime.fromisoformat(str(value))
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # in UTC a date may be before the first year, or behind the last
        raise _refuse(name, f"{_shown(value)} is no date") from None
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _shown(value: Any) -> str:
    return repr(value)[:60]
