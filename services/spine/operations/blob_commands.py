"""`spine blobs copy | sweep`: blobs from the disk into an object store, and bytes that no row names."""

import sys
from typing import TYPE_CHECKING

import click

from contract.clock import SystemClock
from spine import database_settings
from spine.bucket_settings import blobs_here
from spine.operations.carrying import WITH_FAULTS, carried_out, shown, size_of
from spine.operations.refusal import Refused
from spine.settings import store_folder

if TYPE_CHECKING:
    from spine.blobs.base import Listed
    from spine.operations.blob_moves import Copied

_SHOWN = 10


@click.group()
def blobs() -> None:
    """Where the bytes of blobs are: in SPINE_DATA_DIR, or in the object store of SPINE_BLOB_URL."""


@blobs.command()
def copy() -> None:
    """Copy every blob from SPINE_DATA_DIR to SPINE_BLOB_URL, and compare each with its digest. A server may run.

    Nothing on the disk is changed. May be repeated: what was copied already is passed over, and a copy that was cut off
    goes on. Then stop the server, copy once more, and start it with SPINE_BLOB_URL.
    """
    done = carried_out(_copied)
    click.echo(f"{done.sent} blobs copied ({size_of(done.sent_bytes)}), {done.there} were there")
    if done.lost:
        named = ", ".join(done.lost[:_SHOWN]) + (" …" if len(done.lost) > _SHOWN else "")
        click.echo(f"spine: {len(done.lost)} blob(s) are on neither side, or not what was stored: {named}", err=True)
        sys.exit(WITH_FAULTS)


def _copied() -> "Copied":
    from spine.operations import blob_places
    from spine.operations.blob_moves import copy

    place, url, folder = blobs_here(), database_settings.url(), store_folder()
    if place is None:
        raise Refused("SPINE_BLOB_URL: missing; say where the blobs go, such as s3://bucket/prefix")
    rows = blob_places.rows(folder, url)
    return copy(folder, rows, blob_places.reached(place, folder), shown("copy"))


@blobs.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def sweep(dry_run: bool) -> None:
    """Delete blobs' bytes that no row names and that are older than a day: what a kill or an outage left behind.

    A server may run. A store that names nothing of what is there is taken for the wrong one, and refused.
    """
    gone = carried_out(lambda: _swept(dry_run))
    size = size_of(sum(one.size for one in gone))
    click.echo(f"{len(gone)} without a row {'would be ' if dry_run else ''}deleted ({size})")


def _swept(dry_run: bool) -> "list[Listed]":
    from spine.operations import blob_places
    from spine.operations.blob_moves import sweep

    place, url, folder = blobs_here(), database_settings.url(), store_folder()
    blob_places.require_store(folder, url)  # before anything is made in it
    opened, now = blob_places.opened(place, folder), SystemClock().now()
    return sweep(folder, opened, lambda: blob_places.rows(folder, url), now, dry_run, shown("sweep"))
