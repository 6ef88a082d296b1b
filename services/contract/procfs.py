"""What Linux tells of another process in /proc; on systems without it nothing is known."""

from collections.abc import Sequence
from pathlib import Path

_THREADS = 17


def stat_fields(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat after the name, the state first.

    [] for no such process, None where /proc is missing.
    """
    try:
        # "pid (name) state …", and a name may hold anything, also a parenthesis
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return [] if Path("/proc/self/stat").exists() else None


def over(fields: Sequence[str]) -> bool:
    """Tell by its fields whether nothing of a process runs any more; its parent may not have collected it yet.

    A process whose first thread has ended is shown as a zombie while its other threads go on, as they do for a moment
    when it is killed, with its files and its ports.
    """
    return not fields or fields[0] == "X" or (fields[0] == "Z" and int(fields[_THREADS]) <= 1)
