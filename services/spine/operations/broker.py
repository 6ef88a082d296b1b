"""Reading the database of an OpenClaw Broker, a row a job, and the plans that a runner of it keeps as files."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from contract.ids import is_id
from contract.states import TERMINAL, Status
from spine.facades import front, mapping, plans, replicate
from spine.facades.broker_records import caps
from spine.facades.mapping import BROKER, as_json, clean
from spine.operations.past_jobs import Entry, Told, entry_of, rows_of, shown
from spine.operations.refusal import Refused
from spine.operations.taken import ID_RULE, KNOWN, Broken, Found, Line
from spine.store.engine import Tx
from spine.store.foreign import Foreign
from spine.store.jobs import JobRow
from spine.store.machines import MachineRow

_NEEDED = ("id", "created_at", "status", "command", "payload")
_MORE = ("started_at", "finished_at", "lease_until", "result", "error", "worker_id", "requires")
_STATUS = {
    "queued": Status.QUEUED,
    "running": Status.RUNNING,
    "done": Status.DONE,
    "failed": Status.FAILED,
}
_PLAN_MOST = 1 << 20


class Broker:
    """A broker's database, and a folder of plans."""

    def __init__(self, db: Foreign, folder: Path | None) -> None:
        there = db.columns("jobs")
        if not there.issuperset(_NEEDED):
            raise Refused(f"{db.path} is no database of an OpenClaw Broker: it has no table jobs with its columns")
        self._db = db
        # Each release has added columns; which are missing has never been served by a newer one.
        self._columns = (*_NEEDED, *(name for name in _MORE if name in there))
        self._files: list[Path] = []
        self._plans: dict[int, Told] = {}  # kept, unlike jobs: a file may be gone when it is looked for again
        if folder is not None:
            self._files = plan_files(folder)

    def entries(self) -> Iterator[Entry | Line]:
        """Look at every job, then at every plan."""
        seen = set()
        for place, row in self._db.rows("jobs", self._columns):
            try:
                job = _job(row)
            except Broken as e:
                yield Line("job", shown(row["id"]), "broken", str(e))
                continue
            seen.add(job.id)
            yield entry_of("job", job.id, place, job)
        for place, path in enumerate(self._files):
            try:
                plan = _plan(path)
            except Broken as e:
                yield Line("plan", shown(path.name), "broken", str(e))
                continue
            if plan.id in seen:
                yield Line("plan", path.name, "skipped", KNOWN)
                continue
            self._plans[place] = plan
            yield entry_of("plan", path.name, place, plan)

    def take(self, entry: Entry) -> Found | MachineRow:
        """Read a record that can be taken."""
        if entry.kind == "plan":
            return rows_of(self._plans[entry.place])
        return rows_of(_job(self._db.row("jobs", self._columns, entry.place)))

    def settled(self, tx: Tx, job: JobRow) -> None:
        """Note the plan that a job has made, so that it can be approved here."""
        result = None if job.result is None or job.status != Status.DONE else msgspec.json.decode(job.result)
        if isinstance(result, str):
            plans.note(tx, job, result)


def plan_files(folder: Path) -> list[Path]:
    """Return what lies in a runner's folder of plans, or in the `plans` of its RUNNER_STATE_DIR, by name."""
    inner = folder / "plans"
    return sorted((inner if inner.is_dir() and not inner.is_symlink() else folder).glob("*.json"))


def _job(row: dict[str, Any]) -> Told:
    """Read a row.

    Raises:
        Broken
    """
    job_id, status = _text(row, "id"), row["status"]
    if not is_id(job_id):
        raise Broken(f"id: {ID_RULE}, and does not begin with a dot")
    if not isinstance(status, str) or status not in _STATUS:
        raise Broken(f"status: expected one of {', '.join(_STATUS)}")
    created_at, started_at = _moment(row, "created_at"), _moment_or_none(row, "started_at")
    finished_at, lease_until = _moment_or_none(row, "finished_at"), _moment_or_none(row, "lease_until")
    found = _STATUS[status]
    if found in TERMINAL and finished_at is None:
        raise Broken(f"finished_at: missing, although it is {status}")
    worker = (_text_or_none(row, "worker_id") or "").strip() or None
    if worker is not None and not front.is_worker_id(worker):
        raise Broken(f"worker_id: expected at most {front.WORKER_MOST} printable characters")
    claimed = found == Status.RUNNING or started_at is not None or worker is not None
    result, error = _text_or_none(row, "result"), _text_or_none(row, "error")
    return Told(
        dialect=BROKER,
        id=job_id,
        status=found,
        created_at=created_at,
        updated_at=max(at for at in (created_at, started_at, finished_at) if at is not None),
        attempts=1 if claimed and found != Status.QUEUED else 0,  # a broker does not count them
        requires=caps(row.get("requires")),
        spec=as_json({"command": _text(row, "command"), "payload": _text(row, "payload")}),
        holder=mapping.machine(BROKER, worker) if claimed else None,
        worker=worker,
        started_at=started_at,
        lease_until=lease_until,
        finished_at=finished_at,
        result=None if result is None else as_json(result),
        error=error,
    )


def _text(row: dict[str, Any], name: str) -> str:
    found = row.get(name)
    if not isinstance(found, str):
        raise Broken(f"{name}: expected a text")
    return clean(found)


def _text_or_none(row: dict[str, Any], name: str) -> str | None:
    return None if row.get(name) is None else _text(row, name)


def _moment(row: dict[str, Any], name: str) -> int:
    """Return a time in ms: a broker has whole seconds."""
    found = row.get(name)
    if not isinstance(found, int) or not 0 <= found * 1000 <= replicate.FARTHEST_MS:
        raise Broken(f"{name}: expected whole seconds since 1970, before the year 2100")
    return found * 1000


def _moment_or_none(row: dict[str, Any], name: str) -> int | None:
    return None if row.get(name) is None else _moment(row, name)


def _plan(path: Path) -> Told:
    """Read a plan as the job that made it: the runner wrote nothing down of that but the plan.

    Raises:
        Broken
    """
    if not plans.is_plan_id(path.stem):
        raise Broken("its name is not <plan_id>.json with a UUID in lower case")
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            kind = os.fstat(file.fileno())
            if not stat.S_ISREG(kind.st_mode):
                raise Broken("no regular file")
            data = file.read(_PLAN_MOST + 1)
        if len(data) > _PLAN_MOST:
            raise Broken(f"has more than {_PLAN_MOST} bytes")
        plan = json.loads(data)
    except OSError as e:
        raise Broken("a link, which is not followed" if path.is_symlink() else f"cannot be read ({e.strerror})") from e
    except (ValueError, RecursionError) as e:
        raise (e if isinstance(e, Broken) else Broken(f"not JSON: {e}")) from e
    if not isinstance(plan, dict) or plan.get("type") != "plan":
        raise Broken("not a plan")
    if plan.get("plan_id") != path.stem:
        raise Broken(f"holds the plan_id {shown(plan.get('plan_id'))}, which is not its name")
    at = max(0, min(kind.st_mtime_ns // 1_000_000, replicate.FARTHEST_MS))
    return Told(
        dialect=BROKER,
        id=path.stem,
        status=Status.DONE,
        created_at=at,
        updated_at=at,
        attempts=0,
        requires=[],
        spec=as_json({"command": plans.PLAN, "payload": ""}),
        finished_at=at,
        result=as_json(json.dumps(plan)),
    )
