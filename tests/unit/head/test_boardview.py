"""The live table as text."""

from io import StringIO

from rich.console import Console
from tests.unit.head.test_policy import job

from contract.wire import Machine, Reason, ReviewState
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


def test_every_part_is_there() -> None:
    running = job(
        id="r1", status="running", label="build", lease_until="2026-03-01T12:05:00.900Z", progress={"phase": "test"}
    )
    machine = Machine(
        id="m1",
        name="m1",
        state="paused",
        capabilities=[],
        facts={},
        first_seen_at="2026-03-01T11:00:00.000Z",
        seen_at="2026-03-01T11:59:00.000Z",
        revoked_at=None,
        running=[],
    )
    picture = Picture(
        at="2026-03-01T12:00:00.000Z",
        running=[running],
        waiting=[Waiting(job=job(id="w1", label="later"), why=Reason(code="time", message="not before", jobs=[]))],
        needs_person=[
            Need(kind="review", job=job(id="n1", review=ReviewState(state="pending", by=None))),
            Need(kind="late", job=job(id="n2"), fence=4),
        ],
        ended=[job(id="e1", status="failed", error="no\x1b[2J such tool", finished_at="2026-03-01T11:58:00.000Z")],
        machines=[machine],
        paused_targets=["any"],
    )
    lines = drawn(picture)
    assert lines[0] == "Machines  m1 paused, 1 min ago"
    assert lines[1] == "Paused targets  any"
    assert lines[3] == "Running 1"
    assert lines[4].split() == ["r1", "build", "left-claw", "test", "5", "min", "00", "s"]
    assert lines[6] == "Waiting 1"
    assert lines[7].split() == ["w1", "later", "time:", "not", "before", "left-claw"]
    assert lines[9] == "Needs a person 2"
    assert lines[10].split() == ["n1", "review", "review:", "accept", "|", "rework"]
    assert lines[11].split() == ["n2", "late", "result", "adopt", "4"]
    assert lines[14].split() == ["e1", "no\\x1b[2J", "such", "tool", "failed", "2", "min", "ago"]


def test_more_than_fits_is_counted() -> None:
    many = [Waiting(job=job(id=f"w{n}"), why=None) for n in range(9)]
    lines = drawn(Picture(at="2026-03-01T12:00:00.000Z", waiting=many, more_waiting=True), height=10)
    assert "Waiting 9 and more" in lines
    assert "and 6 more" in lines
    assert [line.split()[0] for line in lines if line.startswith("w")] == ["w0", "w1", "w2"]


def test_the_clock_of_a_lease() -> None:
    clocks = {0: "5 min 00 s", 290_000: "10 s", 301_000: "over 1 s"}
    held = job(lease_until="2026-03-01T12:05:00.000Z")
    assert {ms: lease(held, NOW + ms).plain for ms in clocks} == clocks
    assert lease(job(), NOW).plain == "-"
