"""Reading the database of a Skyclaw coordinator: hosts and jobs, each a JSON record in a row of its own."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from contract.clock import iso, parse_iso
from contract.errors import SpineError
from contract.states import Status
from spine.facades import front, mapping, replicate
from spine.facades.mapping import SKYCLAW, as_json
from spine.operations.past_jobs import Entry, Told, entry_of, rows_of, shown
from spine.operations.refusal import Refused
from spine.operations.taken import ID_RULE, Broken, Found, Line, is_id
from spine.store.engine import Tx
from spine.store.foreign import Foreign
from spine.store.jobs import JobRow
from spine.store.lanes import canonical
from spine.store.machines import MachineRow

VERSION_MOST = 2**53 - 1
"""A coordinator cannot count farther exactly. What it counted is checked, and not kept."""
_COLUMNS = ("id", "json")
_TABLES = {"host": "hosts", "job": "jobs"}


class _Read(NamedTuple):
    """A record as it was read; `members` each as the text that is there."""

    state: replicate.State
    members: dict[str, msgspec.Raw]


class Skyclaw:
    """A coordinator's database."""

    def __init__(self, db: Foreign) -> None:
        for table in _TABLES.values():
            if not db.columns(table).issuperset(_COLUMNS):
                raise Refused(
                    f"{db.path} is no database of a Skyclaw coordinator: it has no table {table} with id and json"
                )
        self._db = db

    def entries(self) -> Iterator[Entry | Line]:
        """Look at every record: hosts, then jobs."""
        for kind, table in _TABLES.items():
            for place, row in self._db.rows(table, _COLUMNS):
                try:
                    yield self._entry(kind, place, row)
                except Broken as e:
                    yield Line(kind, shown(row["id"]), "broken", str(e))

    def take(self, entry: Entry) -> Found | MachineRow:
        """Read a record that can be taken."""
        read = _read(entry.kind, self._db.row(_TABLES[entry.kind], _COLUMNS, entry.place))
        return _machine(read) if entry.kind == "host" else rows_of(_job(read))

    def settled(self, tx: Tx, job: JobRow) -> None:
        """Nothing follows from a job."""

    def _entry(self, kind: str, place: int, row: dict[str, Any]) -> Entry:
        read = _read(kind, row)
        if kind == "host":
            machine = _machine(read)
            last = max(machine.first_seen, machine.seen_at)
            return Entry(kind, shown(row["id"]), machine.name, machine.first_seen, last, place)
        return entry_of(kind, row["id"], place, _job(read))


def _read(kind: str, row: dict[str, Any]) -> _Read:
    """Read one record as what another coordinator sends is read.

    Raises:
        Broken
    """
    table, text = _TABLES[kind], row["json"]
    if not isinstance(text, str):
        raise Broken("its record is no text")
    try:
        members = front.members(text.encode())
        _check_version(front.value(members, "version"))
        # Which write of the coordinator's it was means nothing here, and those before replication do not say.
        alone = members | {"version": msgspec.Raw(b"0")}
        state = replicate.parse({table: msgspec.Raw(msgspec.json.encode([alone]))})
    except SpineError as e:
        raise Broken(e.detail.replace(f"{table}[0].", "").replace(f"{table}[0]: ", "")) from e
    record_id = state.hosts[0].id if kind == "host" else state.jobs[0].id
    if record_id != row["id"]:
        raise Broken(f"holds the id {record_id!r}, which is not its row's")
    if kind == "job" and not is_id(record_id):
        raise Broken(f"id: {ID_RULE}, and does not begin with a dot")
    return _Read(state, members)


def _check_version(version: Any) -> None:
    if version is None:
        return
    if isinstance(version, bool) or not isinstance(version, int) or not 0 <= version <= VERSION_MOST:
        raise Broken(f"version: expected a whole number from 0 to {VERSION_MOST}")


def _machine(read: _Read) -> MachineRow:
    host = read.state.hosts[0]
    return MachineRow(
        name=mapping.machine(SKYCLAW, host.id),
        state="active",
        capabilities=canonical([SKYCLAW, *host.known.capabilities]),
        facts=as_json({SKYCLAW: msgspec.to_builtins(host.known)}),
        first_seen=parse_iso(host.known.registered_at),
        seen_at=host.seen_at,
        revoked_at=None,
    )


def _job(read: _Read) -> Told:
    job = read.state.jobs[0]
    asked: list[str] = msgspec.json.decode(job.requires)
    result = front.value(read.members, "result") or {}
    finished_at = _finished_at(result.get("finishedAt"), job.updated_at)
    return Told(
        dialect=SKYCLAW,
        id=job.id,
        status=job.status,
        created_at=job.created_at,
        updated_at=job.updated_at,
        attempts=job.attempts,
        requires=asked,
        spec=_kept(read.members["payload"]),
        holder=None if job.host_id is None else mapping.machine(SKYCLAW, job.host_id),
        worker=job.host_id,
        started_at=_started_at(job, finished_at, result.get("durationMs")),
        lease_until=job.lease_until,
        finished_at=finished_at,
        result=job.result if job.status in (Status.DONE, Status.FAILED) else None,
        error=job.error,
    )


def _finished_at(given: Any, updated_at: int) -> int:
    if given is None:
        return updated_at
    try:
        found = parse_iso(given)
    except (TypeError, ValueError, OverflowError):
        found = -1
    if not 0 <= found <= replicate.FARTHEST_MS:
        raise Broken(f"result.finishedAt: expected a time such as {iso(0)}")
    return found


def _started_at(job: replicate.Job, finished_at: int, duration_ms: Any) -> int:
    """Return when the last claim was: a lease is written when it begins; later only its length is told."""
    if job.status == Status.RUNNING:
        return job.updated_at
    if isinstance(duration_ms, (int, float)) and 0 <= duration_ms <= finished_at - job.created_at:
        return finished_at - int(duration_ms)
    return finished_at


def _kept(raw: msgspec.Raw) -> str:
    try:
        msgspec.json.decode(raw)  # what is kept as text must be JSON all through, or no client could read the job
    except (msgspec.DecodeError, RecursionError) as e:
        raise Broken(f"payload: {e}") from e
    return msgspec.json.format(bytes(raw), indent=-1).decode()
