"""Watching to the end: lost runs, overload, silence, verification, another watcher, a signal; and recovery."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.dispatching import Dispatching
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway
from tests.support.fake_sessions import Bad
from tests.support.mock_model import ANSWER

from dispatch import leases
from dispatch.attempts import Ending
from dispatch.gateway.errors import GatewayError
from dispatch.gateway.rows import View
from dispatch.ledger import stamp
from dispatch.patience import Patience, Timings
from dispatch.watch import Watcher

FAST = Timings(poll=0.1, ping=0.5, retry=0.05, settle=0.02, lease_wait=0.05)
MINUTE = 60_000


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    with FakeGateway() as gateway:
        yield gateway
        gateway.wake()


@pytest.fixture
def desk(fake: FakeGateway, tmp_path: Path) -> Dispatching:
    return Dispatching(tmp_path / "home", fake.url)


def enqueue(desk: Dispatching, model: str, *words: str) -> str:
    ran = desk.call("enqueue", "--label", "L", "--message", "the whole task", "--model", f"mock/{model}", *words)
    assert ran.code == 0, ran.err
    return str(ran.answer["sessionKey"])


def watch(desk: Dispatching, timings: Timings = FAST) -> Ending:
    with desk.desk() as made:
        return Watcher(made, "L", leases.new_owner(), timings=timings).watch()


def ended(fake: FakeGateway, key: str) -> None:
    eventually(lambda: fake.sessions[key].row.get("status") in ("done", "failed", "killed"), what="the end of the run")


def ago(minutes: float) -> str:
    return stamp(time.time_ns() // 1_000_000 - int(minutes * MINUTE))


def test_a_good_answer_is_delivered_and_done(desk: Dispatching) -> None:
    """W5: the reference announced a failure to spawn."""
    enqueue(desk, "answers")
    ran = desk.run("watch", "--label", "L", "--poll-interval", "1")
    assert (ran.code, ran.out) == (0, f"[spine-dispatch] L: done\n\n{ANSWER}\n")
    entry = desk.entry("L")
    assert (entry["status"], entry["summary"], entry["error"]) == ("done", ANSWER[:300], None)
    assert entry["lastPing"]
    assert "owner" not in entry


def test_interim_text_is_no_end(fake: FakeGateway, desk: Dispatching) -> None:
    """W16, W18: while the gateway runs it, it goes on, and a signal changes nothing."""
    enqueue(desk, "sleeps")
    eventually(lambda: fake.prompts, what="the prompt")
    with desk.process("watch", "--label", "L", "--poll-interval", "1") as child:
        eventually(lambda: desk.entry("L").get("owner"), what="its lease")
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (75, "")
    assert desk.entry("L")["status"] == "running"
    gone = desk.entry("L").get("owner")  # not there, unless the signal came in the moment after it was written
    with desk.process("watch", "--label", "L", "--poll-interval", "1") as child:
        eventually(lambda: desk.entry("L").get("owner") not in (None, gone), what="the next one's lease")
        fake.wake()
        out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert ANSWER in out


def test_killed_its_lease_is_free_at_once_and_two_never_watch_together(fake: FakeGateway, desk: Dispatching) -> None:
    enqueue(desk, "sleeps")
    with desk.process("watch", "--label", "L", "--poll-interval", "1") as first:
        owner = eventually(lambda: desk.entry("L").get("owner"), what="its lease")
        with desk.process("watch", "--label", "L", "--poll-interval", "1") as second:
            assert second.stderr is not None
            assert "watches it; waiting" in second.stderr.readline()
            assert desk.entry("L")["owner"] == owner
            first.kill()
            first.communicate(timeout=30)
            eventually(lambda: desk.entry("L").get("owner") not in (None, owner), what="the second's lease")
            fake.wake()
            out, err = second.communicate(timeout=30)
    assert (second.returncode, ANSWER in out) == (0, True), err


def test_a_lost_run_is_begun_again_with_the_whole_prompt_twice_at_most(fake: FakeGateway, desk: Dispatching) -> None:
    """W11: the reference said only "continue your previous task"."""
    key = enqueue(desk, "sleeps", "--timeout", "900")
    prompt = desk.desk().keeping("L").prompt()
    found: list[Ending] = []
    thread = threading.Thread(target=lambda: found.append(watch(desk)))
    thread.start()
    for n in range(3):
        eventually(lambda n=n: len(fake.prompts) == n + 1, what="the prompt")
        fake.kill(committed=False)
        desk.edit("L", dispatchedAt=ago(1))
        fake.start()
    thread.join(60)
    assert [(one.status, one.kind) for one in found] == [("error", "transient")]
    assert [call["message"] for call in fake.told("agent")] == [prompt] * 3
    assert {call["timeout"] for call in fake.told("agent")} == {900}
    assert len({call["idempotencyKey"] for call in fake.told("agent")}) == 3
    assert {call["sessionKey"] for call in fake.told("agent")} == {key}


def test_overload_is_retried_in_the_same_session_and_three_times_at_most(fake: FakeGateway, desk: Dispatching) -> None:
    key = enqueue(desk, "busy")
    ended(fake, key)
    ending = watch(desk)
    assert (ending.status, ending.kind) == ("error", "overload")
    assert [call["sessionKey"] for call in fake.told("agent")] == [key] * 4
    assert [("the whole task" in call["message"]) for call in fake.told("agent")] == [True, False, False, False]
    assert (desk.entry("L")["retryCount"], desk.entry("L")["attempt"]) == (3, 4)


def test_after_overload_success_resets_the_count(fake: FakeGateway, desk: Dispatching) -> None:
    fake.error_text = "HTTP 529 overloaded"
    key = enqueue(desk, "answers")
    ended(fake, key)
    assert watch(desk).text == ANSWER
    assert (desk.entry("L")["status"], desk.entry("L")["retryCount"]) == ("done", 0)


def test_line_1529_is_no_overload(fake: FakeGateway, desk: Dispatching) -> None:
    """W10."""
    fake.error_text = "assertion failed on line 1529"
    ended(fake, enqueue(desk, "answers"))
    ending = watch(desk)
    assert (ending.status, ending.kind) == ("error", "transient")
    assert len(fake.told("agent")) == 1


def test_without_its_session_the_prompt_is_said_again_in_a_new_one(fake: FakeGateway, desk: Dispatching) -> None:
    key = enqueue(desk, "sleeps", "--timeout", "77")
    eventually(lambda: fake.prompts, what="the prompt")
    fake.kill()
    del fake.sessions[key]
    fake.start()
    desk.edit("L", dispatchedAt=ago(1))
    thread = threading.Thread(target=watch, args=(desk,))
    thread.start()
    again = eventually(lambda: fake.told("agent")[1:], what="the restart")[0]
    eventually(lambda: len(fake.prompts) == 2, what="the prompt")
    fake.wake()
    thread.join(30)
    assert again["sessionKey"] != key
    assert again["message"] == desk.desk().keeping("L").prompt()
    assert again["timeout"] == 77
    assert fake.told("sessions.patch")[-1] == {"key": again["sessionKey"], "model": "mock/sleeps"}
    assert desk.entry("L")["sessionKey"] == again["sessionKey"]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("sh -c 'echo line 1529 is wrong >&2; exit 3'", "ended with 3: line 1529 is wrong"),
        ("/no/such/program", "cannot be started"),
        ("sh -c 'test -z \"$OPENCLAW_GATEWAY_TOKEN$SPINE_TOKEN\" && exit 9'", "ended with 9"),
    ],
)
def test_verification_decides_before_done(fake: FakeGateway, desk: Dispatching, command: str, told: str) -> None:
    """W17: the reference left the label done. W37: it ran what stands in the ledger, in a shell, with the token."""
    ended(fake, enqueue(desk, "answers", "--verify-cmd", command))
    desk.edit("L", verifyCmd="true")
    ran = desk.run("watch", "--label", "L", "--poll-interval", "1")
    assert ran.code == 1
    assert told in ran.out
    assert desk.entry("L")["status"] == "error"
    keeping = desk.desk().keeping("L")
    desk.edit("L", status="running", spawnedAt=ago(5))
    words = ("--checklist", '{"work_complete": true}', "--skip-activity-check", f"--token-file={keeping.token_file}")
    done = desk.run("done", "--label", "L", *words)
    assert (done.code, told in done.err, desk.entry("L")["status"]) == (1, True, "running")


def test_silence_is_nudged_twice_and_then_ended(fake: FakeGateway, desk: Dispatching) -> None:
    """W18, W19: the reference's deadline never moved, and what it called killing stopped nothing."""
    key = enqueue(desk, "sleeps", "--timeout", "1000")
    eventually(lambda: fake.prompts, what="the prompt")
    desk.edit("L", dispatchedAt=ago(60))
    ending = watch(desk, Timings(poll=0.1, flat=0.2, nudge=0.3, last_nudge=0.3, slack=1.0))
    assert (ending.status, ending.kind) == ("error", "timeout")
    assert len(fake.told("chat.send")) == 2
    assert fake.told("sessions.abort") == [{"key": key}]
    assert desk.entry("L")["status"] == "error"


def test_the_lease_is_kept_however_long_the_poll_is(fake: FakeGateway, desk: Dispatching) -> None:
    enqueue(desk, "sleeps")
    eventually(lambda: fake.prompts, what="the prompt")
    thread = threading.Thread(target=watch, args=(desk, Timings(poll=600.0, ping=0.1, settle=0.02)))
    thread.start()
    seen = {str(eventually(lambda: desk.entry("L").get("ownerUntil"), what="its lease"))}
    for _ in range(3):
        seen.add(str(eventually(lambda: desk.entry("L")["ownerUntil"] not in seen and desk.entry("L")["ownerUntil"])))
    fake.wake()
    thread.join(30)
    assert desk.entry("L")["status"] == "done"


def test_an_abort_that_is_not_taken_is_asked_for_again(
    fake: FakeGateway, desk: Dispatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = enqueue(desk, "sleeps", "--timeout", "1000")
    eventually(lambda: fake.prompts, what="the prompt")
    desk.edit("L", dispatchedAt=ago(300))
    taken, refused = fake._abort, iter([True])

    def abort(key: str) -> Any:
        if next(refused, False):
            raise Bad("UNAVAILABLE", "busy")
        return taken(key)

    monkeypatch.setattr(fake, "_abort", abort)
    ending = watch(desk)
    assert (ending.status, ending.kind) == ("error", "timeout")
    assert fake.told("sessions.abort") == [{"key": key}] * 2


def test_a_gateway_that_stays_away_changes_nothing_and_is_for_later(
    fake: FakeGateway, desk: Dispatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue(desk, "sleeps")
    fake.kill()
    monkeypatch.setattr("dispatch.watch.FAILURES_MOST", 2)
    with pytest.raises(GatewayError) as raised:
        watch(desk)
    assert raised.value.retryable
    assert desk.entry("L")["status"] == "running"
    assert "owner" not in desk.entry("L")


def test_the_deadline_moves_with_activity() -> None:
    timings = Timings(slack=120.0, flat=180.0, nudge=30.0, last_nudge=60.0)
    patience = Patience(timings, 0, 300)
    still = View(row=None, messages=())
    assert patience.step(still, 419_000) is None
    patience.seen(419_000)
    assert [patience.step(still, at) for at in (420_000, 598_000, 599_000)] == [None, None, "nudge"]
    assert [patience.step(still, at) for at in (628_000, 629_000)] == [None, "last nudge"]
    patience.seen(640_000)
    assert [patience.step(still, at) for at in (700_000, 820_000)] == [None, "nudge"]
    assert [patience.step(still, at) for at in (850_000, 909_000, 910_000)] == ["last nudge", None, "abort"]
    assert Patience(timings, 0, 300).step(still, 4 * 3600 * 1000) == "abort"


def test_an_abort_elsewhere_is_an_interruption(fake: FakeGateway, desk: Dispatching) -> None:
    key = enqueue(desk, "sleeps")
    eventually(lambda: fake.prompts, what="the prompt")
    desk.desk().gateway().abort(key)
    assert watch(desk).status == "interrupted"


def test_dispatched_anew_the_old_watcher_leaves_without_a_word(fake: FakeGateway, desk: Dispatching) -> None:
    enqueue(desk, "sleeps")
    with desk.process("watch", "--label", "L", "--poll-interval", "1") as child:
        eventually(lambda: desk.entry("L").get("owner"), what="its lease")
        enqueue(desk, "sleeps")
        out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (0, "")
    assert "dispatched anew" in err


# --- recovery -------------------------------------------------------------------------------------------------------


def overloaded(fake: FakeGateway, desk: Dispatching, **fields: Any) -> str:
    key = enqueue(desk, "busy")
    ended(fake, key)
    assert desk.call("status", "--label", "L").answer["status"] == "error"
    desk.edit("L", **{"updatedAt": ago(10), **fields})
    return key


def test_recovery_begins_again_what_overload_ended(fake: FakeGateway, desk: Dispatching) -> None:
    key = overloaded(fake, desk)
    ran = desk.call("recover")
    assert ran.code == 0
    assert ran.out.startswith("L: begun again after")
    entry = desk.entry("L")
    assert (entry["status"], entry["retryCount"], entry["error"]) == ("running", 1, None)
    assert [call["sessionKey"] for call in fake.told("agent")] == [key, key]
    assert entry.get("owner") is None


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"updatedAt": lambda: ago(61)}, "more than 60 minutes ago"),
        ({"updatedAt": lambda: ago(4)}, "less than 5 minutes ago"),
        ({"retryCount": 3}, "begun again 3 times already"),
        ({"owner": "elsewhere/1/2/3", "ownerUntil": lambda: ago(-2)}, "is watched"),
        ({"notBefore": lambda: ago(-30)}, "waits for its quota"),
        ({"errorKind": "permanent"}, ""),
        ({"errorKind": None, "error": "verification failed: line 1529"}, ""),
    ],
)
def test_recovery_passes_over(fake: FakeGateway, desk: Dispatching, fields: dict[str, Any], told: str) -> None:
    # A time is counted from when the test runs, which may be minutes after this file was read.
    overloaded(fake, desk, **{name: value() if callable(value) else value for name, value in fields.items()})
    ran = desk.call("recover")
    assert (ran.code, ran.out) == (0, "")
    assert told in ran.err
    assert len(fake.told("agent")) == 1


def test_recovery_with_the_gateway_down_retries_nothing_and_says_so(fake: FakeGateway, desk: Dispatching) -> None:
    """W9: the reference said that it had retried."""
    overloaded(fake, desk)
    fake.kill()
    ran = desk.call("recover")
    assert "L: could not be begun again" in ran.out
    assert desk.entry("L")["status"] == "error"
    assert desk.entry("L").get("owner") is None


def test_recovery_of_a_broken_ledger_erases_nothing(desk: Dispatching) -> None:
    desk.home.mkdir(parents=True)
    desk.labels.write_text("{broken")
    ran = desk.call("recover")
    assert "set aside" in ran.err
    assert [path.read_text() for path in desk.home.iterdir() if ".corrupt-" in path.name] == ["{broken"]


def test_recovery_and_another_recovery_never_both_retry(fake: FakeGateway, desk: Dispatching) -> None:
    """W12."""
    overloaded(fake, desk)
    children = [desk.process("recover") for _ in range(4)]
    outs = [child.communicate(timeout=60)[0] for child in children]
    assert sum("begun again" in out for out in outs) == 1
    assert len(fake.told("agent")) == 2


def test_recovery_begins_a_lost_run_again(fake: FakeGateway, desk: Dispatching) -> None:
    enqueue(desk, "sleeps")
    eventually(lambda: fake.prompts, what="the prompt")
    fake.kill(committed=False)
    fake.start()
    desk.edit("L", dispatchedAt=ago(10), updatedAt=ago(10))
    assert "begun again" in desk.call("recover").out
    assert fake.told("agent")[1]["message"] == desk.desk().keeping("L").prompt()
    assert json.loads(desk.labels.read_text())["L"]["gwRestartRetryCount"] == 1


def lost(fake: FakeGateway, desk: Dispatching, *timeouts: int) -> None:
    """Runs L0, L1… that the gateway has lost ten minutes after they began."""
    for n, timeout in enumerate(timeouts):
        words = ("--message", f"task {n}", "--model", "mock/sleeps", "--timeout", str(timeout))
        assert desk.call("enqueue", "--label", f"L{n}", *words).code == 0
    eventually(lambda: len(fake.prompts) == len(timeouts), what="the prompts")
    fake.kill(committed=False)
    fake.start()
    for n in range(len(timeouts)):
        desk.edit(f"L{n}", dispatchedAt=ago(10), updatedAt=ago(10))


def at_the_second_look(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    for module in ("attempts", "recover"):
        monkeypatch.setattr(f"dispatch.{module}.second_look", happens)


@pytest.mark.parametrize("words", [("sync",), ("stuck", "--threshold-min", "1", "--json"), ("recover",)], ids=" ".join)
def test_all_that_seem_lost_are_waited_for_once(
    fake: FakeGateway, desk: Dispatching, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    lost(fake, desk, 300, 300, 300)
    waits: list[str] = []
    at_the_second_look(monkeypatch, lambda: waits.append("once"))
    assert desk.call(*words).code == 0
    assert waits == ["once"]
    entries = [desk.entry(f"L{n}") for n in range(3)]
    told = [(entry["status"], entry["errorKind"], entry.get("gwRestartRetryCount", 0)) for entry in entries]
    assert told == [("running", None, 1) if words == ("recover",) else ("interrupted", "lost", 0)] * 3


def test_a_run_that_is_back_at_the_second_look_is_not_lost(
    fake: FakeGateway, desk: Dispatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = enqueue(desk, "sleeps")
    eventually(lambda: fake.prompts, what="the prompt")
    desk.edit("L", dispatchedAt=ago(10), updatedAt=ago(10))
    session = fake.sessions[key]
    at_the_second_look(monkeypatch, lambda: fake.sessions.update({key: session}))
    for words in (("sync",), ("recover",)):
        fake.sessions.clear()
        ran = desk.call(*words)
        assert (ran.code, "begun again" in ran.out, desk.entry("L")["status"]) == (0, False, "running")
    assert len(fake.told("agent")) == 1


def test_a_lost_run_that_nobody_watches_is_begun_again_for_as_long_as_its_timeout(
    fake: FakeGateway, desk: Dispatching
) -> None:
    lost(fake, desk, 4 * 3600, 3600, 3600)
    for label in ("L0", "L1"):
        desk.edit(label, dispatchedAt=ago(61), updatedAt=ago(61))
    desk.edit("L2", dispatchedAt=ago(61), updatedAt=ago(59))
    ran = desk.call("recover")
    assert [line.split(":")[0] for line in ran.out.splitlines()] == ["L0", "L2"]
    assert "L1: is past its timeout, and was changed more than 60 minutes ago; left alone" in ran.err


def test_a_run_that_another_began_meanwhile_is_left_to_it(
    fake: FakeGateway, desk: Dispatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost(fake, desk, 300)
    at_the_second_look(monkeypatch, lambda: desk.edit("L0", runId="of another"))
    assert (desk.call("recover").out, len(fake.told("agent"))) == ("", 1)
