"""The operator's commands: `spine backup | backups | restore | import | doctor`; others have a module of their own."""

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from contract.clock import SystemClock, iso
from spine import backup_settings
from spine.bucket_settings import blobs_here
from spine.database_settings import url
from spine.operations import blob_commands
from spine.operations.carrying import CONFIG, FAILED, WITH_FAULTS, blobs, carried_out, jobs, shown
from spine.operations.move_commands import migrate_store
from spine.operations.refusal import Refused
from spine.operations.schedule_commands import import_schedules
from spine.settings import store_folder

if TYPE_CHECKING:
    from spine.backup_settings import Plan
    from spine.operations.kept import Kept, Place
    from spine.operations.manifest import Manifest
    from spine.operations.regular import Round
    from spine.operations.restore import Restored
    from spine.operations.taken import Report


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
def backup(path: Path) -> None:
    """Copy the store and its blobs into a new folder PATH, also while the server runs, and check the copy."""
    from spine.operations.backup import back_up

    def work() -> "Manifest":
        place = blobs_here()
        blobs_at = None if place is None else place.url
        return back_up(store_folder(), path, SystemClock(), shown("backup"), blobs_at, url())

    made = carried_out(work)
    click.echo(f"{path}: {jobs(made.jobs)}, {made.events} events, {blobs(made)}")
    if made.damaged:
        click.echo(f"spine: the store has lost the bytes of {len(made.damaged)} blob(s): {made.damaged}", err=True)
        sys.exit(WITH_FAULTS)


@click.group()
def backups() -> None:
    """The backups that the server makes by itself, in SPINE_BACKUP_DIR or SPINE_BACKUP_URL."""


@backups.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def backups_list(as_json: bool) -> None:
    """List the backups that are there, newest first."""
    place, found = carried_out(_listed)
    if as_json:
        rows = [{"name": one.name, "at": iso(one.at)} for one in found]
        click.echo(msgspec.json.encode({"place": place.title, "backups": rows}).decode())
        return
    click.echo(f"{len(found)} in {place.title}")
    for one in found:
        click.echo(f"{one.name}  {iso(one.at)}")


@backups.command("make")
def backups_make() -> None:
    """Make one now, as the server does when one is due, also while it runs; then delete those that are not kept."""
    done = carried_out(_made)
    made = done.manifest
    click.echo(f"{done.kept.name}: {jobs(made.jobs)}, {made.events} events, {blobs(made)}")
    for name in done.removed:
        click.echo(f"deleted {name}")
    if made.damaged:
        click.echo(f"spine: the store has lost the bytes of {len(made.damaged)} blob(s): {made.damaged}", err=True)
    if done.unpruned:
        click.echo(f"spine: what is not kept any more could not be deleted: {done.unpruned}", err=True)
    if made.damaged or done.unpruned:
        sys.exit(WITH_FAULTS)


def _plan() -> "tuple[Plan, Place]":
    from spine.operations.regular import place_of

    plan = backup_settings.plan(store_folder())
    if plan is None:
        raise Refused("there is no place for backups; set SPINE_BACKUP_DIR or SPINE_BACKUP_URL")
    return plan, place_of(plan)


def _listed() -> "tuple[Place, list[Kept]]":
    _, place = _plan()
    return place, place.backups()


def _made() -> "Round":
    from spine.operations.regular import carry_out

    if url() is not None:
        raise Refused(
            "SPINE_DATABASE_URL is set, and the spine makes no backups by itself then; `spine backup PATH` makes one"
        )
    plan, place = _plan()
    return carry_out(plan, place, store_folder(), SystemClock(), shown("backup"))


@click.command()
@click.argument("path")
@click.option("--replace", is_flag=True, help="Set a store that is there aside; it is not deleted.")
def restore(path: str, replace: bool) -> None:
    """Make the backup PATH the store of SPINE_DATA_DIR. No server may run there.

    PATH is a folder, an address such as s3://bucket/prefix/spine-20260301T120000Z, or a name of `spine backups list`.

    What ran is queued again, every fence is raised by 1,000,000, and event cursors of before are told of a gap.
    """
    from spine.operations.restore import FENCE_STEP

    done = carried_out(lambda: _restored(path, replace))
    made = done.manifest
    click.echo(f"restored {store_folder()} from {path}, made at {made.created_at}")
    click.echo(f"  {jobs(made.jobs)}, {made.events} events, {blobs(made)}")
    click.echo(f"  {done.jobs} jobs and {done.leases} named leases: fences raised by {FENCE_STEP:,}")
    click.echo(f"  {len(done.requeued)} running jobs queued again: {', '.join(done.requeued) or 'none'}")
    click.echo(f"  store id {done.store_id}: event cursors of before are answered with a gap")
    if done.aside is not None:
        click.echo(f"  the store before lies in {done.aside}; delete it when it is not needed any more")
    click.echo("Tokens stand as they were then: revoke again what was revoked since. Then start the server.")
    if made.blobs and made.blobs_at is None and blobs_here() is not None:
        click.echo("The blobs are on the disk: run `spine blobs copy` before that, since SPINE_BLOB_URL is set.")
    if made.damaged:
        click.echo(
            f"spine: {len(made.damaged)} blob(s) had lost their bytes before the backup: {made.damaged}", err=True
        )
    if done.lacking:
        click.echo(f"spine: {len(done.lacking)} blob(s) are not in the object store: {done.lacking[:10]}", err=True)
    if made.damaged or done.lacking:
        sys.exit(WITH_FAULTS)


def _restored(path: str, replace: bool) -> "Restored":
    from spine.operations.blob_places import listed
    from spine.operations.restore import ready, restore

    if url() is not None:
        raise Refused(
            "SPINE_DATABASE_URL is set, and a backup is restored into a folder: take the variable out, restore into an "
            "empty SPINE_DATA_DIR, then bring that to an empty database by `spine migrate-store`"
        )
    found, place = _folder(path), blobs_here()
    kept = None if place is None else lambda: listed(place)
    ready(store_folder(), replace)  # before anything is downloaded
    with found as folder:
        return restore(folder, store_folder(), replace, SystemClock(), shown("restore"), kept)


def _folder(path: str) -> AbstractContextManager[Path]:
    """Find the backup that a person names; give it as a folder."""
    from spine.operations.kept import made_at

    if path.startswith("s3://"):
        from spine.operations.objects import BucketPlace

        address, _, name = path.rstrip("/").rpartition("/")
        if made_at(name) is None:
            raise click.BadParameter(
                "the last part of the address is no name of a backup; `spine backups list` has them"
            )
        return BucketPlace(backup_settings.bucket_at(address)).fetched(name, store_folder())
    if made_at(path) is not None and not Path(path).exists():
        return _plan()[1].fetched(path, store_folder())
    if not Path(path).is_dir():
        raise click.BadParameter(f"{path} is no folder, no s3:// address, and no name of a backup")
    return nullcontext(Path(path))


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
    kinds, report = carried_out(lambda: _imported(path, origin, plans, dry_run))
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

    told = shown("import")
    if origin == "v0":
        return ("job", "events", "blob"), importing.bring_in(
            path, store_folder(), dry_run, SystemClock(), told, blobs_here(), url()
        )
    kinds = ("host", "job") if origin == "skyclaw" else ("job", "plan") if plans is not None else ("job",)
    return kinds, dialects.bring_in(origin, path, plans, store_folder(), dry_run, SystemClock(), told, url())


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


COMMANDS = (backup, backups, restore, blob_commands.blobs, import_, import_schedules, migrate_store, doctor)
