"""Where the head writes: rich for people, plain lines for pipes, notices on standard error."""

import io
import sys
from typing import Any, TextIO

import msgspec
from rich.console import Console, RenderableType

from head.words import Line

_PIPE_COLUMNS = 2000


class Screen:
    """Standard output and error. `out` never reads markup or emoji codes out of text: much of it is written by others.

    On a pipe nothing is coloured, unless FORCE_COLOR says so, and lines are not folded at the width of a terminal that
    is not there. `terminal` tells that there is one, `live` that it can do more than print.
    """

    def __init__(self, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal that lacks a letter is no reason to stop
        self.out = _console(stdout or sys.stdout)
        self.err = _console(stderr or sys.stderr)
        self.terminal = self.out.file.isatty()
        self.live = self.terminal and not self.out.is_dumb_terminal

    def say(self, line: Line) -> None:
        """Print one line."""
        self.out.print(line.text, style=line.style or None, soft_wrap=True)

    def show(self, *parts: RenderableType) -> None:
        """Print tables and pages; on a pipe without the blanks that fill a table's lines."""
        if self.live:
            self.out.print(*parts, sep="\n")
            return
        with self.out.capture() as captured:
            self.out.print(*parts, sep="\n")
        self.raw("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()).encode())

    def notice(self, text: str) -> None:
        """Print one line about the head itself on standard error."""
        self.err.print(f"spine-head: {text}", soft_wrap=True)

    def json(self, value: Any, pretty: bool = True) -> None:
        """Print a JSON document: indented, or as one line of a stream of them."""
        encoded = msgspec.json.encode(value)
        text = msgspec.json.format(encoded, indent=2 if pretty else 0)
        self.raw(text + b"\n")

    def raw(self, data: bytes) -> None:
        """Write bytes as they are, at once."""
        file = self.out.file
        file.flush()
        buffer = getattr(file, "buffer", None)
        if buffer is None:
            file.write(data.decode("utf-8", "replace"))
        else:
            buffer.write(data)
            buffer.flush()
        file.flush()


def _console(file: TextIO) -> Console:
    console = Console(file=file, markup=False, emoji=False, highlight=False)
    if not file.isatty():
        console = Console(file=file, markup=False, emoji=False, highlight=False, width=_PIPE_COLUMNS)
    return console
