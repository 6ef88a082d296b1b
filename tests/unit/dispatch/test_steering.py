"""What was said into a session while its run went on: read or not, what came of it, and what it took."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.dispatching import Dispatching

from dispatch import steering
from dispatch.gateway.rows import Final, Message, Usage, View

RUN, SAID, NEXT = "run-1", "said-1", "run-2"


def user(text: str, run: str | None, pending: bool = False) -> Message:
    return Message(role="user", text=text, run_id=run, pending=pending, timestamp=1)


def agent(text: str, run: str | None, tokens: int = 0) -> Message:
    usage = Usage(input=tokens, output=1, total=tokens + 1) if tokens else None
    return Message(role="assistant", text=text, run_id=run, usage=usage, timestamp=2)


ENTRY: dict[str, Any] = {"runId": RUN, "steered": [{"runId": SAID, "text": "go left"}]}
ANSWERED = [user("do it", RUN), agent("one", RUN)]


class Heard(NamedTuple):
    messages: list[Message]
    heeded: bool


HEARD = {
    "not there yet": Heard(ANSWERED, False),
    "waits for its turn": Heard([*ANSWERED, user("go left", SAID, pending=True)], False),
    "read, not answered": Heard([*ANSWERED, user("go left", SAID)], False),
    "a turn of its own": Heard([*ANSWERED, user("go left", SAID), agent("two", NEXT)], True),
    "answered, and still said to wait": Heard(
        [*ANSWERED, user("go left", SAID), agent("two", NEXT), user("go left", SAID, pending=True)], True
    ),
    "in the turn under way": Heard([user("do it", RUN), user("go left", SAID), agent("both", RUN)], True),
    "v3, read": Heard([user("do it", None), user("[Mon 08:00] go left", None), agent("both", None)], True),
    "v3, not read": Heard([user("do it", None), agent("one", None)], False),
}


@pytest.mark.parametrize("name", HEARD)
def test_whether_the_agent_has_read_it_and_answered(name: str) -> None:
    case = HEARD[name]
    assert steering.heeded(ENTRY, View(row=None, messages=tuple(case.messages))) is case.heeded


def test_what_was_said_is_answered_by_whichever_run_took_it_up() -> None:
    messages = [*ANSWERED, user("go left", SAID), agent("two", NEXT), user("more", "run-3"), agent("three", "run-3")]
    assert steering.answer_to(messages, SAID) == "two"
    assert steering.answer_to(ANSWERED, SAID) is None


def test_tokens_are_those_of_every_call_since_the_run_began() -> None:
    before = [user("first", "run-0"), agent("zero", "run-0", 1000)]
    messages = [*before, user("do it", RUN), agent("", RUN, 10), agent("one", RUN, 20)]
    after = [user("go left", SAID), agent("two", NEXT, 40)]
    view = View(row=None, messages=(*messages, *after))
    assert steering.used(ENTRY, view, None) == Usage(input=70, output=3, total=73)
    # The final frame knows of calls too that are gone from the end of a long history.
    final = Final(run_id=RUN, ok=True, status="ok", usage=Usage(input=500, output=5, total=505))
    assert steering.used(ENTRY, view, final) == Usage(input=540, output=6, total=546)
    assert steering.used(ENTRY, View(row=None, messages=()), None) is None


def test_what_was_said_is_kept_with_the_label_and_a_foreign_shape_of_it_is_none(tmp_path: Path) -> None:
    dispatching = Dispatching(tmp_path / "home", "http://127.0.0.1:9")
    dispatching.write(L={"status": "running"})
    desk = dispatching.desk()
    steering.keep(desk, "L", "a", "x" * 300)
    steering.keep(desk, "L", "b", "y")
    steering.forget(desk, "L", "a")
    assert dispatching.entry("L")["steered"] == [{"runId": "b", "text": "y"}]
    dispatching.write(L={"status": "running", "steered": [1]})
    assert "steered" not in (desk.ledger.entry("L") or {})
