"""What holds for every test: a clean environment, no silent skip, and a loud word on what was left out."""

import functools
import os
import re
import subprocess
from collections.abc import Iterator

import pytest
import structlog

# Variables that configure a role: one set on the developer's machine must not change a test.
ROLE_VARIABLES = re.compile(
    r"(?!SPINE_GATEWAY_CACHE\Z)"  # where the gateway of the tests is installed
    r"((SPINE|CLAW|HEAD|LEFT_CLAW|RIGHT_CLAW|SKYCLAW|BROKER|WORKER|RUNNER|DISPATCH|OPENCLAW|REDIS|OTEL)_\w*|LLM_CAP|\w+_TOKENS?)"
)

# What some tests need that a machine may not have: its marker, its name, and how to get it.
NEEDS = {
    "docker": ("A DOCKER ENGINE", "`make engine` (AS ROOT ON DEBIAN) OR START DOCKER, THEN `make test`."),
    "gateway": ("AN OPENCLAW GATEWAY", "`make gateway`, THEN `make test`."),
}

# Tests run in several processes, each lane in one of them; most lanes are a file. These are begun first, since they
# take longest: the bare machine runs a part of the tests once more, and end-to-end tests share one stack of containers.
# Behind the bare machine come quick tests, lest its process is given another file that would have to wait for it.
LONG_LANES = {
    "bare machine": tuple(f"tests/deploy/test_{name}.py" for name in ("bare_machine", "gate", "locks")),
    "end to end": ("tests/e2e/",),
}

LEFT_OUT = pytest.StashKey[dict[str, list[str]]]()
"""For each marker of NEEDS, the tests that were left out."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--first-cases", action="store_true", help="of a test with many cases run the first alone")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_OUT] = {marker: [] for marker in NEEDS}
    # Here too, and not only in the fixture, because session fixtures start processes.
    for name in [name for name in os.environ if ROLE_VARIABLES.fullmatch(name)]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if ROLE_VARIABLES.fullmatch(name)]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    before = structlog.is_configured()
    yield
    if structlog.is_configured() and not before:  # by capture_logs too, and then programs print what they log
        structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server for the whole session; its tests are marked `docker`."""
    from tests.support.engine import opened
    from tests.support.postgres_server import PostgresServer

    with opened() as client:
        server = PostgresServer(client)
        yield server
        server.stop()


@pytest.fixture
def database(postgres):
    """The name of a database with a store's tables and nothing in them."""
    name = postgres.create()
    yield name
    postgres.drop(name)


@pytest.fixture
def empty_database(postgres):
    """The name of a database without tables."""
    name = postgres.create(template="template0")
    yield name
    postgres.drop(name)


@pytest.fixture(scope="session")
def redis_server():
    """A Redis server for the whole session; its tests are marked `docker` and empty it first."""
    from tests.support.engine import opened
    from tests.support.redis_server import RedisServer

    with opened() as client:
        server = RedisServer(client)
        yield server
        server.stop()


@pytest.fixture(scope="session")
def promtool():
    """Prometheus' own tool; its tests are marked `docker`."""
    from tests.support.engine import opened
    from tests.support.promtool import Promtool

    with opened() as client:
        yield Promtool(client)


@pytest.fixture(scope="session")
def s3():
    """A server that speaks S3, for the whole session; each test takes a bucket of its own."""
    from tests.support.s3_server import S3Server

    server = S3Server().start()
    yield server
    server.stop()


@functools.cache
def engine_answers() -> bool:
    """Return whether a Docker Engine answers; asked once, and only when a selected test needs one."""
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=180).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        # What needs an engine counts from when it runs: the first one may have to build an image.
        # A soak takes its time: `make soak` sets no time-out.
        bounded = item.get_closest_marker("timeout") or item.get_closest_marker("soak")
        if item.get_closest_marker("docker") and not bounded:
            item.add_marker(pytest.mark.timeout(400, func_only=True))
    ranks = {lane: rank for rank, lane in enumerate(LONG_LANES)}
    # The storm comes last: it takes what is left of a soak's time.
    items.sort(key=lambda item: ranks.get(lane_of(item.nodeid), len(ranks) + item.nodeid.startswith("tests/soak/")))
    if os.environ.get("SOAK") != "1":
        deselect(config, items, [item for item in items if item.get_closest_marker("soak")])
    if config.option.first_cases:
        first = {item.nodeid.split("[")[0]: item for item in reversed(items)}
        deselect(config, items, [item for item in items if first[item.nodeid.split("[")[0]] is not item])


def deselect(config: pytest.Config, items: list[pytest.Item], unwanted: list[pytest.Item]) -> None:
    """Take tests out of a run, and tell pytest."""
    if unwanted:
        config.hook.pytest_deselected(items=unwanted)
        left = set(unwanted)
        items[:] = [item for item in items if item not in left]


@pytest.hookimpl(trylast=True)
def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in NEEDS:
            if item.get_closest_marker(marker) and not item.get_closest_marker("soak"):
                item.config.stash[LEFT_OUT][marker].append(item.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    # Where there are several processes, one of them reports, and does not collect.
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node) -> None:
    # All workers leave out the same; one that crashed says nothing.
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left out") or node.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Give each lane to one process, in the order in which the tests were collected."""
    from xdist.scheduler import LoadFileScheduling

    class Lanes(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return lane_of(nodeid)

    config.option.loadscopereorder = False  # by the number of tests, which says nothing here
    return Lanes(config, log)


def lane_of(nodeid: str) -> str:
    """Name the lane of a test: all tests of a lane run in one process, in their order."""
    return next((lane for lane, paths in LONG_LANES.items() if nodeid.startswith(paths)), nodeid.split("::")[0])


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker") and not engine_answers():
        pytest.skip("no Docker Engine answers: run `make engine` (as root on Debian) or start Docker")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    return _skip_is_failure(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    return _skip_is_failure(report)


def _skip_is_failure(report):
    """Turn a skip into a failure where CI=true: a gate that skips has a hole."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI=true does not allow: {_reason(report)}"
    return report


def _reason(report) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    write = terminalreporter.write_line
    loud = functools.partial(write, red=True, bold=True)
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section("skipped tests")
        for report in skipped:
            write(f"{report.nodeid}: {_reason(report)}")
    for marker, (name, fix) in NEEDS.items():
        left_out = config.stash[LEFT_OUT][marker]
        # A person who names one test has chosen; only the whole run, or one marked "not docker", owes the word.
        if not left_out or f"not {marker}" not in (config.option.markexpr or ""):
            continue
        terminalreporter.section("LEFT OUT", red=True, bold=True)
        files = sorted({nodeid.split("::")[0] for nodeid in left_out})
        loud(f"{len(left_out)} TESTS WERE LEFT OUT: THEY NEED {name}.")
        for file in files:
            write(f"  {file}: {sum(nodeid.startswith(file + '::') for nodeid in left_out)}")
        loud(f"TO RUN THEM TOO: {fix}")
