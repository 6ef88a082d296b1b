"""Reading the data directory of Spine v0: one JSON file a job, one line an event, blobs as files with their endings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from contract.clock import parse_iso
from contract.ids import is_id
from contract.states import TERMINAL, Status
from contract.wire import Name
from spine.operations.taken import ID_RULE, Broken, Found
from spine.store.attempts import AttemptRow
from spine.store.comments import CommentRow
from spine.store.events import EventRow
from spine.store.jobs import JobRow

_Count = Annotated[int, Meta(ge=0, le=1_000_000)]
# How an event ends the attempt before it.
_ENDS = {"job.completed": "done", "job.failed": "failed", "job.released": "released", "job.expired": "expired"}
_KNOWN = frozenset({"t", "type", "by"})


class _Comment(msgspec.Struct):
    t: str
    by: str
    text: str


class _Job(msgspec.Struct, rename="camel"):
    id: str
    target: Name
    status: Literal["queued", "running", "done", "failed", "dead"]
    created_at: str
    updated_at: str
    attempts: _Count
    max_attempts: Annotated[int, Meta(ge=1, le=1_000_000)]
    created_by: str = "head"
    claimed_by: str | None = None
    lease_until: str | None = None
    spec: msgspec.Raw | UnsetType = UNSET
    meta: msgspec.Raw | UnsetType = UNSET
    comments: list[_Comment] = []
    result: msgspec.Raw | UnsetType = UNSET
    error: str | None = None
    progress: msgspec.Raw | UnsetType = UNSET
    release_reason: str | None = None


class _Event(msgspec.Struct):
    t: str
    type: str
    by: str = "unknown"


class Entry(NamedTuple):
    """A file that can be imported: its id, and where it is."""

    id: str
    path: Path


def jobs(root: Path) -> Iterator[Path]:
    """Iterate over the files of jobs, by name; the locks that v0 leaves beside them are passed over."""
    return iter(sorted((root / "jobs").glob("*.json")))


def created(path: Path) -> tuple[int, Entry]:
    """Return when a job was made (ms) and its entry, having read it whole.

    Raises:
        Broken
    """
    job = _read(path)
    return _moment(job.created_at, "createdAt"), Entry(job.id, path)


def job(entry: Entry, root: Path) -> Found:
    """Read a job and its events. A line that cannot be read is left out and told of in `faults`.

    Raises:
        Broken
    """
    read = _read(entry.path)
    events, faults = _events(root / "events" / f"{read.id}.jsonl", read)
    row = _row(read, events)
    attempts = _attempts(row, events)
    comments = [CommentRow(0, _moment(c.t, "comments"), c.by, c.text) for c in read.comments]
    newest = max([row.fence, *(attempt.fence for attempt in attempts)])
    return Found(row._replace(fence=newest, comments=len(comments)), attempts, comments, events, faults)


def blobs(root: Path) -> Iterator[Entry]:
    """Iterate over the blobs: `<id><ending>`. Whether a name holds a usable id is for the caller to see."""
    folder = root / "blobs"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and not path.name.startswith("."):
            yield Entry(path.stem, path)


def strays(root: Path) -> list[Path]:
    """Return files of events whose job is not there."""
    return [
        path for path in sorted((root / "events").glob("*.jsonl")) if not (root / "jobs" / f"{path.stem}.json").exists()
    ]


def _read(path: Path) -> _Job:
    try:
        text = path.read_text(encoding="utf-8")
        msgspec.json.decode(text)  # what is kept as text must be JSON all through, or no client could read the job
        read = msgspec.json.decode(text, type=_Job)
    except OSError as e:
        raise Broken(f"cannot be read ({e.strerror})") from e
    except msgspec.ValidationError as e:
        raise Broken(f"not a job: {e}") from e
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Broken(f"not JSON, perhaps cut off: {e}") from e
    if read.id != path.stem:
        raise Broken(f"holds the id {read.id[:64]!r}, which is not its name")
    if not is_id(read.id):
        raise Broken(ID_RULE)
    return read


def _row(read: _Job, events: list[EventRow]) -> JobRow:
    updated = _moment(read.updated_at, "updatedAt")
    status = Status(read.status)
    ends = [event.at for event in events if event.type in ("job.completed", "job.failed", "job.dead")]
    claims = [event for event in events if event.type == "job.claimed"]
    running = status == Status.RUNNING
    return JobRow(
        seq=0,
        id=read.id,
        lane=0,
        target=read.target,
        status=status.value,
        created_at=_moment(read.created_at, "createdAt"),
        updated_at=updated,
        created_by=read.created_by,
        claimed_by=read.claimed_by or ("unknown" if running else None),
        lease_until=(_moment(read.lease_until, "leaseUntil") if read.lease_until else updated) if running else None,
        attempts=read.attempts,
        max_attempts=read.max_attempts,
        spec='""' if read.spec is UNSET else _compact(read.spec),
        meta=_text(read.meta) or "{}",
        result=_text(read.result),
        error=read.error,
        progress=_text(read.progress),
        release_reason=read.release_reason,
        fence=read.attempts,
        started_at=claims[-1].at if claims else None,
        finished_at=(ends[-1] if ends else updated) if status in TERMINAL else None,
    )


def _attempts(row: JobRow, events: list[EventRow]) -> list[AttemptRow]:
    """Tell the attempts from the events: a claim begins one, what comes next ends it."""
    found: list[AttemptRow] = []
    for event in events:
        if event.type == "job.claimed":
            n = len(found) + 1
            found.append(AttemptRow(row.id, n, 1, n, "running", event.author, None, None, event.at, None, *(None,) * 5))
        elif found and found[-1].outcome == "running" and (event.type in _ENDS or event.type == "job.dead"):
            outcome = _ENDS.get(event.type, "expired")
            data: dict[str, Any] = msgspec.json.decode(event.data)
            error = data.get("error") if isinstance(data.get("error"), str) else None
            found[-1] = found[-1]._replace(outcome=outcome, ended_at=event.at, error=error)
    if found and found[-1].outcome == "running" and row.status != Status.RUNNING:
        found[-1] = found[-1]._replace(outcome="expired", ended_at=row.updated_at)
    if row.status == Status.RUNNING and (not found or found[-1].outcome != "running"):
        # The event of its claim is lost; that there was one is known all the same.
        by = row.claimed_by or "unknown"
        n = max(row.attempts, len(found) + 1)
        found.append(AttemptRow(row.id, n, 1, n, "running", by, None, None, row.updated_at, None, *(None,) * 5))
    return found


def _events(path: Path, read: _Job) -> tuple[list[EventRow], list[str]]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], []
    except OSError as e:
        return [], [f"cannot be read ({e.strerror})"]
    found, faults = [], []
    for n, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            text = line.decode("utf-8")
            event = msgspec.json.decode(text, type=_Event)
            rest = {k: v for k, v in msgspec.json.decode(text).items() if k not in _KNOWN}
            at = _moment(event.t, "t")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Broken) as e:
            faults.append(f"line {n}: {e}")
            continue
        found.append(EventRow(0, read.id, read.target, at, event.type, event.by, msgspec.json.encode(rest).decode()))
    return found, faults


def _moment(text: str, what: str) -> int:
    try:
        return parse_iso(text)
    except (ValueError, OverflowError) as e:
        raise Broken(f"{what}: {text[:40]!r} is not a time") from e


def _text(raw: msgspec.Raw | UnsetType) -> str | None:
    """Return JSON text; None for nothing and for null."""
    return None if raw is UNSET or bytes(raw) == b"null" else _compact(raw)


def _compact(raw: msgspec.Raw) -> str:
    """Return JSON text without the blanks that v0 printed it with; its numbers stay as they are written."""
    return msgspec.json.format(bytes(raw), indent=-1).decode()
