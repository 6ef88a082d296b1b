"""The outbox: which ends are told and to whom, what becomes of each notice, and what a late sender changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.queue_store import DAY_MS, HEAD, LEFT, QueueStore, SetClock

from contract import wire
from contract.errors import Conflict, InvalidField, NotAwaiting
from spine.queue import notices, settle, submit, view
from spine.queue.notices import Patience, Said
from spine.store import notices as outbox
from spine.store.notices import NoticeRow

HOUR = 3_600_000
PATIENCE = Patience(5_000, 24 * HOUR)
LEASE = 60_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[QueueStore]:
    found = QueueStore(tmp_path, SetClock(1_700_000_000_000))
    yield found
    found.close()


def told(store: QueueStore) -> list[NoticeRow]:
    return store.read(lambda tx: outbox.page(tx, None, None, None, 2**62, 100))[::-1]


def said(row: NoticeRow) -> Said:
    return msgspec.json.decode(row.said, type=Said)


def ended(store: QueueStore, how: str, result: str = "null", **fields: Any) -> str:
    job_id = store.submit(target="left-claw", **fields)
    if how == "cancelled":
        store.cancel(job_id)
        return job_id
    fence = store.claim(job_id).fence
    if how == "done":
        store.complete(job_id, fence, result)
    else:
        store.write(lambda tx: settle.fail(tx, LEFT, job_id, fence, "it broke", how == "requeued"))
    return job_id


# --- which ends are told ---------------------------------------------------------------------------------------------

SILENT, SAYS, PRINTED = "null", '"all is well"', '{"notes": "3 files", "phases": []}'


@pytest.mark.parametrize(
    ("mode", "how", "result", "is_told"),
    [
        (None, "done", SILENT, True),
        (None, "done", SAYS, True),
        (None, "failed", SILENT, True),
        ("announce", "done", SILENT, False),
        ("announce", "done", '""', False),
        ("announce", "done", '" \\n "', False),
        ("announce", "done", '{"notes": "", "phases": [{"name": "run", "exitCode": 0}]}', False),
        ("announce", "done", SAYS, True),
        ("announce", "done", PRINTED, True),
        ("announce", "failed", SILENT, True),
        ("announce", "cancelled", SILENT, True),
        ("announce-always", "done", SILENT, True),
        ("announce-always", "done", SAYS, True),
        ("announce-always", "failed", SILENT, True),
        ("none", "done", SAYS, False),
        ("none", "failed", SILENT, False),
    ],
)
def test_a_mode_says_which_ends_are_told(
    store: QueueStore, mode: str | None, how: str, result: str, is_told: bool
) -> None:
    delivery = {} if mode is None else {"delivery": {"mode": mode}}
    job_id = ended(store, how, result, notify=["ops"], **delivery)
    rows = told(store)
    assert [(row.addressee, row.job_id) for row in rows] == ([("ops", job_id)] if is_told else [])
    for row in rows:
        assert said(row).title == f"job {job_id} for left-claw is {how}"  # never an empty text


def test_who_is_told_each_once_and_the_chat_that_the_job_names(store: QueueStore) -> None:
    ended(store, "done", SAYS, notify=["@ops", "me", "ops"], delivery={"channel": "telegram", "to": "-100"})
    ended(store, "done", SAYS, delivery={"to": "@team_room"})
    assert [(row.addressee, row.channel, row.recipient) for row in told(store)] == [
        ("ops", None, None),
        ("me", None, None),
        ("openclaw", "telegram", "-100"),
        ("team_room", None, None),
    ]
    assert len({row.id for row in told(store)}) == 4


def test_an_end_is_told_whoever_brings_it_about(store: QueueStore) -> None:
    first = store.submit(target="left-claw", notify=["ops"], maxAttempts=1)
    after = store.submit(target="left-claw", notify=["ops"], after=[first])
    store.cancel(first)  # and with it the one that waits for it
    assert [(row.job_id, said(row).type) for row in told(store)] == [
        (first, "job.cancelled"),
        (after, "job.cancelled"),
    ]


def test_an_attempt_that_goes_on_is_no_end(store: QueueStore) -> None:
    ended(store, "requeued", notify=["ops"])
    assert told(store) == []


def test_a_second_end_of_a_job_is_told_as_another(store: QueueStore) -> None:
    job_id = ended(store, "done", SAYS, notify=["ops"], needsReview=True)
    store.review(job_id, "rework")
    store.complete(job_id, store.claim(job_id).fence, '"better"')
    rows = told(store)
    assert [said(row).text for row in rows] == ["all is well", "better"]
    assert said(rows[0]).title.endswith("is done, and waits for a review")


def test_a_notice_keeps_its_text_cut_and_without_secrets(store: QueueStore) -> None:
    token = "ghp_" + "a" * 36
    ended(store, "done", msgspec.json.encode(f"token {token} " + "x" * 20_000).decode(), notify=["ops"])
    found = said(told(store)[0])
    assert found.text.startswith("token [redacted] xxx")
    assert (len(found.text), found.cut) == (16_384, True)


def test_other_jobs_cost_no_statement(store: QueueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "tell_end", lambda *_: pytest.fail("a job without notify or delivery"))
    assert store.done()


# --- what is refused -------------------------------------------------------------------------------------------------

KNOWN = {"ops": None, "openclaw": None, "torn": "url: expected an address such as https://host/path"}


@pytest.mark.parametrize(
    ("fields", "field", "hint"),
    [
        ({"notify": ["ops", "nobody"]}, "notify[1]", "there is no alias 'nobody'; known: openclaw, ops, torn"),
        ({"notify": ["@torn"]}, "notify[0]", "cannot be used: url: expected"),
        ({"delivery": {}}, "delivery", "names nobody"),
        ({"delivery": {"channel": "telegram"}}, "delivery.to", "who on that channel"),
        ({"delivery": {"to": "-100"}}, "delivery.to", "without a channel it names an alias"),
        ({"delivery": {"to": "@nobody"}}, "delivery.to", "no alias 'nobody'"),
    ],
)
def test_a_job_that_could_tell_nobody_is_refused(
    store: QueueStore, fields: dict[str, Any], field: str, hint: str
) -> None:
    store.rules.aliases.faults = dict(KNOWN)
    request = msgspec.json.decode(msgspec.json.encode(fields), type=wire.Submit)
    with pytest.raises(InvalidField, match=hint.replace("(", r"\(")) as refused:
        submit.check(store.rules, request)
    assert refused.value.members["field"] == field


def test_a_channel_needs_the_alias_of_a_gateway_and_an_alias_brings_its_own(store: QueueStore) -> None:
    store.rules.aliases.faults = {"ops": None}
    chat = wire.Delivery(channel="telegram", to="-100")
    with pytest.raises(InvalidField, match="no alias 'openclaw'"):
        submit.check(store.rules, wire.Submit(delivery=chat))
    both = wire.Submit(delivery=wire.Delivery(channel="telegram", to="@ops"))
    submit.check(store.rules, both)
    assert notices.delivery_of(store.rules, both.delivery) == '{"mode":"announce","channel":null,"to":"@ops"}'


def test_without_a_file_names_are_kept_and_a_delivery_is_refused(store: QueueStore) -> None:
    submit.check(store.rules, wire.Submit(notify=["whoever"]))
    submit.check(store.rules, wire.Submit(delivery=wire.Delivery(mode="none")))
    with pytest.raises(InvalidField, match="SPINE_NOTICES_FILE"):
        submit.check(store.rules, wire.Submit(delivery=wire.Delivery(to="@ops")))


# --- sending ---------------------------------------------------------------------------------------------------------


def take(store: QueueStore, alias: str = "ops") -> NoticeRow | None:
    return store.write(lambda tx: notices.take(tx, alias, LEASE))


def taken(store: QueueStore) -> NoticeRow:
    row = take(store)
    assert row is not None
    return row


def tries(store: QueueStore, row: NoticeRow) -> list[str | None]:
    return [each.outcome for each in store.read(lambda tx: outbox.attempts(tx, row.id))]


def test_one_sender_has_a_notice_until_its_lease_ends_and_then_the_first_one_is_not_heard(store: QueueStore) -> None:
    ended(store, "done", SAYS, notify=["ops"])
    first = taken(store)
    assert take(store) is None
    store.clock.ms += LEASE
    second = taken(store)
    assert (second.id, second.fence, second.attempts) == (first.id, first.fence + 1, 2)
    assert not store.write(lambda tx: notices.sent(tx, first))
    assert store.write(lambda tx: notices.failed(tx, first, "late", PATIENCE)) == ""
    assert not store.write(lambda tx: outbox.progress(tx, first, 1, 0))
    assert store.write(lambda tx: notices.sent(tx, second))
    assert (told(store)[0].status, tries(store, first)) == ("sent", ["lost", "sent"])
    store.clock.ms += 10 * LEASE
    assert take(store) is None


def test_waits_grow_to_an_hour_and_after_a_day_it_is_given_up_loudly(store: QueueStore) -> None:
    job_id = ended(store, "done", SAYS, notify=["ops"])
    began, waits = store.clock.ms, []
    for _ in range(200):
        row = taken(store)
        became = store.write(lambda tx, row=row: notices.failed(tx, row, "it answered 503", PATIENCE))
        if became == "given_up":
            break
        waits.append(told(store)[0].due_at - store.clock.ms)
        store.clock.ms = told(store)[0].due_at
    assert 2_500 <= waits[0] <= 5_000
    assert all(wait <= HOUR for wait in waits)
    assert max(waits) > HOUR / 2
    assert store.clock.ms - began == 24 * HOUR  # the last try is at the very end
    assert 30 <= len(waits) <= 80
    row = told(store)[0]
    assert (row.status, row.error) == ("given_up", "it answered 503; tried since 24 h")
    events = store.events(job_id)
    assert events[-1].type == "notice.given_up"
    assert msgspec.json.decode(events[-1].data) == {
        "notice": row.id,
        "alias": "ops",
        "attempts": len(waits) + 1,
        "reason": "it answered 503; tried since 24 h",
    }


def test_a_receiver_says_how_long_to_leave_it_alone_but_not_for_ever(store: QueueStore) -> None:
    ended(store, "done", SAYS, notify=["ops"])
    row = taken(store)
    store.write(lambda tx: notices.failed(tx, row, "429", PATIENCE, after_ms=2 * HOUR))
    assert told(store)[0].due_at == store.clock.ms + 2 * HOUR
    store.clock.ms += 2 * HOUR
    row = taken(store)
    store.write(lambda tx: notices.failed(tx, row, "429", PATIENCE, after_ms=100 * HOUR))
    assert told(store)[0].due_at == store.clock.ms + 22 * HOUR


def test_a_notice_that_a_clock_ahead_has_put_off_is_due_now_and_its_time_begins_anew(store: QueueStore) -> None:
    began = store.clock.ms
    store.clock.ms = began + 365 * DAY_MS
    ended(store, "done", SAYS, notify=["ops", "other"])
    row = taken(store)
    store.write(lambda tx: notices.failed(tx, row, "503", PATIENCE))
    ended(store, "done", SAYS, notify=["ops"])
    store.clock.ms = began  # a server that starts again by a clock that is right
    assert take(store) is None
    assert notices.is_put_off(store.read(outbox.queues)[0].due_at, began, PATIENCE)
    assert store.write(lambda tx: notices.call_back(tx, "ops", PATIENCE)) == 2
    assert [(row.addressee, row.since == row.due_at == began) for row in told(store)] == [
        ("ops", True),
        ("other", False),
        ("ops", True),
    ]
    again = taken(store)
    assert store.write(lambda tx: notices.failed(tx, again, "503", PATIENCE)) == "waiting"
    assert store.write(lambda tx: notices.call_back(tx, "ops", PATIENCE)) == 0


def test_no_wait_that_a_receiver_asks_for_counts_as_put_off(store: QueueStore) -> None:
    ended(store, "done", SAYS, notify=["ops"])
    row = taken(store)
    store.write(lambda tx: notices.failed(tx, row, "429", PATIENCE, after_ms=100 * HOUR))
    assert not notices.is_put_off(told(store)[0].due_at, store.clock.ms, PATIENCE)


def test_a_failed_try_by_a_clock_that_goes_right_again_waits_longer_each_time(store: QueueStore) -> None:
    store.clock.ms += HOUR
    ended(store, "done", SAYS, notify=["ops"])
    row = taken(store)
    store.clock.ms -= HOUR
    store.write(lambda tx: notices.failed(tx, row, "503", PATIENCE))
    assert told(store)[0].since == store.clock.ms


def test_one_that_is_gone_is_given_up_at_once_and_a_replay_begins_anew(store: QueueStore) -> None:
    ended(store, "done", SAYS, notify=["ops"])
    row = taken(store)
    assert store.write(lambda tx: notices.failed(tx, row, "410", PATIENCE, gone=True)) == "given_up"
    assert tries(store, row) == ["gone"]
    store.clock.ms += 48 * HOUR
    again = store.write(lambda tx: notices.replay(tx, HEAD, row.id))
    assert (again.id, again.status, again.due_at) == (row.id, "waiting", store.clock.ms)
    row = taken(store)
    assert store.write(lambda tx: notices.failed(tx, row, "503", PATIENCE)) == "waiting"  # not given up by its age


def test_what_a_head_may_do_with_a_notice(store: QueueStore) -> None:
    ended(store, "done", SAYS, notify=["ops"])
    row = taken(store)
    with pytest.raises(Conflict):
        store.write(lambda tx: notices.replay(tx, HEAD, row.id))
    store.write(lambda tx: notices.give_up(tx, HEAD, row.id))  # also while it is under way: its sender is not heard
    assert not store.write(lambda tx: notices.sent(tx, row))
    assert store.write(lambda tx: notices.give_up(tx, HEAD, row.id)).status == "given_up"
    store.write(lambda tx: notices.replay(tx, HEAD, row.id))
    row = taken(store)
    store.write(lambda tx: notices.sent(tx, row))
    with pytest.raises(NotAwaiting):
        store.write(lambda tx: notices.give_up(tx, HEAD, row.id))


def test_parts_that_have_gone_out_are_not_sent_again_but_by_a_replay(store: QueueStore) -> None:
    ended(store, "done", SAYS, notify=["ops"])
    row = taken(store)
    assert store.write(lambda tx: outbox.progress(tx, row, 2, tx.now + LEASE))
    store.clock.ms += LEASE
    row = taken(store)
    assert row.parts == 2
    store.write(lambda tx: notices.sent(tx, row))
    assert store.write(lambda tx: notices.replay(tx, HEAD, row.id)).parts == 0


def test_notices_for_nobody_wait_for_a_day(store: QueueStore) -> None:
    ended(store, "done", SAYS, notify=["ops", "other"])
    store.clock.ms += 24 * HOUR - 1
    assert store.write(lambda tx: notices.expire(tx, "ops", PATIENCE, "nobody")) == 0
    store.clock.ms += 1
    assert store.write(lambda tx: notices.expire(tx, "ops", PATIENCE, "nobody")) == 1
    assert [(row.addressee, row.status) for row in told(store)] == [("ops", "given_up"), ("other", "waiting")]
    assert [queue.alias for queue in store.read(outbox.queues)] == ["other"]


def test_one_that_was_tried_waits_a_day_for_its_alias_since_it_was_due(store: QueueStore) -> None:
    ended(store, "done", SAYS, notify=["ops"])
    store.clock.ms += 23 * HOUR
    row = taken(store)
    store.write(lambda tx: notices.failed(tx, row, "down", PATIENCE, after_ms=HOUR))
    store.clock.ms += 25 * HOUR - 1
    assert store.write(lambda tx: notices.expire(tx, "ops", PATIENCE, "nobody")) == 0
    store.clock.ms += 1
    assert store.write(lambda tx: notices.expire(tx, "ops", PATIENCE, "nobody")) == 1


def test_what_was_sent_and_what_was_given_up_are_deleted_apart_and_what_waits_never(store: QueueStore) -> None:
    for alias in ("ops", "gone", "waits"):
        ended(store, "done", SAYS, notify=[alias])
    first, second = taken(store), take(store, "gone")
    assert second is not None
    store.write(lambda tx: notices.sent(tx, first))
    store.write(lambda tx: notices.failed(tx, second, "410", PATIENCE, gone=True))
    store.clock.ms += 1000 * DAY_MS
    assert store.write(lambda tx: outbox.prune(tx, "sent", tx.now - 30 * DAY_MS, 500)) == 1
    assert [row.addressee for row in told(store)] == ["gone", "waits"]
    assert tries(store, first) == []
    assert store.write(lambda tx: outbox.prune(tx, "given_up", tx.now - 30 * DAY_MS, 500)) == 1
    assert [row.addressee for row in told(store)] == ["waits"]
    assert tries(store, second) == []


def test_a_look_at_the_outbox_takes_an_index_however_many_were_sent(store: QueueStore) -> None:
    def plans(tx: Any) -> list[str]:
        found = []
        for statement in (outbox._NEXT_ALIAS, outbox._FIRST_DUE, outbox._DUE, *outbox._OLD.values()):
            sql, names = statement.compiled("sqlite")
            found += [row[3] for row in tx._execute("EXPLAIN QUERY PLAN " + sql, [1] * len(names))]
        return found

    looks = [plan for plan in store.read(plans) if plan.startswith(("SEARCH", "SCAN"))]
    assert len(looks) == 5
    assert all("INDEX notices_" in plan for plan in looks), looks


def test_an_end_by_hand_has_the_texts_of_its_sender(store: QueueStore) -> None:
    store.rules.aliases.faults = {"ops": None}
    asked = wire.SendNotice(alias="@ops", text="all 12 are done", title="the night")
    row = store.write(lambda tx: notices.send(tx, store.rules, HEAD, asked))
    record = view.notice_record(row)
    assert (record.type, record.alias, record.title, record.text, record.created_by, record.job_id) == (
        *("notice", "ops", "the night", "all 12 are done", "head", None),
    )
    for wrong, field in (({"alias": "x"}, "alias"), ({"text": " \n"}, "text")):
        given = {"alias": "ops", "text": "t"} | wrong
        with pytest.raises(InvalidField) as refused:
            store.write(lambda tx, given=given: notices.send(tx, store.rules, HEAD, wire.SendNotice(**given)))
        assert refused.value.members["field"] == field
