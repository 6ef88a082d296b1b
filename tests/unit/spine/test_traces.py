"""The queue of spans is bounded; what becomes of each is counted, and what is dropped is told once a minute at most."""

import threading
import time
from collections import Counter

import pytest
import structlog
from tests.support.eventually import eventually
from tests.support.receiver import Receiver, Say

from contract.env import Secret
from spine.collector_settings import Collector
from spine.store.engine import Signals, Step
from spine.traces import Traces

UNSAMPLED = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00"


def steps(count: int, traceparent: str | None = None) -> Signals:
    return Signals(steps=[Step("send", "submit", f"j{n}", "any", traceparent, 0, n, n) for n in range(count)])


def test_only_the_newest_wait_and_a_stop_tells_how_many_were_dropped() -> None:
    collector, counted = Receiver(Say(200)), Counter[str]()
    traces = Traces(Collector(url=collector.url), lambda what, n: counted.update({what: n}), most=10)
    traces.committed(steps(25))
    traces.committed(steps(5))
    traces.committed(steps(5, UNSAMPLED))
    with structlog.testing.capture_logs() as lines:
        traces.start()
        traces.stop()
    collector.close()
    assert [(line["event"], line["spans"]) for line in lines] == [("traces.dropped", 20)]
    sent = collector.ledger[0].body
    assert len(collector.ledger) == 1
    assert [name in sent for name in (b"j19", b"j20", b"j24", b"j4")] == [False, True, True, True]
    assert counted == {"dropped": 20, "sent": 10}


def test_what_is_refused_again_and_again_is_one_line_and_one_at_the_stop() -> None:
    collector, counted = Receiver(Say(400)), Counter[str]()
    traces = Traces(Collector(url=collector.url), lambda what, n: counted.update({what: n}))
    with structlog.testing.capture_logs() as lines:
        traces.start()
        for turn in range(1, 5):
            traces.committed(steps(3))
            collector.calls(turn)
        traces.stop()
    collector.close()
    assert [(line["event"], line["spans"]) for line in lines] == [("traces.dropped", 3), ("traces.dropped", 9)]
    assert counted == {"dropped": 12}


def test_a_stop_waits_for_no_collector_that_hangs_and_counts_what_it_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spine.traces.STOP_SECONDS", 0.2)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
    collector, counted = Receiver(Say(hang=True)), Counter[str]()
    traces = Traces(Collector(url=collector.url), lambda what, n: counted.update({what: n}))
    with structlog.testing.capture_logs() as lines:
        traces.committed(steps(600))
        traces.start()
        collector.calls(1)
        stopping = threading.Thread(target=traces.stop)
        stopping.start()
        stopping.join(30)  # the collector hangs for 60 s
        assert not stopping.is_alive()
    collector.close()
    assert [(line["event"], line["spans"]) for line in lines] == [("traces.dropped", 600)]
    assert counted == {"dropped": 600}


def test_nobody_who_commits_waits_for_the_collector() -> None:
    collector, counted = Receiver(Say(hang=True)), Counter[str]()
    traces = Traces(Collector(url=collector.url), lambda what, n: counted.update({what: n}), most=1000)
    traces.start()
    traces.committed(steps(600))
    collector.calls(1)
    begun = time.monotonic()
    for _ in range(100):
        traces.committed(steps(100))
    assert time.monotonic() - begun < 20  # the collector hangs for 60 s; alone it takes some 20 ms
    collector.close()
    traces.stop()
    assert counted["dropped"] + counted["sent"] == 10_600


def test_a_step_that_cannot_be_told_costs_its_batch_and_not_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spine.traces.TELL_SECONDS", 0.0)
    collector, counted = Receiver(Say(200)), Counter[str]()
    traces = Traces(Collector(url=collector.url), lambda what, n: counted.update({what: n}))
    with structlog.testing.capture_logs() as lines:
        traces.committed(Signals(steps=[*steps(2).steps, Step("unknown", "submit", "j", "any", None, 0, 1, 1)]))
        traces.start()
        eventually(lambda: counted["dropped"] == 3, 30, what="the fault")
        traces.committed(steps(4))
        collector.calls(1)
        traces.stop()
    collector.close()
    assert [line["event"] for line in lines] == ["traces.failed", "traces.dropped"]
    assert counted == {"dropped": 3, "sent": 4}


def test_headers_go_with_each_call_and_are_in_no_line() -> None:
    collector, counted = Receiver(Say(401)), Counter[str]()
    given = Collector(url=collector.url, headers=(("authorization", Secret("Bearer hush")),))
    traces = Traces(given, lambda what, n: counted.update({what: n}))
    with structlog.testing.capture_logs() as lines:
        traces.start()
        traces.committed(steps(1))
        collector.calls(1)
        traces.stop()
    collector.close()
    assert collector.ledger[0].headers["authorization"] == "Bearer hush"
    assert [line["event"] for line in lines] == ["traces.dropped"]
    assert "hush" not in str(lines)
