"""A model that is overloaded for good, behind a real gateway, which tries for more than a minute before it gives up."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.mock_model import BUSY, MockModel
from tests.support.real_gateway import TOKEN, RealGateway, installed

from dispatch.gateway.client import Gateway
from dispatch.gateway.verdict import verdict
from dispatch.settings import from_env

pytestmark = [pytest.mark.soak, pytest.mark.gateway]

GIVES_UP_SECONDS = 300.0


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    packages = installed()
    if packages is None:
        pytest.skip("no OpenClaw gateway is installed: run `make gateway`")
    model = MockModel().start()
    real = RealGateway(packages, tmp_path / "gateway", model.url)
    try:
        real.start()
        environ = {"OPENCLAW_GATEWAY_URL": real.url, "OPENCLAW_GATEWAY_TOKEN": TOKEN}
        with Gateway.connect(from_env({**environ, "SPINE_DISPATCH_HOME": str(tmp_path / "home")})) as client:
            yield client
    finally:
        real.kill9()
        model.stop()


def test_an_overload_for_good_is_told_apart_and_never_taken_for_an_answer(gateway: Gateway) -> None:
    key, run_id, at = f"agent:main:subagent:{uuid.uuid4()}", str(uuid.uuid4()), time.time_ns() // 1_000_000
    gateway.patch(key, model=f"mock/{BUSY}")
    accepted = gateway.agent(key, "main", "hello", run_id, 60)
    states = set()
    final = None
    deadline = time.monotonic() + GIVES_UP_SECONDS
    while final is None and time.monotonic() < deadline:
        states.add(verdict(gateway, key, run_id, at, now=lambda: time.time_ns() // 1_000_000).outcome.state)
        final = accepted.final(2.0)
    assert final is not None, "the gateway did not give up"
    for heard in (final, None):
        found = verdict(gateway, key, run_id, at, now=lambda: time.time_ns() // 1_000_000, final=heard).outcome
        assert (found.state, found.kind, found.text) == ("failed", "overload", ""), found
        assert "overloaded" in found.message
    # While it tried again and again, it was nothing but under way.
    assert states <= {"running", "failed"}
