"""What a server tells the others of a commit."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from spine.store.engine import Signals, Step
from spine.store.hints import Hints


class Said:
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        self.payloads: list[dict[str, Any]] = []

    def bounded(self) -> Any:
        return contextlib.nullcontext()

    def execute(self, sql: str, values: tuple[str, str]) -> None:
        self.payloads.append(msgspec.json.decode(values[1])["signals"])


@pytest.fixture
def hints() -> Iterator[Hints]:
    nobody: Any = None
    made = Hints(nobody, lambda signals: None, Signals)
    yield made
    os.close(made._wake)
    os.close(made._woken)


def test_what_a_server_has_counted_is_its_own(hints: Hints) -> None:
    counted = Signals(lanes={7: 2}, events=True, waits=[("any", 5)], runs=[("any", "done", 9)], expired=3)
    counted.steps.append(Step("send", "submit", "j1", "any", None, 0, 5, 5))
    hints.tell(counted)
    assert hints._waiting == Signals(lanes={7: 2}, events=True)
    said: Any = Said()
    hints._say(said)
    told = msgspec.convert(said.payloads[0], Signals, strict=False, str_keys=True)
    assert told == Signals(lanes={7: 2}, events=True)
    assert (counted.waits, len(counted.steps)) == ([("any", 5)], 1)


def test_counts_alone_are_nothing_to_tell(hints: Hints) -> None:
    hints.tell(Signals(waits=[("any", 5)], runs=[("any", "done", 9)], expired=3))
    assert hints._waiting == Signals()
