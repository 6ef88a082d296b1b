"""What is made of a row, a history and what else is known of a run: a table of cases with literal outcomes."""

import pytest

from dispatch.gateway.judge import Outcome, answer, cause, outcome
from dispatch.gateway.rows import Final, Message, Row, Wait, final_from, message_from, view_from

RUN, OTHER, AT = "run-1", "run-2", 1_000_000_000_000
LATER = AT + 60_000
APOLOGY = "The AI service is temporarily overloaded. Please try again in a moment."
PROVIDER = "LLM request failed (provider overloaded, HTTP 529)"
LOST = ": start it again with the original prompt"


def row(status: str | None = None, active: bool | None = False, **members: object) -> Row:
    return Row(key="agent:main:subagent:1", session_id="s", status=status, has_active_run=active, **members)  # type: ignore[arg-type]


def said(text: str, stop: str = "stop", run: str | None = RUN, at: int = AT + 1000, **members: object) -> Message:
    return Message(role="assistant", text=text, stop_reason=stop, run_id=run, timestamp=at, **members)  # type: ignore[arg-type]


def asked(text: str = "do it", run: str | None = RUN, at: int = AT + 500, pending: bool = False) -> Message:
    return Message(role="user", text=text, run_id=run, timestamp=at, pending=pending)


def ended(status: str = "ok", **members: object) -> Wait:
    return Wait(run_id=RUN, status=status, ended_at=AT + 2000, **members)  # type: ignore[arg-type]


UNSURE = Wait(run_id=RUN, status="timeout")
OK = Final(run_id=RUN, ok=True, status="ok", text="42")
BUSY = Final(run_id=RUN, ok=False, status="error", error=APOLOGY, error_code="UNAVAILABLE")
ABORTED = Final(run_id=RUN, ok=False, status="timeout", stop_reason="rpc", summary="aborted", error="aborted")
LONG = Final(run_id=RUN, ok=False, status="timeout", summary="aborted", error="Request timed out")
RUNNING = Outcome(state="running")
DONE = Outcome(state="ok", text="42")

CASES: dict[str, tuple[Row | None, list[Message], Final | None, Wait | None, Outcome]] = {
    # under way
    "runs": (row("running", True, active_run_ids=(RUN,)), [asked()], None, UNSURE, RUNNING),
    "runs, not named": (row("running", True), [asked()], None, UNSURE, RUNNING),
    "begins, its row told by describe": (row(None, True), [asked(pending=True)], None, UNSURE, RUNNING),
    "runs, a text between": (row("running", True, active_run_ids=(RUN,)), [asked(), said("x")], None, UNSURE, RUNNING),
    "waits": (row("running", True, active_run_ids=(OTHER,)), [asked(pending=True)], None, UNSURE, RUNNING),
    "v3 runs": (row("running", None), [asked(run=None)], None, UNSURE, RUNNING),
    # answered
    "answered": (row("done", last_run_id=RUN), [asked(), said("42")], OK, None, DONE),
    "answered, end not heard": (row("done", last_run_id=RUN), [asked(), said("42")], None, ended(), DONE),
    "answered before a restart": (row("done", last_run_id=RUN), [asked(), said("42")], None, UNSURE, DONE),
    "answered, another runs": (
        row("running", True, active_run_ids=(OTHER,)), [asked(), said("42"), asked(run=OTHER)], None, UNSURE, DONE,
    ),
    "answered, another failed": (
        row("failed", last_run_id=OTHER, last_run_error=APOLOGY),
        [asked(), said("42"), asked(run=OTHER), said(PROVIDER, "error", OTHER)], None, UNSURE, DONE,
    ),
    "last answer counts": (row("done", last_run_id=RUN), [asked(), said("1"), said("42")], None, ended(), DONE),
    "an error before the answer": (
        row("done", last_run_id=RUN), [asked(), said(PROVIDER, "error"), said("42")], None, ended(), DONE,
    ),
    "speaks of line 1529 and rate limits": (
        row("done", last_run_id=RUN), [asked(), said("see line 1529: rate limit")], None, ended(),
        Outcome(state="ok", text="see line 1529: rate limit"),
    ),
    "nothing to say": (row("done", last_run_id=RUN), [asked()], None, ended(), Outcome(state="ok")),
    "no row any more": (None, [asked(), said("42")], None, UNSURE, DONE),
    "v3 answered": (row("done", None), [asked(run=None), said("42", run=None)], OK, None, DONE),
    "v3 an older answer is not ours": (
        row("done", None, ended_at=AT - 60_000), [said("old", run=None, at=AT - 60_000)], None, UNSURE,
        Outcome(state="lost", message=f"the gateway has forgotten the run, with its prompt{LOST}"),
    ),
    # failed
    "overloaded": (
        row("failed", last_run_id=RUN, last_run_error=APOLOGY), [asked(), said(PROVIDER, "error")], BUSY, None,
        Outcome(state="failed", kind="overload", message=APOLOGY),
    ),
    "overloaded, end not heard": (
        row("failed", last_run_id=RUN, last_run_error=APOLOGY), [asked(), said(PROVIDER, "error")], None, UNSURE,
        Outcome(state="failed", kind="overload", message=APOLOGY),
    ),
    "overloaded, only the history tells": (
        row("failed", last_run_id=RUN), [asked(), said(PROVIDER, "error")], None, UNSURE,
        Outcome(state="failed", kind="overload", message=PROVIDER),
    ),
    "v3 overloaded, and the final frame says ok": (
        row("failed", None), [asked(run=None), said("", "error", None, error="529 Overloaded")],
        Final(run_id=RUN, ok=True, status="ok", text=APOLOGY), None,
        Outcome(state="failed", kind="overload", message="529 Overloaded"),
    ),
    "an overloaded answer is no answer": (
        row("failed", last_run_id=RUN, last_run_error=APOLOGY), [asked(), said("half"), said(PROVIDER, "error")],
        None, ended("error", error=APOLOGY), Outcome(state="failed", kind="overload", message=APOLOGY),
    ),
    "failed on line 1529": (
        row("failed", last_run_id=RUN, last_run_error="assertion on line 1529"), [asked()], None, UNSURE,
        Outcome(state="failed", kind="transient", message="assertion on line 1529"),
    ),
    "a model that does not exist": (
        row("failed", last_run_id=RUN, last_run_error="Unknown model: mock/x"), [asked()], None, UNSURE,
        Outcome(state="failed", kind="permanent", message="Unknown model: mock/x"),
    ),
    # stopped
    "aborted": (row("killed", last_run_id=RUN), [asked()], ABORTED, None, Outcome(state="aborted", message="aborted")),
    "aborted, end not heard": (row("killed", last_run_id=RUN), [asked()], None, UNSURE, Outcome(state="aborted")),
    "aborted, agent.wait says error": (
        row("done", last_run_id=OTHER), [asked()], None, ended("error", stop_reason="rpc"), Outcome(state="aborted"),
    ),
    "over its time": (
        row("timeout", last_run_id=RUN), [asked()], LONG, None,
        Outcome(state="timed_out", message="Request timed out"),
    ),
    "over its time, end not heard": (
        row("timeout", last_run_id=RUN, last_run_error="Request timed out"), [asked()], None, ended("timeout"),
        Outcome(state="timed_out", message="Request timed out"),
    ),
    # lost
    "killed before the prompt was kept": (
        row(None), [], None, UNSURE,
        Outcome(state="lost", message=f"the gateway has forgotten the run, with its prompt{LOST}"),
    ),
    "killed after the prompt was kept": (
        row("running", False), [asked()], None, UNSURE,
        Outcome(state="lost", message=f"the gateway has no such run any more, and it left no answer{LOST}"),
    ),
    "killed at a tool's call": (
        row("running", False), [asked(), said("I shall look.", "toolUse", tools=True)], None, UNSURE,
        Outcome(state="lost", message=f"the gateway has no such run any more, and it left no answer{LOST}"),
    ),
    "killed in an old session": (
        row("done", last_run_id=OTHER, ended_at=AT - 60_000), [said("old", run=OTHER, at=AT - 60_000)], None, UNSURE,
        Outcome(state="lost", message=f"the gateway has forgotten the run, with its prompt{LOST}"),
    ),
    "no session": (
        None, [], None, UNSURE, Outcome(state="lost", message=f"the gateway has no such session{LOST}"),
    ),
    "killed after its answer": (row("running", False), [asked(), said("42")], None, UNSURE, DONE),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_outcome(name: str) -> None:
    found, history, final, wait, wanted = CASES[name]
    assert outcome(found, history, run_id=RUN, dispatched_at=AT, now=LATER, final=final, wait=wait) == wanted


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[4].state == "lost"])
def test_what_is_young_is_not_lost(name: str) -> None:
    found, history, final, wait, _ = CASES[name]
    assert outcome(found, history, run_id=RUN, dispatched_at=AT, now=AT + 9_000, final=final, wait=wait) == RUNNING


CAUSES = {
    "overload": [
        APOLOGY, PROVIDER, "529 failover: FailoverError", "HTTP 429", "status code: 529", "rate_limit", "rate limited",
        "Rate-Limit reached", "Too Many Requests", "overloaded_error", "the server is overloading",
    ],
    "permanent": ["Unknown model: x", "HTTP 401", "status=403", "agent main no longer exists", "context length"],
    "transient": [
        "", "line 1529", "529 tests passed", "1529", "socket hang up", "HTTP 500", "status 503", "HTTP 5290",
        "underloaded", "moderate limits", "see issue 429",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in CAUSES.items() for text in texts])
def test_cause(kind: str, text: str) -> None:
    assert cause(text) == kind


@pytest.mark.parametrize("reason", ["overloaded", "rate_limit"])
def test_the_gateways_own_classification_wins(reason: str) -> None:
    assert cause("something else", reason) == "overload"
    assert cause("Unknown model: x", "timeout") == "permanent"
    assert cause("temporarily overloaded", "billing") == "permanent"


def test_an_overload_says_when_its_quota_is_reset() -> None:
    text = "Rate limit reached. Try again in 20 minutes."
    found = outcome(
        row("failed", last_run_id=RUN, last_run_error=text),
        [asked()],
        run_id=RUN,
        dispatched_at=AT,
        now=LATER,
        wait=UNSURE,
    )
    assert found == Outcome(state="failed", kind="overload", message=text, retry_at=LATER + 20 * 60_000)


def test_the_final_frames_own_time_counts_where_no_text_names_one() -> None:
    final = final_from(
        RUN, False, {"status": "error"}, {"code": "UNAVAILABLE", "message": APOLOGY, "retryAfterMs": 5000}
    )
    found = outcome(row("failed", last_run_id=RUN), [], run_id=RUN, dispatched_at=AT, now=LATER, final=final)
    assert found.retry_at == LATER + 5000


def test_an_answer_before_the_end() -> None:
    history = [asked(), said("between"), said("", "error"), said("other", run=OTHER)]
    assert answer(history, RUN, AT) == "between"
    assert answer(history[:1], RUN, AT) is None


FINALS = {
    "answered": (
        True,
        {"status": "ok", "result": {"payloads": [{"text": "a"}, {"text": "b"}]}},
        {},
        (True, "a\nb", None),
    ),
    "a payload with an error": (
        True,
        {"status": "ok", "result": {"payloads": [{"text": "no", "isError": True}]}},
        {},
        (False, "", "no"),
    ),
    "status error": (True, {"status": "error", "summary": "why"}, {}, (False, "", "why")),
    "not ok": (False, {"status": "ok"}, {"code": "UNAVAILABLE", "message": "why"}, (False, "", "why")),
    "not ok and empty": (False, {}, {}, (False, "", None)),
    "odd shapes": (True, {"status": "ok", "result": {"payloads": "x", "meta": 5}}, {}, (True, "", None)),
}


@pytest.mark.parametrize("name", FINALS)
def test_only_success_is_success(name: str) -> None:
    ok, payload, error, wanted = FINALS[name]
    final = final_from(RUN, ok, payload, error)
    assert (final.ok, final.text, final.error) == wanted


MESSAGES = {
    "a text": ({"role": "user", "content": "hi", "idempotencyKey": "run-1:user"}, ("user", "hi", "run-1", False)),
    "parts": (
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ("assistant", "a\nb", None, False),
    ),
    "a tool": (
        {"role": "assistant", "content": [{"type": "toolCall", "name": "x"}], "__openclaw": {"runId": "run-1"}},
        ("assistant", "", "run-1", True),
    ),
    "its result": ({"role": "toolResult", "content": [{"type": "text", "text": "r"}]}, ("toolResult", "r", None, True)),
    "odd shapes": ({"role": 5, "content": {"a": 1}, "__openclaw": "x", "timestamp": "y"}, ("", "", None, False)),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    raw, wanted = MESSAGES[name]
    found = message_from(raw)
    assert (found.role, found.text, found.run_id, found.tools) == wanted


def test_a_view_of_a_session() -> None:
    view = view_from(
        {
            "messages": [{"role": "user", "content": "hi", "__openclaw": {"runId": RUN}}],
            "pendingInputs": {"items": [{"runId": OTHER, "message": {"role": "user", "content": "next"}}]},
            "inFlightRun": {"runId": RUN},
            "sessionInfo": {
                "key": "k",
                "sessionId": "s",
                "status": "running",
                "hasActiveRun": True,
                "activeRunIds": None,
            },
        }
    )
    assert view is not None
    assert view.row is not None
    assert (view.row.active, view.row.active_run_ids) == (True, (RUN,))
    assert [(m.text, m.run_id, m.pending) for m in view.messages] == [("hi", RUN, False), ("next", OTHER, True)]


@pytest.mark.parametrize(
    "raw", [{}, {"messages": 5}, {"messages": [], "sessionInfo": {"key": "k", "sessionId": "s", "status": 5}}]
)
def test_a_view_of_another_shape(raw: dict[str, object]) -> None:
    assert view_from(raw) is None


def test_an_unknown_session_has_no_row() -> None:
    view = view_from({"messages": [], "sessionInfo": {"key": "k", "updatedAt": None, "hasActiveRun": False}})
    assert view is not None
    assert (view.row, view.messages) == (None, ())
