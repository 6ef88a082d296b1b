"""Fixtures of the behaviour that every engine must show."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.suites.harness import DRIVERS, Store
from tests.suites.manual_clock import ManualClock

from spine.store.engine import Engine


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that stands still."""
    return ManualClock()


@pytest.fixture(params=DRIVERS)
def engine(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Engine]:
    """Return a fresh store of each engine."""
    found = DRIVERS[request.param](tmp_path / "data", clock)
    yield found
    found.close()


@pytest.fixture
def store(engine: Engine, clock: ManualClock) -> Store:
    """Return the verbs on a fresh store."""
    return Store(engine, clock)
