"""A real spine that speaks Skyclaw's dialect, and clients that speak it over plain HTTP."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.dialect_spine import Start, served, starting
from tests.support.raw_http import Answer, Api
from tests.support.spine_process import TOKENS, SpineProcess, free_port

SKYCLAW_TOKEN = "skyclaw-token-0001"
SETTINGS: dict[str, str | None] = {
    "SKYCLAW_TOKEN": SKYCLAW_TOKEN,
    "SKYCLAW_COORDINATOR_NODE_ID": "node-1",
    "REAPER_INTERVAL_MS": "100",
}
_JOB = re.compile(r"job_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_HOST = re.compile(r"host_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def plain(text: str) -> str:
    """Return an answer with what differs from run to run under a name: ids of jobs and hosts, times."""
    return _TIME.sub("<time>", _HOST.sub("<host>", _JOB.sub("<job>", text)))


@dataclass(frozen=True)
class Skyclaw:
    """A client of the dialect: base address and path joined as they are, as real ones do it."""

    port: int
    base: str = ""
    token: str | None = SKYCLAW_TOKEN

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Make a call; a body that is no bytes is sent as JSON."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {} if self.token is None else {"x-skyclaw-token": self.token}
        return Api(self.port).call(method, self.base + path, sent, given | (headers or {}))

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """POST; anything but 200 is an AssertionError."""
        answer = self.call(
            "POST", path, {} if body is None else body, {k.replace("_", "-"): v for k, v in headers.items()}
        )
        assert answer.status == 200, answer
        return answer.json

    def register(self, host_id: str | None = None, *capabilities: str, **fields: Any) -> dict[str, Any]:
        """Register a host; return it."""
        body = {"name": host_id or "a host", "capabilities": list(capabilities)} | fields
        if host_id is not None:
            body["hostId"] = host_id
        host: dict[str, Any] = self.post("/v1/hosts/register", body)["host"]
        return host

    def heartbeat(self, host_id: str, active: Any = 0) -> dict[str, Any]:
        """Tell that a host lives; return it."""
        host: dict[str, Any] = self.post(f"/v1/hosts/{host_id}/heartbeat", {"activeLeases": active})["host"]
        return host

    def claim(self, host_id: str) -> dict[str, Any] | None:
        """Claim for a host; return the job, None when there is none."""
        job: dict[str, Any] | None = self.post(f"/v1/hosts/{host_id}/claim")["job"]
        return job

    def enqueue(self, *capabilities: str, **payload: Any) -> str:
        """Enqueue a job; return its id."""
        body = {"payload": {"kind": "shell", "command": "true"} | payload}
        if capabilities:
            body["requirement"] = {"requiredCapabilities": list(capabilities)}
        return str(self.post("/v1/jobs", body)["job"]["id"])

    def complete(self, job_id: str, host_id: str, success: bool = True, **outputs: Any) -> Answer:
        """Report how a job ended."""
        body = {"hostId": host_id, "success": success, "durationMs": 1, "exitCode": 0 if success else 1} | outputs
        return self.call("POST", f"/v1/jobs/{job_id}/complete", {"stdout": "", "stderr": ""} | body)

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job as the state shows it."""
        state = self.call("GET", "/v1/state").json
        (job,) = [job for job in state["jobs"] if job["id"] == job_id]
        found: dict[str, Any] = job
        return found

    def host(self, host_id: str) -> dict[str, Any]:
        """Return a host as the state shows it."""
        (host,) = [host for host in self.call("GET", "/v1/state").json["hosts"] if host["id"] == host_id]
        found: dict[str, Any] = host
        return found


@pytest.fixture(scope="module")
def module_spine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpineProcess]:
    """A spine with default leases for a whole module."""
    with served(tmp_path_factory.mktemp("spine"), SETTINGS) as process:
        yield process


@pytest.fixture
def skyclaw(module_spine: SpineProcess) -> Skyclaw:
    """A client of that spine."""
    return Skyclaw(module_spine.port)


@pytest.fixture
def head(module_spine: SpineProcess) -> Api:
    """A native head of that spine."""
    return Api(module_spine.port, TOKENS["HEAD_TOKEN"])


@pytest.fixture
def start_spine(tmp_path: Path) -> Iterator[Start]:
    """Start spines with settings of their own; killed when the test ends."""
    with starting(tmp_path, SETTINGS) as start:
        yield start


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on."""
    return free_port()
