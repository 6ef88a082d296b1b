"""A job's page as text."""

from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from tests.unit.head.test_policy import job

from contract.wire import Attempt, CommentRecord, Event
from head.page import History, Log, page
from head.words import Times

NOW = 1_772_366_400_000  # 2026-03-01T12:00:00Z
JOB = job(
    id="run00000000000000001",
    status="running",
    label="Compile everything again",
    created_at="2026-03-01T11:40:00.000Z",
    lease_until="2026-03-01T12:04:59.900Z",
    fence=2,
    attempts=2,
    progress={"phase": "test", "index": 2, "of": 3, "percent": 50},
    spec={"repo": "https://git.example.org/a.git", "phases": [{"name": "build", "run": "make"}]},
    comments=[CommentRecord(t="2026-03-01T11:58:00.000Z", by="head", text="hurry")],
)
ATTEMPT = Attempt(
    fence=1,
    round=1,
    attempt=1,
    outcome="expired",
    claimed_by="left-claw",
    worker_id=None,
    machine=None,
    started_at="2026-03-01T11:45:00.000Z",
    ended_at="2026-03-01T11:50:00.000Z",
    error="its lease was over",
)
EVENT = Event(
    cursor="c",
    job_id=JOB.id,
    at="2026-03-01T11:40:00.000Z",
    type="job.created",
    by="head",
    data={"target": "any"},
)
AT_60 = """\
run00000000000000001  running  Compile everything again
━━━━━━━━━━────────── 50 %  phase 2 of 3: test  lease 4:59
target      left-claw
created     20 min ago by head
attempts    2 of 5
holder      left-claw
lease ends  in 4 min
review      asked for

Spec
  repo   https://git.example.org/a.git
  build  make

Attempts
  fence 1  expired  left-claw  its lease was over

Timeline (the last 1 of 31)
  20 min ago  created  head  target=any

Comments
  2 min ago  head  hurry

Log of fence 2 (the end of 9 bytes)
  all green

What next
  spine-head watch run00000000000000001
  spine-head logs run00000000000000001 --follow
  spine-head comment run00000000000000001 TEXT
  spine-head cancel run00000000000000001"""


def drawn(width: int, utc: bool = False) -> list[str]:
    out = StringIO()
    log = Log(2, 9, [Text("all green")])
    shown = page(JOB, [ATTEMPT], History([EVENT], 31), log, Times(NOW, utc))
    Console(file=out, width=width, markup=False, emoji=False, highlight=False).print(shown)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_everything_about_a_job() -> None:
    assert "\n".join(drawn(60)) == AT_60


def test_times_as_they_are() -> None:
    lines = drawn(100, utc=True)
    assert "created     2026-03-01T11:40:00.000Z by head" in lines
    assert "  2026-03-01T11:40:00.000Z  created  head  target=any" in lines


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    assert max(map(cell_len, drawn(width))) <= width
