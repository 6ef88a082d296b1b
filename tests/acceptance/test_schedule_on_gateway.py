"""A cron schedule with an agent's task on a real OpenClaw gateway, end to end: fired, run, told, and followed."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.claw_process import Machine
from tests.support.eventually import eventually
from tests.support.mock_model import ANSWER, MockModel
from tests.support.real_gateway import TOKEN, RealGateway, installed
from tests.support.receiver import OK, Call, Receiver, Say
from tests.support.server import Server
from tests.support.spine_process import TOKENS, SpineProcess

pytestmark = [pytest.mark.acceptance, pytest.mark.gateway, pytest.mark.timeout(400)]

KEY = b"0123456789abcdef0123456789abcdef"
TASK = "Say what the answer is, in one word."


@pytest.fixture
def model() -> Iterator[MockModel]:
    found = MockModel().start()
    yield found
    found.stop()


@pytest.fixture
def gateway(model: MockModel, tmp_path: Path) -> Iterator[RealGateway]:
    """A gateway that a test starts when it wants it."""
    packages = installed()
    if packages is None:
        pytest.skip("no OpenClaw gateway is installed: run `make gateway` (npm is needed)")
    found = RealGateway(packages, tmp_path / "gateway", model.url)
    yield found
    found.kill9()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that is down for the first two tries."""
    found = Receiver(Say(503), Say(503), OK)
    yield found
    found.close()


@pytest.fixture
def server(receiver: Receiver, tmp_path: Path) -> Iterator[Server]:
    aliases = tmp_path / "notices.json"
    aliases.touch(mode=0o600)
    secret = "whsec_" + base64.b64encode(KEY).decode()
    entry = {"channel": "webhook", "url": f"{receiver.url}/in", "secrets": [secret]}
    aliases.write_text(json.dumps({"team_room": entry}))
    settings = {"SPINE_NOTICES_FILE": str(aliases), "SPINE_NOTICE_RETRY_SECONDS": "1"}
    process = SpineProcess(tmp_path / "spine", settings).start()
    yield Server(process)
    process.kill9()
    assert process.faults("notice") == [], process.log_tail()


@pytest.fixture
def machine(server: Server, gateway: RealGateway, tmp_path: Path) -> Iterator[Machine]:
    """The machine of the gateway: its claw runs an agent's task as a session there."""
    env: dict[str, str | None] = {
        "OPENCLAW_GATEWAY_URL": gateway.url,
        "OPENCLAW_GATEWAY_TOKEN": TOKEN,
        "SPINE_DISPATCH_HOME": str(tmp_path / "dispatch"),
    }
    found = Machine(tmp_path / "left", "left-claw", TOKENS["LEFT_CLAW_TOKEN"], server.process.url, env)
    yield found
    found.crash()


def made(server: Server, **body: Any) -> str:
    answer = server.head.post("/schedules", body)
    assert answer.status == 201, answer.json
    return str(answer.json["id"])


def runs(server: Server, schedule: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.head.get(f"/schedules/{schedule}/runs").json["runs"]
    return found


def first_run(server: Server, schedule: str, seconds: float) -> dict[str, Any]:
    """Wait for a schedule's first run to have a job that is done; return the job."""

    def look() -> dict[str, Any] | None:
        jobs = [server.head.job(run["jobId"]) for run in runs(server, schedule) if run.get("jobId")]
        assert [job["status"] for job in jobs if job["status"] in ("failed", "dead", "cancelled")] == []
        return next((job for job in jobs if job["status"] == "done"), None)

    return eventually(look, seconds, every=0.2, what=f"a job of {schedule} that is done")


def signed(call: Call) -> bool:
    """Check a call as a receiver does that knows the secret (Standard Webhooks)."""
    text = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    wanted = base64.b64encode(hmac.new(KEY, text, hashlib.sha256).digest()).decode()
    return f"v1,{wanted}" in call.headers["webhook-signature"].split()


def test_from_the_minute_to_the_notice(
    server: Server, gateway: RealGateway, machine: Machine, model: MockModel, receiver: Receiver
) -> None:
    brief = made(server, name="Brief", cron="* * * * *", job={"target": "any", "spec": TASK, "requires": ["agent"]})
    run = {"run": "echo the brief is there"}
    after = {"target": "any", "spec": run, "requires": ["shell"], "notify": ["team_room"]}
    follow = made(server, name="Follow", parentId=brief, on="success", job=after)
    gateway.launch()  # it starts while the minute comes
    eventually(lambda: runs(server, brief), 90, every=0.2, what="the first minute")
    assert server.head.post(f"/schedules/{brief}/pause", {}).status == 200
    gateway.wait_ready()
    machine.run()

    job = first_run(server, brief, 150)
    assert len(runs(server, brief)) == 1
    assert (job["attempts"], job["claimedBy"]) == (1, "left-claw")
    assert ANSWER in json.dumps(job["result"]), "the session's answer is the job's result"
    assert len([text for _, text in model.prompts if TASK in text]) == 1, "the session ran once"

    chained = first_run(server, follow, 60)
    assert chained["meta"]["parent"]["jobId"] == job["id"]
    assert chained["meta"]["parent"]["status"] == "done"

    calls = receiver.calls(3, 90)
    assert len({call.headers["webhook-id"] for call in calls[:3]}) == 1, "the same notice, tried three times"
    assert all(signed(call) for call in calls[:3])
    assert chained["id"] in calls[2].body.decode()
