"""Sending the spool to the log."""

from pathlib import Path

import pytest
from tests.unit.claw.conftest import FakeSpine, held, problem

from claw.process.spool import Spool
from claw.runner.shipper import Shipper

STATE = (200, {"fence": 4, "size": 0})


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "log", 1 << 20, ())


def test_bytes_go_out_at_their_offsets(fake: FakeSpine, spool: Spool) -> None:
    fake.script = [STATE]
    shipper = Shipper(fake.client(), held(log_offset=4), spool)
    spool.say("one")
    spool.say("two")
    shipper.start()
    spool.close()
    assert shipper.close(5)
    assert [(path, headers["X-Spine-Fence"], body) for path, headers, body in fake.asked] == [
        ("/jobs/j1/log?offset=4", "4", b"two\n")
    ]


def test_a_gap_is_filled_from_where_the_spine_stands(fake: FakeSpine, spool: Spool) -> None:
    fake.script = [problem("log_gap", size=0), STATE]
    shipper = Shipper(fake.client(), held(log_offset=4), spool)
    spool.say("one")
    spool.say("two")
    shipper.start()
    spool.close()
    assert shipper.close(5)
    assert [(path, body) for path, _, body in fake.asked] == [
        ("/jobs/j1/log?offset=4", b"two\n"),
        ("/jobs/j1/log?offset=0", b"one\ntwo\n"),
    ]


@pytest.mark.parametrize("answer", [problem("log_conflict"), problem("stale_fence"), problem("too_large", 413)])
def test_a_log_that_is_refused_is_given_up(
    fake: FakeSpine, spool: Spool, answer: tuple[int, dict[str, object]]
) -> None:
    fake.script = [answer]
    shipper = Shipper(fake.client(), held(), spool)
    spool.say("one")
    shipper.start()
    spool.close()
    assert not shipper.close(5)
    assert len(fake.asked) == 1


def test_a_spine_that_is_away_does_not_hold_up_the_end(fake: FakeSpine, spool: Spool) -> None:
    fake.script = [problem("unavailable", 503)]
    shipper = Shipper(fake.client(), held(), spool)
    spool.say("one")
    shipper.start()
    spool.close()
    assert not shipper.close(0.5)
