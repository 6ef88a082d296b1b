"""The executor of `run`: a shell line, or an argument list that no shell sees. The allowlist is judged here."""

import os
import shutil
from pathlib import Path

from claw.executors.base import Place, Refused

SHELL = "/bin/sh"


def command(run: str | list[str], place: Place, allowed: tuple[str, ...]) -> list[str]:
    """Return the argument list to start.

    Raises:
        Refused: the executable is not in CLAW_ALLOWED_COMMANDS. One that does not exist is left to fail with 127.
    """
    words = [SHELL, "-c", run] if isinstance(run, str) else list(run)
    found = _find(words[0], place)
    if allowed and (found is None or os.path.realpath(found) not in resolved(allowed, place.env.get("PATH", ""))):
        shown = found or words[0]
        how = "a shell line needs /bin/sh there" if isinstance(run, str) else "add its path there"
        raise Refused(f"{shown} is not in CLAW_ALLOWED_COMMANDS of this claw ({how})")
    return [found or words[0], *words[1:]]


def _find(name: str, place: Place) -> str | None:
    """Find an executable as a shell would, from the workspace and with the child's PATH."""
    if "/" in name:
        path = place.workspace / name
        return str(path) if path.is_file() and os.access(path, os.X_OK) else None
    return shutil.which(name, path=place.env.get("PATH", ""))


def resolved(allowed: tuple[str, ...], path: str) -> set[str]:
    """Return where the entries of a list of executables really lead, names as this PATH finds them."""
    paths = [name if Path(name).is_absolute() else shutil.which(name, path=path) for name in allowed]
    return {os.path.realpath(path) for path in paths if path}
