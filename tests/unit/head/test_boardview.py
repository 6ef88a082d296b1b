"""The live table as text."""

from io import StringIO

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console
from tests.unit.head.test_policy import job

from contract.wire import Machine, Reason
from head.board import Need, Picture, Waiting
from head.boardview import BoardView, lease

NOW = 1_772_366_400_000  # 2026-03-01T12:00:00Z


def drawn(picture: Picture, width: int = 120, height: int = 40) -> list[str]:
    """Return the lines of a picture."""
    view = BoardView()
    view.show(picture)
    out = StringIO()
    Console(file=out, width=width, height=height, markup=False, emoji=False, highlight=False).print(view)
    return [line.rstrip() for line in out.getvalue().splitlines()]


MACHINES = [
    Machine(
        id=name,
        name=name,
        state=state,
        capabilities=[],
        facts={},
        first_seen_at="2026-03-01T11:00:00.000Z",
        seen_at=seen,
        revoked_at=None,
        running=[],
    )
    for name, state, seen in (
        ("left-claw", "active", "2026-03-01T11:59:57.000Z"),
        ("right-claw", "paused", "2026-03-01T11:59:00.000Z"),
    )
]
RUNNING = job(
    id="run00000000000000001",
    status="running",
    label="Compile everything again",
    lease_until="2026-03-01T12:04:59.900Z",
    started_at="2026-03-01T11:48:00.000Z",
    progress={"phase": "test", "index": 2, "of": 3, "percent": 50},
)
REASON = Reason(code="after", message="it waits for 1 other job(s): run00000000000000001 (running)", jobs=[])
PICTURE = Picture(
    at="2026-03-01T12:00:00.000Z",
    running=[RUNNING],
    waiting=[Waiting(job=job(id="wait0000000000000001", label="Nightly report", target="any"), why=REASON)],
    needs_person=[
        Need(kind="review", job=job(id="need0000000000000001", label="Fix the flaky test")),
        Need(kind="late", job=job(id="need0000000000000002", label="Measure"), fence=4),
    ],
    ended=[
        job(
            id="end00000000000000001",
            status="failed",
            label="Update 依存関係",
            error="no\x1b[2J such tool",
            finished_at="2026-03-01T11:58:00.000Z",
        )
    ],
    machines=MACHINES,
    counts={"done": 120, "failed": 7, "running": 1},
)
AT_40 = """\
1 running · 1 waiting · 2 for a person
Machines  right-claw paused, 1 min ago …
Running 1             WHAT         LEASE
run00000000000000001  Compile ev…  4:59
Waiting 1             WHY
wait0000000000000001  it waits for 1 ot…
Needs a person 2      FOR
need0000000000000001  review
need0000000000000002  late result
Ended lately          STATUS  WHAT
end00000000000000001  failed  Update 依…"""
AT_60 = """\
1 running · 1 waiting · 2 for a person · 120 done · 7 failed
Machines  right-claw paused, 1 min ago  left-claw 3 s ago
Running 1             WHAT              PROGRESS       LEASE
run00000000000000001  Compile everyth…  ━━━━──── 50 %  4:59
Waiting 1             WHAT          WHY
wait0000000000000001  Nightly rep…  it waits for 1 other jo…
Needs a person 2      FOR          WHAT
need0000000000000001  review       Fix the flaky test
need0000000000000002  late result  Measure
Ended lately          STATUS  WHAT             ENDED
end00000000000000001  failed  Update 依存関係  2 min ago"""
AT_80 = """\
1 running · 1 waiting · 2 for a person · 120 done · 7 failed · 12:00:00 UTC
Machines  right-claw paused, 1 min ago  left-claw 3 s ago
Running 1             WHAT          PHASE        PROGRESS       MACHINE    LEASE
run00000000000000001  Compile eve…  phase 2 of…  ━━━━──── 50 %  left-claw  4:59
Waiting 1             WHAT            WHY                        TARGET  CAME
wait0000000000000001  Nightly report  it waits for 1 other job…  any     0 s ago
Needs a person 2      FOR          WHAT                spine-head …
need0000000000000001  review       Fix the flaky test  review: accept | rework
need0000000000000002  late result  Measure             adopt 4
Ended lately          STATUS  WHAT             ERROR                ENDED
end00000000000000001  failed  Update 依存関係  no\\x1b[2J such tool  2 min ago"""
AT_120 = """\
1 running · 1 waiting · 2 for a person · 120 done · 7 failed · 12:00:00 UTC
Machines  right-claw paused, 1 min ago  left-claw 3 s ago
Running 1             WHAT                      PHASE               PROGRESS       MACHINE    LEASE  CONTACT  BEGAN
run00000000000000001  Compile everything again  phase 2 of 3: test  ━━━━──── 50 %  left-claw  4:59   3 s ago  12 min ago
Waiting 1             WHAT            WHY                                                          TARGET  CAME
wait0000000000000001  Nightly report  it waits for 1 other job(s): run00000000000000001 (running)  any     0 s ago
Needs a person 2      FOR          WHAT                spine-head …
need0000000000000001  review       Fix the flaky test  review: accept | rework
need0000000000000002  late result  Measure             adopt 4
Ended lately          STATUS  WHAT             ERROR                MACHINE    ENDED
end00000000000000001  failed  Update 依存関係  no\\x1b[2J such tool  left-claw  2 min ago"""
AT_200 = """\
1 running · 1 waiting · 2 for a person · 120 done · 7 failed · 12:00:00 UTC
Machines  right-claw paused, 1 min ago  left-claw 3 s ago
Running 1             WHAT                      PHASE               PROGRESS       MACHINE    LEASE  CONTACT  BEGAN
run00000000000000001  Compile everything again  phase 2 of 3: test  ━━━━──── 50 %  left-claw  4:59   3 s ago  12 min ago
Waiting 1             WHAT            WHY                                                          TARGET  CAME
wait0000000000000001  Nightly report  it waits for 1 other job(s): run00000000000000001 (running)  any     0 s ago
Needs a person 2      FOR          WHAT                spine-head …
need0000000000000001  review       Fix the flaky test  review: accept | rework
need0000000000000002  late result  Measure             adopt 4
Ended lately          STATUS  WHAT             ERROR                MACHINE    ENDED
end00000000000000001  failed  Update 依存関係  no\\x1b[2J such tool  left-claw  2 min ago"""


@pytest.mark.parametrize(("width", "lines"), [(40, AT_40), (60, AT_60), (80, AT_80), (120, AT_120), (200, AT_200)])
def test_the_board_at_every_width(width: int, lines: str) -> None:
    assert "\n".join(drawn(PICTURE, width, 16)) == lines


def test_parts_stand_apart_where_there_is_room() -> None:
    assert [n for n, line in enumerate(drawn(PICTURE, 80, 24)) if not line] == [2, 5, 8, 12]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 3), (20, 5), (40, 12), (80, 24), (200, 60)])
def test_no_line_is_longer_than_the_terminal_and_none_below_its_end(width: int, height: int) -> None:
    many = msgspec.structs.replace(
        PICTURE,
        running=[RUNNING] * 50,
        waiting=PICTURE.waiting * 50,
        needs_person=PICTURE.needs_person * 20,
        ended=PICTURE.ended * 10,
        paused_targets=["any"],
    )
    lines = drawn(many, width, height)
    assert max(map(cell_len, lines)) <= width
    assert len(lines) < max(height, 12)


def test_more_than_fits_is_counted() -> None:
    many = [Waiting(job=job(id=f"w{n}"), why=None) for n in range(9)]
    counts = {"queued": 70, "waiting": 5}
    found = Picture(at="2026-03-01T12:00:00.000Z", waiting=many, more_waiting=True, counts=counts)
    lines = drawn(found, height=12)
    assert lines[0].startswith("0 running · 75 waiting · 0 for a person")
    assert lines[3].startswith("Waiting 75 (+4)")
    assert [line.split()[0] for line in lines if line.startswith("w")] == ["w0", "w1", "w2", "w3", "w4"]
    assert drawn(msgspec.structs.replace(found, counts={}))[0].startswith("0 running · 9+ waiting")


def test_nothing_is_left_of_what_steers_a_terminal() -> None:
    evil = "x\x1b]8;;http://evil\x1b\\y\x1b]0;t\x07\u202eg\x9b2J"
    told = Reason(code=evil, message=evil, jobs=[])
    machine = msgspec.structs.replace(MACHINES[0], name=evil)
    bad = job(label=evil, error=evil, progress={"phase": evil}, target=evil, machine=evil, claimed_by=evil)
    found = Picture(
        at="2026-03-01T12:00:00.000Z",
        running=[bad],
        waiting=[Waiting(job=bad, why=told)],
        needs_person=[Need(kind="review", job=bad)],
        ended=[bad],
        machines=[machine],
        paused_targets=[evil],
    )
    shown = "".join(drawn(found, 400))
    assert not [c for c in shown if c in "\x1b\x07\x9b\u202e"]
    assert "x\\x1b]8;;http://evil\\x1b\\y\\x1b]0;t\\x07\\u202eg\\x9b2J" in shown


def test_the_clock_of_a_lease() -> None:
    clocks = {0: "5:00", 290_000: "0:10", 301_000: "over 0:01"}
    held = job(lease_until="2026-03-01T12:05:00.000Z")
    assert {ms: lease(held, NOW + ms).plain for ms in clocks} == clocks
    assert lease(job(), NOW).plain == "-"
