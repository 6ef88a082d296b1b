"""The gateway's hook on the Node of the gateway, without one: what it hands over, what it leaves, and what it says."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.real_gateway import installed
from tests.support.receiver import Receiver, Say
from tests.support.spine_process import free_port

from chat import hook
from chat.settings import Hook
from contract.env import Secret

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(400)]

SCRIPT = Path(__file__).parents[2] / "support" / "openclaw_hook.mjs"
CANNOT = "The fleet's chat service cannot be reached. Try again in a minute."
LISTENED, STRANGER = Say(202), Say(204)
Handle = Callable[..., dict[str, Any]]


@pytest.fixture
def service() -> Iterator[Receiver]:
    """The chat service, as far as the hook sees it."""
    found = Receiver(LISTENED)
    yield found
    found.close()


@pytest.fixture
def handle(tmp_path: Path) -> Handle:
    """Install the hook for an address, and hand it messages."""
    packages = installed()
    if packages is None:
        pytest.skip("no OpenClaw gateway is installed: run `make gateway` (npm is needed)")
    node = packages / "node_modules" / ".bin" / "node"

    def run(url: str, *messages: dict[str, Any]) -> dict[str, Any]:
        folder = tmp_path / "hook"
        hook.lay(folder, Hook(url=f"{url}/openclaw", token=Secret("the-token-of-the-hook"), prefix="!spine"))
        done = subprocess.run(
            [node, SCRIPT, folder, json.dumps(messages)], capture_output=True, text=True, timeout=90, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def wrote(content: str, sender: str = "42", **more: Any) -> dict[str, Any]:
    return {"content": content, "senderId": sender, **more}


def test_a_message_with_the_prefix_goes_to_the_service_and_not_to_the_agent(service: Receiver, handle: Handle) -> None:
    did = handle(service.url, wrote("  !Spine  ping hello\nyou "))["did"]

    assert did[0]["answer"] == {"handled": True}
    (call,) = service.calls(1)
    assert call.path == "/openclaw"
    assert call.headers["authorization"] == "Bearer the-token-of-the-hook"
    assert call.json == {
        "id": "7",
        "channel": "telegram",
        "account": "default",
        "to": "telegram:42",
        "sender": "42",
        "name": "Ada",
        "direct": True,
        "text": "ping hello\nyou",
    }


@pytest.mark.parametrize("content", ["hello", "!spineless", "say !spine ping", "", "spine ping"])
def test_any_other_message_goes_its_way(service: Receiver, handle: Handle, content: str) -> None:
    found = handle(service.url, wrote(content))

    assert (found["did"][0]["answer"], found["warned"], service.ledger) == (None, [], [])


@pytest.mark.parametrize("nowhere", [{}, {"senderId": "cli", "channel": "webchat"}], ids=["no-sender", "gateways-page"])
def test_what_could_not_be_answered_is_the_agents(service: Receiver, handle: Handle, nowhere: dict[str, str]) -> None:
    assert handle(service.url, {"content": "!spine ping", **nowhere})["did"][0]["answer"] is None
    assert service.ledger == []


@pytest.mark.parametrize("fault", [Say(503), Say(lost=True), Say(hang=True)], ids=["503", "lost", "slow"])
def test_a_fault_that_passes_is_not_noticed(service: Receiver, handle: Handle, fault: Say) -> None:
    service.then(fault, LISTENED)
    found = handle(service.url, wrote("!spine ping"))

    assert (found["did"][0]["answer"], found["warned"]) == ({"handled": True}, [])
    assert len({call.body for call in service.calls(2)}) == 1, "the same message"


def test_a_user_is_told_of_an_outage_a_stranger_is_not(service: Receiver, handle: Handle) -> None:
    service.then(LISTENED, STRANGER, Say(503))
    messages = [wrote("!spine ping", sender) for sender in ("42", "43", "42", "43", "44")]
    found = handle(service.url, *messages)

    told = [one["answer"] for one in found["did"]]
    silent = {"handled": True}
    assert told == [silent, silent, {"handled": True, "text": CANNOT}, silent, silent]
    assert found["warned"] == ["a message for the fleet was not handed over: the service answered 503"] * 3


def test_a_service_that_is_away_is_given_up_within_ten_seconds_and_its_token_is_not_told(handle: Handle) -> None:
    found = handle(f"http://127.0.0.1:{free_port()}", wrote("!spine ping"))

    assert found["warned"] == ["a message for the fleet was not handed over: ECONNREFUSED"]
    assert found["did"][0]["seconds"] < 10


@pytest.mark.parametrize("status", [400, 401, 413])
def test_what_the_service_refuses_is_not_sent_again(service: Receiver, handle: Handle, status: int) -> None:
    service.then(Say(status))

    assert handle(service.url, wrote("!spine ping"))["did"][0]["answer"] == {"handled": True}
    assert len(service.ledger) == 1
