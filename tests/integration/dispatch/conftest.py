"""A gateway to dispatch to: the fake one, and the real one where `make gateway` has installed it."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway
from tests.support.forwarding import Forwarding
from tests.support.mock_model import MockModel
from tests.support.real_gateway import TOKEN, RealGateway, installed

from dispatch.gateway.client import Gateway
from dispatch.settings import Settings, from_env


class World(Protocol):
    """A gateway, with what a test does to it from outside."""

    url: str

    def outside(self) -> contextlib.AbstractContextManager[str]:
        """Give an address by which clients come from elsewhere, so that their device has to be paired."""

    def approve(self, request_id: str) -> None:
        """Pair a device, as an operator does."""

    def await_prompt(self, text: str) -> None:
        """Wait until the model has been asked something with this text."""

    def wake(self) -> None:
        """Let the model `sleeps` answer."""

    def asked(self, text: str) -> int:
        """Return how often the model was asked something with this text."""

    def fail_next(self, status: int, text: str) -> None:
        """Let the model's next answer be an HTTP error."""

    def script(self, *replies: str) -> None:
        """Give the model `scripted` its replies."""

    def stop(self) -> None:
        """End in order (SIGTERM)."""

    def kill(self) -> None:
        """End at once (SIGKILL)."""

    def start(self) -> None:
        """Start again, on the same port and folder; returns when it is ready."""


class Fake:
    """The fake gateway as a world."""

    def __init__(self) -> None:
        self.gateway = FakeGateway().start()
        self.url = self.gateway.url

    @contextmanager
    def outside(self) -> Iterator[str]:
        self.gateway.pairing = True
        try:
            yield self.url
        finally:
            self.gateway.pairing = False

    def approve(self, request_id: str) -> None:
        assert request_id == "request-1"
        self.gateway.approve()

    def await_prompt(self, text: str) -> None:
        eventually(lambda: self.asked(text), what=f"the prompt {text!r}")

    def wake(self) -> None:
        self.gateway.wake()

    def asked(self, text: str) -> int:
        return sum(text in prompt for prompt in self.gateway.prompts)

    def fail_next(self, status: int, text: str) -> None:
        self.gateway.error_text = f"LLM request failed: HTTP {status} {text}"

    def script(self, *replies: str) -> None:
        self.gateway.replies.extend(replies)

    def stop(self) -> None:
        self.gateway.stop()

    def kill(self) -> None:
        self.gateway.kill()

    def start(self) -> None:
        self.gateway.start()

    def close(self) -> None:
        """End it for good."""
        self.gateway.wake()
        self.gateway.kill()


class Real:
    """A real gateway with a mock model, as a world."""

    def __init__(self, packages: Path, folder: Path) -> None:
        self.model = MockModel().start()
        self.gateway = RealGateway(packages, folder / "gateway", self.model.url).start()
        self.url = self.gateway.url

    @contextmanager
    def outside(self) -> Iterator[str]:
        with Forwarding(self.gateway.port) as relay:
            yield relay.url

    def approve(self, request_id: str) -> None:
        self.gateway.cli("devices", "approve", request_id)

    def await_prompt(self, text: str) -> None:
        eventually(lambda: self.asked(text), 30, what=f"the prompt {text!r}")

    def wake(self) -> None:
        self.model.wake()

    def asked(self, text: str) -> int:
        return self.model.asked(text)

    def fail_next(self, status: int, text: str) -> None:
        self.model.fail_next(1, status)

    def script(self, *replies: str) -> None:
        self.model.script(*replies)

    def stop(self) -> None:
        self.gateway.stop()

    def kill(self) -> None:
        self.gateway.kill9()
        self.model.wake()

    def start(self) -> None:
        self.gateway.start()

    def close(self) -> None:
        """End it for good."""
        self.model.stop()
        self.gateway.kill9()


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """Start the real gateway once for a session: it takes its time."""
    packages = installed()
    if packages is None:
        pytest.skip("no OpenClaw gateway is installed: run `make gateway` (npm is needed)")
    world = Real(packages, tmp_path_factory.mktemp("real"))
    yield world
    world.close()


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.gateway)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Run a test against both gateways."""
    if request.param == "real":
        found = request.getfixturevalue("real")
        if not found.gateway.running:  # the module before left it so
            found.start()
        yield found
        return
    fake = Fake()
    yield fake
    fake.close()


Settle = Callable[..., Settings]


def settings_for(url: str, home: Path, token: str | None = TOKEN) -> Settings:
    """Return settings as a person's environment gives them."""
    environ = {"OPENCLAW_GATEWAY_URL": url, "SPINE_DISPATCH_HOME": str(home)}
    return from_env({**environ, **({"OPENCLAW_GATEWAY_TOKEN": token} if token else {})})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the device's identity, the same for all tests of a module."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def gateway(world: World, home: Path) -> Iterator[Gateway]:
    """A client that is connected."""
    with Gateway.connect(settings_for(world.url, home)) as client:
        yield client


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    """A fake gateway for one test."""
    with FakeGateway() as gateway:
        yield gateway


def connect(fake: FakeGateway, home: Path, patience: float = 5.0) -> Gateway:
    """Connect to a fake gateway."""
    return Gateway.connect(settings_for(fake.url, home), patience=patience)


def now() -> int:
    """Return the time, epoch ms."""
    return time.time_ns() // 1_000_000


def new_key() -> str:
    """Return the key of a session that nobody has."""
    return f"agent:main:subagent:{uuid.uuid4()}"
