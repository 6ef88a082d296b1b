"""What a shell is offered."""

import threading
from collections.abc import Iterable

from contract.completion import offered


def test_what_begins_with_what_was_typed_is_offered_once() -> None:
    found = offered(lambda: [("left-claw", "active"), ("left-claw", "paused"), ("right-claw", "")], "left")
    assert [(item.value, item.help) for item in found] == [("left-claw", "paused")]


def test_nothing_that_means_something_to_a_shell_is_offered() -> None:
    evil = ["a b", "$(rm)", "`rm`", "a;b", "*", "-rf", "a\nb", "../x", "", "'a'", "a|b", "a,b"]
    assert offered(lambda: [(text, "") for text in evil], "") == []


def test_a_meaning_is_one_short_line() -> None:
    (found,) = offered(lambda: [("a", "one\n\x1b[2Jtwo " + "x" * 100)], "")
    assert found.help == "one [2Jtwo " + "x" * 49


def test_a_fault_offers_nothing() -> None:
    def broken() -> Iterable[tuple[str, str]]:
        raise OSError

    assert offered(broken, "") == []


def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    never = threading.Event()

    def slow() -> Iterable[tuple[str, str]]:
        never.wait(60)
        return [("a", "")]

    assert offered(slow, "", 0.01) == []
    never.set()
