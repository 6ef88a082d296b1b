"""Draw the board of `spine-head watch` as a terminal shows it: `make pictures` writes board.svg beside this file.

What stands on it is made up here; how it looks comes from `head.boardview`.
"""

from io import StringIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style

from contract.wire import Job, Machine, Reason
from head.board import Need, Picture, Waiting
from head.boardview import BoardView

PICTURE = Path(__file__).with_name("board.svg")

COLUMNS, LINES = 112, 19
LETTER, LINE, EDGE = 8.4, 19, 16  # the picture's units
WIDTH, HEIGHT = round(COLUMNS * LETTER + 2 * EDGE), LINES * LINE + 2 * EDGE
HEAD = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="name about">
<title id="name">The board of spine-head watch</title>
<desc id="about">Counters and machines in two lines; below them tables of what runs, what waits and why, what needs a
person, and what has ended lately.</desc>
<style>
rect {{ fill: #fafafa; stroke: #d0d0d0 }}
text {{ font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2328; white-space: pre }}
.dim {{ fill: #6a737d }} .bold {{ font-weight: 600 }} .underline {{ text-decoration: underline }}
.red {{ fill: #b3261e }} .green {{ fill: #1a7f37 }} .yellow {{ fill: #8a6100 }} .magenta {{ fill: #8250df }}
.cyan {{ fill: #0b6e8a }}
@media (prefers-color-scheme: dark) {{
rect {{ fill: #16181c; stroke: #3a3f46 }} text {{ fill: #e6e6e6 }} .dim {{ fill: #9aa2ab }}
.red {{ fill: #ff8a80 }} .green {{ fill: #6fdd8b }} .yellow {{ fill: #f2cc60 }} .magenta {{ fill: #d2a8ff }}
.cyan {{ fill: #76e3ea }}
}}
</style>
<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>
"""


def job(name: str, label: str, **fields: Any) -> Job:
    """Return a job; what the board does not show is left empty."""
    given: dict[str, Any] = {
        "id": f"mb2k7{name:0>15}",
        "label": label,
        "target": "any",
        "status": "queued",
        "created_at": "2026-03-01T11:54:00.000Z",
        "updated_at": "2026-03-01T11:59:00.000Z",
        "created_by": "head",
        "claimed_by": None,
        "lease_until": None,
        "attempts": 1,
        "max_attempts": 5,
        "spec": "",
        "meta": {},
        "comments": [],
        "result": None,
        "error": None,
    }
    return Job(**(given | fields))


def machine(name: str, state: str, seen: str) -> Machine:
    """Return a machine that was heard of at a time of that noon."""
    at = f"2026-03-01T{seen}.000Z"
    return Machine(
        id=name,
        name=name,
        state=state,
        capabilities=[],
        facts={},
        first_seen_at=at,
        seen_at=at,
        revoked_at=None,
        running=[],
    )


def picture() -> Picture:
    """Return what is on the board."""
    build = job(
        "a1",
        "Build and test",
        status="running",
        claimed_by="left-claw",
        lease_until="2026-03-01T12:04:56.900Z",
        started_at="2026-03-01T11:56:00.000Z",
        progress={"phase": "test", "index": 2, "of": 3, "percent": 62},
    )
    docs = job(
        "a2",
        "Rewrite the quickstart",
        status="running",
        claimed_by="right-claw",
        lease_until="2026-03-01T12:00:12.900Z",
        started_at="2026-03-01T11:48:00.000Z",
        progress={"step": "reading the sources"},
    )
    after = Reason(code="after", message=f"it waits for 1 other job(s): {build.id} (running)", jobs=[build.id])
    slots = Reason(code="concurrency", message="all slots of its key are taken", jobs=[docs.id])
    return Picture(
        at="2026-03-01T12:00:00.000Z",
        running=[build, docs],
        waiting=[Waiting(job=job("b1", "Publish"), why=after), Waiting(job=job("b2", "Deploy the docs"), why=slots)],
        needs_person=[
            Need(kind="approval", job=job("c1", "Release 1.2")),
            Need(kind="review", job=job("c2", "Fix the flaky test")),
            Need(kind="late", job=job("c3", "Measure the disks"), fence=4),
        ],
        ended=[
            job("d1", "Update the licences", status="done", finished_at="2026-03-01T11:58:00.000Z"),
            job(
                "d2",
                "Check the links",
                status="failed",
                error="exit 2: 3 links lead nowhere",
                finished_at="2026-03-01T11:31:00.000Z",
            ),
        ],
        machines=[
            machine("left-claw", "active", "11:59:57"),
            machine("right-claw", "active", "11:59:52"),
            machine("spare", "draining", "11:59:58"),
        ],
        counts={"running": 2, "queued": 2, "done": 1204, "failed": 17},
    )


def draw() -> str:
    """Return the picture."""
    view = BoardView()
    view.show(picture())
    console = Console(
        file=StringIO(), width=COLUMNS, height=LINES + 1, force_terminal=True, _environ={}, legacy_windows=False
    )
    lines = console.render_lines(view, console.options.update(height=LINES + 1), pad=False)
    return HEAD + "".join(_line(n, line) for n, line in enumerate(lines)) + "</svg>\n"


def _line(number: int, segments: list[Segment]) -> str:
    at, found = 0, []
    for text, style, _ in segments:
        width = cell_len(text)
        if text.strip():
            x = EDGE + (at + width - cell_len(text.lstrip())) * LETTER
            length = cell_len(text.strip()) * LETTER
            found.append(
                f'<text x="{x:.1f}" y="{EDGE + (number + 0.75) * LINE:.1f}" textLength="{length:.1f}"{_class(style)}>'
                f"{escape(text.strip())}</text>\n"
            )
        at += width
    return "".join(found)


def _class(style: Style | None) -> str:
    if style is None:
        return ""
    names = [name for name in ("bold", "dim", "underline") if getattr(style, name)]
    names += [style.color.name] if style.color is not None else []
    return f' class="{" ".join(names)}"' if names else ""


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
