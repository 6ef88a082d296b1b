"""How the operator's commands are carried out: what refuses one becomes a line and an exit code, listed here alone."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from contract.env import SettingsError
from contract.errors import SpineError
from spine.operations.refusal import BrokenBackup, Refused

if TYPE_CHECKING:
    from spine.operations.manifest import Manifest

FAILED = 1  # refused, or the disk refuses; `doctor`: a check failed
WITH_FAULTS = 3  # done, and something of what was there could not be taken along
BROKEN = 65  # EX_DATAERR: this backup, or this store, cannot be used
BUSY = 75  # EX_TEMPFAIL: a server holds the directory, or a database is away
CONFIG = 78  # EX_CONFIG

T = TypeVar("T")


def carried_out(work: Callable[[], T]) -> T:
    """Do a command's work; turn what refuses it into a line and an exit code."""
    from spine.blobs.base import BlobsUnusable
    from spine.store.engine import StoreAway, StoreUnusable
    from spine.store.lock import DataDirBusy, HalfRestored
    from spine.store.marks import NotEmpty
    from spine.store.migrations import NewerStore
    from spine.store.offline import NotAStore

    try:
        return work()
    except (DataDirBusy, StoreAway) as e:
        fault, code = str(e), BUSY
    except (BrokenBackup, NotAStore, NewerStore, StoreUnusable) as e:
        fault, code = str(e), BROKEN
    except (Refused, HalfRestored, NotEmpty, BlobsUnusable) as e:
        fault, code = str(e), FAILED
    except SettingsError as e:
        for fault in e.faults:
            click.echo(f"spine: {fault}", err=True)
        sys.exit(CONFIG)
    except SpineError as e:
        fault, code = e.detail, FAILED
    except OSError as e:
        fault, code = f"{e.filename or 'the disk'}: {e.strerror}", FAILED
    clear()
    click.echo(f"spine: {fault}", err=True)
    sys.exit(code)


def shown(verb: str) -> Callable[[str, int, int], None]:
    """Return what shows progress: one line that is written over, for a terminal; nothing else sees it."""
    if not sys.stderr.isatty():
        return lambda _what, _done, _total: None

    def show(what: str, done: int, total: int) -> None:
        percent = 100 if total == 0 else done * 100 // total
        sys.stderr.write(f"\r{verb}: {what} {percent:3d} % ")
        if done >= total:
            clear()
        sys.stderr.flush()

    return show


def clear() -> None:
    """Take the line of progress away."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


def jobs(counts: dict[str, int]) -> str:
    """Write how many jobs of each status there are."""
    total = sum(counts.values())
    each = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{total} jobs ({each})" if total else "no jobs"


def blobs(made: "Manifest") -> str:
    """Write how many blobs a backup names, and where they are when it has none of them."""
    said = f"{made.blobs} blobs ({size_of(made.blob_bytes)})"
    return said if made.blobs_at is None else f"{said} that stay in {made.blobs_at} and are not in it"


def size_of(size: int) -> str:
    """Write a number of bytes for people."""
    return f"{size / (1 << 20):.1f} MiB"
