"""Claim and finish through the foreign dialects, beside our own: all in turn, round after round."""

import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.bench.figures import Figure, Gate, Part
from tests.bench.load import Clients, request
from tests.bench.plan import Plan
from tests.bench.servers import CLAW, HEAD, Server
from tests.bench.verbs import CLAIM, complete_of

TOKENS = {"SKYCLAW_TOKEN": "skyclaw-token-0001", "BOT_TOKEN": "bot-token-0001", "WORKER_TOKEN": "worker-token-0001"}
LEASES = {"SKYCLAW_LEASE_MS": "86400000", "BROKER_LEASE_SECONDS": "86400"}
AS_FAST = Gate("at least", 0.80)
TEXT = """{clients} connections; each claims a job, finishes it, and claims the next: {jobs} jobs a round of each
dialect, in turn, on one server. A job is a short command, its result a short text. Jobs are submitted between the
rounds. Each connection is a host of its own to Skyclaw's dialect, and a worker of its own to the broker's."""
_ID = re.compile(rb'"id":\s*"([^"]+)"')
_HOST = re.compile(rb'"assignedHostId":\s*"([^"]+)"')


def _skyclaw(path: str, body: object) -> bytes:
    return request("POST", path, "none", json.dumps(body).encode(), x_skyclaw_token=TOKENS["SKYCLAW_TOKEN"])


def _found(pattern: "re.Pattern[bytes]", answer: bytes) -> str:
    found = pattern.search(answer)
    assert found is not None, answer[:300]
    return found[1].decode()


class Dialect:
    """What a client and a worker send: submits, claims (of the nth worker), and how a claimed job is finished."""

    def __init__(
        self,
        name: str,
        submit: Callable[[int], list[bytes]],
        claim: Callable[[int], bytes],
        finish: Callable[[bytes], bytes],
    ) -> None:
        self.name, self.submit, self.claim, self.finish = name, submit, claim, finish


def _finish_skyclaw(answer: bytes) -> bytes:
    host = _found(_HOST, answer)
    body = {"hostId": host, "success": True, "durationMs": 5, "exitCode": 0, "stdout": "ok", "stderr": ""}
    return _skyclaw(f"/v1/jobs/{_found(_ID, answer)}/complete", body)


def _finish_broker(answer: bytes) -> bytes:
    path = f"/broker/jobs/{_found(_ID, answer)}/result"
    return request("POST", path, "none", b'{"result":"ok"}', x_worker_token=TOKENS["WORKER_TOKEN"])


NATIVE_LIST = json.dumps([{"spec": {"run": "make test"}}] * 20).encode()
SKYCLAW_JOB = {"payload": {"kind": "shell", "command": "make"}, "requirement": {"requiredCapabilities": ["shell"]}}
BROKER_JOB = b'{"command":"ping","payload":"make test"}'
DIALECTS = (
    Dialect(
        "our own",
        lambda count: [request("POST", "/jobs", HEAD, NATIVE_LIST)] * (count // 20),
        lambda _worker: CLAIM,
        complete_of,
    ),
    Dialect(
        "Skyclaw",
        lambda count: [_skyclaw("/v1/jobs", SKYCLAW_JOB)] * count,
        lambda worker: _skyclaw(f"/v1/hosts/h{worker}/claim", {}),
        _finish_skyclaw,
    ),
    Dialect(
        "broker",
        lambda count: [request("POST", "/broker/jobs", "none", BROKER_JOB, x_bot_token=TOKENS["BOT_TOKEN"])] * count,
        lambda worker: request(
            "GET", "/broker/jobs/next", CLAW, x_worker_token=TOKENS["WORKER_TOKEN"], x_worker_id=f"w{worker}"
        ),
        _finish_broker,
    ),
)


async def dialects(plan: Plan, folder: Path, say: Callable[[str], None]) -> Part:
    """Measure, and return the figures."""
    rates: dict[str, list[float]] = {dialect.name: [] for dialect in DIALECTS}
    with ExitStack() as stack:
        server = Server(folder / "dialects", **TOKENS, **LEASES)
        stack.callback(server.close)
        clients = await Clients.connect(server.port, plan.clients)
        stack.callback(clients.close)
        hosts = [
            _skyclaw(
                "/v1/hosts/register", {"hostId": f"h{n}", "name": "h", "capabilities": ["shell"], "maxParallel": 1000}
            )
            for n in range(plan.clients)
        ]
        await clients.drive(hosts, 200)
        for n in range(plan.dialect_rounds + 1):
            for dialect in DIALECTS:
                await clients.drive(dialect.submit(plan.dialect_jobs), 201 if dialect.name == "our own" else 200)
            for dialect in DIALECTS:
                rate = await _round(clients, plan, dialect)
                if n:  # the first one warms up
                    rates[dialect.name].append(rate)
            if n:
                told = {name: f"{found[-1]:,.0f}" for name, found in rates.items()}
                say(f"dialects, round {n} of {plan.dialect_rounds}, jobs a second: {told}")
    own = rates["our own"]
    figures = [
        Figure(f"take and finish, {name} : our own", [a / b for a, b in zip(found, own, strict=True)], gate=AS_FAST)
        for name, found in rates.items()
        if name != "our own"
    ]
    figures += [Figure(f"take and finish, {name}, jobs a second", found) for name, found in rates.items()]
    return Part("Dialects", TEXT.format(clients=plan.clients, jobs=f"{plan.dialect_jobs:,}"), figures)


async def _round(clients: Clients, plan: Plan, dialect: Dialect) -> float:
    """Claim and finish every job; return jobs a second."""
    claims = [dialect.claim(n % plan.clients) for n in range(plan.dialect_jobs)]

    def then(answer: bytes) -> bytes | None:
        # A connection has one call under way: what comes after a claim is the answer to its finish.
        if b'"status":"running"' in answer or b'"leased"' in answer:
            return dialect.finish(answer)
        return None

    found = await clients.drive(claims, 200, then)
    return len(found.latencies) / found.seconds
