"""What Linux tells of another process in /proc; on systems without it nothing is known."""

from pathlib import Path


def stat_fields(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat after the name, the state first.

    [] for no such process, None where /proc is missing.
    """
    try:
        # "pid (name) state …", and a name may hold anything, also a parenthesis
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return [] if Path("/proc/self/stat").exists() else None
