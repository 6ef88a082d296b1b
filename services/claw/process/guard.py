"""The small process between a worker and a job's command; only the standard library, since it runs as a script.

It adopts whatever the command leaves behind (Linux: child subreaper), so that daemons in sessions of their own are
found as well, and kills the whole tree when the command ends, when it is told to, or when its worker dies: then its
control pipe, standard input, ends. Its arguments are the file to execute ("" looks the command up by PATH), the exit
code for a command that a signal ends ("" is 128 + n for signal n), and the command; its exit code is the command's.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

TERMINATE = b"T"
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_KILL_SECONDS = 10.0


def become_subreaper() -> None:
    """Make orphans below this process its children (Linux; elsewhere nothing happens)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def hide_memory() -> None:
    """Keep processes of the same user away from this one's environment and memory (Linux)."""
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants(root: int) -> list[int]:
    """Return the process ids below `root`, zombies left out."""
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _processes() -> list[tuple[int, int]]:
    """Return all processes that run, each with its parent."""
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():
        with subprocess.Popen(["/bin/ps", "-A", "-o", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True) as ps:
            rows = [line.split() for line in ps.communicate()[0].splitlines()]
        # ps is below us too while it looks.
        rows = [row for row in rows if len(row) >= 3 and row[2][0] != "Z"]
        return [(int(row[0]), int(row[1])) for row in rows if int(row[0]) != ps.pid]
    table = []
    for name in os.listdir(proc):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name in parentheses may hold anything, so read on from the last one.
                fields = (proc / name / "stat").read_bytes().rpartition(b")")[2].decode().split()
                # As contract.procfs.over has it, which a script cannot ask: threads go on behind a zombie.
                if fields[0] != "X" and (fields[0] != "Z" or int(fields[17]) > 1):
                    table.append((int(name), int(fields[1])))
    return table


def kill_tree(root: int, seconds: float = _KILL_SECONDS) -> bool:
    """Kill everything below `root` until nothing is left; False when that did not come to be in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = descendants(root)
        if not found:
            return True
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)


def _reap(wanted: int) -> int | None:
    """Collect every ended child; return the exit code of `wanted` when it was among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == wanted:
            code = os.waitstatus_to_exitcode(status)


def cannot_start(name: str, why: str | None) -> bytes:
    """Return the line that stands in place of a command's errors when it could not be executed."""
    return f"cannot start {name}: {why}\n".encode("utf-8", "surrogateescape")


def _start(command: list[str], program: str) -> int:
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        # Python ignores these two; a program started by hand would not.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(program or command[0], command)  # noqa: S606 - no shell is the point
    except OSError as e:
        os.write(2, cannot_start(command[0], e.strerror))
        os._exit(127 if isinstance(e, FileNotFoundError) else 126)


def _signal_all(main: int, number: int) -> None:
    for pid in [main, *descendants(os.getpid())]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(main, number)


def guard(command: list[str], program: str = "", signal_code: int | None = None) -> int:
    """Run one command and outlive everything that it started."""
    become_subreaper()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    main = _start(command, program)
    # The output pipe belongs to the command alone: its end must show when the command's side has closed it.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    code = _reap(main)
    watched = [0, wake_read]
    while code is None:
        ready, _, _ = select.select(watched, [], [], 1.0)
        if wake_read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
        if 0 in ready:
            order = os.read(0, 64)
            if order:
                _signal_all(main, signal.SIGTERM)
            else:
                watched.remove(0)
                _signal_all(main, signal.SIGKILL)
                kill_tree(os.getpid())
        code = _reap(main)
    kill_tree(os.getpid())
    _reap(main)
    if code >= 0:
        return code
    return 128 - code if signal_code is None else signal_code


if __name__ == "__main__":
    os._exit(guard(sys.argv[3:], sys.argv[1], int(sys.argv[2]) if sys.argv[2] else None))
