"""A chat of a real OpenClaw gateway, end to end: written in Telegram, done by the fleet, and answered there."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.chat_process import CHAT_TOKEN, ChatProcess
from tests.support.fake_telegram import TOKEN as BOT_TOKEN
from tests.support.fake_telegram import FakeTelegram
from tests.support.mock_model import ANSWER, MockModel
from tests.support.real_gateway import TOKEN, RealGateway, installed
from tests.support.spine_process import TOKENS, SpineProcess, free_port

from contract.head_client import HeadClient

pytestmark = [pytest.mark.acceptance, pytest.mark.gateway, pytest.mark.timeout(400)]

ADA, STRANGER, GROUP, TOPIC = 42, 43, -1001, 5
SECONDS = 120.0


@pytest.fixture
def telegram() -> Iterator[FakeTelegram]:
    found = FakeTelegram()
    yield found
    found.close()


@pytest.fixture
def model() -> Iterator[MockModel]:
    found = MockModel().start()
    yield found
    found.stop()


@pytest.fixture
def gateway(model: MockModel, telegram: FakeTelegram, tmp_path: Path) -> Iterator[RealGateway]:
    """A gateway with the channel of Telegram, which is not started yet."""
    packages = installed()
    if packages is None:
        pytest.skip("no OpenClaw gateway is installed: run `make gateway` (npm is needed)")
    found = RealGateway(packages, tmp_path / "gateway", model.url, (telegram.url, BOT_TOKEN))
    yield found
    found.kill9()


@pytest.fixture
def spine(tmp_path: Path) -> Iterator[SpineProcess]:
    process = SpineProcess(tmp_path / "spine", {"CHAT_TOKEN": CHAT_TOKEN}).start()
    yield process
    process.kill9()


@pytest.fixture
def chat(spine: SpineProcess, gateway: RealGateway, tmp_path: Path) -> Iterator[ChatProcess]:
    env = {
        "OPENCLAW_GATEWAY_URL": gateway.url,
        "OPENCLAW_GATEWAY_TOKEN": TOKEN,
        "OPENCLAW_ALLOWED": f"telegram:{ADA}",
        "CHAT_HOOK_TOKEN": "the-token-of-the-hook",
        "CHAT_LISTEN": f"127.0.0.1:{free_port()}",
    }
    process = ChatProcess(tmp_path / "chat", spine.url, None, **env)
    yield process
    process.kill9()


def lay_hook(chat: ChatProcess, folder: Path, **env: str) -> list[str]:
    """Lay the hook's files; return what the gateway is to be told, as words of its own command."""
    command = [sys.executable, "-m", "chat.cli", "hook", "install", "--dir", str(folder)]
    said = subprocess.run(command, env=chat.env | env, capture_output=True, text=True, timeout=150, check=True).stdout
    return next(line for line in said.splitlines() if "openclaw plugins install" in line).split()[1:]


def test_from_a_chat_of_the_gateway_to_the_fleet_and_back(
    telegram: FakeTelegram, model: MockModel, gateway: RealGateway, spine: SpineProcess, chat: ChatProcess
) -> None:
    folder = gateway.folder / "hook"
    gateway.cli(*lay_hook(chat, folder, CHAT_HOOK_TOKEN="an-older-token"))
    gateway.launch()  # it starts meanwhile
    chat.start()
    gateway.wait_ready()
    lay_hook(chat, folder)  # a gateway that runs has the new token at once
    hand = HeadClient(spine.url, TOKENS["LEFT_CLAW_TOKEN"], worker_id="hand", read_seconds=60)

    telegram.write(STRANGER, "!spine ping me too")
    telegram.write(ADA, "!spine ping hello")
    telegram.said(ADA, "Job created:", SECONDS)
    (job,) = hand.claim(capabilities=("broker",), wait=30)
    assert (job.spec, job.label) == ({"command": "ping", "payload": "hello"}, f"openclaw:telegram:{ADA}")
    hand.complete(job.id, job.fence, "pong: hello")
    telegram.said(ADA, "pong: hello", SECONDS)

    telegram.write(ADA, f"!Spine status {job.id}", GROUP, TOPIC)
    said = telegram.said(GROUP, "pong: hello", SECONDS)
    assert said["message_thread_id"] == TOPIC, "where it was asked"

    assert model.prompts == [], "what is for the fleet never reaches the agent"
    telegram.write(ADA, "What is the answer?")
    telegram.said(ADA, ANSWER, SECONDS)
    assert len(model.prompts) == 1, "what is not for the fleet does"

    assert [one["text"] for one in telegram.sent if int(one["chat_id"]) == STRANGER] == []
    assert len([one for one in telegram.sent if "pong: hello" in one["text"]]) == 2, "each answer came once"
