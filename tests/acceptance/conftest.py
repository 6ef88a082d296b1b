"""Real processes on loopback for every test: a spine that may be killed, machines with claws, a ledger, a remote."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support import eventually
from tests.support.claw_process import Machine
from tests.support.ledger import Ledger
from tests.support.repository import Remote
from tests.support.spine_process import TOKENS, SpineProcess
from tests.support.stores import Settings, opened

from contract.client import SpineClient
from contract.retry import ONCE
from contract.wire import Job

NAMES = tuple(f"claw-{n}" for n in range(1, 6))
# Outlives the death and the return of a claw on a machine that is busy with other tests.
LEASE_SECONDS = 10


def token_of(name: str) -> str:
    """Return the token of a machine's claw."""
    return f"token-of-{name}-0001"


def spine_settings(**more: str | None) -> dict[str, str | None]:
    """Return settings for quick leases, and for claws with names of their own."""
    return {
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "REAPER_INTERVAL_MS": "100",
        "SPINE_DRAIN_SECONDS": "30",
        "CLAW_TOKENS": ",".join(f"{name}={token_of(name)}" for name in NAMES),
        **more,
    }


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Where the server keeps its store: the embedded one, and a PostgreSQL database in tests that are ON_BOTH_ENGINES.

    Those are about what a spine must keep. The others run on one engine: they kill a claw or a head, which cannot tell
    the engines apart, or are about the embedded store alone, as backups and `make run` are.
    """
    yield from opened(request)


@pytest.fixture
def lease_seconds() -> int:
    """The lease of a test's spine."""
    return LEASE_SECONDS


@pytest.fixture
def spine(tmp_path: Path, store: Settings, lease_seconds: int) -> Iterator[SpineProcess]:
    """A server that the test may kill and start again."""
    leases = {"LEASE_SECONDS": str(lease_seconds), "SPINE_ACCEPT_LEASE_SECONDS": str(LEASE_SECONDS)}
    server = SpineProcess(tmp_path / "spine", spine_settings(**store, **leases))
    try:
        yield server.start()
    finally:
        server.kill9()


@pytest.fixture
def head(spine: SpineProcess) -> SpineClient:
    """A head that asks once: what fails, fails where the test sees it."""
    return SpineClient(spine.url, TOKENS["HEAD_TOKEN"], retry=ONCE)


MakeMachine = Callable[..., Machine]


@pytest.fixture
def machine_of(spine: SpineProcess, remote: Remote, tmp_path: Path) -> Iterator[MakeMachine]:
    """Make machines; everything that was started there is killed at the end."""
    made: list[Machine] = []

    def make(name: str = NAMES[0], url: str | None = None, **env: str | None) -> Machine:
        allowed = {"CLAW_ALLOWED_REPOS": str(remote.path.parent)}
        machine = Machine(tmp_path / name, name, token_of(name), url or spine.url, {**allowed, **env})
        made.append(machine)
        return machine

    try:
        yield make
    finally:
        for machine in made:
            machine.crash()


@pytest.fixture
def machine(machine_of: MakeMachine) -> Machine:
    """The one machine of a test that needs no more."""
    return machine_of()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """What jobs have really done."""
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    """Where jobs really push."""
    return Remote(tmp_path / "remote")


@pytest.fixture
def until_status(head: SpineClient) -> Callable[..., Job]:
    """Wait until a job has one of some statuses; a server that is away meanwhile is waited for."""

    return partial(eventually.until_status, head)
