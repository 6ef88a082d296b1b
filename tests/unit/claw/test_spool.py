"""The local copy of the output."""

import os
from pathlib import Path

from claw.process.spool import Spool

SECRET = "correct-horse-battery"


def spool(folder: Path, most: int = 10_000) -> Spool:
    return Spool(folder / "log", most, (SECRET,))


def test_a_secret_across_two_chunks_never_reaches_the_disk(tmp_path: Path) -> None:
    made = spool(tmp_path)
    made.write(b"key: correct-hor")
    made.write(b"se-battery and on\n")
    made.close()
    assert (tmp_path / "log").read_bytes() == b"key: [redacted] and on\n"


def test_the_cut_is_told_and_the_limit_kept(tmp_path: Path) -> None:
    made = spool(tmp_path, 5000)
    for n in range(1000):
        made.write(b"line %d\n" % n)
    made.close()
    content = (tmp_path / "log").read_bytes()
    assert len(content) == made.size <= 5000
    assert content.endswith(b"\n[output cut here: the limit of 5000 bytes is reached]\n")
    assert made.last_line() == "line 999"
    again = spool(tmp_path, 5000)
    again.write(b"more\n")
    again.close()
    assert (tmp_path / "log").read_bytes() == content


def test_a_secret_beyond_the_cut_is_hidden_in_the_tail(tmp_path: Path) -> None:
    made = spool(tmp_path, 5000)
    made.write(b"x" * 6000 + b"\n")
    made.write(b"it is correct-horse-battery\n")
    made.settle()
    assert made.last_line() == "it is [redacted]"


def test_the_last_line_is_that_of_the_newest_command(tmp_path: Path) -> None:
    made = spool(tmp_path)
    made.write(b"one\ntwo\n\n  \n")
    made.settle()
    assert made.last_line() == "two"
    made.begin()
    assert made.last_line() == ""
    made.write(b"three")
    made.settle()
    assert made.last_line() == "three"
    assert made.tail(2) == ["two", "three"]


def test_a_full_disk_costs_the_output_and_not_the_job(tmp_path: Path) -> None:
    made = spool(tmp_path)
    made.say("before")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, made._fd)
    os.close(full)
    made.write(b"during\n")
    made.write(b"after\n")
    assert made.size == len(b"before\n")
    assert made.last_line() == "after"


def test_a_later_process_goes_on_at_the_end(tmp_path: Path) -> None:
    first = spool(tmp_path)
    first.say("one")
    first.close()
    second = spool(tmp_path)
    assert second.size == 4
    second.say("two")
    second.close()
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
