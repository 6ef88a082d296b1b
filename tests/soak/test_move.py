"""`spine migrate-store` is killed again and again at any moment; what came of it goes to docs/reference/soak.md."""

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.support import soak
from tests.support.eventually import eventually
from tests.support.full_store import START, Full, grow
from tests.support.postgres_server import PostgresServer
from tests.support.queue_store import SetClock
from tests.support.spine_process import REPO

from spine.store.copying import COPIED
from spine.store.engine import Engine
from spine.store.marks import HalfArrived, Moved
from spine.store.postgres import PostgresEngine
from spine.store.sqlite import SqliteEngine

pytestmark = [pytest.mark.soak, pytest.mark.docker]

ROUNDS = 10
JOBS = 10_000
SEED = 20_260_101
TEXT = """A store of {rows:,} rows is moved to PostgreSQL. In each of {rounds} rounds the command is killed with
`kill -9` at a random moment, again and again, until it comes through. After each kill that left something in the
database both stores are tried: *both* counts how often both could be served, *neither* how often none (then the next
run opens the new one). *Went on*: runs that went on with the copy of the run before. *Differing*: tables that were not
the same in the end.

| rounds | kills | went on | both | neither | differing |
|--:|--:|--:|--:|--:|--:|
| {rounds} | {kills} | {resumed} | {both} | {neither} | {differing} |
"""


def test_a_move_is_killed_at_any_moment(postgres: PostgresServer, tmp_path: Path) -> None:
    Full(tmp_path / "whole").close()
    grow(tmp_path / "whole", JOBS)
    rows = sum(len(found) for found in rows_of(tmp_path / "whole").values())
    moments = random.Random(SEED)
    count: Counter[str] = Counter()
    for n in range(ROUNDS):
        if soak.seconds_left() < 60:
            break
        one_round(postgres, tmp_path / "whole", tmp_path / f"data{n}", moments, count)
        print(f"{n + 1:3}/{ROUNDS} {time.strftime('%X')} {dict(count)}", flush=True)
    figures = {name: count[name] for name in ("rounds", "kills", "resumed", "both", "neither", "differing")}
    soak.record("A store that is moved while the move is killed", TEXT.format(rows=rows, **figures))
    assert (count["both"], count["differing"], count["rounds"]) == (0, 0, ROUNDS)
    assert count["kills"] > 2 * ROUNDS


def one_round(postgres: PostgresServer, whole: Path, data: Path, moments: random.Random, count: "Counter[str]") -> None:
    shutil.copytree(whole, data)
    database = postgres.create(template="template0")
    most = 1.0  # seconds until the kill; more with each run, or a busy machine would never come through
    while killed(data, postgres.url(database), moments.uniform(0.3, most), count):
        most += 1.0
        eventually(lambda: not connections(postgres, database), what="a server that knows of the kill")
        count["kills"] += 1
        if ("arriving",) not in tables_of(postgres, database) and not jobs_in(postgres, database):
            continue  # an empty database: nobody is hurt by a server there
        alive = [
            servable(lambda: SqliteEngine(data, SetClock(START))),
            servable(lambda: PostgresEngine(postgres.url(database))),
        ]
        eventually(lambda: not connections(postgres, database), what="an engine that has gone")
        if sum(alive) != 1:
            count["both" if all(alive) else "neither"] += 1
    before = rows_of(whole)
    there = {t.name: sorted(postgres.run(f'SELECT * FROM "{t.name}"', database), key=repr) for t in COPIED}
    count["differing"] += sum(there[name] != before[name] for name in before if name != "meta")
    count["rounds"] += 1
    postgres.drop(database)
    shutil.rmtree(data)


def killed(data: Path, url: str, seconds: float, count: "Counter[str]") -> bool:
    """Run the command, kill it after so long; False when it was done before."""
    env = {**os.environ, "PYTHONPATH": str(REPO / "services"), "SPINE_DATA_DIR": str(data)}
    command = [sys.executable, "-m", "spine.cli", "migrate-store", "--to", url]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as mover:
        with contextlib.suppress(subprocess.TimeoutExpired):
            mover.wait(seconds)
        cut = mover.poll() is None
        mover.kill()
        _, told = mover.communicate()
    count["resumed"] += "goes on with the copy that was begun" in told
    assert cut or mover.returncode == 0, told
    return cut


def servable(open_store: Callable[[], Engine]) -> bool:
    with contextlib.suppress(Moved, HalfArrived):
        open_store().close()
        return True
    return False


def jobs_in(postgres: PostgresServer, database: str) -> bool:
    there = ("jobs",) in tables_of(postgres, database)
    return there and postgres.run("SELECT count(*) FROM jobs", database) != [(0,)]


def connections(postgres: PostgresServer, database: str) -> list[tuple[object, ...]]:
    return postgres.run(f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}'")


def tables_of(postgres: PostgresServer, database: str) -> list[tuple[object, ...]]:
    return postgres.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database)


def rows_of(data: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(data / "spine.db")) as store:
        return {t.name: sorted(store.execute(f"SELECT * FROM {t.name}"), key=repr) for t in COPIED}
