"""The end of a log."""

from io import StringIO

from rich.console import Console, Group

from head.logtail import LogTail


def plain(tail: LogTail) -> list[str]:
    return [line.plain for line in tail.lines()]


def test_the_last_lines_are_kept_and_the_one_that_is_not_finished() -> None:
    tail = LogTail(3)
    tail.feed(b"one\ntwo\nth")
    tail.feed(b"ree\nfour\nfi")
    assert plain(tail) == ["three", "four", "fi"]
    tail.restart()
    assert plain(tail) == []


def test_what_a_progress_bar_wrote_over_is_gone() -> None:
    tail = LogTail(3)
    tail.feed(b"10 %\r50 %\r100 %\r\ndone\r\n")
    assert plain(tail) == ["100 %", "done"]


def test_colours_stay_and_nothing_else_that_a_terminal_obeys() -> None:
    tail = LogTail(3)
    tail.feed(b"\x1b[31mred\x1b[0m \x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\\x1b[2J\x07\x9b\xe2\x80\xae.\n")
    out = StringIO()
    Console(file=out, force_terminal=True, color_system="standard", width=40).print(*tail.lines())
    assert out.getvalue() == "\x1b[31mred\x1b[0m link\ufffd.\n"


def test_a_long_line_is_cut_not_wrapped() -> None:
    tail = LogTail(1)
    tail.feed(b"x" * 100_000)
    (line,) = tail.lines()
    out = StringIO()
    Console(file=out, width=10).print(Group(line))
    assert out.getvalue() == "xxxxxxxxx…\n"
