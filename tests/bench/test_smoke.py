"""That the benchmark works and its page has every row; not how fast anything is."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.pages import REPO, tables

# Without a Docker Engine, or without procrastinate, these are rows that say so; no gate stands in any of them.
SHARED = ("at the store, two processes", "over HTTP, two servers", "over HTTP, one server")
ROWS = [
    *(f"{v} : {b}" for b in ("GET /leases/:name", "GET /health") for v in ("submit", "claim", "complete")),
    *(f"{what} : {other}" for other in ("beanstalkd", "Huey") for what in ("enqueue", "dequeue", "take and finish")),
    *(f"take and finish, {dialect} : our own" for dialect in ("Skyclaw", "broker")),
    "claim p99, 200 claimable : 20",
    "claim p99, 200 with unmatched `requires` : 20",
    "claim p99, 200 behind one full key : 20",
    "submit → running, p50",
    "submit → running, p99",
    "20 idle claws, memory",
    "20 idle claws, share of a core",
    "20 idle claws that ask anew, share of a core",
    "20 due at once, the last one fired",
    "submit p99 while they are fired : idle",
    "submit p99 while they are fired",
    "submit p99, idle",
    *(f"page of {name}, p95" for name in ("board", "jobs", "one job", "machines", "dead letters")),
    "first view, compressed",
    "5 open pages, share of a core",
    *(f"claims {how} : procrastinate" for how in SHARED),
    *(f"submit at one → running by the other, {which}" for which in ("p50", "p99")),
]


@pytest.mark.timeout(400)
def test_a_short_run_writes_every_row(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    command = [sys.executable, "-m", "tests.bench", "--smoke", "--out", str(page)]
    run = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=160)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = {row["figure"]: row for found in tables(page.read_text()) for row in found}
    assert [name for name in ROWS if name not in rows] == []
    ungated = [name for name in ROWS if not rows[name]["gate"]]
    assert [
        name
        for name in ungated
        if not name.startswith(("take and", "claims ", "submit at"))
        and "ask anew" not in name
        and "p99" not in name
        and "ask anew" not in name
        and "p99" not in name
    ] == []
    empty = [name for name, row in rows.items() if not row["median"]]
    assert [name for name in empty if "not taken" not in rows[name]["verdict"]] == []


def test_the_page_that_is_kept_has_every_row() -> None:
    kept = {row["figure"] for found in tables((REPO / "docs/reference/speed.md").read_text()) for row in found}
    wanted = [
        name.replace("200 ", "1,000,000 ")
        .replace(": 20", ": 1,000")
        .replace("20 idle", "5,000 idle")
        .replace("20 due", "1,000 due")
        .replace("5 open", "200 open")
        for name in ROWS
    ]
    assert [name for name in wanted if name not in kept] == []
