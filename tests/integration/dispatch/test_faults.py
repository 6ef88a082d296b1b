"""What a gateway can do wrong, and what a v3 one does otherwise: each ends in a clear error, in time."""

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.integration.dispatch.conftest import connect, new_key, now, settings_for
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway
from tests.support.spine_process import free_port

from contract.env import SettingsError
from dispatch.gateway import connection
from dispatch.gateway.client import Gateway
from dispatch.gateway.errors import GatewayError, MissingScope, ProtocolFault, Unauthorized, Unreachable, Unsupported
from dispatch.gateway.judge import Outcome
from dispatch.gateway.verdict import verdict

# --- no answer -----------------------------------------------------------------------------------------------------


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cannot be reached") as raised:
        Gateway.connect(settings_for(f"http://127.0.0.1:{free_port()}", tmp_path))
    assert (raised.value.retryable, raised.value.sent) == (True, False)


@pytest.mark.parametrize("mute", ["handshake", "connect"])
def test_a_gateway_that_takes_the_connection_and_says_nothing(
    fake: FakeGateway, tmp_path: Path, mute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "OPEN_SECONDS", 0.3)
    fake.mute = mute
    with pytest.raises(Unreachable, match="stuck"):
        connect(fake, tmp_path, patience=0.3)


def test_a_gateway_that_accepts_and_never_answers(fake: FakeGateway, tmp_path: Path) -> None:
    with connect(fake, tmp_path) as client:
        fake.mute = "requests"
        with pytest.raises(Unreachable, match="did not answer") as raised:
            client.agent(new_key(), "main", "hello", str(uuid.uuid4()), 60, seconds=0.3)
        assert raised.value.sent


def test_silence_of_two_ticks_is_a_dead_link(fake: FakeGateway, tmp_path: Path) -> None:
    fake.tick_ms = 800
    with connect(fake, tmp_path) as client:
        session = new_key()
        client.patch(session, model="mock/sleeps")
        accepted = client.agent(session, "main", "hello", str(uuid.uuid4()), 60)
        for _ in range(3):  # ticks alone keep it alive, for longer than two of them
            while (event := client.events.next(30)) is None or event.name != "tick":
                assert event is not None
        fake.mute = "ticks"
        with pytest.raises(Unreachable, match="silent"):
            accepted.final(10)


@pytest.mark.parametrize("text", ["hello", "[]", '{"type":"res"}', '{"type":"event","event":"connect.challenge"}', "{"])
def test_something_else_listens(fake: FakeGateway, tmp_path: Path, text: str) -> None:
    fake.garbage = text
    with pytest.raises((ProtocolFault, Unreachable)):
        connect(fake, tmp_path, patience=0.1)


class WebServer(BaseHTTPRequestHandler):
    """It knows no method at all."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_web_server_listens(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), WebServer)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        with pytest.raises(ProtocolFault, match="HTTP 501"):
            Gateway.connect(settings_for(f"http://127.0.0.1:{server.server_port}", tmp_path))
    finally:
        server.shutdown()
        server.server_close()


# --- the link breaks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1012, 1013])
def test_a_gateway_that_starts_or_stops_is_waited_for(fake: FakeGateway, tmp_path: Path, code: int) -> None:
    fake.close_next.extend([code, code])
    with connect(fake, tmp_path, patience=20) as client:
        assert client.granted.protocol == 4
    assert not fake.close_next


def test_one_that_never_ends_to_start_is_given_up(fake: FakeGateway, tmp_path: Path) -> None:
    fake.close_next.extend([1013] * 1000)
    with pytest.raises(Unreachable, match="1013") as raised:
        connect(fake, tmp_path, patience=0.5)
    assert raised.value.starting
    assert len(fake.close_next) > 980


@pytest.mark.parametrize("method", ["chat.history", "sessions.patch", "sessions.list", "agent.wait", "sessions.abort"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_may_be_done_twice_is_repeated(fake: FakeGateway, tmp_path: Path, method: str, moment: str) -> None:
    session = new_key()
    calls = {
        "chat.history": lambda: client.describe(session),
        "sessions.patch": lambda: client.patch(session, model="mock/answers"),
        "sessions.list": lambda: client.sessions(),
        "agent.wait": lambda: client.wait("x", 0),
        "sessions.abort": lambda: client.abort(session),
    }
    with connect(fake, tmp_path) as client:
        setattr(fake, f"drop_{moment}", method)
        calls[method]()
        assert len(fake.told(method)) == (1 if moment == "before" else 2)
        assert len(fake.connects) == 2


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_message_to_an_agent_is_never_repeated(fake: FakeGateway, tmp_path: Path, moment: str) -> None:
    session, run_id, at = new_key(), str(uuid.uuid4()), now()
    with connect(fake, tmp_path) as client:
        setattr(fake, f"drop_{moment}", "agent")
        with pytest.raises(Unreachable) as raised:
            client.agent(session, "main", "hello", run_id, 60)
        assert raised.value.sent
        assert len(fake.told("agent")) == (0 if moment == "before" else 1)
        # The row and the history tell what became of it.
        found = verdict(client, session, run_id, at, now=lambda: now() + 60_000, sleep=lambda seconds: None).outcome
        assert found.state == "lost" if moment == "before" else eventually(lambda: _ok(client, session, run_id, at))


def _ok(client: Gateway, session: str, run_id: str, at: int) -> bool:
    return verdict(client, session, run_id, at, now=now).outcome == Outcome(state="ok", text="Forty-two.")


def test_one_that_dies_while_a_run_is_waited_for(fake: FakeGateway, tmp_path: Path) -> None:
    session = new_key()
    with connect(fake, tmp_path) as client:
        client.patch(session, model="mock/sleeps")
        accepted = client.agent(session, "main", "hello", str(uuid.uuid4()), 60)
        fake.kill()
        with pytest.raises(Unreachable):
            accepted.final(20)
        assert client.events.next(5) is not None
        with pytest.raises(Unreachable, match="cannot be reached"):
            client.describe(session)
        fake.start()
        assert client.describe(session) is not None


def test_a_closed_client_says_so(fake: FakeGateway, tmp_path: Path) -> None:
    client = connect(fake, tmp_path)
    client.close()
    with pytest.raises(Unreachable, match="closed"):
        client.describe(new_key())
    assert not [thread for thread in threading.enumerate() if thread.name == "gateway-reader"]


# --- what it lets us do --------------------------------------------------------------------------------------------


def test_fewer_scopes_than_asked_for_are_told_at_once(fake: FakeGateway, tmp_path: Path) -> None:
    fake.granted = []
    with pytest.raises(MissingScope, match=r"operator\.read, operator\.write") as raised:
        connect(fake, tmp_path)
    assert raised.value.scopes == ("operator.read", "operator.write")
    fake.granted = ["operator.read"]
    with pytest.raises(MissingScope, match=r"operator\.write"):
        connect(fake, tmp_path)
    # Write covers reading.
    fake.granted = ["operator.write"]
    with connect(fake, tmp_path) as client:
        assert client.sessions() == []


def test_a_method_that_is_not_there_is_told_at_once(fake: FakeGateway, tmp_path: Path) -> None:
    fake.without = {"sessions.abort"}
    with pytest.raises(Unsupported, match=r"sessions\.abort"):
        connect(fake, tmp_path)


def test_a_protocol_that_we_do_not_speak(fake: FakeGateway, tmp_path: Path) -> None:
    fake.protocol = 5
    with pytest.raises(Unsupported, match="protocol 5"):
        connect(fake, tmp_path)


def test_without_any_token_the_device_is_asked_for_one(fake: FakeGateway, tmp_path: Path) -> None:
    settings = settings_for(fake.url, tmp_path, token=None)
    with pytest.raises(SettingsError, match="OPENCLAW_GATEWAY_TOKEN: missing"):
        Gateway.connect(settings)
    assert fake.connects == []


def test_the_frame_of_the_handshake(fake: FakeGateway, tmp_path: Path) -> None:
    with connect(fake, tmp_path):
        pass
    (frame,) = fake.connects
    assert (frame["minProtocol"], frame["maxProtocol"], frame["role"]) == (3, 4, "operator")
    assert (frame["client"]["id"], frame["client"]["mode"]) == ("gateway-client", "backend")
    assert frame["scopes"] == ["operator.read", "operator.write"]
    assert set(frame["device"]) == {"id", "publicKey", "signature", "signedAt", "nonce"}


def test_another_devices_key_is_not_taken(fake: FakeGateway, tmp_path: Path) -> None:
    with connect(fake, tmp_path / "one") as client:
        device_id = client.device_id
    with connect(fake, tmp_path / "two") as client:
        assert client.device_id != device_id
    # A signature over another nonce, as from a replayed frame, is refused: the fake holds each to its own.
    fake.token = "another"
    with pytest.raises(Unauthorized):
        connect(fake, tmp_path / "one")


# --- answers ---------------------------------------------------------------------------------------------------------


def test_answers_out_of_order_find_their_calls(fake: FakeGateway, tmp_path: Path) -> None:
    with connect(fake, tmp_path) as client:
        keys = [new_key(), new_key()]
        for one in keys:
            client.patch(one, model="mock/answers")
        fake.shuffle = True
        found: dict[str, str] = {}

        def look(one: str) -> None:
            row = client.describe(one)
            found[one] = row.key if row else ""

        threads = [threading.Thread(target=look, args=(one,)) for one in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        fake.shuffle = False
    assert found == {one: one for one in keys}


def test_all_pages_of_the_sessions_are_read(fake: FakeGateway, tmp_path: Path) -> None:
    fake.page = 7
    with connect(fake, tmp_path) as client:
        keys = {new_key() for _ in range(30)}
        for one in keys:
            client.patch(one)
        assert {row.key for row in client.sessions()} == keys
        assert len(fake.told("sessions.list")) == 5


def test_an_overload_is_known_by_its_kind(fake: FakeGateway, tmp_path: Path) -> None:
    session, run_id, at = new_key(), str(uuid.uuid4()), now()
    with connect(fake, tmp_path) as client:
        client.patch(session, model="mock/busy")
        final = client.agent(session, "main", "hello", run_id, 60).final(20)
        assert final is not None
        assert client.events.reason(run_id) == "overloaded"
        for found in (
            verdict(client, session, run_id, at, now=now, final=final).outcome,
            verdict(client, session, run_id, at, now=now).outcome,
        ):
            assert (found.state, found.kind, found.text) == ("failed", "overload", "")


def test_a_label_in_use_and_a_thinking_level_are_told_as_the_gateway_does(fake: FakeGateway, tmp_path: Path) -> None:
    with connect(fake, tmp_path) as client:
        client.patch(new_key(), label="one")
        with pytest.raises(GatewayError, match="label already in use"):
            client.patch(new_key(), label="one")
        with pytest.raises(GatewayError, match="use one of: off"):
            client.patch(new_key(), thinkingLevel="high")
        assert client.patch(new_key(), spawnDepth=1)["ok"] is True
        with pytest.raises(ValueError, match="mode"):
            client.steer(new_key(), "x", str(uuid.uuid4()), mode="loudly")


def test_the_whole_conversation_is_json_objects_on_text_frames(fake: FakeGateway, tmp_path: Path) -> None:
    with connect(fake, tmp_path) as client:
        client.patch(new_key(), label="ä 🙂")
    assert json.dumps(fake.told("sessions.patch"), ensure_ascii=False).count("ä 🙂") == 1
