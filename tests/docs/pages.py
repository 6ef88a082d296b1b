"""Reading the documentation as its tests need it: tables, sections, fenced blocks, links and anchors of Markdown."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

REPO = Path(__file__).resolve().parents[2]
DOCS = REPO / "docs"
REFERENCE = DOCS / "reference"
_HEADING = re.compile(r"^(#{1,6}) (.+?)[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: what stands behind the fence, and its lines."""

    info: str
    text: str


class Step(NamedTuple):
    """Commands that a page has a reader type, and what it shows of their output (empty: it shows nothing)."""

    commands: str
    shown: str


def read(path: Path) -> str:
    """Return a page's text."""
    return path.read_text(encoding="utf-8")


def reference(name: str) -> str:
    """Return a page of docs/reference."""
    return read(REFERENCE / name)


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one of its own or a higher level."""
    found = [(m.start(), m.end(), len(m[1]), m[2]) for m in _HEADING.finditer(without_blocks(text))]
    for n, (_, end, level, title) in enumerate(found):
        if title == heading:
            after = next((start for start, _, other, _ in found[n + 1 :] if other <= level), len(text))
            return text[end:after]
    raise AssertionError(f"there is no heading {heading!r}; there are {[title for *_, title in found]}")


def headings(text: str) -> list[str]:
    """Return the titles of all headings."""
    return [m[2] for m in _HEADING.finditer(without_blocks(text))]


def tables(text: str) -> list[list[dict[str, str]]]:
    """Return every table as rows by column title; inline code loses its backticks when it is all that a cell holds."""
    found: list[list[dict[str, str]]] = []
    lines = without_blocks(text).splitlines()
    for n, line in enumerate(lines):
        if not re.fullmatch(r"\|(\s*:?-+:?\s*\|)+", line.strip()) or n == 0:
            continue
        titles = _cells(lines[n - 1])
        rows = []
        for row in lines[n + 1 :]:
            if not row.startswith("|"):
                break
            cells = _cells(row)
            assert len(cells) == len(titles), f"{len(cells)} cells under {len(titles)} titles: {row}"
            rows.append(dict(zip(titles, cells, strict=True)))
        found.append(rows)
    return found


def table(text: str, heading: str) -> list[dict[str, str]]:
    """Return the first table below a heading."""
    found = tables(section(text, heading))
    assert found, f"there is no table below {heading!r}"
    return found[0]


def blocks(text: str) -> list[Block]:
    """Return every fenced block."""
    return [Block(m[1].strip(), m[2]) for m in _FENCE.finditer(text)]


def steps(text: str, *infos: str) -> list[Step]:
    """Return the blocks of commands with one of these words behind the fence; a block of text that follows one is its
    output."""
    found: list[Step] = []
    end = -1
    for m in _FENCE.finditer(text):
        if m[1].strip() in infos:
            found.append(Step(m[2], ""))
        elif m[1].strip() == "text" and found and not text[end : m.start()].strip():
            found[-1] = found[-1]._replace(shown=m[2])
        end = m.end()
    return found


def says(output: str, shown: str) -> bool:
    """Tell whether an output is what a page shows: `…` is any text in a line, and any lines where it stands alone."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "…" else ".*?".join(map(re.escape, line.split("…"))) + r"[ \t]*\n"
        for line in shown.splitlines()
    )
    return re.fullmatch(pattern, output if output.endswith("\n") else output + "\n") is not None


def without_blocks(text: str) -> str:
    """Blank out fenced blocks, so that positions stay."""
    return _FENCE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as the usual viewers make them."""
    found: set[str] = set()
    for title in headings(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        name, n = slug, 0
        while name in found:
            n += 1
            name = f"{slug}-{n}"
        found.add(name)
    return found


def links(text: str) -> list[str]:
    """Return the targets of all links and pictures."""
    plain = without_blocks(text)
    return re.findall(r"\]\(<?([^)\s>]+)>?[^)]*\)", plain) + re.findall(r"(?:src|srcset|href)=\"([^\"]+)\"", plain)


def tracked() -> list[Path]:
    """Return the files of the project: those that git tracks; where it cannot tell, all but what a build leaves."""
    try:
        command = ["git", "ls-files", "-z"]
        out = subprocess.run(command, cwd=REPO, capture_output=True, check=True).stdout
        found = [REPO / name.decode() for name in out.split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = [path for path in REPO.rglob("*") if not _left(path.relative_to(REPO).parts)]
    return [path for path in found if path.is_file()]


def _left(parts: tuple[str, ...]) -> bool:
    """Tell whether a path is hidden or made by a build."""
    return any(
        (part.startswith(".") and part != ".ci")
        or part in ("__pycache__", "build", "dist")
        or part.endswith(".egg-info")
        for part in parts
    )


def markdown() -> list[Path]:
    """Return every Markdown page of the project."""
    return sorted(path for path in tracked() if path.suffix == ".md")


def _cells(row: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", row.strip().removeprefix("|").removesuffix("|"))
    return [_plain(cell.strip().replace("\\|", "|")) for cell in cells]


def _plain(cell: str) -> str:
    return cell[1:-1] if re.fullmatch(r"`[^`]+`", cell) else cell
