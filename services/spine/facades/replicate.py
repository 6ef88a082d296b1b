"""What another coordinator sends of its state: read record by record, and added where it is not known here.

A bad record refuses the whole, naming it, and changes nothing. What is here already stays, whatever version the other
claims to have: only a job that came this way, and that nothing has touched here since, learns how it ended there.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from contract.clock import iso, parse_iso
from contract.errors import InvalidField
from contract.ids import is_id
from contract.states import Action, Status
from spine.facades import front, mapping
from spine.facades import skyclaw_records as records
from spine.facades.mapping import SKYCLAW, as_json, clean
from spine.facades.skyclaw_records import OUTPUTS, Facts
from spine.queue.moving import move
from spine.queue.rules import Rules
from spine.store import attempts, jobs, machines, past, retention
from spine.store.attempts import AttemptRow
from spine.store.engine import Tx
from spine.store.events import EventRow
from spine.store.jobs import JobRow
from spine.store.lanes import canonical

PEER = "skyclaw-peer"
VERSION_MOST = 10**12
"""A coordinator counts its writes: no honest one gets there."""
FARTHEST_MS = 4_102_444_800_000  # the year 2100
_STATUS = {
    "queued": Status.QUEUED,
    "leased": Status.RUNNING,
    "completed": Status.DONE,
    "failed": Status.FAILED,
}


class Host(NamedTuple):
    """A host of the other's; times in ms."""

    id: str
    known: Facts
    seen_at: int


class Job(NamedTuple):
    """A job of the other's; times in ms, `spec` and `result` as JSON text."""

    id: str
    created_at: int
    updated_at: int
    status: Status
    attempts: int
    requires: str
    spec: str
    host_id: str | None
    lease_until: int | None
    result: str | None
    error: str | None


class State(NamedTuple):
    """A state document."""

    hosts: list[Host]
    jobs: list[Job]


def parse(given: Mapping[str, msgspec.Raw]) -> State:
    """Read a state document.

    Raises:
        InvalidField: naming the record and its member, such as `jobs[3].createdAt`.
        BadJson
    """
    hosts, found = _listed(given, "hosts"), _listed(given, "jobs")
    state = State(
        [_host(_Reader(record, f"hosts[{n}]")) for n, record in enumerate(hosts)],
        [_job(_Reader(record, f"jobs[{n}]")) for n, record in enumerate(found)],
    )
    for name, ids in (("hosts", [host.id for host in state.hosts]), ("jobs", [job.id for job in state.jobs])):
        if len(set(ids)) < len(ids):
            raise InvalidField(f"{name}: the same id comes twice", name)
    return state


def _listed(given: Mapping[str, msgspec.Raw], name: str) -> list[Any]:
    found = front.value(given, name)
    if found is not None and not isinstance(found, list):
        raise InvalidField(f"{name}: expected a list", name)
    return found or []


def merge(tx: Tx, rules: Rules, state: State) -> bool:
    """Add what is not known here; tell whether anything changed."""
    changed = False
    for host in state.hosts:
        name = mapping.machine(SKYCLAW, host.id)
        if machines.find(tx, name) is None:
            row = machines.meet(tx, name, canonical([SKYCLAW, *host.known.capabilities]))
            machines.set_facts(tx, name, records.with_facts(row, host.known))
            changed = True
    for theirs in sorted(state.jobs, key=lambda job: job.created_at):
        ours = jobs.find(tx, theirs.id)
        if ours is None and retention.tombstone(tx, theirs.id) is not None:
            continue  # it ended here, and has been deleted since
        if ours is None:
            _add(tx, rules, theirs)
            changed = True
        elif _is_mirrored(ours) and theirs.status in (Status.DONE, Status.FAILED):
            _end(tx, ours, theirs)
            changed = True
    if changed:
        tx.signals.everything = True
    return changed


def _add(tx: Tx, rules: Rules, theirs: Job) -> None:
    holder = None if theirs.host_id is None else mapping.machine(SKYCLAW, theirs.host_id)
    status, lease_until = theirs.status, None
    if status == Status.RUNNING:
        lease_until = min(theirs.lease_until or 0, tx.now + rules.lease_ms)
        if holder is None or lease_until <= tx.now:
            status, holder, lease_until = Status.QUEUED, None, None
    ended = status in (Status.DONE, Status.FAILED)
    row = past.add_job(
        tx,
        JobRow(
            seq=0,
            id=theirs.id,
            lane=rules.lanes.take(tx, "any", theirs.requires),
            target="any",
            status=status.value,
            created_at=theirs.created_at,
            updated_at=theirs.updated_at,
            created_by=SKYCLAW,
            claimed_by=holder,
            worker_id=theirs.host_id if holder else None,
            machine=holder,
            lease_until=lease_until,
            attempts=theirs.attempts,
            max_attempts=max(rules.default_max_attempts, theirs.attempts + 1),
            spec=theirs.spec,
            meta=as_json({SKYCLAW: {"peer": True}}),
            result=theirs.result,
            error=theirs.error,
            requires=theirs.requires,
            fence=theirs.attempts,
            started_at=theirs.updated_at if holder else None,
            finished_at=theirs.updated_at if ended else None,
        ),
    )
    if holder is not None and theirs.attempts:
        outcome = {Status.DONE: "done", Status.FAILED: "failed"}.get(status, "running")
        past.add_attempt(
            tx,
            AttemptRow(
                row.id, row.fence, 1, row.attempts, outcome, holder, row.worker_id, holder, theirs.updated_at,
                theirs.updated_at if ended else None, theirs.error, None, None, None, None,
            ),
        )  # fmt: skip
    data = as_json({"target": "any", "status": status.value, "createdAt": iso(theirs.created_at)})
    past.add_event(tx, EventRow(0, row.id, "any", tx.now, "job.created", PEER, data))
    if lease_until is not None:
        tx.signals.deadline = min(lease_until, tx.signals.deadline or lease_until)


def _is_mirrored(job: JobRow) -> bool:
    """Tell whether a job came from another coordinator and has not been touched here: every move counts its version."""
    return job.version == 1 and job.meta == as_json({SKYCLAW: {"peer": True}}) and job.finished_at is None


def _end(tx: Tx, ours: JobRow, theirs: Job) -> None:
    done, running = theirs.status == Status.DONE, ours.status == Status.RUNNING
    if running:
        attempts.end(tx, ours.id, ours.fence, "done" if done else "failed", theirs.error)
    action = {
        (True, True): Action.COMPLETE,
        (True, False): Action.COMPLETE_LATE,
        (False, True): Action.FAIL,
        (False, False): Action.FAIL_LATE,
    }[done, running]
    holder = None if theirs.host_id is None else mapping.machine(SKYCLAW, theirs.host_id)
    move(
        tx,
        action,
        ours,
        PEER,
        {"status": theirs.status.value, "fence": ours.fence},
        result=theirs.result,
        error=theirs.error,
        claimed_by=holder,
        worker_id=theirs.host_id,
    )


# --- reading one record -----------------------------------------------------------------------------------------------


class _Reader:
    """Members of one record, each refused by its place when it is not what it must be."""

    def __init__(self, record: Any, place: str) -> None:
        self._place = place
        if not isinstance(record, dict):
            self.refuse("", "expected an object")
        self._record: dict[str, Any] = record

    def refuse(self, name: str, why: str) -> None:
        field = f"{self._place}.{name}" if name else self._place
        raise InvalidField(f"{field}: {why}", field)

    def get(self, name: str) -> Any:
        return self._record.get(name)

    def text(self, name: str, most: int = 200) -> str:
        found = self._record.get(name)
        if not isinstance(found, str) or not found.strip() or len(found) > most or clean(found) != found:
            self.refuse(name, f"expected 1 to {most} characters")
        return str(found)

    def id(self, name: str) -> str:
        found = self.text(name, 64)
        if not is_id(found):
            self.refuse(name, "expected 1 to 64 of A-Z a-z 0-9 . _ ~ -, no dot first")
        return found

    def moment(self, name: str) -> int:
        try:
            found = parse_iso(self.text(name, 64))
        except (ValueError, OverflowError):
            found = -1
        if not 0 <= found <= FARTHEST_MS:
            self.refuse(name, "expected a time such as 2030-01-31T08:00:00.000Z")
        return found

    def number(self, name: str, most: int) -> int:
        found = self._record.get(name)
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= most:
            self.refuse(name, f"expected a whole number from 0 to {most}")
        return int(found)  # type: ignore[arg-type]

    def capabilities(self, found: Any, name: str) -> list[str]:
        if not isinstance(found, list) or len(found) > 256:
            self.refuse(name, "expected a list of at most 256 strings")
        for word in found:
            if not isinstance(word, str) or not 0 < len(word) <= 256 or clean(word) != word:
                self.refuse(name, "expected strings of 1 to 256 characters")
        return sorted(set(found))


def _host(record: _Reader) -> Host:
    host_id = record.text("id", front.WORKER_MOST)
    if not front.is_worker_id(host_id):
        record.refuse("id", "expected printable characters")
    record.number("version", VERSION_MOST)
    registered_at = record.moment("registeredAt")
    most = record.get("maxParallel")
    if isinstance(most, bool) or not isinstance(most, (int, float)) or not 1 <= most <= 1_000_000:
        record.refuse("maxParallel", "expected a number of at least 1")
    known = Facts(
        name=record.text("name"),
        capabilities=tuple(record.capabilities(record.get("capabilities"), "capabilities")),
        max_parallel=float(most),
        registered_at=iso(registered_at),
    )
    return Host(host_id, known, record.moment("lastSeenAt"))


def _job(record: _Reader) -> Job:
    record.number("version", VERSION_MOST)
    status = record.get("status")
    if not isinstance(status, str) or status not in _STATUS:
        record.refuse("status", f"expected one of {', '.join(_STATUS)}")
    payload, requirement = record.get("payload"), record.get("requirement")
    if not isinstance(payload, dict) or not payload.get("kind"):
        record.refuse("payload", "expected an object with a kind")
    if not isinstance(requirement, dict):
        record.refuse("requirement", "expected an object")
    needed = record.capabilities(requirement.get("requiredCapabilities"), "requirement.requiredCapabilities")
    result, error = record.get("result"), record.get("error")
    if result is not None and not isinstance(result, dict):
        record.refuse("result", "expected an object")
    if error is not None and not isinstance(error, str):
        record.refuse("error", "expected a text")
    host_id = record.get("assignedHostId")
    return Job(
        id=record.id("id"),
        created_at=record.moment("createdAt"),
        updated_at=record.moment("updatedAt"),
        status=_STATUS[status],
        attempts=record.number("attempts", 1_000_000),
        requires=canonical([SKYCLAW, *needed]),
        spec=json.dumps(payload, separators=(",", ":")),
        host_id=None if host_id is None else record.text("assignedHostId", front.WORKER_MOST),
        lease_until=None if record.get("leaseExpiresAt") is None else record.moment("leaseExpiresAt"),
        result=None
        if result is None
        else json.dumps({name: result[name] for name in OUTPUTS if name in result}, separators=(",", ":")),
        error=None if error is None else clean(error),
    )
