"""Fixtures of the behaviour that every engine must show."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.suites.harness import OpenEngine, Store
from tests.suites.manual_clock import ManualClock

from spine.store.engine import Engine
from spine.store.sqlite import SqliteEngine


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that stands still."""
    return ManualClock()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.docker)])
def driver(request: pytest.FixtureRequest) -> Iterator[OpenEngine]:
    """Return what opens the store of a folder, with each engine."""
    if request.param == "sqlite":
        yield SqliteEngine
        return
    from tests.support.postgres_server import Databases

    databases = Databases(request.getfixturevalue("postgres"))
    yield databases.open
    databases.give_back()


@pytest.fixture
def reopen(driver: OpenEngine, tmp_path: Path, clock: ManualClock) -> Callable[[], Engine]:
    """Return what opens the test's store anew, after it was closed."""
    return lambda: driver(tmp_path / "data", clock)


@pytest.fixture
def engine(reopen: Callable[[], Engine]) -> Iterator[Engine]:
    """Return a fresh store of each engine."""
    found = reopen()
    yield found
    found.close()


@pytest.fixture
def store(engine: Engine, clock: ManualClock) -> Store:
    """Return the verbs on a fresh store."""
    return Store(engine, clock)
