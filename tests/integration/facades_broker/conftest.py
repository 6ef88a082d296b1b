"""A real spine that speaks the OpenClaw Broker's dialect, and bots and workers that speak it over plain HTTP."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.dialect_spine import Start, served, starting
from tests.support.raw_http import Answer, Api
from tests.support.spine_process import TOKENS, SpineProcess

BOT_TOKEN, WORKER_TOKEN = "bot-token-0001", "worker-token-0001"
SETTINGS: dict[str, str | None] = {
    "BOT_TOKEN": BOT_TOKEN,
    "WORKER_TOKEN": WORKER_TOKEN,
    "REAPER_INTERVAL_MS": "100",
}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_SECONDS = re.compile(r"(?<=:)\d{10}(?=[,}])")


def plain(text: str) -> str:
    """Return an answer with what differs from run to run under a name: UUIDv4 `<id>`, whole epoch seconds `<time>`."""
    return _SECONDS.sub("<time>", _UUID.sub("<id>", text))


@dataclass(frozen=True)
class Broker:
    """A bot and a worker in one: base address and path joined as they are, as real clients do it."""

    port: int
    worker_id: str | None = None
    base: str = "/broker"

    def by(self, worker_id: str | None) -> "Broker":
        """The same with another X-Worker-Id."""
        return Broker(self.port, worker_id, self.base)

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Make a call with the headers as they are; a body that is no bytes is sent as JSON."""
        given = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            given = {"Content-Type": "application/json"} | given
        return Api(self.port).call(method, self.base + path, body, given)

    def bot(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Call as a bot."""
        return self.call(method, path, body, {"X-Bot-Token": BOT_TOKEN} | (headers or {}))

    def worker(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Call as a worker."""
        own = {} if self.worker_id is None else {"X-Worker-Id": self.worker_id}
        return self.call(method, path, body, {"X-Worker-Token": WORKER_TOKEN} | own | (headers or {}))

    def create(self, command: str = "ping", payload: str = "x", **more: Any) -> str:
        """Create a job; return its id."""
        answer = self.bot("POST", "/jobs", {"command": command, "payload": payload} | more)
        assert answer.status == 200, answer
        return str(answer.json["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Read a job."""
        answer = self.bot("GET", f"/jobs/{job_id}")
        assert answer.status == 200, answer
        job: dict[str, Any] = answer.json
        return job

    def next(self, **headers: str) -> dict[str, Any] | None:
        """Claim; return the job, None when there is none. `X_Worker_Caps="…"` becomes a header."""
        answer = self.worker("GET", "/jobs/next", None, {k.replace("_", "-"): v for k, v in headers.items()})
        assert answer.status == 200, answer
        job: dict[str, Any] | None = answer.json["job"]
        return job

    def take(self, **headers: str) -> str:
        """Claim what must be there; return its id."""
        job = self.next(**headers)
        assert job is not None
        return str(job["id"])

    def result(self, job_id: str, text: str = "r") -> Answer:
        """Post a result."""
        return self.worker("POST", f"/jobs/{job_id}/result", {"result": text})

    def fail(self, job_id: str, error: str = "e") -> Answer:
        """Post a failure."""
        return self.worker("POST", f"/jobs/{job_id}/fail", {"error": error})


@pytest.fixture(scope="module")
def module_spine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpineProcess]:
    """A spine with default leases for a whole module."""
    with served(tmp_path_factory.mktemp("spine"), SETTINGS) as process:
        yield process


@pytest.fixture
def head(module_spine: SpineProcess) -> Api:
    """A native head of that spine."""
    return Api(module_spine.port, TOKENS["HEAD_TOKEN"])


@pytest.fixture
def broker(module_spine: SpineProcess, head: Api) -> Iterator[Broker]:
    """A client of that spine, which is left with nothing to do."""
    yield Broker(module_spine.port)
    for job in head.get("/jobs?status=waiting,queued,running&limit=1000").json["jobs"]:
        assert head.post(f"/jobs/{job['id']}/cancel").status == 200


@pytest.fixture
def start_spine(tmp_path: Path) -> Iterator[Start]:
    """Start spines with settings of their own; killed when the test ends."""
    with starting(tmp_path, SETTINGS) as start:
        yield start
