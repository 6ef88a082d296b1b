"""The client against a gateway, the fake and the real one: what it must hear, and what is made of it."""

import stat
import threading
import time
import uuid
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.integration.dispatch.conftest import World, settings_for
from tests.support.eventually import eventually
from tests.support.real_gateway import TOKEN

from contract.env import Secret
from dispatch.gateway import judge
from dispatch.gateway.client import Gateway
from dispatch.gateway.errors import NeedsPairing, Refused, Unauthorized, UnknownAgent, Unreachable
from dispatch.gateway.judge import Outcome
from dispatch.gateway.rows import Final
from dispatch.gateway.runs import Accepted
from dispatch.gateway.verdict import verdict
from dispatch.settings import Settings

# The real one has to start three times, on a machine that runs other tests too.
pytestmark = pytest.mark.timeout(400)

RUN_SECONDS = 60.0


def now() -> int:
    return time.time_ns() // 1_000_000


def opened_by(settings: Settings, **secrets: Secret | None) -> Settings:
    """Return settings whose gateway is opened by something else than its token."""
    return replace(settings, gateway=replace(settings.gateway, **secrets))


class Session:
    """A session of its own for one test."""

    def __init__(self, gateway: Gateway, model: str) -> None:
        self.gateway, self.key = gateway, f"agent:main:subagent:{uuid.uuid4()}"
        gateway.patch(self.key, model=f"mock/{model}")

    def run(self, message: str, timeout: int = 60) -> "Run":
        return Run(self, message, timeout)


class Run:
    """A run that was accepted."""

    def __init__(self, session: Session, message: str, timeout: int) -> None:
        self.session, self.id, self.at = session, str(uuid.uuid4()), now()
        self.accepted: Accepted = session.gateway.agent(session.key, "main", message, self.id, timeout)

    def final(self) -> Final:
        found = self.accepted.final(RUN_SECONDS)
        assert found is not None, "the run did not end in time"
        return found

    def outcome(self, final: Final | None = None, later_ms: int = 0) -> Outcome:
        return verdict(
            self.session.gateway,
            self.session.key,
            self.id,
            self.at,
            now=lambda: now() + later_ms,
            final=final,
            sleep=lambda seconds: None,
        ).outcome


def test_the_right_token_gets_what_was_asked_for(gateway: Gateway, home: Path) -> None:
    assert gateway.granted.protocol == 4
    assert gateway.granted.scopes >= {"operator.read", "operator.write"}
    assert "sessions.patch" in gateway.granted.methods
    assert gateway.granted.boot_id
    assert len(gateway.device_id) == 64
    assert stat.S_IMODE((home / "device.json").stat().st_mode) == 0o600


def test_a_wrong_token_is_named_and_not_shown(world: World, home: Path) -> None:
    with pytest.raises(Unauthorized, match="OPENCLAW_GATEWAY_TOKEN") as raised:
        Gateway.connect(settings_for(world.url, home, "wrong-token-7531"))
    assert "wrong-token-7531" not in str(raised.value)
    assert not raised.value.retryable


def test_an_agent_that_does_not_exist_is_named_and_nothing_begins(gateway: Gateway) -> None:
    key = f"agent:nobody:subagent:{uuid.uuid4()}"
    with pytest.raises(UnknownAgent, match="nobody"):
        gateway.agent(key, "nobody", "hello", str(uuid.uuid4()), 60)
    with pytest.raises(UnknownAgent, match="nobody"):
        gateway.patch(key, model="mock/answers")
    assert gateway.describe(key) is None


def test_an_agent_that_is_not_the_keys_is_refused(gateway: Gateway) -> None:
    with pytest.raises(Refused, match="belongs to"):
        gateway.agent(f"agent:main:subagent:{uuid.uuid4()}", "other", "hello", str(uuid.uuid4()), 60)


def test_a_message_without_text_is_refused(gateway: Gateway) -> None:
    with pytest.raises(Refused, match="/message") as raised:
        gateway.agent(f"agent:main:subagent:{uuid.uuid4()}", "main", "", str(uuid.uuid4()), 60)
    assert raised.value.gateway_code == "INVALID_REQUEST"


def test_a_device_from_elsewhere_is_paired_and_then_needs_no_shared_token(world: World, tmp_path: Path) -> None:
    with world.outside() as url:
        with pytest.raises(NeedsPairing, match="openclaw devices approve") as raised:
            Gateway.connect(settings_for(url, tmp_path))
        assert raised.value.request_id in str(raised.value)
        assert len(raised.value.device_id) == 64
        world.approve(raised.value.request_id)
        with Gateway.connect(settings_for(url, tmp_path)) as client:
            assert client.device_id == raised.value.device_id
        # The gateway gave this device a token of its own.
        bare = opened_by(settings_for(url, tmp_path), token=None)
        with Gateway.connect(bare) as client:
            assert client.granted.scopes >= {"operator.read", "operator.write"}


def test_the_token_opens_as_a_password_too(world: World, home: Path) -> None:
    settings = opened_by(settings_for(world.url, home), token=None, password=Secret(TOKEN))
    with Gateway.connect(settings) as it:
        assert "operator.write" in it.granted.scopes


def test_a_run_that_answers(gateway: Gateway) -> None:
    session = Session(gateway, "answers")
    assert gateway.history(session.key) == []
    run = session.run("What is six times seven?")
    assert (run.accepted.run_id, run.accepted.status, run.accepted.repeated) == (run.id, "accepted", False)
    assert run.accepted.session_key == session.key
    final = run.final()
    assert (final.ok, final.status, final.text, final.error) == (True, "ok", "Forty-two.", None)
    assert final.usage is not None
    assert (final.usage.input, final.usage.output, final.usage.total) == (100, 10, 110)
    assert [(m.role, m.text, m.run_id) for m in gateway.history(session.key)] == [
        ("user", "What is six times seven?", run.id),
        ("assistant", "Forty-two.", run.id),
    ]
    assert run.outcome(final=final) == Outcome(state="ok", text="Forty-two.")
    # Also for one who did not hear the end.
    found = eventually(lambda: (o := run.outcome()).state != "running" and o, what="an end")
    assert found == Outcome(state="ok", text="Forty-two.")
    row = gateway.describe(session.key)
    assert row is not None
    assert (row.status, row.active, row.last_run_id, row.model) == ("done", False, run.id, "answers")
    assert session.key in [found.key for found in gateway.sessions()]
    assert gateway.wait(run.id, 5).ended


def test_a_long_prompt_arrives_whole(gateway: Gateway, world: World) -> None:
    session, mark = Session(gateway, "echo"), str(uuid.uuid4())
    final = session.run(f"{mark}\n" + "x" * 200_000 + "\nthe last line").final()
    assert final.text == "the last line"
    assert world.asked(mark) == 1


def test_a_long_answer_is_not_cut_off(gateway: Gateway, world: World) -> None:
    session, text = Session(gateway, "scripted"), "word " * 20_000 + "end"
    world.script(text)
    run = session.run("Speak at length.")
    assert run.final().text == text
    assert eventually(lambda: run.outcome().state == "ok", what="the row's word")
    assert run.outcome() == Outcome(state="ok", text=text)


def test_the_same_key_starts_no_second_run(gateway: Gateway, world: World) -> None:
    session, mark = Session(gateway, "sleeps"), str(uuid.uuid4())
    run = session.run(mark)
    world.await_prompt(mark)
    again = gateway.agent(session.key, "main", mark, run.id, 60)
    assert (again.status, again.repeated) == ("in_flight", True)
    world.wake()
    assert run.final().text == "Forty-two."
    later = gateway.agent(session.key, "main", mark, run.id, 60)
    assert later.repeated
    stored = later.final(0)
    assert stored is not None
    assert (stored.ok, stored.text) == (True, "Forty-two.")
    assert world.asked(mark) == 1


def test_abort_ends_a_run_and_says_whether_there_was_one(gateway: Gateway, world: World) -> None:
    session = Session(gateway, "sleeps")
    run = session.run(mark := str(uuid.uuid4()))
    world.await_prompt(mark)
    assert run.outcome() == Outcome(state="running")
    assert gateway.abort(session.key) is True
    final = run.final()
    assert not final.ok
    assert run.outcome(final=final).state == "aborted"
    assert eventually(lambda: run.outcome().state == "aborted", what="the row's word")
    assert gateway.abort(session.key) is False
    assert gateway.abort(f"agent:main:subagent:{uuid.uuid4()}") is False
    world.wake()


def test_a_run_over_its_time_is_timed_out(gateway: Gateway, world: World) -> None:
    run = Session(gateway, "sleeps").run("sleep", timeout=1)
    final = run.final()
    assert (final.ok, final.status) == (False, "timeout")
    assert run.outcome(final=final).state == "timed_out"
    world.wake()


def test_a_run_that_fails_tells_why_and_no_error_is_taken_for_an_answer(gateway: Gateway, world: World) -> None:
    session = Session(gateway, "answers")
    assert session.run("first").final().ok
    world.fail_next(400, "made to fail")
    run = session.run("second")
    final = run.final()
    assert not final.ok
    assert final.text == ""
    for found in (run.outcome(final=final), eventually(lambda: (o := run.outcome()).state != "running" and o)):
        assert (found.state, found.kind, found.text) == ("failed", "permanent", "")
        assert found.message
    assert judge.answer(gateway.history(session.key), run.id, run.at) is None


def test_a_second_message_waits_for_its_turn(gateway: Gateway, world: World) -> None:
    session = Session(gateway, "sleeps")
    first = session.run(mark := str(uuid.uuid4()))
    world.await_prompt(mark)
    second = session.run(later := str(uuid.uuid4()))
    assert second.outcome() == Outcome(state="running")
    assert first.outcome() == Outcome(state="running")
    world.wake()
    assert first.final().ok
    # The first one's end does not make the second one over.
    world.await_prompt(later)
    assert first.outcome() == Outcome(state="ok", text="Forty-two.")
    assert second.outcome() == Outcome(state="running")
    world.wake()
    assert second.final().ok
    assert second.outcome(final=second.final()).text == "Forty-two."


def test_an_interrupting_message_cuts_the_turn(gateway: Gateway, world: World) -> None:
    session = Session(gateway, "sleeps")
    run = session.run(mark := str(uuid.uuid4()))
    world.await_prompt(mark)
    steered = gateway.steer(session.key, word := str(uuid.uuid4()), str(uuid.uuid4()), mode="interrupt")
    final = run.final()
    assert (final.ok, final.status) == (False, "timeout")
    assert run.outcome(final=final).state == "aborted"
    world.await_prompt(word)
    world.wake()
    found = eventually(lambda: judge.answer(gateway.history(session.key), steered, run.at), RUN_SECONDS)
    assert found == "Forty-two."


def test_many_threads_share_one_connection(gateway: Gateway) -> None:
    key, found = Session(gateway, "answers").key, []

    def look() -> None:
        found.extend(gateway.describe(key) for _ in range(5))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [row.key for row in found if row is not None] == [key] * 40


def test_events_wake_early(gateway: Gateway) -> None:
    session = Session(gateway, "answers")
    run = session.run("hello")
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        event = gateway.events.next(1.0, session.key)
        if event is not None and event.name == "chat" and event.payload.get("state") == "final":
            break
    else:
        raise AssertionError("no event told of the end")
    assert event.run_id == run.id


def test_a_session_that_is_not_there(gateway: Gateway) -> None:
    key = f"agent:main:subagent:{uuid.uuid4()}"
    assert gateway.describe(key) is None
    assert gateway.history(key) == []
    assert not gateway.wait(str(uuid.uuid4()), 0).ended


def test_a_run_that_was_killed_with_its_gateway_is_lost_and_starts_again(world: World, gateway: Gateway) -> None:
    before = Session(gateway, "answers").run("before the restart")
    assert before.final().ok
    session, mark, boot = Session(gateway, "sleeps"), str(uuid.uuid4()), gateway.granted.boot_id
    run = session.run(mark)
    world.await_prompt(mark)
    world.kill()
    with pytest.raises(Unreachable):
        run.accepted.final(20)
    world.start()
    # The same client opens its connection anew, and what had ended is there.
    assert before.outcome() == Outcome(state="ok", text="Forty-two.")
    assert gateway.granted.boot_id != boot
    # For a while the row might only lag behind.
    assert run.outcome(later_ms=run.at - now()).state == "running"
    found = run.outcome(later_ms=60_000)
    assert found.state == "lost"
    assert "original prompt" in found.message
    # The prompt goes again, with a fresh key, into the session that is still there.
    gateway.patch(session.key, model="mock/answers")
    again = session.run(mark)
    assert again.final().ok
    assert again.outcome(final=again.final()) == Outcome(state="ok", text="Forty-two.")


def test_a_gateway_that_stops_in_order_ends_its_runs_first(world: World, gateway: Gateway) -> None:
    session, mark = Session(gateway, "sleeps"), str(uuid.uuid4())
    run = session.run(mark)
    world.await_prompt(mark)
    stopping = threading.Thread(target=world.stop)
    stopping.start()
    assert run.accepted.final(1.0) is None
    world.wake()
    assert run.final().text == "Forty-two."
    stopping.join(60)
    assert not stopping.is_alive()
    with pytest.raises(Unreachable):
        gateway.describe(session.key)
