"""How many jobs a bulk verb says that it was about, where the spine has not looked through all of them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from contract.wire import BulkResult
from head.bulk import bulk
from head.desk import Desk

Run = Callable[..., str]


class Spine:
    """Answers a verb in two steps, as a spine does that has more jobs than it looks through at once."""

    def __init__(self, *answers: BulkResult) -> None:
        self.answers, self.cursors = list(answers), []

    def bulk(self, verb: str, narrowed: dict[str, Any], **more: Any) -> BulkResult:
        self.cursors.append(more["cursor"])
        return self.answers.pop(0)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(spine: Spine, *words: str) -> str:
        monkeypatch.setattr(Desk, "client", lambda self: spine)
        bulk.main([*words, "--match", "needle", "--yes"], obj=Desk(), standalone_mode=False)
        return capfd.readouterr().out

    return run


def two_steps(at_least: bool) -> Spine:
    more = {"at_least": True} if at_least else {}
    return Spine(
        BulkResult(matched=2, changed=2, next_cursor="c", **more), BulkResult(matched=1, changed=1, next_cursor=None)
    )


@pytest.mark.parametrize(
    ("at_least", "said"),
    [(True, "cancelled: 3 of at least 3 that match\n"), (False, "cancelled: 3 of 3 that match\n")],
)
def test_a_number_that_was_not_counted_out_is_said_as_the_least(run: Run, at_least: bool, said: str) -> None:
    spine = two_steps(at_least)
    assert run(spine, "cancel") == said
    assert spine.cursors == [None, "c"]


@pytest.mark.parametrize(
    ("at_least", "told"),
    [(True, {"matched": 3, "changed": 3, "atLeast": True}), (False, {"matched": 3, "changed": 3})],
)
def test_a_program_is_told_it_too(run: Run, at_least: bool, told: dict[str, Any]) -> None:
    assert json.loads(run(two_steps(at_least), "cancel", "--json")) == told
