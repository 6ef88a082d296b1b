"""`spine-dispatch run`: it dispatches, tells what happens as JSON lines, and ends as a program expects."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.dispatching import Dispatching, Ran
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway
from tests.support.mock_model import ANSWER

from contract.clock import parse_iso
from dispatch.ledger import stamp
from dispatch.verbs import run


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    with FakeGateway() as gateway:
        yield gateway


@pytest.fixture
def desk(fake: FakeGateway, tmp_path: Path) -> Dispatching:
    return Dispatching(tmp_path / "home", fake.url)


def events(lines: list[dict[str, Any]]) -> list[str]:
    return [line["event"] for line in lines if line["event"] not in ("progress", "usage")]


def test_a_run_that_answers(fake: FakeGateway, desk: Dispatching, tmp_path: Path) -> None:
    (tmp_path / "prompt").write_text("say hello")
    ran = desk.run("run", "--label", "job-1", "--message-file", str(tmp_path / "prompt"), "--json-events")
    assert ran.code == 0, ran.err
    assert events(ran.lines) == ["accepted", "text", "ended"]
    accepted, ended = ran.lines[0], ran.lines[-1]
    assert {name: accepted[name] for name in ("label", "agent", "mode", "attempt", "attached")} == {
        "label": "job-1",
        "agent": "main",
        "mode": "fresh",
        "attempt": 1,
        "attached": False,
    }
    assert ended == {
        "event": "ended",
        "status": "ok",
        "label": "job-1",
        "sessionKey": accepted["sessionKey"],
        "runId": accepted["runId"],
        "text": ANSWER,
        "error": None,
        "cause": None,
        "notBefore": None,
    }
    assert fake.prompts == ["say hello"]
    assert desk.entry("job-1")["status"] == "done"


def test_rework_goes_on_in_the_same_session(fake: FakeGateway, desk: Dispatching) -> None:
    first = desk.run("run", "--label", "job", "--message", "first", "--json-events")
    again = desk.run("run", "--label", "job", "--message", "second", "--json-events", "--mode", "reuse")
    assert again.code == 0, again.err
    assert again.lines[0]["sessionKey"] == first.lines[0]["sessionKey"]
    assert again.lines[0]["runId"] != first.lines[0]["runId"]
    assert again.lines[0]["mode"] == "reuse"
    assert fake.prompts == ["first", "second"]


def test_reuse_of_a_session_that_this_machine_does_not_know_is_a_fresh_one(desk: Dispatching) -> None:
    ran = desk.run("run", "--label", "job", "--message", "x", "--json-events", "--mode", "reuse")
    assert (ran.code, ran.lines[0]["mode"]) == (0, "fresh")


def test_an_overload_is_for_later(desk: Dispatching) -> None:
    ran = desk.run("run", "--label", "job", "--message", "x", "--model", "mock/busy", "--json-events")
    assert (ran.code, ran.lines[-1]["cause"], ran.lines[-1]["status"]) == (75, "overload", "error")
    assert desk.entry("job")["errorKind"] == "overload"


@pytest.mark.parametrize(
    ("text", "code", "cause"),
    [
        ("HTTP 529 overloaded, try again in 2 hours", 75, "overload"),
        ("connection reset while reading", 75, "transient"),
        ("HTTP 401 invalid api key", 77, "permanent"),
    ],
)
def test_a_failure_has_a_class(fake: FakeGateway, desk: Dispatching, text: str, code: int, cause: str) -> None:
    fake.error_text = text
    ran = desk.run("run", "--label", "job", "--message", "x", "--json-events")
    assert (ran.code, ran.lines[-1]["cause"]) == (code, cause)
    assert (ran.lines[-1]["notBefore"] is not None) == ("2 hours" in text)


def test_an_unknown_agent_is_permanent_and_a_gateway_that_is_down_is_not(fake: FakeGateway, desk: Dispatching) -> None:
    ran = desk.run("run", "--label", "job", "--message", "x", "--agent", "nobody", "--json-events")
    assert (ran.code, ran.lines[-1]["cause"]) == (77, "permanent")
    fake.kill()
    ran = desk.run("run", "--label", "job", "--message", "x", "--json-events")
    assert (ran.code, ran.lines[-1]["cause"]) == (75, "transient")


def test_a_signal_aborts_the_session(fake: FakeGateway, desk: Dispatching) -> None:
    with desk.process("run", "--label", "job", "--message", "x", "--model", "mock/sleeps", "--json-events") as child:
        eventually(lambda: fake.prompts, what="the prompt")
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=30)
    assert child.returncode == 143, err
    assert json.loads(out.splitlines()[-1])["status"] == "aborted"
    assert len(fake.told("sessions.abort")) == 1
    assert desk.entry("job")["status"] == "interrupted"


def say(child: "subprocess.Popen[str]", fake: FakeGateway, more: str = "") -> None:
    """Say "go left" into the session once its prompt is there; come back when the gateway has been told."""
    assert child.stdin is not None
    eventually(lambda: fake.prompts, what="the prompt")
    child.stdin.write('{"steer": "go left"}\n' + more)
    child.stdin.flush()
    eventually(lambda: fake.told("chat.send"), what="the steering")


def steered(desk: Dispatching, fake: FakeGateway, then: Callable[[], object]) -> Ran:
    """Run a session of the model `sleeps`, say "go left" into it, let it answer, and call `then` when it reads that."""
    with desk.process("run", "--label", "job", "--message", "x", "--model", "mock/sleeps", "--json-events") as child:
        say(child, fake, "nonsense\n")
        fake.wake()
        eventually(lambda: fake.prompts == ["x", "go left"], what="a turn of its own")
        assert child.poll() is None
        then()
        out, err = child.communicate(timeout=30)
    return Ran(child.returncode, out, err)


def test_lines_on_standard_input_steer_and_what_comes_of_it_is_awaited(fake: FakeGateway, desk: Dispatching) -> None:
    ran = steered(desk, fake, fake.wake)
    assert ran.code == 0, ran.err
    assert fake.told("chat.send")[0]["message"] == "go left"
    assert [line["ok"] for line in ran.lines if line["event"] == "steer"] == [True, False]
    assert ran.lines[-1]["text"] == f"{ANSWER}\n\n{ANSWER}"
    assert desk.entry("job")["status"] == "done"


def test_a_turn_that_steering_began_and_that_fails_is_no_success(fake: FakeGateway, desk: Dispatching) -> None:
    def fail() -> None:
        fake.error_text = "HTTP 529 overloaded, try again in 2 hours"
        fake.wake()

    ran = steered(desk, fake, fail)
    assert (ran.code, ran.lines[-1]["cause"]) == (75, "overload")


def test_killed_after_it_steered_the_next_one_waits_for_what_comes_of_it(fake: FakeGateway, desk: Dispatching) -> None:
    words = ("run", "--label", "job", "--message", "x", "--model", "mock/sleeps", "--json-events")
    with desk.process(*words) as child:
        say(child, fake)
        child.kill()
        child.communicate(timeout=30)
    fake.wake()
    eventually(lambda: fake.prompts == ["x", "go left"], what="a turn of its own")
    with desk.process(*words) as child:
        eventually(lambda: len(fake.connects) == 2, what="the second process")
        fake.wake()
        out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert (lines[0]["attached"], lines[-1]["text"]) == (True, f"{ANSWER}\n\n{ANSWER}")


def test_what_the_gateway_never_gives_to_the_agent_is_told_and_not_awaited_for_ever(
    fake: FakeGateway, desk: Dispatching
) -> None:
    with desk.process("run", "--label", "job", "--message", "x", "--model", "mock/sleeps", "--json-events") as child:
        say(child, fake)
        fake.forget_waiting()
        fake.wake()
        out, err = child.communicate(timeout=60)
    lines = [json.loads(line) for line in out.splitlines()]
    assert (child.returncode, lines[-1]["text"]) == (0, ANSWER), err
    told = [line for line in lines if line["event"] == "steer"]
    assert [line["ok"] for line in told] == [True, False]
    assert "has not given the agent all it took" in told[1]["error"]


def test_killed_and_begun_again_it_watches_the_run_that_goes_on(fake: FakeGateway, desk: Dispatching) -> None:
    words = ("run", "--label", "job", "--message", "x", "--model", "mock/sleeps", "--json-events")
    with desk.process(*words) as child:
        eventually(lambda: fake.prompts, what="the prompt")
        eventually(lambda: desk.entry("job")["status"] == "running", what="its acceptance")
        child.kill()
        child.communicate(timeout=30)
    with desk.process(*words) as child:
        eventually(lambda: len(fake.connects) == 2, what="the second process")
        fake.wake()
        out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert json.loads(out.splitlines()[0])["attached"] is True
    assert fake.prompts == ["x"]


def test_killed_and_begun_again_with_another_prompt_it_ends_the_former_run_first(
    fake: FakeGateway, desk: Dispatching
) -> None:
    words = ("run", "--label", "job", "--model", "mock/sleeps", "--json-events")
    with desk.process(*words, "--message", "x") as child:
        eventually(lambda: fake.prompts, what="the prompt")
        former = eventually(lambda: desk.entry("job")["status"] == "running" and desk.entry("job"), what="acceptance")
        child.kill()
        child.communicate(timeout=30)
    with desk.process(*words, "--message", "x, and what was said meanwhile") as child:
        eventually(lambda: len(fake.prompts) == 2, what="the second prompt")
        fake.wake()
        out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert json.loads(out.splitlines()[0])["attached"] is False
    assert fake.told("sessions.abort") == [{"key": former["sessionKey"]}]
    asked = [name for name, _ in fake.calls if name in ("agent", "sessions.abort")]
    assert asked == ["agent", "sessions.abort", "agent"]


def test_what_another_process_runs_is_left_alone_and_is_for_later(fake: FakeGateway, desk: Dispatching) -> None:
    until = stamp(time.time_ns() // 1_000_000 + 60_000)
    held = {"sessionKey": "agent:main:subagent:1", "status": "running", "owner": "elsewhere/1/2/3", "ownerUntil": until}
    desk.write(job=held)
    ran = desk.run("run", "--label", "job", "--message", "x", "--json-events")
    (ended,) = ran.lines
    assert (ran.code, ended["event"], ended["cause"], ended["notBefore"]) == (75, "ended", "transient", until)
    assert "elsewhere/1/2/3 runs it" in ended["error"]
    run._abort(desk.desk(), "job", "me")  # a signal came before it was known who has it
    assert (fake.told("sessions.abort"), fake.told("agent")) == ([], [])
    assert desk.entry("job") == held


def test_labels_of_programs_are_forgotten_after_their_time_and_no_others(desk: Dispatching) -> None:
    assert desk.run("run", "--label", "old", "--message", "x", "--json-events").code == 0
    forget = parse_iso(desk.entry("old")["forgetAt"]) - time.time_ns() // 1_000_000
    assert 0 <= 30 * 86_400_000 - forget < 60_000
    over = {"forgetAt": "2020-01-01T00:00:00.000Z"}
    desk.edit("old", **over)
    held = {"owner": "elsewhere/1/2/3", "ownerUntil": stamp(time.time_ns() // 1_000_000 + 60_000)}
    others: dict[str, Any] = {
        "going on": {"status": "running", **over},
        "held": {"status": "done", **over, **held},
        "young": {"status": "done", "forgetAt": stamp(time.time_ns() // 1_000_000 + 60_000)},
        "enqueued": {"status": "done", "updatedAt": "2020-01-01T00:00:00.000Z"},
    }
    desk.desk().ledger.change(lambda entries: entries.update(others))
    folder = desk.desk().keeping("old").folder
    assert folder.exists()
    assert desk.run("run", "--label", "new", "--message", "x", "--json-events").code == 0
    assert set(desk.desk().ledger.read()) == {"new", *others}
    assert not folder.exists()
    assert desk.run("enqueue", "--label", "new", "--message", "x").code == 0
    assert desk.entry("new")["forgetAt"] is None


def test_what_could_not_be_begun_is_held_by_nobody(desk: Dispatching) -> None:
    """Where no process can be looked at, a lease that was left would keep the next try away for minutes."""
    ran = desk.run("run", "--label", "job", "--message", "x", "--agent", "nobody", "--json-events")
    assert ran.code == 77
    assert "owner" not in desk.entry("job")


def test_what_is_wrong_here_is_told_as_the_end_too(desk: Dispatching) -> None:
    words = ("run", "--label", "job", "--message", "x", "--json-events")
    ran = desk.run(*words, OPENCLAW_GATEWAY_TOKEN="")
    (ended,) = ran.lines
    assert (ran.code, ended["event"], ended["status"], ended["cause"]) == (1, "ended", "error", None)
    assert ended["error"].startswith("OPENCLAW_GATEWAY_TOKEN: missing")
    ran = desk.run(*words, DISPATCH_LABELS_PATH="/proc/labels.json")
    (ended,) = ran.lines
    assert (ran.code, ended["cause"]) == (1, None)
    assert ended["error"].startswith("/proc/labels.json: cannot be written")


def test_arguments_that_are_wrong(desk: Dispatching) -> None:
    assert desk.call("run", "--message", "x").code == 2
    assert desk.call("run", "--label", "job").code == 2
    assert desk.call("run", "--label", "job", "--message-file", "/none").code == 2
