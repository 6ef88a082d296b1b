"""A model that is overloaded for good, behind a real gateway, which tries for more than a minute before it gives up."""

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import soak
from tests.support.mock_model import BUSY, MockModel
from tests.support.real_gateway import TOKEN, RealGateway, installed

from dispatch.gateway.client import Gateway
from dispatch.gateway.judge import Outcome
from dispatch.gateway.verdict import verdict
from dispatch.settings import from_env

pytestmark = [pytest.mark.soak, pytest.mark.gateway]

GIVES_UP_SECONDS = 300.0
TITLE = "A model that is overloaded for good"
TEXT = """A real OpenClaw gateway runs an agent whose model answers every call with HTTP 529. While the gateway tries
again, dispatch asks what became of the run every 2 seconds; then once with the run's last frame, and once as a client
that was not there when it came. An overload that is called anything else, or has a text, is a fault.

The gateway gave up after {seconds:.0f} s. The model was asked {asked} times.

| the run, by dispatch's word | while it tried | after it gave up |
|---|--:|--:|
"""


@pytest.fixture
def model() -> Iterator[MockModel]:
    serving = MockModel().start()
    yield serving
    serving.stop()


@pytest.fixture
def gateway(model: MockModel, tmp_path: Path) -> Iterator[Gateway]:
    packages = installed()
    if packages is None:
        pytest.skip("no OpenClaw gateway is installed: run `make gateway`")
    real = RealGateway(packages, tmp_path / "gateway", model.url)
    try:
        real.start()
        environ = {"OPENCLAW_GATEWAY_URL": real.url, "OPENCLAW_GATEWAY_TOKEN": TOKEN}
        with Gateway.connect(from_env({**environ, "SPINE_DISPATCH_HOME": str(tmp_path / "home")})) as client:
            yield client
    finally:
        real.kill9()


def test_an_overload_for_good_is_told_apart_and_never_taken_for_an_answer(gateway: Gateway, model: MockModel) -> None:
    key, run_id, at = f"agent:main:subagent:{uuid.uuid4()}", str(uuid.uuid4()), now()
    gateway.patch(key, model=f"mock/{BUSY}")
    accepted = gateway.agent(key, "main", "hello", run_id, 60)
    tried: Counter[str] = Counter()
    final = None
    begun = time.monotonic()
    while final is None and time.monotonic() < begun + GIVES_UP_SECONDS:
        tried[shown(verdict(gateway, key, run_id, at, now=now).outcome)] += 1
        final = accepted.final(2.0)
    seconds = time.monotonic() - begun
    assert final is not None, "the gateway did not give up"
    after = [verdict(gateway, key, run_id, at, now=now, final=heard).outcome for heard in (final, None)]
    over = Counter(shown(found) for found in after)
    soak.record(TITLE, section(seconds, model.asked("hello"), tried, over))
    assert over == {"failed: overload": 2}, after
    assert ["overloaded" in found.message for found in after] == [True, True]
    # While it tried again and again, it was nothing but under way; the last look may have come after that.
    assert set(tried) <= {"running", "failed: overload"}


def now() -> int:
    """Return the time, epoch ms."""
    return time.time_ns() // 1_000_000


def shown(found: Outcome) -> str:
    """Name an outcome, and say so when it has a text, which no overload has."""
    name = f"{found.state}: {found.kind}" if found.kind else found.state
    return f"{name}, with a text" if found.text else name


def section(seconds: float, asked: int, tried: Counter[str], over: Counter[str]) -> str:
    """Write what came of it: a few sentences, and a row for each thing that the run was called."""
    rows = [f"| {name} | {tried[name]} | {over[name]} |" for name in sorted({*tried, *over}, reverse=True)]
    return TEXT.format(seconds=seconds, asked=asked) + "\n".join(rows)
