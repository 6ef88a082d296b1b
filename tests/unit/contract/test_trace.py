"""W3C trace context: what is taken, what is ignored, and the span of an attempt."""

import pytest

from contract import trace

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("text", [GIVEN, "cc" + GIVEN[2:], "cc" + GIVEN[2:] + "-more"])
def test_what_is_taken(text: str) -> None:
    assert trace.of_text(text) == GIVEN


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "ff" + GIVEN[2:],
        GIVEN + "-more",
        GIVEN.upper(),
        GIVEN[:-1],
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
    ],
)
def test_what_is_ignored(text: str | None) -> None:
    assert trace.of_text(text) is None
    assert trace.named(text) == {}


def test_the_span_of_an_attempt_is_in_the_trace_of_its_job_and_the_same_each_time() -> None:
    first = trace.of_attempt("j1", 3, GIVEN)
    assert first == trace.of_attempt("j1", 3, GIVEN)
    assert trace.trace_id(first) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert len({GIVEN, first, trace.of_attempt("j1", 4, GIVEN), trace.of_attempt("j2", 3, GIVEN)}) == 4


def test_a_job_without_a_trace_begins_one_for_all_its_attempts() -> None:
    first, second = trace.of_attempt("j1", 3, None), trace.of_attempt("j1", 4, None)
    assert trace.of_text(first) == first
    assert trace.trace_id(first) == trace.trace_id(second) != trace.trace_id(trace.of_attempt("j2", 3, None))


def test_the_spans_of_a_job_are_all_of_its_trace_and_each_its_own() -> None:
    spans = [
        trace.of_submit("j1", GIVEN),
        trace.of_call("j1", 1, "receive", GIVEN),
        trace.of_attempt("j1", 1, GIVEN),
        trace.of_call("j1", 1, "settle", GIVEN),
        trace.of_call("j1", 2, "settle", GIVEN),
    ]
    assert {trace.trace_id(span) for span in spans} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert len({GIVEN, *spans}) == 6
    assert trace.trace_id(trace.of_submit("j1", None)) == trace.trace_id(trace.of_attempt("j1", 1, None))


def test_a_trace_is_recorded_unless_it_says_that_it_is_not() -> None:
    assert [trace.is_sampled(text) for text in (None, "none", GIVEN, GIVEN[:-2] + "00", GIVEN[:-2] + "02")] == [
        True,
        True,
        True,
        False,
        False,
    ]
