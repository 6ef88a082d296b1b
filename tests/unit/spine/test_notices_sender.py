"""The sender in this process, on a real store, with real receivers: faults of its own, aliases of nobody, its stop."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.queue_store import DAY_MS, HEAD, QueueStore, SetClock
from tests.support.receiver import Receiver, Say

from contract import wire
from spine.notices import aliases, channels
from spine.notices.channels import Channel
from spine.notices.sender import NOBODY, Sender, Sending
from spine.queue import notices
from spine.queue.notices import Patience
from spine.store import notices as outbox
from spine.store.engine import Signals
from spine.store.notices import NoticeRow

SENDING = Sending(5, Patience(1_000, 24 * 3_600_000), "urn:spine:test", None, keep_days=30)
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


class World:
    """A store, its aliases and a sender of them."""

    def __init__(self, folder: Path, **entries: dict[str, Any]) -> None:
        self.store = QueueStore(folder / "data", SetClock(1_700_000_000_000))
        path = folder / "notices.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(entries))
        self.entries = aliases.read(path)
        self.outcomes: list[str] = []
        self.sender = Sender(self.store.engine, lambda: self.entries, SENDING, self.outcomes.append)

        def committed(signals: Signals) -> None:
            if signals.notices:
                self.sender.kick()

        self.store.engine.on_commit = committed
        self.sender.start()

    def send(self, alias: str) -> str:
        self.store.rules.aliases.faults = {alias: None}
        asked = wire.SendNotice(alias=alias, text="hello")
        return self.store.write(lambda tx: notices.send(tx, self.store.rules, HEAD, asked)).id

    def row(self, notice_id: str) -> NoticeRow:
        found = self.store.read(lambda tx: outbox.find(tx, notice_id))
        assert found is not None
        return found

    def until(self, notice_id: str, *statuses: str) -> NoticeRow:
        return eventually(lambda: self.row(notice_id) if self.row(notice_id).status in statuses else None)

    def close(self) -> None:
        self.sender.stop()
        self.store.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**entries: dict[str, Any]) -> World:
        made.append(World(tmp_path, **entries))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


def hook(receiver: Receiver) -> dict[str, Any]:
    return {"channel": "webhook", "url": receiver.url, "secrets": [SECRET]}


def test_what_is_written_goes_out_at_once_and_old_ones_are_deleted(
    world: Callable[..., World], receiver: Receiver
) -> None:
    here = world(ops=hook(receiver))
    sent = here.send("ops")
    here.until(sent, "sent")
    eventually(lambda: here.outcomes == ["sent"])
    assert receiver.ledger[0].json["source"] == "urn:spine:test"
    assert here.sender.prune() == 0
    here.store.clock.ms += 31 * DAY_MS
    assert here.sender.prune() == 1
    assert here.store.read(lambda tx: outbox.find(tx, sent)) is None


def test_one_that_cannot_be_put_into_words_waits_as_others_do_and_hinders_none(
    world: Callable[..., World], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world(ops=hook(receiver), room={"channel": "discord", "url": receiver.url})

    def broken(_notice: object) -> list[str]:
        raise ZeroDivisionError

    monkeypatch.setitem(channels.OF, aliases.Webhook, Channel(broken, channels.webhook.send))
    bad, good = here.send("ops"), here.send("room")
    here.until(good, "sent")
    row = eventually(lambda: here.row(bad) if here.row(bad).error else None)
    assert (row.status, row.error) == ("waiting", "a fault of the sender (ZeroDivisionError)")
    here.store.clock.ms += DAY_MS
    here.sender.kick()
    assert here.until(bad, "given_up").attempts == 2


def test_a_turn_that_fails_and_a_thread_that_is_not_given_are_tried_again(
    world: Callable[..., World], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world(ops=hook(receiver))
    refused: list[str] = []
    start = threading.Thread.start

    def grudging(thread: threading.Thread) -> None:
        if thread.name == "notices-ops" and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    def broken(_tx: object) -> list[outbox.Queue]:
        monkeypatch.undo()
        monkeypatch.setattr(threading.Thread, "start", grudging)
        raise ZeroDivisionError

    monkeypatch.setattr(outbox, "queues", broken)
    sent = here.send("ops")
    eventually(lambda: outbox.queues is not broken)
    here.sender.kick()
    here.until(sent, "sent")
    assert refused == ["notices-ops"]


def test_a_notice_for_nobody_waits_a_day_and_is_given_up_loudly(world: Callable[..., World]) -> None:
    here = world()
    waiting = here.send("gone")
    here.store.clock.ms += DAY_MS - 1
    here.sender.kick()
    here.store.write(lambda tx: tx.now)
    assert here.row(waiting).status == "waiting"
    here.store.clock.ms += 1
    here.sender.kick()
    row = here.until(waiting, "given_up")
    assert (row.error, row.attempts) == (NOBODY, 0)
    eventually(lambda: here.outcomes == ["given_up"])


def test_what_a_clock_that_was_ahead_has_put_off_goes_out_by_the_right_one(
    world: Callable[..., World], receiver: Receiver
) -> None:
    here = world(ops=hook(receiver))
    known, here.entries = here.entries, {}
    here.store.clock.ms += 365 * DAY_MS
    waiting = here.send("ops")
    here.store.clock.ms -= 365 * DAY_MS
    here.entries = known
    here.sender.kick()
    assert here.until(waiting, "sent").ended_at == here.store.clock.ms


def test_it_stops_within_seconds_while_a_receiver_hangs(world: Callable[..., World], receiver: Receiver) -> None:
    receiver.then(Say(hang=True))
    here = world(ops=hook(receiver))
    sent = here.send("ops")
    receiver.calls(1)
    began = time.monotonic()
    here.sender.stop()
    assert time.monotonic() - began < 30
    assert here.row(sent).status in ("sending", "waiting")
