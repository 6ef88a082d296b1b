"""Several processes that do the same at the same moment: each gets ready, waits for the word, works, says how long."""

import subprocess
import sys
import time
from collections.abc import Callable

TIMEOUT = 180.0


def together(module: str, processes: int, *words: str) -> float:
    """Run a module in so many processes at once; return the seconds of the one that took longest.

    Raises:
        CalledProcessError: one failed.
    """
    command = [sys.executable, "-m", module, *words]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    try:
        for each in running:
            assert each.stdout is not None
            if each.stdout.readline() != "ready\n":
                raise subprocess.CalledProcessError(each.wait(TIMEOUT), command)
        for each in running:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        told = [each.communicate(timeout=TIMEOUT)[0] for each in running]
    finally:
        for each in running:
            each.kill()
            each.wait()
    return max(float(seconds) for seconds in told)


def timed(work: Callable[[], object]) -> None:
    """Say that this process is ready, wait for the word, work, and say how long that took."""
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.perf_counter()
    work()
    print(time.perf_counter() - begun, flush=True)
