"""What others wrote is shown, not obeyed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from head import clean
from head.clean import TerminalFilter


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain\ttext\nand more ✓", "plain\ttext\nand more ✓"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("bell\x07 back\x08 del\x7f", "bell\\x07 back\\x08 del\\x7f"),
        ("a\rb", "a\\x0db"),
        ("C1 \x9b31m", "C1 \\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("\ud800", "\\ud800"),
        ("\ufeffa\U000e0041", "\\ufeffa\\U000e0041"),
        ("\x1b]8;;http://x\x1b\\y", "\\x1b]8;;http://x\\x1b\\y"),
        ("two\u2028lines", "two\\u2028lines"),
    ],
)
def test_control_characters_are_written_out(written: str, shown: str) -> None:
    assert clean.text(written) == shown


def test_a_line_has_no_breaks() -> None:
    assert clean.line("  a\n\tb \r\n c\x00 ") == "a b c\\x00"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"\x1b[1;31mred\x1b[0m\n", "\x1b[1;31mred\x1b[0m\n\x1b[0m"),
        (b"\x1b[38:2:1:2:3mtrue\n", "\x1b[38:2:1:2:3mtrue\n\x1b[0m"),
        (b"\x1b[2Jgone\x1b[10;10Hthere\x1b[?1049h", "gonethere"),
        (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        (b"\x1bPq#0\x1b\\dcs \x1b^pm\x1b\\ \x1b_apc\x1b\\.", "dcs  ."),
        (b"\x1bc\x1b7\x1b(0reset", "reset"),
        (b"50%\r100%\r\n", "50%\r100%\r\n"),
        ("C1 \x9b2J CSI".encode(), "C1 2J CSI"),
        (b"bell\x07 nul\x00 back\x08\x7f", "bell nul back"),
        ("\u202ex".encode(), "x"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"open end \x1b[3", "open end [3"),
        (b"\x1b]0;never ended", "]0;never ended"),
    ],
)
def test_of_escape_sequences_only_colours_reach_a_terminal(sent: bytes, shown: str) -> None:
    for size in (1, 2, 3, len(sent)):
        keeper = TerminalFilter()
        pieces = [keeper.feed(sent[n : n + size]) for n in range(0, len(sent), size)]
        assert "".join(pieces) + keeper.flush() == shown


def test_a_string_that_never_ends_does_not_swallow_the_log() -> None:
    keeper = TerminalFilter()
    text = b"\x1b]0;" + b"x" * 5000
    assert "x" * 4000 in keeper.feed(text) + keeper.feed(b"more\n")


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_whatever_comes_no_other_sequence_gets_through(chunks: list[bytes]) -> None:
    keeper = TerminalFilter()
    shown = "".join(map(keeper.feed, chunks)) + keeper.flush()
    rest = clean._COLOUR.sub("", shown)
    assert not [c for c in rest if c not in "\n\t\r" and clean._unsafe(c)]


def test_colours_are_left_out_where_none_are_wanted() -> None:
    assert TerminalFilter(colours=False).feed(b"\x1b[1;31mred\x1b[0m\n") == "red\n"
