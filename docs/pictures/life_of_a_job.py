"""Draw the life of a job from the transition table: `make pictures` writes life-of-a-job.svg beside this file.

What is drawn, and its words, come from `contract.states`; only where it is drawn stands here. A transition that has no
way through the picture yet ends the script with what to add to ROUTES, and so does a way that nothing takes any more.
"""

import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from contract.states import TRANSITIONS, Status, Transition

PICTURE = Path(__file__).with_name("life-of-a-job.svg")

START = "new"
UNFINISHED = frozenset({Status.WAITING, Status.QUEUED, Status.RUNNING})
WITHOUT_RESULT = frozenset({Status.DEAD, Status.FAILED, Status.CANCELLED})
# An action that takes every state of a box is drawn once, from the box.
BOXES = {"unfinished": UNFINISHED, "without a result": WITHOUT_RESULT}

WIDTH, HEIGHT = 980, 796


class Box(NamedTuple):
    """A rectangle: its left upper corner and its size, in the picture's units."""

    x: int
    y: int
    width: int
    height: int


class Route(NamedTuple):
    """The way of an arrow: its corners from tail to tip, and where its words stand.

    `x` and `y` are the middle (or, by `anchor`, the start or end) of the words; `above` of their lines stand over `y`,
    the others below it. A line has at most `letters` letters of actions. `main` is the way of a job to
    which nothing happens.
    """

    corners: tuple[tuple[int, int], ...]
    x: int
    y: int
    above: int = 1
    letters: int = 30
    anchor: str = "middle"
    main: bool = False


STATES = {
    Status.WAITING: Box(445, 70, 170, 56),
    Status.QUEUED: Box(132, 216, 170, 64),
    Status.RUNNING: Box(758, 216, 170, 64),
    Status.DONE: Box(445, 366, 170, 64),
    Status.DEAD: Box(445, 518, 170, 48),
    Status.FAILED: Box(445, 592, 170, 48),
    Status.CANCELLED: Box(445, 666, 170, 48),
}
FRAMES = {"unfinished": Box(112, 34, 846, 270), "without a result": Box(392, 486, 276, 246)}
DOTS = ((16, 248), (530, 17))

# Queued and running are two poles; what lies between them is stacked, so that no two arrows cross.
ROUTES: dict[tuple[str, str], Route] = {
    (START, "queued"): Route(((16, 248), (132, 248)), 25, 248, anchor="start", main=True),
    (START, "waiting"): Route(((530, 17), (530, 70)), 538, 54, 1, anchor="start"),
    ("waiting", "queued"): Route(((445, 98), (198, 98), (198, 216)), 322, 98),
    ("queued", "running"): Route(((302, 234), (758, 234)), 530, 234, main=True),
    ("running", "queued"): Route(((758, 262), (302, 262)), 530, 262, 0, 40),
    ("running", "waiting"): Route(((862, 216), (862, 98), (615, 98)), 630, 98, 0, 28, "start"),
    ("unfinished", "done"): Route(((530, 304), (530, 366)), 540, 341, 1, anchor="start"),
    ("running", "done"): Route(((792, 280), (792, 398), (615, 398)), 704, 398, main=True),
    ("queued", "done"): Route(((268, 280), (268, 412), (445, 412)), 356, 412, 0),
    ("done", "queued"): Route(((445, 384), (288, 384), (288, 280)), 366, 384),
    ("without a result", "done"): Route(((530, 486), (530, 430)), 540, 462, 1, anchor="start"),
    ("queued", "dead"): Route(((242, 280), (242, 542), (445, 542)), 318, 542),
    ("running", "dead"): Route(((828, 280), (828, 542), (615, 542)), 750, 542, 1, 12),
    ("queued", "failed"): Route(((216, 280), (216, 616), (445, 616)), 306, 616),
    ("running", "failed"): Route(((864, 280), (864, 616), (615, 616)), 766, 616),
    ("without a result", "queued"): Route(((392, 653), (190, 653), (190, 280)), 293, 653),
    ("unfinished", "cancelled"): Route(((164, 304), (164, 690), (445, 690)), 278, 690),
    ("waiting", "cancelled"): Route(((615, 82), (942, 82), (942, 690), (615, 690)), 790, 690),
}
LEGEND = (
    "An arrow that leaves a dashed frame leaves every state in it.",
    "owner: the claw that holds the job · reaper: the part of the spine that ends leases",
)
ROUNDING = 12
LINE_HEIGHT = 17

STYLE = """
    .paper { fill: #fbfbf9; stroke: #d9d8d2; }
    .frame { fill: none; stroke: #b9bec6; stroke-width: 1.4; stroke-dasharray: 6 5; }
    .line { stroke: #5b6470; stroke-width: 1.8; fill: none; }
    .main { stroke: #1b7340; stroke-width: 3; }
    .tip, .dot { fill: #5b6470; } .main-tip { fill: #1b7340; }
    .name { font-size: 19px; font-weight: 600; }
    .dim { fill: #59616c; font-size: 13px; }
    .action { fill: #1c2128; font-family: ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace;
      font-size: 12.5px; }
    .state { stroke-width: 2; }
    .queued { fill: #e0f1f8; stroke: #0b5f80; } .name.queued { fill: #0b5f80; stroke: none; }
    .running { fill: #fff0c9; stroke: #7a5200; } .name.running { fill: #7a5200; stroke: none; }
    .waiting { fill: #f1e8fb; stroke: #6a35a8; } .name.waiting { fill: #6a35a8; stroke: none; }
    .done { fill: #e2f4e8; stroke: #1b7340; } .name.done { fill: #1b7340; stroke: none; }
    .dead, .failed { fill: #fdecea; stroke: #b3261e; } .name.dead, .name.failed { fill: #b3261e; stroke: none; }
    .cancelled { fill: #eceef2; stroke: #5a6072; } .name.cancelled { fill: #5a6072; stroke: none; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #15191e; stroke: #343b44; }
      .frame { stroke: #4b535e; }
      .line { stroke: #a3adb9; }
      .main { stroke: #7bd99a; }
      .tip, .dot { fill: #a3adb9; } .main-tip { fill: #7bd99a; }
      .dim { fill: #a9b3bf; }
      .action { fill: #eceff3; }
      .queued { fill: #10303e; stroke: #7cd0f2; } .name.queued { fill: #7cd0f2; }
      .running { fill: #38300f; stroke: #ffd166; } .name.running { fill: #ffd166; }
      .waiting { fill: #2b1e40; stroke: #cfaaff; } .name.waiting { fill: #cfaaff; }
      .done { fill: #14301f; stroke: #7bd99a; } .name.done { fill: #7bd99a; }
      .dead, .failed { fill: #3b1a18; stroke: #ff9d94; } .name.dead, .name.failed { fill: #ff9d94; }
      .cancelled { fill: #262b33; stroke: #a3a9bc; } .name.cancelled { fill: #a3a9bc; }
    }
"""


def arrows() -> dict[tuple[str, str], list[Transition]]:
    """Group the table by tail and tip: one arrow may stand for several actions, and an action may have several."""
    found: dict[tuple[str, str], list[Transition]] = {}
    for row in TRANSITIONS.values():
        boxes = [name for name, states in BOXES.items() if states <= row.sources]
        alone = row.sources.difference(*(BOXES[name] for name in boxes))
        tails = [*boxes, *(status.value for status in Status if status in alone)] or [START]
        for tail in tails:
            found.setdefault((tail, row.target.value), []).append(row)
    return found


def check(found: dict[tuple[str, str], list[Transition]]) -> None:
    """Refuse a table that the layout does not fit.

    Raises:
        SystemExit: an arrow has no way through the picture, a way has no arrow, or a state has no place.
    """
    faults = [f"{tail} -> {tip} has no way: add it to ROUTES" for tail, tip in found.keys() - ROUTES.keys()]
    faults += [f"nothing goes from {tail} to {tip} any more: remove it" for tail, tip in ROUTES.keys() - found.keys()]
    faults += [f"{status} has no place: add it to STATES" for status in set(Status) - STATES.keys()]
    if faults:
        sys.exit("The picture does not fit the transition table:\n  " + "\n  ".join(sorted(faults)))


def words(rows: list[Transition], letters: int) -> list[str]:
    """Return an arrow's lines: its actions, and behind the last one of each doer who that is."""
    lines = []
    for who in dict.fromkeys(row.who for row in rows):
        line = ""
        for action in [row.action.value for row in rows if row.who == who]:
            if line and len(line) + len(action) + 3 > letters:
                lines.append(f'<tspan class="action">{line}</tspan>')
                line = ""
            line += f" · {action}" if line else action
        lines.append(f'<tspan class="action">{line}</tspan> {escape(who)}')
    return lines


def path(corners: tuple[tuple[int, int], ...]) -> str:
    """Return the way through the corners, each rounded."""
    (x, y), *rest = corners
    steps = [f"M{x} {y}"]
    for (cx, cy), (nx, ny) in pairwise(rest):
        before = (cx - ROUNDING * _sign(cx - x), cy - ROUNDING * _sign(cy - y))
        after = (cx + ROUNDING * _sign(nx - cx), cy + ROUNDING * _sign(ny - cy))
        steps.append(f"L{before[0]} {before[1]} Q{cx} {cy} {after[0]} {after[1]}")
        x, y = cx, cy
    return " ".join([*steps, f"L{rest[-1][0]} {rest[-1][1]}"])


def _sign(length: int) -> int:
    return (length > 0) - (length < 0)


def _rectangle(kind: str, box: Box, rounding: int) -> str:
    return f'<rect class="{kind}" x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="{rounding}"/>'


def _marker(kind: str, size: int) -> str:
    return (
        f'<marker id="{kind}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="{size}" markerHeight="{size}"'
        f' markerUnits="userSpaceOnUse" orient="auto"><path class="{kind}" d="M0 0.8 L10 5 L0 9.2 z"/></marker>'
    )


def draw() -> str:
    """Return the picture as SVG.

    Raises:
        SystemExit: the table has changed in a way that the layout does not know.
    """
    found = arrows()
    check(found)
    told = " ".join(
        f"{', '.join(row.action.value for row in rows)}: from {tail} to {tip}." for (tail, tip), rows in found.items()
    )
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        ' aria-labelledby="title desc"'
        " font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\">",
        '  <title id="title">The life of a job</title>',
        f'  <desc id="desc">{escape(told)}</desc>',
        f"  <style>{STYLE}  </style>",
        f"  <defs>{_marker('tip', 14)}{_marker('main-tip', 16)}</defs>",
        f'  <rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="12"/>',
    ]
    for name, box in FRAMES.items():
        out.append(f"  {_rectangle('frame', box, 14)}")
        out.append(f'  <text class="dim" x="{box.x + 14}" y="{box.y + 22}">{name}</text>')
    out += [f'  <circle class="dot" cx="{x}" cy="{y}" r="6"/>' for x, y in DOTS]
    for status, box in STATES.items():
        middle, base = box.x + box.width // 2, box.y + box.height // 2 + 6
        out.append(f"  {_rectangle(f'state {status.value}', box, 10)}")
        out.append(f'  <text class="name {status.value}" x="{middle}" y="{base}" text-anchor="middle">{status}</text>')
    for arrow, route in ROUTES.items():
        kind, tip = ("line main", "main-tip") if route.main else ("line", "tip")
        out.append(f'  <path class="{kind}" d="{path(route.corners)}" marker-end="url(#{tip})"/>')
        for n, line in enumerate(words(found[arrow], route.letters)):
            under = n - route.above
            y = route.y - 8 + LINE_HEIGHT * (under + 1) if under < 0 else route.y + 17 + LINE_HEIGHT * under
            out.append(f'  <text class="dim" x="{route.x}" y="{y}" text-anchor="{route.anchor}">{line}</text>')
    for n, line in enumerate(reversed(LEGEND)):
        out.append(f'  <text class="dim" x="24" y="{HEIGHT - 18 - LINE_HEIGHT * n}">{line}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
