"""From which status a label goes to which, and by what (contract: scheduler, 2.2, 2.5, 2.7 and 2.10)."""

import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.dispatching import Dispatching
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway
from tests.support.mock_model import ANSWER

from contract.clock import parse_iso
from dispatch import leases, spines, verify
from dispatch.attempts import Ending, delivery
from dispatch.gateway.errors import Unreachable
from dispatch.ledger import stamp
from dispatch.patience import Timings
from dispatch.watch import Unfinished, Watcher

FAST = Timings(poll=0.1, ping=0.5, retry=0.05, settle=0.02, lease_wait=0.05)


@pytest.fixture
def desk(fake: FakeGateway, tmp_path: Path) -> Dispatching:
    return Dispatching(tmp_path / "home", fake.url)


def ago(minutes: float) -> str:
    return stamp(time.time_ns() // 1_000_000 - int(minutes * 60_000))


def begun(fake: FakeGateway, desk: Dispatching, model: str, *words: str) -> str:
    """Dispatch a label, and return its session's key when the model has the prompt."""
    prompts = len(fake.prompts)
    ran = desk.call("enqueue", "--label", "L", "--message", "x", "--model", f"mock/{model}", *words)
    assert ran.code == 0, ran.err
    eventually(lambda: len(fake.prompts) > prompts, what="the prompt")
    return str(ran.answer["sessionKey"])


def over(fake: FakeGateway, key: str, *status: str) -> None:
    eventually(lambda: fake.sessions[key].row.get("status") in status, what="the end of the run")


def token(desk: Dispatching) -> str:
    return f"--token-file={desk.desk().keeping('L').token_file}"


def watch(desk: Dispatching, timings: Timings = FAST, slice_seconds: float | None = None) -> Ending:
    with desk.desk() as made:
        return Watcher(made, "L", leases.new_owner(), timings=timings, slice_seconds=slice_seconds).watch()


# --- what a verb makes of a run that is over --------------------------------------------------------------------------


def answered(fake: FakeGateway, desk: Dispatching) -> None:
    over(fake, begun(fake, desk, "answers"), "done")


def overloaded(fake: FakeGateway, desk: Dispatching) -> None:
    over(fake, begun(fake, desk, "busy"), "failed")


def failed(fake: FakeGateway, desk: Dispatching) -> None:
    fake.error_text = "HTTP 401 invalid api key"
    over(fake, begun(fake, desk, "answers"), "failed")


def aborted(fake: FakeGateway, desk: Dispatching) -> None:
    key = begun(fake, desk, "sleeps")
    desk.desk().gateway().abort(key)
    over(fake, key, "killed")


def timed_out(fake: FakeGateway, desk: Dispatching) -> None:
    over(fake, begun(fake, desk, "sleeps", "--timeout", "1"), "timeout")


def vanished(fake: FakeGateway, desk: Dispatching) -> None:
    key = begun(fake, desk, "sleeps")
    fake.kill()
    del fake.sessions[key]
    fake.start()


def under_way(fake: FakeGateway, desk: Dispatching) -> None:
    begun(fake, desk, "sleeps")


Befell = Callable[[FakeGateway, Dispatching], None]
ENDS: list[tuple[Befell, str, str | None]] = [
    (answered, "interrupted", None),
    (overloaded, "error", "overload"),
    (failed, "error", "permanent"),
    (aborted, "interrupted", "aborted"),
    (timed_out, "error", "timeout"),
    (vanished, "interrupted", "lost"),
    (under_way, "running", None),
]
VERBS: dict[str, tuple[str, ...]] = {"status": ("--label", "L"), "stuck": (), "sync": ()}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("befell", "after", "kind"), ENDS, ids=[row[0].__name__ for row in ENDS])
def test_a_run_that_nobody_watches(
    fake: FakeGateway, desk: Dispatching, verb: str, befell: Befell, after: str, kind: str | None
) -> None:
    """W4, W14: only a done signal makes it done, and an overload is found without a log file."""
    befell(fake, desk)
    desk.edit("L", spawnedAt=ago(61), dispatchedAt=ago(61))
    assert desk.call(verb, *VERBS[verb]).code == 0
    entry = desk.entry("L")
    assert (entry["status"], entry.get("errorKind")) == (after, kind)
    assert (entry["error"] is None) is (after == "running" or befell is answered)


@pytest.mark.parametrize("before", ["starting", "running", "spawn-warning"])
def test_every_status_that_may_be_under_way_is_looked_at(fake: FakeGateway, desk: Dispatching, before: str) -> None:
    """W4: a session that the reference had called `spawn-warning` was watched by nobody."""
    answered(fake, desk)
    desk.edit("L", status=before)
    change = desk.call("status", "--label", "L").answer["syncAction"]
    assert (change["from"], change["to"]) == (before, "interrupted")


@pytest.mark.parametrize("status", ["done", "interrupted", "error"])
def test_what_is_over_stays_so(fake: FakeGateway, desk: Dispatching, status: str) -> None:
    answered(fake, desk)
    desk.edit("L", status=status, error=None, errorKind=None)
    before = desk.labels.read_bytes()
    for verb, words in VERBS.items():
        assert desk.call(verb, *words).code == 0
    assert desk.labels.read_bytes() == before


def test_one_that_seems_lost_is_left_alone_while_it_is_young(fake: FakeGateway, desk: Dispatching) -> None:
    vanished(fake, desk)
    desk.edit("L", dispatchedAt=ago(4.5))
    assert desk.call("status", "--label", "L").answer["status"] == "running"
    (desk.home / "config.json").write_text('{"startupGraceMs": 60000}')
    found = desk.call("status", "--label", "L", DISPATCH_CONFIG_DIR=str(desk.home)).answer
    assert (found["status"], found["error"] is not None) == ("interrupted", True)


def test_one_that_a_watcher_holds_is_left_to_it(fake: FakeGateway, desk: Dispatching) -> None:
    overloaded(fake, desk)
    desk.edit("L", dispatchedAt=ago(61), owner="elsewhere/1/2/3", ownerUntil=ago(-2))
    before = desk.labels.read_bytes()
    for verb, words in VERBS.items():
        assert desk.call(verb, *words).code == 0
    assert desk.labels.read_bytes() == before


# --- into running, and out of it by a signal or a watcher -------------------------------------------------------------


@pytest.mark.parametrize("before", ["done", "interrupted", "error", "spawn-warning"])
def test_enqueue_makes_it_running_and_keeps_what_others_wrote(
    fake: FakeGateway, desk: Dispatching, before: str
) -> None:
    desk.write(L={"status": before, "error": "old", "errorKind": "overload", "retryCount": 2, "theirs": 1, "sha": "a"})
    begun(fake, desk, "sleeps")
    entry = desk.entry("L")
    names = ("status", "error", "errorKind", "retryCount", "theirs", "sha")
    assert [entry[name] for name in names] == ["running", None, None, 0, 1, None]
    for name in ("spawnedAt", "dispatchedAt", "acceptedAt", "updatedAt"):
        assert 0 <= time.time_ns() // 1_000_000 - parse_iso(entry[name]) < 60_000


def test_done_by_signal_while_it_runs_and_the_watcher_delivers_the_answer(fake: FakeGateway, desk: Dispatching) -> None:
    """W5, W16: the reference announced a failure to spawn, or an interim text."""
    begun(fake, desk, "sleeps")
    words = ("--checklist", '{"work_complete": true}', "--force-done", "--reason", "test", "--summary", "all of it")
    assert desk.call("done", "--label", "L", token(desk), *words).code == 0
    assert (desk.entry("L")["status"], desk.entry("L")["summary"]) == ("done", "all of it")
    fake.wake()
    assert watch(desk).text == ANSWER
    assert (desk.entry("L")["status"], desk.entry("L")["summary"]) == ("done", "all of it")


def test_done_and_then_lost_is_done(fake: FakeGateway, desk: Dispatching) -> None:
    vanished(fake, desk)
    desk.edit("L", status="done", summary="all of it", dispatchedAt=ago(61))
    ending = watch(desk)
    assert (ending.status, ending.text) == ("done", "all of it")
    assert len(fake.told("agent")) == 1


@pytest.mark.parametrize(
    ("befell", "status", "kind"),
    [(failed, "error", "permanent"), (aborted, "interrupted", "aborted"), (timed_out, "error", "timeout")],
)
def test_a_watcher_s_word_for_what_failed(
    fake: FakeGateway, desk: Dispatching, befell: Befell, status: str, kind: str
) -> None:
    befell(fake, desk)
    ending = watch(desk)
    assert (ending.status, ending.kind, desk.entry("L")["status"]) == (status, kind, status)
    assert ending.message == desk.entry("L")["error"] != ""


def test_recovery_makes_it_running_again(fake: FakeGateway, desk: Dispatching) -> None:
    overloaded(fake, desk)
    assert desk.call("status", "--label", "L").answer["status"] == "error"
    desk.edit("L", updatedAt=ago(10))
    desk.call("recover")
    assert (desk.entry("L")["status"], desk.entry("L")["retryCount"]) == ("running", 1)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        ("HTTP 529 from the provider", True),
        ("FailoverError: all models failed", True),
        ("the model is overloaded", True),
        ("rate limited", True),
        ("Too Many Requests", True),
        ("529 tests passed, line 1529 is wrong", False),
        ("overloads of this function do not match", False),
        ("spawn failure", False),
    ],
)
def test_by_which_words_recovery_knows_an_overload_that_another_program_wrote_down(
    fake: FakeGateway, desk: Dispatching, error: str, again: bool
) -> None:
    """W10: bare digits are none."""
    overloaded(fake, desk)
    desk.edit("L", status="error", error=error, errorKind=None, updatedAt=ago(10))
    assert ("begun again" in desk.call("recover").out) is again
    assert len(fake.told("agent")) == 1 + again


# --- the watcher ----------------------------------------------------------------------------------------------------


def test_an_overload_is_waited_for_longer_each_time(fake: FakeGateway, desk: Dispatching) -> None:
    overloaded(fake, desk)
    for done, seconds in ((0, 30), (1, 60), (2, 90)):
        desk.edit("L", retryCount=done, errorKind=None, retryAt=None)
        with pytest.raises(Unfinished) as raised:
            watch(desk, Timings(), slice_seconds=1)
        assert seconds - 5 < raised.value.seconds <= seconds
        assert len(fake.told("agent")) == 1, "not before its time"


def test_ten_failures_in_a_row_are_too_many(
    fake: FakeGateway, desk: Dispatching, capsys: pytest.CaptureFixture[str]
) -> None:
    under_way(fake, desk)
    fake.kill()
    with pytest.raises(Unreachable):
        watch(desk, Timings(poll=0.01, ping=60))
    assert "the gateway could not be asked 10 times" in capsys.readouterr().err
    assert desk.entry("L")["status"] == "running", "nothing is known, and nothing changed"


def test_a_signal_leaves_the_run_to_the_next_watcher(fake: FakeGateway, desk: Dispatching) -> None:
    """W18: the reference marked a label that still ran as done."""
    under_way(fake, desk)
    with desk.process("watch", "--label", "L", "--poll-interval", "1") as child:
        eventually(lambda: desk.entry("L").get("lastPing"), what="its sign of life")
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=30)
    assert (child.returncode, out, desk.entry("L")["status"]) == (75, "", "running"), err
    assert child.returncode not in spines.PERMANENT_EXITS, "its job is tried again"
    assert "the next watcher goes on" in err


def test_what_is_delivered() -> None:
    assert delivery("acme", "L", Ending(status="done", text="It is done.")) == "[acme] L: done\n\nIt is done."
    assert delivery("acme", "L", Ending(status="done")) == "[acme] L: done\n\nIt ended without a text."
    assert delivery("acme", "L", Ending(status="error", message="why")) == "[acme] L: error\n\nwhy"
    assert delivery("acme", "L", Ending(status="done", text="x" * 3500)).endswith("\n\n" + "x" * 3500)
    assert delivery("acme", "L", Ending(status="done", text="x" * 3501)).endswith("\n\n" + "x" * 3499 + "…")


def test_verification_has_its_time_and_leaves_nothing_behind(desk: Dispatching, tmp_path: Path) -> None:
    """W26: what it has started ends with it, also what takes no notice of a signal."""
    keeping = desk.desk().keeping("L")
    mark = tmp_path / "went-on"
    keeping.keep("x", ["sh", "-c", f"trap '' TERM; (sleep 4; touch {mark}) & sleep 60"])
    begin = time.monotonic()
    assert verify.fault(keeping, 0.3) == "the verifying command took longer than 0.3 s and was ended"
    assert time.monotonic() - begin < 20
    eventually(lambda: time.monotonic() - begin > 5, what="the time at which it would have gone on")
    assert (mark.exists(), verify.SECONDS) == (False, 60.0)


def test_of_all_that_verification_says_the_tail_alone_is_kept(
    desk: Dispatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = desk.desk().keeping("L")
    monkeypatch.setattr(verify, "TEXT_MOST", 12)
    keeping.keep("x", ["sh", "-c", "yes | head -c 50000000; echo; echo the end >&2; exit 3"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert verify.fault(keeping) == "the verifying command ended with 3: y\n\nthe end"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000, "KiB"


def test_what_leaves_a_verifying_command_does_not_hold_its_word_up(
    desk: Dispatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = desk.desk().keeping("L")
    monkeypatch.setattr(verify, "_GRACE_SECONDS", 0.3)
    keeping.keep("x", ["sh", "-c", "echo wrong; setsid sleep 30 & exit 3"])
    begin = time.monotonic()
    assert verify.fault(keeping) == "the verifying command ended with 3: wrong"
    assert time.monotonic() - begin < 20


# --- whose label it is ------------------------------------------------------------------------------------------------


def test_the_token_of_a_dispatch_before_opens_nothing(fake: FakeGateway, desk: Dispatching, tmp_path: Path) -> None:
    """W20: the reference took a signal from whoever knew the label."""
    under_way(fake, desk)
    former = tmp_path / "former"
    former.write_text(desk.desk().keeping("L").token_file.read_text())
    under_way(fake, desk)
    words = ("--checklist", '{"work_complete": true}', "--force-done", "--reason", "test")
    ran = desk.call("done", "--label", "L", f"--token-file={former}", *words)
    assert (ran.code, "another label's token" in ran.err, desk.entry("L")["status"]) == (1, True, "running")
    assert desk.call("done", "--label", "L", token(desk), *words).code == 0


def test_result_changes_nothing(fake: FakeGateway, desk: Dispatching) -> None:
    """W15: in the reference whoever read a reply disarmed the watchdog."""
    answered(fake, desk)
    before = desk.labels.read_bytes()
    assert desk.call("result", "--label", "L").answer["lastReply"] == ANSWER
    assert desk.labels.read_bytes() == before


def test_a_long_task_is_kept_whole_and_asks_for_its_commit(fake: FakeGateway, desk: Dispatching) -> None:
    """W11: the reference kept 2000 characters, and forgot what came after."""
    task = "x" * 3000 + " and finally git push"
    assert desk.call("enqueue", "--label", "L", "--message", task).code == 0
    prompt = desk.desk().keeping("L").prompt()
    assert (desk.entry("L")["taskPrompt"], task in (prompt or "")) == ("x" * 2000, True)
    desk.edit("L", spawnedAt=ago(5))
    words: tuple[Any, ...] = ("--checklist", '{"work_complete": true}', "--skip-activity-check")
    assert "--sha is required" in desk.call("done", "--label", "L", token(desk), *words).err


def test_a_label_without_its_prompt_asks_for_no_commit_and_says_so(fake: FakeGateway, desk: Dispatching) -> None:
    desk.write(L={"status": "running", "sessionKey": "agent:main:subagent:s", "runId": "r"})
    ran = desk.call("done", "--label", "L", "--checklist", '{"work_complete": true}', "--skip-activity-check")
    assert (ran.code, "no prompt is kept" in ran.err, desk.entry("L")["status"]) == (0, True, "done")
