"""Delivering an outcome: sent until acknowledged, never thrown away."""

from pathlib import Path

import pytest
from tests.unit.claw.conftest import FakeSpine, held, job, problem

from claw import outcome
from claw.outcome import Outcome
from claw.runner import outbox
from claw.state import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path)
    made.open()
    return made


@pytest.mark.parametrize(
    ("ended", "path", "body"),
    [
        (outcome.complete({"notes": "n"}), "/jobs/j1/complete", {"fence": 4, "result": {"notes": "n"}}),
        (outcome.fail("e", requeue=False), "/jobs/j1/fail", {"fence": 4, "error": "e", "requeue": False}),
        (
            outcome.fail(None, requeue=False, result={"exitCode": 3}),
            "/jobs/j1/fail",
            {"fence": 4, "error": None, "requeue": False, "result": {"exitCode": 3}},
        ),
        (outcome.complete("pong: x"), "/jobs/j1/complete", {"fence": 4, "result": "pong: x"}),
        (
            outcome.release("r", count_attempt=False),
            "/jobs/j1/release",
            {"fence": 4, "reason": "r", "countAttempt": False},
        ),
    ],
)
def test_an_outcome_is_sent_with_the_key_chosen_before(
    fake: FakeSpine, journal: Journal, ended: Outcome, path: str, body: dict[str, object]
) -> None:
    outbox.write(journal, held(), ended)
    kept, _ = journal.load()
    assert kept is not None
    assert outbox.deliver(fake.client(), journal, kept) == "delivered"
    assert [asked[0] for asked in fake.asked] == [path]
    assert fake.bodies() == [body]
    assert fake.keys() == ["settle-key"]
    assert journal.load() == (None, None)


@pytest.mark.parametrize(
    "answer", [problem("unavailable", 503), problem("storage_full", 507), problem("unauthorized", 401)]
)
def test_an_outcome_waits_for_a_spine_that_cannot_take_it(
    fake: FakeSpine, journal: Journal, answer: tuple[int, dict[str, object]]
) -> None:
    waiting = held()
    outbox.write(journal, waiting, outcome.complete({}))
    fake.script = [answer, (200, job(status="done"))]
    assert outbox.deliver(fake.client(), journal, waiting) == ("locked out" if answer[0] == 401 else "waiting")
    kept, _ = journal.load()
    assert kept is not None
    assert outbox.deliver(fake.client(), journal, kept) == "delivered"
    assert fake.keys() == ["settle-key", "settle-key"]


def test_a_late_result_that_the_spine_kept_is_delivered(fake: FakeSpine, journal: Journal) -> None:
    late = held()
    outbox.write(journal, late, outcome.complete({}))
    fake.script = [problem("stale_fence", lateResult="kept")]
    assert outbox.deliver(fake.client(), journal, late) == "kept late"
    assert journal.load() == (None, None)
    assert not (journal.folder / "undelivered").exists()


@pytest.mark.parametrize("answer", [problem("not_running"), problem("stale_fence"), problem("not_found", 404)])
def test_a_result_refused_for_good_is_set_aside(
    fake: FakeSpine, journal: Journal, answer: tuple[int, dict[str, object]]
) -> None:
    refused = held()
    outbox.write(journal, refused, outcome.complete({"notes": "precious"}))
    fake.script = [answer]
    assert outbox.deliver(fake.client(), journal, refused) == "undelivered"
    assert journal.load() == (None, None)
    (kept,) = (journal.folder / "undelivered").iterdir()
    assert kept.name == "j1-4.json"
    assert "precious" in kept.read_text()


@pytest.mark.parametrize("answer", [problem("invalid_field", 422), problem("too_large", 413), problem("bad_json", 400)])
def test_a_result_that_cannot_be_taken_fails_the_job_and_is_kept(
    fake: FakeSpine, journal: Journal, answer: tuple[int, dict[str, object]]
) -> None:
    refused = held()
    outbox.write(journal, refused, outcome.complete({"notes": "precious"}))
    fake.script = [answer, (200, job(status="failed"))]
    assert outbox.deliver(fake.client(), journal, refused) == "delivered"
    assert [path for path, _, _ in fake.asked] == ["/jobs/j1/complete", "/jobs/j1/fail"]
    assert fake.bodies()[1]["error"].startswith(f"the spine refused the result ({answer[1]['error']}: ")
    assert fake.bodies()[1]["requeue"] is False
    assert fake.keys()[0] != fake.keys()[1]
    assert journal.load() == (None, None)
    assert "precious" in (journal.folder / "undelivered" / "j1-4.json").read_text()


@pytest.mark.parametrize("action", ["complete", "fail"])
def test_outputs_that_are_too_large_are_shortened_and_sent_again(
    fake: FakeSpine, journal: Journal, action: str
) -> None:
    result = {"durationMs": 1, "exitCode": 0, "stdout": "\n" * 200_000, "stderr": "e" * 1000}
    ended = outcome.complete(result) if action == "complete" else outcome.fail("e", requeue=False, result=result)
    large = held()
    outbox.write(journal, large, ended)
    fake.script = [problem("too_large", 413), (200, job(status="done"))]
    assert outbox.deliver(fake.client(), journal, large) == "delivered"
    first, second = fake.bodies()
    assert first["result"] == result
    assert second["result"]["stdout"].endswith("\n\n[output truncated]\n")
    assert (second["result"]["stderr"], second["result"]["exitCode"]) == ("e" * 1000, 0)
    assert 255_900 < len(fake.asked[1][2]) < 256_100
    assert fake.keys()[0] != fake.keys()[1]
    assert [path for path, _, _ in fake.asked] == [f"/jobs/j1/{action}"] * 2
    assert journal.load() == (None, None)
    assert not (journal.folder / "undelivered").exists()


def test_giving_back_what_is_not_held_any_more_leaves_nothing_behind(fake: FakeSpine, journal: Journal) -> None:
    given = held()
    outbox.write(journal, given, outcome.release("r"))
    fake.script = [problem("not_running")]
    assert outbox.deliver(fake.client(), journal, given) == "delivered"
    assert journal.load() == (None, None)
    assert not (journal.folder / "undelivered").exists()


def test_what_nobody_waits_for_is_dropped_without_a_call(fake: FakeSpine, journal: Journal) -> None:
    dropped = held()
    outbox.write(journal, dropped, outcome.drop("cancelled"))
    assert outbox.deliver(fake.client(), journal, dropped) == "delivered"
    assert fake.asked == []
    assert journal.load() == (None, None)
