"""The lease on disk: the heartbeat writes it, the pre-push hook reads it. Runs as a script too, with nothing installed.

A lease is given as an end on two clocks: the wall clock, and the clock that counts through sleep of the machine. Past
either of them it has ended, so a process that was frozen beyond its lease is refused when it wakes, whatever was done
to the wall clock. Only the standard library here: the hook runs without our environment.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Lease(NamedTuple):
    """`ends_wall` in Unix seconds, `ends_boot` in seconds of `boot_seconds()` in the boot `boot_id`."""

    job_id: str
    fence: int
    held: bool
    ends_wall: float
    ends_boot: float
    boot_id: str


def boot_seconds() -> float:
    """Return seconds that also count while the machine sleeps."""
    # macOS has no CLOCK_BOOTTIME: there CLOCK_MONOTONIC itself goes on during sleep.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def boot_id() -> str:
    """Name the current boot; "" where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def write(path: Path, lease: Lease) -> None:
    """Replace the lease file in one step (not durable: after a crash of the machine every lease is void)."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(lease._asdict()))
    temporary.replace(path)


def refusal(path: Path, now_wall: float | None = None, now_boot: float | None = None) -> str | None:
    """Return why the lease does not allow a push, or None when it does."""
    try:
        lease = Lease(**json.loads(path.read_text()))
        ends_wall, ends_boot = float(lease.ends_wall), float(lease.ends_boot)
    except (OSError, ValueError, TypeError) as e:
        return f"the lease file cannot be read ({e.__class__.__name__})"
    if lease.held is not True:
        return f"job {lease.job_id} is not held any more"
    if lease.boot_id != boot_id():
        return "the machine was started anew since the lease was given"
    wall = time.time() if now_wall is None else now_wall
    boot = boot_seconds() if now_boot is None else now_boot
    if wall >= ends_wall or boot >= ends_boot:
        return f"the lease on job {lease.job_id} (fence {lease.fence}) has ended"
    return None


def main(argv: list[str]) -> int:
    """Judge the lease file named by the first argument: exit 0 when a push is allowed."""
    why = refusal(Path(argv[1]))
    if why is not None:
        print(f"push refused: {why}", file=sys.stderr)  # noqa: T201 - git shows a hook's standard error
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
