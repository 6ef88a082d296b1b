"""A real spine, a small Discord, the real service between them, and a hand that does what a claw does."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.chat_process import CHAT_TOKEN, ChatProcess
from tests.support.fake_discord import TOKEN, Channel, FakeDiscord, User
from tests.support.spine_process import TOKENS, SpineProcess

from contract.head_client import HeadClient
from contract.wire import Job

StartChat = Callable[..., ChatProcess]
Served = tuple[FakeDiscord, list[User]]
USERS = 16
EVERYTHING = ("broker", "shell", "agent")


class Hand:
    """A claw's token in the hand of a test: jobs are taken, looked at, and ended when the test says so."""

    def __init__(self, url: str) -> None:
        self.client = HeadClient(url, TOKENS["LEFT_CLAW_TOKEN"], worker_id="hand", read_seconds=60)

    def take(self, seconds: int = 30) -> Job:
        """Wait for a job and take it."""
        for _ in range(4):
            found = self.client.claim(capabilities=EVERYTHING, wait=seconds)
            if found:
                return found[0]
        raise AssertionError("no job came")

    def end(self, job: Job, result: Any) -> None:
        self.client.complete(job.id, job.fence, result)

    def do(self, result: Any) -> Job:
        """Take the next job and end it so."""
        job = self.take()
        self.end(job, result)
        return job


@pytest.fixture(scope="module")
def spine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpineProcess]:
    process = SpineProcess(tmp_path_factory.mktemp("spine"), {"CHAT_TOKEN": CHAT_TOKEN}).start()
    yield process
    process.kill9()


@pytest.fixture
def head(spine: SpineProcess) -> HeadClient:
    return HeadClient(spine.url, TOKENS["HEAD_TOKEN"])


@pytest.fixture
def hand(spine: SpineProcess, head: HeadClient) -> Iterator[Hand]:
    yield Hand(spine.url)
    head.bulk("cancel", {"all": True})  # the spine is the module's: no job is left for the next test


@pytest.fixture(scope="module")
def served(spine: SpineProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for the tests of a module that need none of their own, and the users who may speak to it."""
    with FakeDiscord() as discord:
        users = [discord.user(f"user-{n}") for n in range(USERS)]
        allowed = ",".join(str(user.id) for user in users)
        process = ChatProcess(tmp_path_factory.mktemp("chat"), spine.url, discord, ALLOWED_USER_ID=allowed).start()
        yield discord, users
        process.kill9()
        _sound(process)


@pytest.fixture
def someone(served: Served) -> User:
    """A user who has not spoken yet."""
    return served[1].pop()


@pytest.fixture
def dm(someone: User) -> Channel:
    """The direct channel of that user."""
    return someone.dm()


@pytest.fixture
def discord() -> Iterator[FakeDiscord]:
    with FakeDiscord() as server:
        yield server


@pytest.fixture
def start_chat(spine: SpineProcess, discord: FakeDiscord, tmp_path: Path) -> Iterator[StartChat]:
    """Start services, each on a folder of its own; by default for the user `ada`."""
    started: list[ChatProcess] = []

    def start(**env: str) -> ChatProcess:
        allowed = {"ALLOWED_USER_ID": str(discord.user("ada").id)}
        folder = tmp_path / f"chat-{len(started)}"
        started.append(ChatProcess(folder, spine.url, discord, **(allowed | env)))
        return started[-1].start()

    yield start
    for process in started:
        process.kill9()
        _sound(process)


def _sound(process: ChatProcess) -> None:
    log = process.log()
    assert "Traceback" not in log, log
    assert '"level": "error"' not in log, log
    for secret in (CHAT_TOKEN, TOKEN):
        assert secret not in log
