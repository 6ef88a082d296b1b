"""Giving a run to the gateway: kept first, then asked for, and `running` only after the gateway said "accepted".

Killed between any two of these, the ledger knows the run's id, its session and its full prompt: what became of it can
be asked, and it can be begun again (contract: gateway, section 9, rule 4).
"""

import uuid

from contract import killpoints
from dispatch.desk import Desk
from dispatch.gateway.errors import GatewayError, Unreachable
from dispatch.gateway.judge import OVERLOADED, PERMANENT, TRANSIENT
from dispatch.gateway.runs import Accepted
from dispatch.leases import Superseded
from dispatch.ledger import ERROR, RUNNING, STARTING, Entries, Entry, stamp

LANE = "subagent"
TIMEOUT_SECONDS = 300


def new_key(agent: str) -> str:
    """Return the key of a session that is not there yet."""
    return f"agent:{agent}:subagent:{uuid.uuid4()}"


def prepare(desk: Desk, key: str, model: str | None, thinking: str | None) -> None:
    """Set a fresh session's model and thinking level; a level that the model does not offer is only noted.

    Raises:
        GatewayError: the model is not taken.
    """
    if model:
        desk.gateway().patch(key, model=model)
    if thinking:
        try:
            desk.gateway().patch(key, thinkingLevel=thinking)
        except GatewayError as e:
            desk.note(f"--thinking {thinking} is not taken, the session keeps its own: {e.text}")


def dispatch(desk: Desk, label: str, changes: Entry, message: str, *, owner: str | None = None) -> Accepted:
    """Begin a run of a label: keep it, call `agent`, and mark it accepted.

    Args:
        changes: what the entry gets besides: at least `sessionKey`, `agent` and `timeoutSeconds`, for a fresh one.
        owner: who must hold the label's lease; None where a person asked for it.

    Raises:
        Superseded: another holds the label.
        GatewayError: it was not taken, and the entry says so; or, with `sent`, nobody knows, and it stays `starting`.
    """
    run_id = str(uuid.uuid4())
    now = stamp()

    def keep(entries: Entries) -> Entry:
        entry = entries.setdefault(label, {})
        if owner is not None:
            _own(entry, owner)
        entry.update(changes)
        entry.update(
            runId=run_id,
            idempotencyKey=run_id,
            attempt=int(entry.get("attempt") or 0) + 1,
            dispatchedAt=now,
            updatedAt=now,
            status=STARTING,
            error=None,
            errorKind=None,
            notBefore=None,
            retryAt=None,
            patience=None,
            nudgedAt=None,
        )
        entry.pop("acceptedAt", None)
        return dict(entry)

    entry = desk.ledger.change(keep)
    killpoints.reach("dispatch.kept")
    try:
        accepted = desk.gateway().agent(
            entry["sessionKey"],
            entry["agent"],
            message,
            run_id,
            int(entry.get("timeoutSeconds") or TIMEOUT_SECONDS),
            lane=LANE,
            label=label,
            channel=entry.get("deliverChannel"),
            reply_to=entry.get("deliverTo") if entry.get("gatewayDelivers") else None,
        )
    except GatewayError as e:
        if not (isinstance(e, Unreachable) and e.sent):
            _mark(desk, label, run_id, status=ERROR, error=e.text, errorKind=kind(e), watcherOwed=None)
        raise
    killpoints.reach("dispatch.accepted")
    _mark(desk, label, run_id, status=RUNNING, acceptedAt=stamp())
    return accepted


def _own(entry: Entry, owner: str) -> None:
    if entry.get("owner") != owner:
        raise Superseded


def _mark(desk: Desk, label: str, run_id: str, **changes: str | None) -> None:
    def alter(entries: Entries) -> None:
        entry = entries.get(label)
        if entry is not None and entry.get("runId") == run_id:
            entry.update(changes)
            entry["updatedAt"] = stamp()

    desk.ledger.change(alter)


def kind(e: GatewayError) -> str:
    """Return the class of a failure's cause: overload, transient or permanent."""
    if e.code == "overloaded":
        return OVERLOADED
    return TRANSIENT if e.retryable else PERMANENT
