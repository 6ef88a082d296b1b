"""Telling one process from another: a pid alone may be given to a stranger after its owner has gone."""

import contextlib
import os
import select
import signal
import subprocess
import time
from pathlib import Path

from contract.procfs import over, stat_fields


def start_mark(pid: int) -> str | None:
    """Return a text that only this very process has (boot, start time); None when there is none or it is a zombie."""
    fields = stat_fields(pid)
    if fields is not None:
        if over(fields):
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}:{fields[19]}"
    out = subprocess.run(
        ["/bin/ps", "-o", "lstart=,stat=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C", "TZ": "UTC"},
    )
    *start, state = out.stdout.split() or [""]
    return None if not start or state.startswith("Z") else " ".join(start)


def alive(pid: int | None, mark: str | None) -> bool:
    """Tell whether the process that once had this pid and mark still runs."""
    if pid is None or mark is None:
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # ours to bury, when we started it
    return start_mark(pid) == mark


def hiding() -> bool:
    """Tell whether this system hides processes from us whose memory we may not read, as those are that we guard.

    systemd's ProtectProc= does it for one service, hidepid= of the mount for all (Linux).
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "replace")
    except OSError:
        return False
    return os.geteuid() != 0 and hidden_by(mounts, {os.getegid(), *os.getgroups()})


def hidden_by(mountinfo: str, groups: set[int]) -> bool:
    """Tell whether the options of the uppermost /proc hide processes from somebody in these groups."""
    options: dict[str, str] = {}
    for line in mountinfo.splitlines():
        words = line.split()
        if len(words) > 4 and words[4] == "/proc":
            options = {name: value for name, _, value in (o.partition("=") for o in words[-1].split(","))}
    return options.get("hidepid", "off") not in ("0", "off") and int(options.get("gid", "-1")) not in groups


def stopped(pid: int) -> bool:
    """Tell whether the process is frozen (SIGSTOP); always False where /proc is missing."""
    fields = stat_fields(pid)
    return bool(fields) and fields is not None and fields[0] in ("T", "t")


def wait_end(pid: int, mark: str, seconds: float) -> bool:
    """Wait until that process has ended, at most `seconds`; tells whether it has."""
    deadline = time.monotonic() + seconds
    fd = _pidfd(pid)
    try:
        while alive(pid, mark):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if fd is None:
                time.sleep(min(left, 0.1))
            else:
                select.select([fd], [], [], left)
        return True
    finally:
        if fd is not None:
            os.close(fd)


def end_process(pid: int, mark: str, grace_seconds: float) -> bool:
    """Ask a process to end, then kill it and its group; True when it has gone."""
    for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        if not alive(pid, mark):
            return True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
            if number == signal.SIGKILL and os.getpgid(pid) == pid:
                os.killpg(pid, number)
            os.kill(pid, signal.SIGCONT)
        if wait_end(pid, mark, seconds):
            return True
    return not alive(pid, mark)


def marked(names: dict[str, str]) -> list[int]:
    """Return the processes whose environment at their start held all of `names` (Linux; elsewhere none)."""
    wanted = {f"{name}={value}".encode() for name, value in names.items()}
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted <= set(entry.read_bytes().split(b"\0")):
                found.append(int(entry.parent.name))
    return [pid for pid in found if pid != os.getpid()]


def kill_marked(names: dict[str, str], seconds: float = 5.0) -> bool:
    """Kill what `marked` finds until nothing is left: what a dead worker's job may have left running."""
    deadline = time.monotonic() + seconds
    while found := marked(names):
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _pidfd(pid: int) -> int | None:
    opener = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        return int(opener(pid))
    except OSError:
        return None
