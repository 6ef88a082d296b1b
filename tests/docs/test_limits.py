"""docs/reference/limits.md gives the numbers of the code."""

import importlib
import re

import msgspec
import pytest
from tests.docs.pages import reference, tables

from claw import outcome, spec
from claw.executors import prompt
from claw.runner import artifacts
from contract import outcall, wire
from spine import keeper, watching, worker
from spine.api import auth, body, core, events, groups, jobs, logs, named, notices, streams
from spine.api import messages as mail
from spine.mcp import fitting, tools
from spine.notices import aliases, message, sender
from spine.queue import (
    causes,
    cluster,
    conditions,
    earlier,
    firing,
    listing,
    messages,
    rules,
    schedule_times,
    schedules,
    steer,
)
from spine.queue import notices as outbox
from spine.store import idempotency, machines, occurrences
from spine.store import messages as receipts

PAGE = reference("limits.md")
ROWS = {row.get("limit") or row["time"]: row for found in tables(PAGE) for row in found}
DEFAULTS = {
    setting.name: setting.default
    for role in ("spine", "claw")
    for setting in importlib.import_module(f"{role}.settings").SETTINGS
}


def bound(kind: type[msgspec.Struct], member: str, name: str) -> int:
    """Return a bound of a record's member, as the schema says it."""
    schema = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"][member]
    return next(int(part[name]) for part in (schema, *schema.get("anyOf", ())) if name in part)


def default(kind: type[msgspec.Struct], member: str) -> int:
    """Return what a member is when it is not sent."""
    return int(next(field.default for field in msgspec.structs.fields(kind) if field.encode_name == member))


CONSTANTS = {
    "answer of a [tool for agents](mcp.md)": fitting.MOST,
    "levels of such an answer": fitting.LEVELS,
    "`limit` of a tool": tools.PAGE,
    "bytes of a log in a tool's answer": tools.LOG_MOST,
    "one append to a log": logs._APPEND_MOST,
    "one read of a log": logs._READ_MOST,
    "jobs of one claim": wire.CLAIM_MOST,
    "wait of one claim": wire.CLAIM_WAIT_MOST,
    "maxAttempts": bound(wire.Submit, "maxAttempts", "maximum"),
    "timeoutSeconds": bound(wire.Submit, "timeoutSeconds", "maximum"),
    "requires": bound(wire.Submit, "requires", "maxItems"),
    "capabilities of a claim": bound(wire.ClaimNext, "capabilities", "maxItems"),
    "name of a target or capability": bound(wire.Submit, "target", "maxLength"),
    "label": bound(wire.Submit, "label", "maxLength"),
    "name of a schedule": bound(wire.NewSchedule, "name", "maxLength"),
    "cron expression": schedule_times.CRON_MOST,
    "everySeconds": bound(wire.NewSchedule, "everySeconds", "maximum"),
    "`delaySeconds` of a chain": bound(wire.NewSchedule, "delaySeconds", "maximum"),
    "jitterSeconds": bound(wire.NewSchedule, "jitterSeconds", "maximum"),
    "missedMost": bound(wire.NewSchedule, "missedMost", "maximum"),
    "condition.contains": bound(wire.Condition, "contains", "maxLength"),
    "lists and objects in each other in `condition.equals`": conditions.DEPTH_MOST,
    "schedules one below the other": schedules.DEPTH_MOST,
    "schedules that follow one end": firing.FAN_OUT_MOST,
    "result that is handed on to a chain": conditions.HANDED_MOST,
    "`last` of a schedule's `context`": wire.CONTEXT_MOST,
    "`like` of a schedule's `context`": wire.CONTEXT_LIKE_MOST,
    "ended jobs that are looked at for it": earlier.LOOKED_AT,
    "text of each that is shown": earlier.EXCERPT_MOST,
    "runs of a schedule that came to no job and are kept": occurrences.FRUITLESS_MOST,
    "parentId": bound(wire.Submit, "parentId", "maxLength"),
    "jobs in one submit": jobs.LIST_SUBMIT_MOST,
    "after": bound(wire.Submit, "after", "maxItems"),
    "delaySeconds": bound(wire.Submit, "delaySeconds", "maximum"),
    "concurrencyLimit": bound(wire.Submit, "concurrencyLimit", "maximum"),
    "`concurrencyKey`, `dedupeKey`, each": bound(wire.Submit, "concurrencyKey", "maxLength"),
    "retry.backoffSeconds": bound(wire.Retry, "backoffSeconds", "maximum"),
    "retry.maxSeconds": bound(wire.Retry, "maxSeconds", "maximum"),
    "retryAfterSeconds": bound(wire.Fail, "retryAfterSeconds", "maximum"),
    "notify": bound(wire.Submit, "notify", "maxItems"),
    "name of an alias": 64,
    "text of a notice": wire.NOTICE_TEXT_MOST,
    "pieces of a long notice": message.PARTS_MOST,
    "aliases in the file of them": aliases.ALIASES_MOST,
    "file of aliases": aliases.FILE_MOST,
    "receivers that are called at once": sender.THREADS_MOST,
    "what is read of a receiver's answer": outcall.BODY_MOST,
    "notices in one page": notices.PAGE_MOST,
    "longest such wait": outbox.WAIT_MOST_MS // 1000,
    "text of a review": bound(wire.Review, "text", "maxLength"),
    "reason of a cancel, a reject or a bulk call": bound(wire.Cancel, "reason", "maxLength"),
    "jobs of one bulk call": listing.BULK_ROWS,
    "`ttlSeconds` of a message": bound(wire.SendMessage, "ttlSeconds", "maximum"),
    "messages in one page": mail.PAGE_MOST,
    "groups in one page": groups.PAGE_MOST,
    "`jobIds` of a group": bound(wire.NewGroup, "jobIds", "maxItems"),
    "`deadlineSeconds` of a group": bound(wire.NewGroup, "deadlineSeconds", "maximum"),
    "between two looks at task groups": watching.GROUPS_SECONDS,
    "messages with one heartbeat or claim": messages.OFFER_MOST,
    "bytes of messages with one heartbeat or claim": messages.OFFER_BYTES,
    "until a message that was not acknowledged is offered again": receipts.OFFER_AGAIN_MS // 1000,
    "facts of a machine": 8192,
    "messages of one broadcast, and messages or events in one page of the cluster": wire.CLUSTER_PAGE_MOST,
    "message of the broadcast, and payload of an event of the cluster, each": wire.CLUSTER_MESSAGE_MOST,
    "messages, and events, of the cluster that are kept": wire.CLUSTER_STREAM_MOST,
    "wait for messages or events of the cluster": wire.CLUSTER_WAIT_MOST,
    "heartbeats in one page of the history": wire.CLUSTER_HISTORY_MOST,
    "heartbeats that one call forgets": cluster.FORGET_MOST,
    "name of a named lease": body.LEASE_NAME_MOST,
    "data of a named lease": named._DATA_MOST,
    "wrong tokens and join codes of one address in a minute": auth._GUESSES,
    "X-Worker-Id": auth._WORKER_ID_MOST,
    "Idempotency-Key": core._KEY_MOST,
    "jobs in one answer": listing.LIST_MOST,
    "bytes of jobs in one answer": listing.LIST_BYTES,
    "events in one page": events._PAGE_MOST,
    "request line, and each header": 8190,
    "how many overloads of one round burn no attempt": causes.OVERLOADS_MOST,
    "from a failure or a release to the next attempt that it asks for, at most": causes.ASKED_MOST_MS // 86_400_000,
    "how often such a claim gives its attempt back": rules.UNACCEPTED_MOST,
    "from an attempt's `timeoutSeconds` to the end of its lease": rules.TIMEOUT_GRACE_MS // 1000,
    "more time for leases that ended while the spine was down, at most": rules.MIN_GRACE_MS // 1000,
    "how long an `Idempotency-Key` is kept": idempotency.KEEP_MS // 3_600_000,
    "how long a join code is good, unless told": default(wire.NewJoinCode, "ttlSeconds"),
    "how long the tokens before a rotation stay valid, unless told": default(wire.Rotate, "graceSeconds"),
    "how long a named lease lasts, unless told": default(wire.TakeLease, "ttlSeconds"),
    "how long a rework is kept for the machine that knows the work": steer.PREFER_MS // 1000,
    "how long a machine may be silent before `why` says so": machines.SILENT_MS // 1000,
    "between two passes that fold the write-ahead log back": keeper.CHECKPOINT_SECONDS,
    "between two passes that delete what is old": keeper.RETENTION_SECONDS,
    "jobs or blobs that are deleted in one transaction": keeper.RETENTION_BATCH,
    "ping in a silent stream": int(streams.PING_SECONDS),
    "how long a stopping spine keeps connections that say nothing": int(worker.LAME_DUCK_SECONDS),
    "phases of a job": spec.PHASES_MOST,
    "what an agent is shown of earlier runs": prompt.EARLIER_MOST_BYTES,
    "uploaded artifacts of a job": artifacts.FILES_MOST,
    "result file": outcome.RESULT_FILE_MOST_BYTES,
    "result that is sent": outcome.RESULT_MOST_BYTES,
    "error that is sent": outcome.ERROR_MOST_CHARS,
}


@pytest.mark.parametrize("limit", [name for name in ROWS if name != "priority"])
def test_each_number_is_that_of_the_code(limit: str) -> None:
    row = ROWS[limit]
    said = re.match(r"\d+", row["value"])
    assert said is not None
    wanted = DEFAULTS[row["setting"]] if row["setting"] else str(CONSTANTS[limit])
    assert said[0] == wanted


def test_no_size_count_or_time_of_the_spine_settings_is_forgotten() -> None:
    counted = {name for name, default in DEFAULTS.items() if default.isdigit() and name.startswith(("SPINE_", "LEASE"))}
    assert counted - {row["setting"] for row in ROWS.values()} == {
        "SPINE_MCP",
        "SPINE_PORT",
        "SPINE_SKYCLAW_PORT",
        "SPINE_BROKER_PORT",
    }
