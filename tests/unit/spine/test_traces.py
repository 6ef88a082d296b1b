"""The queue of spans is bounded, and what is dropped is told once a minute at most."""

import structlog
from tests.support.receiver import Receiver, Say

from spine.store.engine import Signals, Step
from spine.traces import Traces


def steps(count: int) -> Signals:
    return Signals(steps=[Step("send", "submit", f"j{n}", "any", None, 0, n, n) for n in range(count)])


def test_only_the_newest_wait_and_a_stop_tells_how_many_were_dropped() -> None:
    collector = Receiver(Say(200))
    traces = Traces(collector.url, most=10)
    traces.committed(steps(25))
    traces.committed(steps(5))
    with structlog.testing.capture_logs() as lines:
        traces.start()
        traces.stop()
    collector.close()
    assert [(line["event"], line["spans"]) for line in lines] == [("traces.dropped", 20)]
    sent = collector.ledger[0].body
    assert len(collector.ledger) == 1
    assert [name in sent for name in (b"j19", b"j20", b"j24", b"j4")] == [False, True, True, True]


def test_what_is_refused_again_and_again_is_one_line() -> None:
    collector = Receiver(Say(400))
    traces = Traces(collector.url)
    with structlog.testing.capture_logs() as lines:
        traces.start()
        for turn in range(1, 4):
            traces.committed(steps(3))
            collector.calls(turn)
        traces.stop()
    collector.close()
    assert [(line["event"], line["spans"]) for line in lines] == [("traces.dropped", 3)]
