"""Notices: who is told of a job's end, the outbox that they wait in, and what becomes of each.

A notice is written in the transaction that makes it true, and sent later, under a lease, by `spine.notices`. What is
said is kept with it: a job may be deleted, or run again, before a receiver that is down comes back.
"""

import random
from typing import Any, NamedTuple

import msgspec

from contract import wire
from contract.errors import Conflict, InvalidField, NotAwaiting, NotFound
from contract.ids import new_notice_id
from contract.redaction import redacted_start
from contract.states import Status
from spine.queue.access import Caller
from spine.queue.rules import Rules
from spine.store import events, notices
from spine.store.engine import Tx
from spine.store.jobs import JobRow
from spine.store.notices import NoticeRow

SPINE = "spine"
GATEWAY_ALIAS = "openclaw"
"""The alias through which a delivery that names a channel goes."""
TEXT_MOST = wire.NOTICE_TEXT_MOST
WAIT_MOST_MS = 3_600_000
_chance = random.SystemRandom()
STALE_MOST = 200
_TYPES = {
    Status.DONE: "job.completed",
    Status.FAILED: "job.failed",
    Status.DEAD: "job.dead",
    Status.CANCELLED: "job.cancelled",
}
# Where a result says in words what came of the job, the likeliest first. `notes` is what a claw makes of the output.
_WORDS = ("text", "output", "stdout", "notes", "summary", "message")


class Said(msgspec.Struct, rename="camel", kw_only=True):
    """What a notice says. `text` is untrusted: a job printed it. `job`: facts that the spine itself knows."""

    type: str
    at: int
    title: str
    text: str
    cut: bool = False
    instruction: bool = False
    job: dict[str, Any] | None = None


class Patience(NamedTuple):
    """How long to go on: the first wait, and when to give up (ms)."""

    first_ms: int
    give_up_ms: int


# --- what a job asks for ---------------------------------------------------------------------------------------------


def check(rules: Rules, request: wire.Submit) -> None:
    """Refuse a job whose end could be told to nobody.

    Raises:
        InvalidField
    """
    for n, name in enumerate(request.notify):
        _require(rules, name, f"notify[{n}]")
    asked = request.delivery
    if asked is None or asked.mode == "none":
        return
    if asked.channel is not None and asked.to is None:
        raise InvalidField("delivery.to: who on that channel? Give a chat's id, or leave channel out", "delivery.to")
    if asked.to is None:
        if not request.notify:
            raise InvalidField("delivery: names nobody; give channel and to, or list aliases in notify", "delivery")
    elif asked.channel is None and not asked.to.startswith("@"):
        raise InvalidField("delivery.to: without a channel it names an alias, as in @team_room", "delivery.to")
    elif asked.channel is None or _is_alias(rules, asked.to):
        _require(rules, asked.to, "delivery.to", unlisted=False)
    else:
        _require(rules, GATEWAY_ALIAS, "delivery.channel", unlisted=False)


def require_alias(rules: Rules, name: str, field: str) -> None:
    """Refuse an alias that stands for nobody.

    Raises:
        InvalidField
    """
    _require(rules, name, field, unlisted=False)


def say(tx: Tx, alias: str, kind: str, title: str, text: str) -> NoticeRow:
    """Write a notice of the spine's own about no single job. `text` may hold what others wrote."""
    return _add(tx, alias, Said(type=kind, at=tx.now, title=title, text=text[:TEXT_MOST]), None, SPINE)


def _require(rules: Rules, name: str, field: str, unlisted: bool = True) -> None:
    """Refuse a name that stands for nobody; where there is no list at all, `unlisted` decides."""
    faults, name = rules.aliases.faults, _plain(name)
    if faults is None:
        if unlisted:
            return
        raise InvalidField(f"{field}: this spine knows no aliases; give it a file of them (SPINE_NOTICES_FILE)", field)
    if name not in faults:
        known = ", ".join(sorted(faults)) or "none"
        raise InvalidField(f"{field}: there is no alias {name!r}; known: {known}", field)
    if faults[name] is not None:
        raise InvalidField(f"{field}: the alias {name} cannot be used: {faults[name]}", field)


def _is_alias(rules: Rules, to: str) -> bool:
    return to.startswith("@") and to[1:] in (rules.aliases.faults or {})


def _plain(name: str) -> str:
    return name.removeprefix("@")


def names(given: list[str]) -> str:
    """Return aliases as they are kept: without the @, each once, as JSON text."""
    return msgspec.json.encode(list(dict.fromkeys(_plain(name) for name in given))).decode() if given else "[]"


def delivery_of(rules: Rules, asked: wire.Delivery | None) -> str | None:
    """Return a delivery as it is kept: JSON text, without the channel where the alias brings its own."""
    if asked is None:
        return None
    if asked.to is not None and _is_alias(rules, asked.to):
        asked = wire.Delivery(mode=asked.mode, to=asked.to)
    return msgspec.json.encode(asked).decode()


# --- what is told ----------------------------------------------------------------------------------------------------


def tell_end(tx: Tx, job: JobRow) -> None:
    """Write the notices of a job that has just ended, as it asked for them (contract scheduler 3.12: the modes)."""
    delivery = None if job.delivery is None else msgspec.json.decode(job.delivery, type=wire.Delivery)
    printed = words_of(job.result)
    if delivery is not None and not is_wanted(delivery.mode, job.status, printed):
        return
    said = end_of(tx, job, printed)
    for name in msgspec.json.decode(job.notify, type=list[str]):
        _add(tx, name, said, job.id, SPINE)
    if delivery is not None and delivery.to is not None:
        if delivery.channel is None:
            _add(tx, _plain(delivery.to), said, job.id, SPINE)
        else:
            _add(tx, GATEWAY_ALIAS, said, job.id, SPINE, delivery.channel, delivery.to)


def is_wanted(mode: str, status: str, printed: str) -> bool:
    """Tell whether an end is told: `announce` leaves out a success that printed nothing."""
    if mode == "announce":
        return status != Status.DONE or bool(printed.strip())
    return mode == "announce-always"


def words_of(result: str | None) -> str:
    """Return what a result (JSON text) says in words: a text, or the first member of an object that is meant for it."""
    value = None if result is None else msgspec.json.decode(result)
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        for name in _WORDS:
            if isinstance(value.get(name), str) and value[name].strip():
                return str(value[name])
    return ""


def told_of(status: str, error: str | None, words: str) -> str:
    """Return what is told of a job's end: of one that is not done its error first. Secrets are not masked yet."""
    parts = [error] if error and status != Status.DONE else []
    return "\n\n".join([*parts, words] if words.strip() else parts)


def end_of(tx: Tx, job: JobRow, printed: str) -> Said:
    """Return what a job's end says. The title is the spine's own; all that others wrote is in the text."""
    text, cut = redacted_start(told_of(job.status, job.error, printed), TEXT_MOST)
    review = ", and waits for a review" if job.status == Status.DONE and job.review == "pending" else ""
    return Said(
        type=_TYPES[Status(job.status)],
        at=tx.now,
        title=f"job {job.id} for {job.target} is {job.status}{review}",
        text=text,
        cut=cut,
        job={
            "id": job.id,
            "target": job.target,
            "status": job.status,
            "label": job.label,
            "attempts": job.attempts,
            "fence": job.fence,
            "round": job.round,
            "machine": job.machine,
        },
    )


def send(tx: Tx, rules: Rules, caller: Caller, asked: wire.SendNotice) -> NoticeRow:
    """Write a notice by hand.

    Raises:
        InvalidField: nobody has this alias, or the text is empty.
    """
    _require(rules, asked.alias, "alias", unlisted=False)
    if not asked.text.strip():
        raise InvalidField("text: an empty text is not sent", "text")
    said = Said(
        type="notice",
        at=tx.now,
        title=asked.title or f"a notice from {caller.name}",
        text=asked.text,
        instruction=asked.instruction,
        job=None if asked.job_id is None else {"id": asked.job_id},
    )
    return _add(tx, _plain(asked.alias), said, asked.job_id, caller.name)


def _add(
    tx: Tx, alias: str, said: Said, job_id: str | None, by: str, channel: str | None = None, to: str | None = None
) -> NoticeRow:
    row = NoticeRow(
        seq=0,
        id=new_notice_id(),
        job_id=job_id,
        addressee=alias,
        channel=channel,
        recipient=to,
        status="waiting",
        said=msgspec.json.encode(said).decode(),
        created_by=by,
        created_at=tx.now,
        since=tx.now,
        due_at=tx.now,
    )
    return notices.add(tx, row)


# --- what becomes of it ----------------------------------------------------------------------------------------------


def take(tx: Tx, alias: str, lease_ms: int) -> NoticeRow | None:
    """Take the alias' notice that has been due longest, under a lease and the next fence; None when none is due."""
    row = next(notices.due(tx, alias, 1), None)
    return None if row is None else notices.take(tx, row, tx.now + lease_ms)


def sent(tx: Tx, row: NoticeRow) -> bool:
    """Note that all of a notice has gone out; False when it is another sender's by now."""
    changed = notices.change(tx, row, status="sent", error=None, ended_at=tx.now)
    if changed is not None:
        notices.end_attempt(tx, row, "sent", None)
    return changed is not None


def failed(tx: Tx, row: NoticeRow, reason: str, patience: Patience, after_ms: int = 0, gone: bool = False) -> str:
    """Note a try that failed: wait for the next one, or give up; return the status, "" when it is another's by now.

    The wait is as long as it has been tried already, which doubles it each time: at least the first one, an hour at
    most, less up to a half by chance. `after_ms`: the receiver asked to be left alone so long. `gone`: for good.
    """
    since = min(row.since, tx.now)  # of a clock that was ahead, it would go on for longer, and at the shortest wait
    ends = since + patience.give_up_ms
    if gone or tx.now >= ends:
        told = reason if gone else f"{reason}; tried since {patience.give_up_ms // 3_600_000} h"
        return "given_up" if _give_up(tx, row, SPINE, told, "gone" if gone else "failed") else ""
    wait = min(max(patience.first_ms, tx.now - since), WAIT_MOST_MS) * _chance.uniform(0.5, 1.0)
    due_at = min(tx.now + max(int(wait), after_ms, 1), ends)
    if notices.change(tx, row, status="waiting", due_at=due_at, since=since, error=reason) is None:
        return ""
    notices.end_attempt(tx, row, "failed", reason)
    return "waiting"


def _give_up(tx: Tx, row: NoticeRow, by: str, reason: str, outcome: str) -> NoticeRow | None:
    changed = notices.change(tx, row, status="given_up", error=reason, ended_at=tx.now)
    if changed is not None:
        notices.end_attempt(tx, row, outcome, reason)
        data = {"notice": row.id, "alias": row.addressee, "attempts": row.attempts, "reason": reason}
        events.append(tx, "notice.given_up", by, row.job_id, None, data)
    return changed


def is_put_off(due_at: int, now: int, patience: Patience) -> bool:
    """Tell whether a notice is due later (ms) than any wait can be: a clock that was ahead has said when."""
    return due_at > now + patience.give_up_ms


def call_back(tx: Tx, alias: str, patience: Patience) -> int:
    """Have an alias' notices sent now that are put off (`is_put_off`); return how many."""
    return notices.call_back(tx, alias, tx.now + patience.give_up_ms)


def expire(tx: Tx, alias: str, patience: Patience, reason: str) -> int:
    """Give up notices that have waited too long for an alias that cannot be used; return how many."""
    late = notices.stale(tx, alias, tx.now - patience.give_up_ms, STALE_MOST)
    return sum(1 for row in late if _give_up(tx, row, SPINE, reason, "failed"))


def find(tx: Tx, notice_id: str) -> NoticeRow:
    """Return a notice.

    Raises:
        NotFound
    """
    row = notices.find(tx, notice_id)
    if row is None:
        raise NotFound(f"there is no notice {notice_id[:64]}")
    return row


def replay(tx: Tx, caller: Caller, notice_id: str) -> NoticeRow:
    """Have a notice sent (again), at once and under the same id; its time begins anew.

    Raises:
        NotFound
        Conflict: it is being sent at this moment.
    """
    row = find(tx, notice_id)
    changes: dict[str, Any] = {"status": "waiting", "since": tx.now, "due_at": tx.now, "ended_at": None}
    if row.status in ("sent", "given_up"):
        changes["parts"] = 0
    changed = None if row.status == "sending" else notices.change(tx, row, **changes)
    if changed is None:
        raise Conflict("the notice is being sent at this moment")
    tx.signals.notices = True
    events.append(tx, "notice.replayed", caller.name, row.job_id, None, {"notice": row.id, "alias": row.addressee})
    return changed


def give_up(tx: Tx, caller: Caller, notice_id: str) -> NoticeRow:
    """Send a notice no more. Twice is once.

    Raises:
        NotFound
        NotAwaiting: it has been sent.
    """
    row = find(tx, notice_id)
    if row.status == "given_up":
        return row
    if row.status == "sent":
        raise NotAwaiting("the notice has been sent", status=row.status)
    changed = _give_up(tx, row, caller.name, f"given up by {caller.name}", "failed")
    if changed is None:
        raise Conflict("the notice was changed at the same moment")
    return changed
