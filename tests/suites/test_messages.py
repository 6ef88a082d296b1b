"""Messages: who gets them, in which order, until when, and what a heartbeat costs without any."""

from typing import Any

import msgspec
import pytest
from tests.suites.harness import HEAD, LEFT, RIGHT, Raw, Store
from tests.suites.manual_clock import START_MS

from contract import wire
from contract.errors import Forbidden, InvalidField, NotFound
from spine.queue import fleet, messages
from spine.queue.access import Caller, Principal
from spine.store import messages as rows
from spine.store.engine import Tx

VIEWER = Caller(Principal("viewer", "viewer"))


def send(store: Store, text: str = "hello", by: Caller = HEAD, **fields: Any) -> wire.Message:
    """Send a message, to left-claw unless told."""
    if by is HEAD and "replyTo" not in fields:
        fields.setdefault("to", "left-claw")
    request = msgspec.json.decode(msgspec.json.encode({"text": text, **fields}), type=wire.SendMessage)
    return store.write(lambda tx: messages.send(tx, store.rules, by, request))


def offered(store: Store, by: Caller = LEFT) -> list[str]:
    """Return the texts that an answer to this claw would carry."""
    return [message.text for message in store.write(lambda tx: messages.offer(tx, store.rules, by))]


def states(store: Store, message_id: str) -> dict[str, str]:
    """Return what each reader has done with a message."""
    found = store.read(lambda tx: messages.read(tx, HEAD.principal, message_id))
    assert isinstance(found.receipts, list)
    return {receipt.reader: receipt.state for receipt in found.receipts}


def inbox(store: Store, by: Caller = HEAD, unread: bool = True) -> list[str]:
    """Return the texts of an inbox."""
    return [
        m.text
        for m in store.read(lambda tx: messages.page(tx, by.principal, "inbox", unread, None, None, 200)).messages
    ]


def test_a_message_is_offered_until_it_is_acknowledged(store: Store) -> None:
    sent = send(store)
    assert states(store, sent.id) == {"left-claw": "pending"}
    assert offered(store, RIGHT) == []
    assert offered(store) == ["hello"]
    assert states(store, sent.id) == {"left-claw": "delivered"}
    assert offered(store) == []
    store.clock.advance(59.999)
    assert offered(store) == []
    store.clock.advance(0.001)
    assert offered(store) == ["hello"]
    read = store.write(lambda tx: messages.acknowledge(tx, LEFT, sent.id))
    assert read.state == "read"
    store.clock.advance(3600)
    assert offered(store) == []
    assert states(store, sent.id) == {"left-claw": "read"}
    before = store.dump()
    store.write(lambda tx: messages.acknowledge(tx, LEFT, sent.id))
    assert store.dump() == before


def test_what_presses_most_comes_first(store: Store) -> None:
    for kind in ("system", "status", "task", "text", "fact", "decision", "constraint"):
        send(store, kind, kind=kind)
    send(store, "text, urgent", priority=9)
    send(store, "fact, small", kind="fact", priority=-9)
    wanted = ["constraint", "decision", "fact", "fact, small", "task", "text, urgent", "system", "status", "text"]
    assert offered(store) == wanted
    assert inbox(store, LEFT) == wanted


def test_a_broadcast_is_settled_by_each_reader_alone(store: Store) -> None:
    sent = send(store, to="all")
    assert offered(store) == ["hello"]
    store.write(lambda tx: messages.acknowledge(tx, LEFT, sent.id))
    assert states(store, sent.id) == {"left-claw": "read", "right-claw": "pending"}
    assert offered(store, RIGHT) == ["hello"]


def test_a_revoked_machine_is_no_reader(store: Store) -> None:
    store.take(caller=RIGHT)
    store.write(lambda tx: tx.run(Raw("UPDATE machines SET revoked_at = 1 WHERE name = 'right-claw'")))
    assert states(store, send(store, to="all").id) == {"left-claw": "pending"}
    with pytest.raises(InvalidField):
        send(store, to="right-claw")


def test_what_a_machine_had_not_read_expires_when_it_is_revoked(store: Store) -> None:
    store.take(caller=RIGHT)
    read, unread, both = (send(store, text, to=to) for text, to in (("a", RIGHT.name), ("b", RIGHT.name), ("c", "all")))
    store.write(lambda tx: messages.acknowledge(tx, RIGHT, read.id))
    store.write(lambda tx: fleet.revoke(tx, HEAD, RIGHT.name))
    assert states(store, read.id) == {"right-claw": "read"}
    assert states(store, unread.id) == {"right-claw": "expired"}
    assert states(store, both.id) == {"left-claw": "pending", "right-claw": "expired"}
    assert inbox(store, RIGHT) == offered(store, RIGHT) == []
    assert offered(store) == ["c"]
    store.clock.advance(1)
    assert store.write(lambda tx: rows.purge(tx, tx.now, 500)) == 2
    assert [row[8] for row in store.dump()["messages"]] == ["c"]


def test_a_claw_writes_to_head_and_heads_share_an_inbox(store: Store) -> None:
    sent = send(store, "done", by=LEFT)
    assert (sent.by, sent.to) == ("left-claw", "head")
    assert inbox(store) == ["done"] == inbox(store)  # looking acknowledges nothing
    store.write(lambda tx: messages.acknowledge(tx, HEAD, sent.id))
    assert inbox(store) == []
    assert inbox(store, unread=False) == ["done"]


def test_a_reply_goes_back_and_keeps_the_thread(store: Store) -> None:
    asked = send(store, "how is it?")
    answer = send(store, "well", by=LEFT, replyTo=asked.id)
    again = send(store, "good", replyTo=answer.id)
    assert (answer.to, answer.thread, again.to, again.thread) == ("head", asked.id, "left-claw", asked.id)
    page = store.read(lambda tx: messages.page(tx, VIEWER.principal, "all", False, asked.id, None, 200))
    assert [m.text for m in page.messages] == ["good", "well", "how is it?"]


def test_what_is_over_is_not_given_out_and_is_marked(store: Store) -> None:
    sent = send(store, ttlSeconds=10)
    assert sent.expires_at == "2023-11-14T22:13:30.000Z"
    late = send(store, "late", ttlSeconds=11)
    store.clock.advance(10)
    assert offered(store) == ["late"]
    assert states(store, sent.id) == {"left-claw": "expired"}
    assert inbox(store, LEFT) == ["late"]
    assert store.write(messages.expire) == 1
    assert store.write(messages.expire) == 0
    assert sorted(str(row[-1]) for row in store.dump()["receipts"]) == [str(START_MS + 10_000), "None"]
    assert states(store, late.id) == {"left-claw": "delivered"}


def test_only_what_everybody_has_settled_is_ever_deleted(store: Store) -> None:
    unread, over, read, half = (send(store, text) for text in ("unread", "over", "read", "half"))
    del over, half
    send(store, "expired", ttlSeconds=1)
    send(store, "broadcast", to="all")
    store.write(lambda tx: messages.acknowledge(tx, LEFT, read.id))
    store.clock.advance(100 * 86_400)
    store.write(messages.expire)
    assert store.write(lambda tx: rows.purge(tx, tx.now, 500)) == 2
    assert sorted(row[8] for row in store.dump()["messages"]) == ["broadcast", "half", "over", "unread"]
    assert states(store, unread.id) == {"left-claw": "pending"}


def test_an_answer_carries_no_more_than_it_should(store: Store) -> None:
    for n in range(25):
        send(store, f"{n:02}")
    assert len(offered(store)) == 20
    assert offered(store) == [f"{n:02}" for n in range(20, 25)]
    for n in range(5):
        send(store, f"{n}" * 16_000, to="right-claw")
    assert [len(text) for text in offered(store, RIGHT)] == [16_000] * 4
    assert [len(text) for text in offered(store, RIGHT)] == [16_000]


def test_pages_of_an_inbox_and_of_all(store: Store) -> None:
    for n in range(5):
        send(store, str(n), priority=n)

    def pages(box: str, by: Caller) -> list[list[str]]:
        found, cursor = [], None
        while True:
            page = store.read(lambda tx, c=cursor: messages.page(tx, by.principal, box, False, None, c, 2))
            found.append([m.text for m in page.messages])
            cursor = page.next_cursor
            if cursor is None:
                return found

    assert pages("inbox", LEFT) == [["4", "3"], ["2", "1"], ["0"]]
    assert pages("all", HEAD) == [["4", "3"], ["2", "1"], ["0"]]
    assert pages("sent", HEAD) == [["4", "3"], ["2", "1"], ["0"]]
    assert pages("sent", LEFT) == [[]]


BAD: list[tuple[Caller, dict[str, Any], str]] = [
    (HEAD, {"to": "nobody"}, "to"),
    (HEAD, {"to": None}, "to"),
    (LEFT, {"to": "right-claw"}, "to"),
    (LEFT, {"to": "all"}, "to"),
    (HEAD, {"replyTo": "msg_nosuch", "to": "left-claw"}, "replyTo"),
    (HEAD, {"expiresAt": "2001-01-01T00:00:00Z"}, "expiresAt"),
    (HEAD, {"expiresAt": "soon"}, "expiresAt"),
    (HEAD, {"expiresAt": "2031-01-01T00:00:00Z", "ttlSeconds": 5}, "ttlSeconds"),
]


@pytest.mark.parametrize(("by", "fields", "field"), BAD)
def test_what_cannot_be_sent_is_refused_and_changes_nothing(
    store: Store, by: Caller, fields: dict[str, Any], field: str
) -> None:
    before = store.dump()
    with pytest.raises(InvalidField) as refused:
        send(store, by=by, **fields)
    assert refused.value.members["field"] == field
    assert store.dump() == before


def test_whose_it_is_not(store: Store) -> None:
    sent = send(store)
    with pytest.raises(Forbidden):
        store.read(lambda tx: messages.read(tx, RIGHT.principal, sent.id))
    with pytest.raises(Forbidden):
        store.write(lambda tx: messages.acknowledge(tx, HEAD, sent.id))
    with pytest.raises(Forbidden):
        store.read(lambda tx: messages.page(tx, LEFT.principal, "all", False, None, None, 2))
    with pytest.raises(NotFound):
        store.write(lambda tx: messages.acknowledge(tx, LEFT, "msg_nosuch"))
    with pytest.raises(InvalidField):
        send(store, by=RIGHT, replyTo=sent.id)
    job = store.submit(target="right-claw")
    with pytest.raises(Forbidden):
        send(store, by=LEFT, jobId=job.id)


class Counting:
    """A transaction that counts its statements."""

    def __init__(self, tx: Tx) -> None:
        self.count = 0
        execute = tx._execute

        def counted(*args: Any) -> Any:
            self.count += 1
            return execute(*args)

        tx._execute = counted


def test_without_messages_an_answer_costs_no_statement(store: Store) -> None:
    def cost(tx: Tx) -> int:
        counting = Counting(tx)
        messages.offer(tx, store.rules, LEFT)
        return counting.count

    store.write(cost)  # the hint is read once
    assert store.write(cost) == 0
    send(store, to="right-claw")
    store.write(cost)  # where others may write, once more after each message
    assert store.write(cost) == 0
    send(store)
    assert store.write(cost) > 0
    assert store.write(cost) == 0  # not before it is to be offered again


def test_a_send_that_is_rolled_back_leaves_no_hint_behind(store: Store) -> None:
    offered(store)

    def fails(tx: Tx) -> None:
        request = msgspec.json.decode(b'{"text": "x", "to": "left-claw"}', type=wire.SendMessage)
        messages.send(tx, store.rules, HEAD, request)
        raise InvalidField("no", "x")

    with pytest.raises(InvalidField):
        store.write(fails)
    assert offered(store) == []
    send(store)
    store.rules.forget()  # as another process would begin
    assert offered(store) == ["hello"]
