"""Named points at which a test may freeze a process, to kill it there. Unarmed (always, outside tests) they do nothing.

The point's name is written to a file and fsynced, so that the test sees it reached before it kills.
"""

import os
import time
from pathlib import Path

_armed: tuple[str, Path] | None = None


def arm(name: str | None, file: str | None) -> None:
    """Arm one point of this process; `file` gets its name when it is reached. None disarms."""
    global _armed
    _armed = (name, Path(file)) if name and file else None


def reach(name: str) -> None:
    """Stop here for good when this point is armed."""
    if _armed is None or _armed[0] != name:
        return
    with _armed[1].open("a") as out:
        out.write(name + "\n")
        out.flush()
        os.fsync(out.fileno())
    while True:
        time.sleep(3600)
