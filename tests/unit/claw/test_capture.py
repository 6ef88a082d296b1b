"""An output as Skyclaw's hosts cut it, byte for byte."""

import pytest

from claw.process.capture import Capture

SECRET = "correct-horse-battery"


def captured(most: int, *chunks: bytes) -> tuple[str, bytes]:
    shown = bytearray()
    made = Capture(most, (SECRET,), shown.extend)
    for chunk in chunks:
        made.write(chunk)
    return made.text(), bytes(shown)


@pytest.mark.parametrize(
    ("most", "data", "text"),
    [
        (30, b"", ""),
        (30, b"a" * 30, "a" * 30),
        (30, b"a" * 31, "a" * 10 + "\n[output truncated]\n"),
        (30, b"a" * 9 + "é".encode() + b"b" * 30, "a" * 9 + "\ufffd\n[output truncated]\n"),
        (30, b"a" * 8 + "€".encode() + b"b" * 30, "a" * 8 + "\ufffd\n[output truncated]\n"),
        (30, b"a" * 6 + "😀".encode() + b"b" * 30, "a" * 6 + "😀\n[output truncated]\n"),
        (30, b"a\xff\x00b", "a\ufffd\x00b"),
        (20, b"a" * 21, "\n[output truncated]\n"),
        (5, b"a" * 6, "\n[output truncated]\n"),
        (0, b"", ""),
    ],
)
def test_the_limit_is_in_bytes_and_the_end_is_lost(most: int, data: bytes, text: str) -> None:
    assert captured(most, data)[0] == text
    assert captured(most, *(bytes([byte]) for byte in data))[0] == text


def test_the_default_limit_to_the_byte() -> None:
    assert captured(128_000, b"x" * 128_000)[0] == "x" * 128_000
    assert captured(128_000, b"x" * 128_001)[0] == "x" * 127_980 + "\n[output truncated]\n"


def test_a_secret_is_hidden_in_what_is_kept_and_in_what_is_passed_on() -> None:
    text, shown = captured(100, b"key: correct-hor", b"se-battery and on")
    assert (text, shown) == ("key: [redacted] and on", b"key: [redacted] and on")


def test_a_secret_that_the_cut_would_split_is_hidden_first() -> None:
    text, _ = captured(40, b"0123456789", SECRET.encode(), b"x" * 40)
    assert text == "0123456789[redacted]\n[output truncated]\n"


def test_memory_is_bounded_by_the_limit() -> None:
    passed: list[int] = []
    made = Capture(1000, (), lambda chunk: passed.append(len(chunk)))
    for _ in range(200):
        made.write(b"x" * 65_536)
    assert len(made._kept) == 1001
    assert made.text() == "x" * 980 + "\n[output truncated]\n"
    assert sum(passed) == 200 * 65_536
