"""`spine import`: the data directory of Spine v0 into a store that is not served. May be repeated: what is there stays.

Ids, times, attempts, results, comments and events are kept. A running job is queued, its attempt counted: the directory
does not say whether its holder lives, v0 gave it no fence to be known by, and v0's own reaper would have done the same.
"""

import mimetypes
import re
from pathlib import Path

from contract.clock import Clock
from contract.ids import is_id
from contract.states import Status
from spine.blobs.base import Blobs
from spine.blobs.bucket import Bucket
from spine.operations import blob_places, files, v0
from spine.operations.files import Progress
from spine.operations.opening import looked_at, opened
from spine.operations.refusal import Refused
from spine.operations.taken import KNOWN, WAS_RUNNING, Broken, Found, Line, Report, add, is_known
from spine.operations.v0 import Entry
from spine.store import blobs
from spine.store.blobs import BlobRow
from spine.store.engine import Engine, Tx
from spine.store.lanes import Lanes

_BATCH = 100
_WORD = re.compile(r"[A-Za-z0-9_~-]{4,64}")


def bring_in(
    source: Path,
    data_dir: Path,
    dry_run: bool,
    clock: Clock,
    progress: Progress = files.quiet,
    place: Bucket | None = None,
    url: str | None = None,
) -> Report:
    """Import a v0 data directory; with `dry_run` only say what would be done. `place`: of the blobs, None for the disk.

    `url`: the database that has the store.

    Raises:
        Refused: it is none. DataDirBusy: the store is served. NotAStore, StoreUnusable: the store cannot be used.
        BlobsUnusable: the place of the blobs cannot be used.
        OSError, Unavailable: a disk or that place refuses; what was imported by then stays, and the same call goes on
            from there.
    """
    if not (source / "jobs").is_dir():
        raise Refused(f"{source} is no data directory of Spine v0: it has no folder `jobs`")
    report = Report({}, [])
    entries = _readable(source, report)
    if dry_run:
        with looked_at(data_dir, url) as tx:
            _try(source, tx, entries, report, progress)
        return report
    with opened(data_dir, url, clock) as store:
        work = _Import(source, store, blob_places.opened(place, data_dir), report)
        work.blobs(progress)
        work.jobs(entries, progress)
    files.give_to_owner(data_dir)
    return report


def _readable(source: Path, report: Report) -> list[Entry]:
    """Read every job once; return those that can be taken, the oldest first, as lists and claims will have them."""
    found = []
    for path in v0.jobs(source):
        try:
            found.append(v0.created(path))
        except Broken as e:
            report.add(Line("job", path.name, "broken", str(e)))
    for path in v0.strays(source):
        report.add(Line("events", path.name, "skipped", "there is no such job"))
    return [entry for _, entry in sorted(found, key=lambda one: (one[0], one[1].id))]


def _try(source: Path, tx: Tx | None, entries: list[Entry], report: Report, progress: Progress) -> None:
    known: set[str] = set()
    if tx is not None:
        known = {entry.id for entry in entries if is_known(tx, entry.id)}
        known |= {entry.id for entry in v0.blobs(source) if blobs.find(tx, entry.id) is not None}
    for entry in v0.blobs(source):
        fault = "" if is_id(entry.id) else "its name holds no usable id"
        state = "broken" if fault else "skipped" if entry.id in known else "imported"
        report.add(Line("blob", entry.path.name, state, fault or (KNOWN if entry.id in known else "")))
    for n, entry in enumerate(entries):
        progress("jobs", n, len(entries))
        if entry.id in known:
            report.add(Line("job", entry.path.name, "skipped", KNOWN))
            continue
        try:
            _tell(report, entry, v0.job(entry, source))
        except Broken as e:
            report.add(Line("job", entry.path.name, "broken", str(e)))
    progress("jobs", len(entries), len(entries))


def _tell(report: Report, entry: Entry, found: Found) -> None:
    requeued = WAS_RUNNING if found.job.status == Status.RUNNING else ""
    report.add(Line("job", entry.path.name, "imported", requeued))
    for fault in found.faults:
        report.add(Line("events", f"{entry.id}.jsonl", "broken", f"{fault} (left out; the job is imported)"))


class _Import:
    """One run: blobs first, so that every id that a job names is known when the job comes."""

    def __init__(self, source: Path, store: Engine, place: Blobs, report: Report) -> None:
        self._source, self._store, self._place, self._report = source, store, place, report
        self._lanes = Lanes()
        self._blob_ids: set[str] = set()

    def blobs(self, progress: Progress) -> None:
        """Bring in the blobs: bytes first, then the row."""
        entries = list(v0.blobs(self._source))
        for n, entry in enumerate(entries):
            progress("blobs", n, len(entries))
            self._report.add(self._blob(entry))
        progress("blobs", len(entries), len(entries))

    def _blob(self, entry: Entry) -> Line:
        name = entry.path.name
        if not is_id(entry.id):
            return Line("blob", name, "broken", "its name holds no usable id")
        self._blob_ids.add(entry.id)
        if self._store.read(lambda tx: blobs.find(tx, entry.id)).result() is not None:
            return Line("blob", name, "skipped", KNOWN)
        upload = self._place.sealing()
        try:
            with entry.path.open("rb") as file:
                while piece := file.read(1024 * 1024):
                    upload.write(piece)
            upload.keep(entry.id)
        except OSError as e:
            return Line("blob", name, "broken", f"cannot be read ({e.strerror})")
        finally:
            upload.discard()
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        at = int(entry.path.stat().st_mtime * 1000)
        row = BlobRow(entry.id, name, upload.size, upload.sha256, kind, at, "head")
        self._store.write(lambda tx: blobs.add(tx, row)).result()
        return Line("blob", name, "imported")

    def jobs(self, entries: list[Entry], progress: Progress) -> None:
        """Bring in the jobs, a job with all that belongs to it in one transaction."""
        for start in range(0, len(entries), _BATCH):
            progress("jobs", start, len(entries))
            batch = []
            for entry in entries[start : start + _BATCH]:
                try:
                    batch.append((entry, v0.job(entry, self._source)))
                except Broken as e:
                    self._report.add(Line("job", entry.path.name, "broken", str(e)))
            for (entry, found), new in zip(batch, self._add(batch), strict=True):
                if new:
                    _tell(self._report, entry, found)
                else:
                    self._report.add(Line("job", entry.path.name, "skipped", KNOWN))
        progress("jobs", len(entries), len(entries))

    def _add(self, batch: list[tuple[Entry, Found]]) -> list[bool]:
        return self._store.write(lambda tx: [self._job(tx, found) for _, found in batch]).result()

    def _job(self, tx: Tx, found: Found) -> bool:
        if not add(tx, self._lanes, found):
            return False
        for blob_id in self._named(found):
            blobs.mention(tx, blob_id, found.job.id)
        return True

    def _named(self, found: Found) -> set[str]:
        """Return the blobs that a job names: v0's ids have no form of their own, so look for those that are there."""
        job = found.job
        texts = [job.spec, job.meta, job.result or "", job.error or "", *(comment.text for comment in found.comments)]
        return {word for text in texts for word in _WORD.findall(text) if word in self._blob_ids}
