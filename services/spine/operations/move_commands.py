"""`spine migrate-store`, and what it shows while it works."""

import sys
import time

import click

from contract import killpoints
from contract.clock import SystemClock
from spine import database_settings
from spine.bucket_settings import blobs_here
from spine.operations.carrying import carried_out, clear
from spine.operations.files import Progress
from spine.settings import store_folder

_LINE_SECONDS = 5.0
_BAR = 30


@click.command("migrate-store")
@click.option("--to", metavar="URL", help="The database, without a password; SPINE_DATABASE_URL when not given.")
@click.option(
    "--wait",
    "wait_seconds",
    metavar="SECONDS",
    type=click.IntRange(0, 86_400),
    default=600,
    show_default=True,
    help="How long the server may take to end.",
)
def migrate_store(to: str | None, wait_seconds: int) -> None:
    """Move the store of SPINE_DATA_DIR into an empty PostgreSQL database. The server may run until it is asked to stop.

    It may be interrupted: the same command goes on. A password comes from SPINE_DATABASE_URL_FILE, or from libpq's
    PGPASSFILE. Blobs stay where they are.
    """
    from spine.operations.move import move

    killpoints.arm(*database_settings.kill_point())
    folder = store_folder()
    place = carried_out(blobs_here)
    done = carried_out(
        lambda: move(folder, database_settings.target(to), wait_seconds, SystemClock(), _say, _progress())
    )
    if done.store_id is None:
        click.echo(f"{folder} was moved to {done.address} before; nothing is left to do")
        return
    click.echo(f"moved {folder} to {done.address}")
    for name, count in done.tables.items():
        if count.rows:
            click.echo(f"  {name:<16}{count.rows:>12} rows  sha256 {count.sha256[:16]} on both sides")
    click.echo(f"  store id {done.store_id}: event cursors of before are answered with a gap")
    click.echo("  fences stand as they are: what runs goes on under its lease")
    if place is None:
        click.echo(f"  blobs stay in {folder}: keep SPINE_DATA_DIR as it is")
    else:
        click.echo(f"  blobs stay in {place.url}: keep SPINE_BLOB_URL, and SPINE_DATA_DIR, as they are")
    click.echo("Now start the spine with SPINE_DATABASE_URL, or SPINE_DATABASE_URL_FILE, set to that database.")


def _say(line: str) -> None:
    clear()
    click.echo(f"migrate-store: {line}", err=True)


def _progress() -> Progress:
    """Return what shows progress: a bar on a terminal, else a line now and then, and one for each part that is done."""
    if sys.stderr.isatty():
        return _bar
    told = [time.monotonic()]

    def line(what: str, done: int, total: int) -> None:
        if total == 0 or (done < total and time.monotonic() - told[0] < _LINE_SECONDS):
            return
        told[0] = time.monotonic()
        _say(f"{what} {done} of {total} ({_percent(done, total)} %)")

    return line


def _bar(what: str, done: int, total: int) -> None:
    filled = "#" * (_percent(done, total) * _BAR // 100)
    sys.stderr.write(f"\r\x1b[K{what:<24} [{filled:<{_BAR}}] {_percent(done, total):3d} %  {done} of {total}")
    if done >= total:
        clear()
    sys.stderr.flush()


def _percent(done: int, total: int) -> int:
    return 100 if total == 0 else min(100, done * 100 // total)
