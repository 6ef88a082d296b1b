"""What the end of an attempt tells traces, where the words of its claw are not what ended it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.queue_store import HEAD, QueueStore, SetClock

from spine.queue import steer
from spine.store.engine import Signals, Step


@pytest.fixture
def store(tmp_path: Path) -> Iterator[QueueStore]:
    found = QueueStore(tmp_path, SetClock(1_767_225_600_000))
    yield found
    found.close()


def test_a_run_that_an_adopted_result_overtakes_is_told_of_as_superseded(store: QueueStore) -> None:
    job_id = store.submit()
    store.claim(job_id)
    store.clock.ms += 300_001
    store.claim(job_id)
    store.complete_refused(job_id, 1, '"late"')
    told: list[Step] = []

    def note(signals: Signals) -> None:
        told.extend(signals.steps)

    store.engine.on_commit = note
    store.clock.ms += 1000
    store.write(lambda tx: steer.adopt(tx, HEAD, job_id, 1))
    assert [(step.what, step.fence, step.ended - step.begun, step.outcome) for step in told] == [
        ("process", 2, 1000, "superseded")
    ]
