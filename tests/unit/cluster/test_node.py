"""A node's sync where the store goes away in the middle of it: nothing that was acknowledged is lost to the caller."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from cluster.backend import Away, Message, Received
from cluster.node import ClusterNode


class Mailbox:
    """The messages of a store. What `away` names fails once: a method, at its call of that number."""

    def __init__(self, bodies: list[Any]) -> None:
        self.stream = [Message(str(n), 0, "n2", body) for n, body in enumerate(bodies, 1)]
        self.place = 0
        self.away: tuple[str, int] | None = None
        self.gap = False
        self._calls: dict[str, int] = {}
        self.told: list[dict[str, Any]] = []

    close: Callable[[], object]
    leave: Callable[[str, str], object]

    def _begin(self, name: str) -> None:
        self._calls[name] = self._calls.get(name, 0) + 1
        if (name, self._calls[name]) == self.away:
            raise Away("no answer")

    def receive(self, node_id: str, limit: int, wait_seconds: float) -> Received:
        self._begin("receive")
        found = self.stream[self.place : self.place + limit]
        gap, self.gap = self.gap, False
        return Received(found, found[-1].cursor if found else str(self.place), gap)

    def acknowledge(self, node_id: str, cursor: str) -> None:
        self.place = int(cursor)
        self._begin("acknowledge")  # it is done, and the answer is lost

    def emit(self, kind: str, payload: dict[str, Any], grant: object) -> str:
        self._begin("emit")
        self.told.append(payload)
        return ""


def bodies(node: ClusterNode) -> list[Any]:
    return [message.body for message in node.sync([]).received]


@pytest.mark.parametrize("away", [("receive", 2), ("acknowledge", 1), ("acknowledge", 2)])
def test_what_a_failed_sync_had_acknowledged_comes_with_the_next_one(away: tuple[str, int]) -> None:
    store = Mailbox(list(range(150)))
    node = ClusterNode(store, "n1")  # type: ignore[arg-type]
    store.away, store.gap = away, True
    with pytest.raises(Away):
        node.sync([])
    synced = node.sync([])
    assert [message.body for message in synced.received] == list(range(150))
    assert synced.gap
    assert store.told == [{"node_id": "n1", "sent": 0, "received": 150, "cursor": "150"}]
    assert node.sync([]) == ([], [], False)


def test_a_sync_that_cannot_be_told_of_is_one_all_the_same() -> None:
    store = Mailbox(["a", "b"])
    node = ClusterNode(store, "n1")  # type: ignore[arg-type]
    store.away = ("emit", 1)
    with capture_logs() as said:
        assert bodies(node) == ["a", "b"]
    assert [line["event"] for line in said] == ["sync.not_told"]
    assert bodies(node) == []


def test_a_sync_in_the_middle_of_which_the_node_leaves_gives_what_it_has() -> None:
    store = Mailbox(list(range(150)))
    node = ClusterNode(store, "n1")  # type: ignore[arg-type]
    store.away = ("receive", 2)
    node.stopping.set()
    assert bodies(node) == list(range(100))


def test_leaving_lets_a_sync_end_first() -> None:
    store = Mailbox(["a"])
    node = ClusterNode(store, "n1")  # type: ignore[arg-type]
    synced: list[Any] = []
    began, go_on = threading.Event(), threading.Event()

    def acknowledge(node_id: str, cursor: str) -> None:
        began.set()
        assert go_on.wait(10)
        store.place = int(cursor)

    store.acknowledge = acknowledge  # type: ignore[method-assign]
    store.close = lambda: synced.append("closed")
    store.leave = lambda node_id, instance: go_on.set()
    sync = threading.Thread(target=lambda: synced.append(bodies(node)))
    sync.start()
    assert began.wait(10)
    node.stop()
    sync.join(10)
    assert synced == [["a"], "closed"]
