"""Huey on SQLite beside the server, with FULL sync. Run as a command of its own: `FOLDER PRODUCERS COUNT ROUND`.

Writes two numbers: the seconds that it took to enqueue COUNT tasks, and to dequeue them, by so many threads each.
"""

import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

MISSING = "huey is not installed: `make bench` installs it from requirements/bench.txt"
SPEC = '{"run":"make test"}'


def is_installed() -> bool:
    """Tell whether there is a Huey to measure."""
    return importlib.util.find_spec("huey") is not None


def measure(folder: Path, threads: int, count: int) -> tuple[float, float]:
    """Return the seconds for enqueuing and for dequeuing, taken in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.huey_side", str(folder), str(threads), str(count)]
    out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.split()
    return float(out[0]), float(out[1])


def _timed(threads: int, count: int, call: Callable[[], object]) -> float:
    """Return how long `threads` threads take for `count` calls in all."""
    gate = threading.Barrier(threads + 1)

    def work() -> None:
        gate.wait()
        for _ in range(count // threads):
            call()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    gate.wait()
    begun = time.perf_counter()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begun


def main() -> None:
    """Measure once."""
    from huey import SqliteHuey

    folder, threads, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    queue = SqliteHuey("bench", filename=str(folder / "huey.db"), fsync=True, results=False, timeout=60)

    @queue.task()
    def job(spec: str) -> None:
        """Do nothing: it is never run."""

    print(_timed(threads, count, lambda: job(SPEC)), _timed(threads, count, queue.dequeue))


if __name__ == "__main__":
    main()
