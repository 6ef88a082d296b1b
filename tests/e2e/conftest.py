"""Images built by this run, and one Compose project of them for all tests; each test finds it whole."""

from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from tests.support.engine import opened
from tests.support.eventually import eventually
from tests.support.stack import Stack, build_images

from contract.wire import Job

WHOLE_SECONDS = 60.0
MEASURED = "seconds "


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test here the time that containers may take on a busy machine, unless it says otherwise."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("timeout"):
            # Not for fixtures: the first builds the images, and each has deadlines of its own.
            item.add_marker(pytest.mark.timeout(400, func_only=True))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long a person waits, for `make up` and for what goes on without one of its containers."""
    for report in terminalreporter.stats.get("passed", []):
        for name, seconds in report.user_properties:
            if name.startswith(MEASURED):
                terminalreporter.write_line(f"e2e: {name}: {seconds:.1f}")


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A client of the engine, after removing what killed sessions have left."""
    with opened() as client:
        yield client


@pytest.fixture(scope="session")
def image_tag(engine: docker.DockerClient) -> str:
    """The images of this checkout, under a tag of its own."""
    return build_images(engine)


@pytest.fixture(scope="package")
def whole_stack(
    engine: docker.DockerClient, image_tag: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The project, started once; removed with its volumes when these tests are over: health checks cost time."""
    stack = Stack(engine, tmp_path_factory.mktemp("stack"), image_tag)
    try:
        stack.make_tokens()
        stack.seconds_up = stack.up()
        yield stack
        assert stack.faults() == []
    finally:
        stack.remove()


@pytest.fixture
def stack(whole_stack: Stack) -> Stack:
    """The project, whole: whatever the test before did to it is over."""
    eventually(lambda: not whole_stack.amiss(), WHOLE_SECONDS, every=0.2, what="a whole project")
    return whole_stack


@pytest.fixture
def until_status(stack: Stack) -> Callable[..., Job]:
    """Wait until a job has one of some statuses; a spine that is away meanwhile is waited for."""
    return stack.until_status
