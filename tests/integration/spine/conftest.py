"""Real servers for these tests. One a module where its state may be shared; each test gets a claw of its own."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.raw_http import Api
from tests.support.server import MakeProcess, Server, StartSpine, claw_tokens
from tests.support.spine_process import SpineProcess

CLAWS = 400  # more than any module has tests


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with default settings for the whole module, and 400 claws besides left and right."""
    process = SpineProcess(tmp_path_factory.mktemp("spine"), {"CLAW_TOKENS": claw_tokens(CLAWS)}).start()
    yield Server(process)
    _end(process)


@pytest.fixture
def start_spine(tmp_path: Path) -> Iterator[StartSpine]:
    """Start servers with settings of their own. They are killed when the test ends: an orderly stop takes a second."""
    running: list[SpineProcess] = []
    number = itertools.count()

    def start(folder: Path | None = None, wrap: tuple[str, ...] = (), **env: str | None) -> Server:
        home = folder or tmp_path / f"spine{next(number)}"
        process = SpineProcess(home, {"CLAW_TOKENS": claw_tokens(8), **env}, wrap)
        running.append(process)
        return Server(process.start())

    yield start
    for process in running:
        process.kill9()
        assert process.faults() == [], process.log_tail()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[MakeProcess]:
    """Make servers that a test starts itself, such as ones that are to refuse; killed when the test ends."""
    made: list[SpineProcess] = []

    def make(folder: Path | None = None, wrap: tuple[str, ...] = (), **env: str | None) -> SpineProcess:
        made.append(SpineProcess(folder or tmp_path / f"made{len(made)}", dict(env), wrap))
        return made[-1]

    yield make
    for one in made:
        one.kill9()


_names = itertools.count()


@pytest.fixture
def name() -> str:
    """A claw's name that no other test of the module uses; it is its target too."""
    return f"c{next(_names) % CLAWS}"


@pytest.fixture
def claw(server: Server, name: str) -> Api:
    """A claw of this test's own, as one worker process."""
    return server.claw(name)


@pytest.fixture
def head(server: Server) -> Api:
    """The head."""
    return server.head


def _end(process: SpineProcess) -> None:
    if process.returncode is not None:
        return
    code = process.stop()
    assert code == 0, process.log_tail()
    assert process.faults() == [], process.log_tail()
