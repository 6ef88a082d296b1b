"""The table of transitions against a literal copy of it."""

import pytest
from tests.suites.matrix import ENDED, MATRIX, STATUSES, Row

from contract.states import TERMINAL, TRANSITIONS, UNFINISHED, Action, Status, allowed


def test_the_names_are_those_of_the_matrix() -> None:
    assert [status.value for status in Status] == list(STATUSES)
    assert [action.value for action in Action] == [row.action for row in MATRIX]
    assert list(TRANSITIONS) == list(Action)
    assert TERMINAL == {"done", "failed", "dead", "cancelled"} == ENDED
    assert {"queued", "running", "waiting"} == UNFINISHED


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: row.action)
def test_each_row(row: Row) -> None:
    action = Action(row.action)
    ours = TRANSITIONS[action]
    assert (ours.action, ours.target.value, ours.event, ours.who) == (row.action, row.target, row.event, row.who)
    assert {status.value for status in ours.sources} == row.sources
    assert [status.value for status in Status if allowed(action, status)] == [s for s in STATUSES if s in row.sources]
    assert ours.meaning


def test_the_arrows_of_v0() -> None:
    arrows = {(source.value, row.target.value) for row in TRANSITIONS.values() for source in row.sources}
    assert arrows == {
        ("queued", "running"),
        ("queued", "done"),
        ("queued", "failed"),
        ("queued", "dead"),
        ("queued", "cancelled"),
        ("running", "done"),
        ("running", "queued"),
        ("running", "waiting"),
        ("running", "failed"),
        ("running", "dead"),
        ("running", "cancelled"),
        ("waiting", "queued"),
        ("waiting", "cancelled"),
        ("waiting", "done"),
        ("done", "queued"),
        ("failed", "queued"),
        ("failed", "done"),
        ("dead", "queued"),
        ("dead", "done"),
        ("cancelled", "queued"),
        ("cancelled", "done"),
    }
