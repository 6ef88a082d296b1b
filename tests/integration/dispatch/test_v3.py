"""A v3 gateway: no row with the history, no pages, admin for a patch, and an overload that is called a success."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.dispatch.conftest import connect, new_key, now
from tests.support.dispatching import Dispatching
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway
from tests.support.mock_model import ANSWER

from dispatch.gateway.errors import MissingScope, NeedsPairing, UnknownAgent
from dispatch.gateway.judge import Outcome
from dispatch.gateway.verdict import verdict


@pytest.fixture
def old() -> Iterator[FakeGateway]:
    with FakeGateway(protocol=3) as gateway:
        yield gateway


def test_v3_is_asked_for_admin_only_where_it_wants_it(old: FakeGateway, tmp_path: Path) -> None:
    session = new_key()
    with connect(old, tmp_path) as client:
        assert client.sessions() == []
        assert [frame["scopes"] for frame in old.connects] == [["operator.read", "operator.write"]]
        client.patch(session, model="mock/answers", spawnDepth=1)
        assert old.connects[-1]["scopes"] == ["operator.read", "operator.write", "operator.admin"]
        assert old.told("sessions.patch")[0]["spawnDepth"] == 1
        row = client.describe(session)
    assert row is not None
    assert (row.key, row.status, row.has_active_run) == (session, None, None)


def test_v3_that_does_not_give_admin(old: FakeGateway, tmp_path: Path) -> None:
    old.granted = ["operator.read", "operator.write"]
    with connect(old, tmp_path) as client:
        with pytest.raises(MissingScope, match=r"operator\.admin"):
            client.patch(new_key(), model="mock/answers")
        # The rest goes on.
        assert client.sessions() == []


def test_v3_that_wants_an_operator_to_agree_to_admin(old: FakeGateway, tmp_path: Path) -> None:
    old.upgrade = True
    with connect(old, tmp_path) as client:
        with pytest.raises(NeedsPairing, match=r"operator\.admin for it; .* openclaw devices approve request-2"):
            client.patch(new_key(), model="mock/answers")
        assert client.sessions() == []
        old.upgrade = False
        assert client.patch(new_key(), model="mock/answers")["ok"] is True


def test_v3_a_run_and_an_overload_that_the_final_frame_calls_a_success(old: FakeGateway, tmp_path: Path) -> None:
    with connect(old, tmp_path) as client:
        session, run_id, at = new_key(), str(uuid.uuid4()), now()
        accepted = client.agent(session, "main", "hello", run_id, 60)
        assert accepted.session_key == session
        final = accepted.final(20)
        assert verdict(client, session, run_id, at, now=now, final=final).outcome == Outcome(
            state="ok", text="Forty-two."
        )
        assert verdict(client, session, run_id, at, now=now).outcome == Outcome(state="ok", text="Forty-two.")
        busy, run_id, at = new_key(), str(uuid.uuid4()), now()
        client.patch(busy, model="mock/busy")
        final = client.agent(busy, "main", "hello", run_id, 60).final(20)
        assert final is not None
        assert final.ok
        found = verdict(client, busy, run_id, at, now=now, final=final).outcome
        assert (found.state, found.kind, found.text) == ("failed", "overload", "")


def test_v3_a_run_that_was_killed_is_lost(old: FakeGateway, tmp_path: Path) -> None:
    session, run_id, at = new_key(), str(uuid.uuid4()), now()
    with connect(old, tmp_path) as client:
        client.patch(session, model="mock/sleeps")
        client.agent(session, "main", "hello", run_id, 60)
        eventually(lambda: old.prompts)
        assert verdict(client, session, run_id, at, now=lambda: now() + 60_000).outcome == Outcome(state="running")
        old.kill(committed=False)
        old.start()
        found = verdict(client, session, run_id, at, now=lambda: now() + 60_000, sleep=lambda seconds: None).outcome
        row = client.describe(session)
    # Its row says "running" for ever; but the gateway began after the run did.
    assert row is not None
    assert row.status == "running"
    assert found.state == "lost"


def test_v3_an_unknown_agent_gets_no_session(old: FakeGateway, tmp_path: Path) -> None:
    with connect(old, tmp_path) as client:
        with pytest.raises(UnknownAgent, match="nobody"):
            client.patch("agent:nobody:subagent:1", model="mock/answers")
        assert old.told("sessions.patch") == []


def test_v3_is_asked_for_admin_by_each_connection_though_it_tells_what_the_device_has(
    old: FakeGateway, tmp_path: Path
) -> None:
    for _ in range(2):
        with connect(old, tmp_path) as client:
            assert "operator.admin" not in client.granted.scopes
            assert client.patch(new_key(), model="mock/answers")["ok"] is True


def test_v3_carries_out_the_verbs(old: FakeGateway, tmp_path: Path) -> None:
    desk = Dispatching(tmp_path / "home", old.url)
    ran = desk.call("enqueue", "--label", "L", "--message", "say it", "--model", "mock/answers")
    assert ran.code == 0, ran.err
    key = ran.answer["sessionKey"]
    eventually(lambda: old.sessions[key].row.get("status") == "done", what="the end of the run")
    assert desk.call("result", "--label", "L").answer["lastReply"] == ANSWER
    assert desk.call("send", "--label", "L", "--message", "once more").code == 0
    eventually(lambda: old.prompts[-1] == "once more", what="the second turn")
    assert desk.call("heartbeat", "--label", "L").answer["alive"] is True
    assert desk.call("status", "--label", "L").answer["found"] is True
    assert [entry["label"] for entry in desk.call("list").answer["labels"]] == ["L"]
    assert desk.call("sync").answer["ok"] is True
    mark = f"--token-file={desk.desk().keeping('L').token_file}"
    words = ("--label", "L", "--checklist", '{"work_complete": true}', "--force-done", "--reason", "test", mark)
    assert desk.call("done", *words).answer["status"] == "done"


def test_v3_is_steered_by_a_turn_of_its_own_that_is_awaited(old: FakeGateway, tmp_path: Path) -> None:
    desk = Dispatching(tmp_path / "home", old.url)
    with desk.process("run", "--label", "job", "--message", "x", "--model", "mock/sleeps", "--json-events") as child:
        assert child.stdin is not None
        eventually(lambda: old.prompts, what="the prompt")
        child.stdin.write('{"steer": "go left"}\n')
        child.stdin.flush()
        eventually(lambda: [call for call in old.told("agent") if call["message"] == "go left"], what="the steering")
        old.wake()
        eventually(lambda: old.prompts == ["x", "go left"], what="a turn of its own")
        old.wake()
        out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert '"status":"ok"' in out.splitlines()[-1]
