"""The operator's commands: `spine backup | restore | import | doctor`. Exit codes are listed here and nowhere else."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from contract.clock import SystemClock
from contract.errors import SpineError
from spine.operations.refusal import BrokenBackup, Refused
from spine.settings import store_folder

if TYPE_CHECKING:
    from spine.operations.taken import Report

FAILED = 1  # refused, or the disk refuses; `doctor`: a check failed
WITH_FAULTS = 3  # done, and something of what was there could not be taken along
BROKEN = 65  # EX_DATAERR: this backup, or this store, cannot be used
BUSY = 75  # EX_TEMPFAIL: a server holds the directory
CONFIG = 78  # EX_CONFIG

T = TypeVar("T")


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
def backup(path: Path) -> None:
    """Copy the store and its blobs into a new folder PATH, also while the server runs, and check the copy."""
    from spine.operations.backup import back_up

    made = _carried_out(lambda: back_up(store_folder(), path, SystemClock(), _shown("backup")))
    click.echo(f"{path}: {_jobs(made.jobs)}, {made.events} events, {made.blobs} blobs ({_size(made.blob_bytes)})")
    if made.damaged:
        click.echo(f"spine: the store has lost the bytes of {len(made.damaged)} blob(s): {made.damaged}", err=True)
        sys.exit(WITH_FAULTS)


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--replace", is_flag=True, help="Set a store that is there aside; it is not deleted.")
def restore(path: Path, replace: bool) -> None:
    """Make the backup PATH the store of SPINE_DATA_DIR. No server may run there.

    What ran is queued again, every fence is raised by 1,000,000, and event cursors of before are told of a gap.
    """
    from spine.operations.restore import FENCE_STEP
    from spine.operations.restore import restore as put_back

    done = _carried_out(lambda: put_back(path, store_folder(), replace, SystemClock(), _shown("restore")))
    made = done.manifest
    click.echo(f"restored {store_folder()} from {path}, made at {made.created_at}")
    click.echo(f"  {_jobs(made.jobs)}, {made.events} events, {made.blobs} blobs ({_size(made.blob_bytes)})")
    click.echo(f"  {done.jobs} jobs and {done.leases} named leases: fences raised by {FENCE_STEP:,}")
    click.echo(f"  {len(done.requeued)} running jobs queued again: {', '.join(done.requeued) or 'none'}")
    click.echo(f"  store id {done.store_id}: event cursors of before are answered with a gap")
    if done.aside is not None:
        click.echo(f"  the store before lies in {done.aside}; delete it when it is not needed any more")
    click.echo("Tokens stand as they were then: revoke again what was revoked since. Then start the server.")
    if made.damaged:
        click.echo(
            f"spine: {len(made.damaged)} blob(s) had lost their bytes before the backup: {made.damaged}", err=True
        )
        sys.exit(WITH_FAULTS)


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--from", "origin", type=click.Choice(["v0", "skyclaw", "broker"]), default="v0", help="Whose it is.")
@click.option(
    "--plans",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A runner's RUNNER_STATE_DIR: its plans come along (--from broker).",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def import_(path: Path, origin: str, plans: Path | None, dry_run: bool) -> None:
    """Bring what another server keeps into the store of SPINE_DATA_DIR. No server may run there.

    PATH is the data folder of Spine v0, or the database file of a Skyclaw coordinator or an OpenClaw Broker; it is only
    read. May be repeated: what was imported already is skipped. What cannot be read is named; the rest is imported.
    """
    if (origin == "v0") != path.is_dir():
        wanted = "folder" if origin == "v0" else "file"
        raise click.UsageError(f"PATH: expected a {wanted}, as --from is {origin}")
    if plans is not None and origin != "broker":
        raise click.UsageError("--plans goes with --from broker")
    kinds, report = _carried_out(lambda: _imported(path, origin, plans, dry_run))
    click.echo(f"{'':<8}{'would be ' if dry_run else ''}imported, skipped, broken")
    for kind in kinds:
        counts = [report.counts.get((kind, state), 0) for state in ("imported", "skipped", "broken")]
        if any(counts) or kind != "events":
            click.echo(f"{kind:<8}{counts[0]:>8} {counts[1]:>8} {counts[2]:>8}")
    for line in report.lines:
        click.echo(f"{line.state:<9} {line.kind:<7} {line.name}: {line.reason}")
    if report.broken:
        sys.exit(WITH_FAULTS)


def _imported(path: Path, origin: str, plans: Path | None, dry_run: bool) -> "tuple[tuple[str, ...], Report]":
    from spine.operations import dialects, importing

    shown = _shown("import")
    if origin == "v0":
        return ("job", "events", "blob"), importing.bring_in(path, store_folder(), dry_run, SystemClock(), shown)
    kinds = ("host", "job") if origin == "skyclaw" else ("job", "plan") if plans is not None else ("job",)
    return kinds, dialects.bring_in(origin, path, plans, store_folder(), dry_run, SystemClock(), shown)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Check settings, data folder, store, blobs, disk, clock and reaper; exit 1 when a check fails."""
    from spine.operations import doctor as doctors

    checks, configured = doctors.examine()
    click.echo(msgspec.json.encode({"checks": checks}).decode() if as_json else doctors.table(checks))
    if not configured:
        sys.exit(CONFIG)
    sys.exit(FAILED if any(check.state == "failed" for check in checks) else 0)


COMMANDS = (backup, restore, import_, doctor)


def _carried_out(work: Callable[[], T]) -> T:
    """Do a command's work; turn what refuses it into a line and an exit code."""
    from spine.store.lock import DataDirBusy, HalfRestored
    from spine.store.migrations import NewerStore
    from spine.store.offline import NotAStore

    try:
        return work()
    except DataDirBusy as e:
        fault, code = str(e), BUSY
    except (BrokenBackup, NotAStore, NewerStore) as e:
        fault, code = str(e), BROKEN
    except (Refused, HalfRestored) as e:
        fault, code = str(e), FAILED
    except SpineError as e:
        fault, code = e.detail, FAILED
    except OSError as e:
        fault, code = f"{e.filename or 'the disk'}: {e.strerror}", FAILED
    _clear()
    click.echo(f"spine: {fault}", err=True)
    sys.exit(code)


def _shown(verb: str) -> Callable[[str, int, int], None]:
    """Return what shows progress: one line that is written over, for a terminal; nothing else sees it."""
    if not sys.stderr.isatty():
        return lambda _what, _done, _total: None

    def show(what: str, done: int, total: int) -> None:
        percent = 100 if total == 0 else done * 100 // total
        sys.stderr.write(f"\r{verb}: {what} {percent:3d} % ")
        if done >= total:
            _clear()
        sys.stderr.flush()

    return show


def _clear() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


def _jobs(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    each = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{total} jobs ({each})" if total else "no jobs"


def _size(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
