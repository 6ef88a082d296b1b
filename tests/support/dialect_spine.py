"""Spines for tests of foreign dialects: one for a module, or several with settings of their own. Killed at the end."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.spine_process import SpineProcess

Env = Mapping[str, str | None]
Start = Callable[..., SpineProcess]


@contextmanager
def served(folder: Path, env: Env) -> Iterator[SpineProcess]:
    """Serve from a folder; what no run of a sound server logs is a failure."""
    process = SpineProcess(folder, dict(env)).start()
    yield process
    _end(process)


@contextmanager
def starting(folder: Path, env: Env) -> Iterator[Start]:
    """Give what starts spines, each in a folder of its own; keywords are settings over `env`."""
    running: list[SpineProcess] = []

    def start(**more: str | None) -> SpineProcess:
        process = SpineProcess(folder / f"spine{len(running)}", dict(env) | more)
        running.append(process)
        return process.start()

    yield start
    for process in running:
        _end(process)


def _end(process: SpineProcess) -> None:
    process.kill9()
    assert process.faults() == [], process.log_tail()
