"""`python -m tests.bench`: measure, tell how it goes, write docs/reference/speed.md. Ends with 1 when a gate fails."""

import argparse
import importlib.util
import platform
import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from tests.bench import beanstalk, huey_side, procrastinate_side
from tests.bench.dashboard import dashboard
from tests.bench.depth import depth
from tests.bench.dialects import dialects
from tests.bench.figures import Part
from tests.bench.firing import firing
from tests.bench.page import BUILD, PAGE, page, write
from tests.bench.plan import SMOKE, WHOLE, Plan
from tests.bench.shared import shared
from tests.bench.verbs import Verbs
from tests.bench.waiting import idle, latency

PARTS = ("verbs", "dialects", "depth", "latency", "idle", "schedules", "dashboard", "shared")
_BEGUN = time.monotonic()


def say(line: str) -> None:
    """Tell how it goes."""
    print(f"{time.monotonic() - _BEGUN:5.0f} s  {line}", flush=True)


async def measure(plan: Plan, folder: Path, parts: list[str]) -> list[Part]:
    """Take every figure of these parts."""
    found: list[Part] = []
    if "verbs" in parts:
        found += await Verbs(plan, folder, say).run()
    if "dialects" in parts:
        found.append(await dialects(plan, folder, say))
    if "depth" in parts:
        found.append(await depth(plan, folder, say))
    if "latency" in parts:
        found.append(await latency(plan, folder, say))
    if "idle" in parts:
        found.append(await idle(plan, folder, say))
    if "schedules" in parts:
        found.append(await firing(plan, folder, say))
    if "dashboard" in parts:
        found.append(await dashboard(plan, folder, say))
    if "shared" in parts:
        found.append(await shared(plan, folder, say))
    return found


def _parser_said() -> str:
    if importlib.util.find_spec("gunicorn_h1c"):
        return "gunicorn's C parser (`gunicorn_h1c`) is installed."
    return "Requests are parsed by gunicorn's Python parser."


def main() -> int:
    """Run the benchmark; return the exit code."""
    reading = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    reading.add_argument("--smoke", action="store_true", help="a few seconds, to show that everything works")
    reading.add_argument("--out", type=Path, default=PAGE, help="the page that is written")
    reading.add_argument("--only", action="append", choices=PARTS, help="these parts alone; then no page is written")
    asked = reading.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # thousands of connections, here and in the server
    for other in (beanstalk, huey_side, procrastinate_side):
        if not other.is_installed():
            say(f"LEFT OUT: {other.MISSING}")
    BUILD.mkdir(exist_ok=True)  # on a real disk, and copied by nobody
    with tempfile.TemporaryDirectory(prefix="spine-bench-", dir=BUILD) as folder:
        parts = uvloop.run(measure(SMOKE if asked.smoke else WHOLE, Path(folder), asked.only or list(PARTS)))
    text = page(parts, time.monotonic() - _BEGUN, platform.python_version(), sqlite3.sqlite_version, _parser_said())
    if asked.only:
        print(text)
    else:
        write(asked.out, text)
        say(f"written: {asked.out}")
    failed = [figure.name for part in parts for figure in part.figures if "FAILS" in figure.verdict]
    for name in failed:
        say(f"A GATE FAILS: {name}")
    return 1 if failed and not asked.smoke else 0


if __name__ == "__main__":
    sys.exit(main())
