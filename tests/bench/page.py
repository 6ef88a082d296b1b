"""The page that a run writes."""

from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import Part
from tests.support.spine_process import REPO

PAGE = REPO / "docs" / "reference" / "speed.md"
BUILD = REPO / "build"
MACHINE = "2 shared cores"
HEAD = """# Speed

Written by `make bench`. One run on {machine}, Python {python}, SQLite {sqlite}, {seconds:.0f} s. The server is
`spine serve` as anyone starts it: one process, SQLite, `synchronous=FULL`, its store on a disk. {parser}

How to read it: rates and times are those of this machine in this hour, beside whatever else it did. A ratio holds two
of them from the same round against each other, and travels better. Every figure was taken several times, in turn with
the others; the table shows the median, the least and the greatest. A gate is judged by the median."""


def page(parts: Sequence[Part], seconds: float, python: str, sqlite: str, parser: str) -> str:
    """Return the page."""
    lines = [HEAD.format(machine=MACHINE, python=python, sqlite=sqlite, seconds=seconds, parser=parser), ""]
    for part in parts:
        lines += [f"## {part.title}", "", part.text, ""]
        lines += ["| figure | gate | median | min .. max | verdict |", "|---|---|--:|--:|---|"]
        lines += ["| " + " | ".join(figure.cells) + " |" for figure in part.figures]
        lines.append("")
    return "\n".join(lines)


def write(path: Path, text: str) -> None:
    """Write the page."""
    path.write_text(text, encoding="utf-8")
