"""Clients of Skyclaw and of the broker at a spine whose jobs are done by claws."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.claw.conftest import NAMES, Claw, Spine, base_env, until
from tests.support.relay import LosingRelay

SKYCLAW_TOKEN, BOT_TOKEN = "skyclaw-token-of-the-tests", "bot-token-of-the-tests"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spine]:
    """A spine that speaks both dialects."""
    tokens = {"SKYCLAW_TOKEN": SKYCLAW_TOKEN, "BOT_TOKEN": BOT_TOKEN, "WORKER_TOKEN": "worker-token-of-the-tests"}
    server = Spine(tmp_path_factory.mktemp("foreign"), **tokens)
    server.start()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def claws(foreign: Spine, tmp_path: Path) -> Iterator[list[Claw]]:
    machines = [Claw(foreign, name, tmp_path / name) for name in NAMES[:2]]
    yield machines
    for machine in machines:
        machine.kill_all()


def call(url: str, body: Any = None, **headers: str) -> Any:
    data = None if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **named})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def enqueue(spine: Spine, *words: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "head.cli", *words],
        env=base_env(SPINE_BASE_URL=spine.url, SKYCLAW_TOKEN=SKYCLAW_TOKEN, **env),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_what_skyclaws_cli_enqueues_is_done_by_a_claw(foreign: Spine, claws: list[Claw]) -> None:
    good = enqueue(foreign, "enqueue-shell", "sh", "-c", "echo out; echo err >&2")
    bad = enqueue(foreign, "enqueue-shell", "sh", "-c", "exit 3", SKYCLAW_COORDINATOR_URL=f"{foreign.url}/skyclaw/")
    refused = enqueue(foreign, "enqueue-automaton", "--fast", SKYCLAW_COORDINATOR_URLS=foreign.url)
    claws[0].start(CLAW_DIALECTS="skyclaw", SKYCLAW_ALLOWED_COMMANDS="sh")

    def jobs() -> dict[str, Any]:
        found = call(f"{foreign.url}/skyclaw/v1/state", x_skyclaw_token=SKYCLAW_TOKEN)["jobs"]
        return {job["id"]: job for job in found}

    until(lambda: all(jobs()[job_id]["status"] in ("completed", "failed") for job_id in (good, bad, refused)))
    found = jobs()
    members = ("status", "exitCode", "stdout", "stderr", "error")
    said = {job_id: [({**job, **job["result"]}).get(name) for name in members] for job_id, job in found.items()}
    assert said == {
        good: ["completed", 0, "out\n", "err\n", None],
        bad: ["failed", 3, "", "", None],
        refused: ["failed", 126, "", "", "command not allowed: automaton"],
    }
    assert found[refused]["payload"] == {"kind": "automaton-run", "args": ["--fast"]}


def test_an_answer_that_is_lost_makes_no_second_job(foreign: Spine) -> None:
    before = len(call(f"{foreign.url}/v1/state", x_skyclaw_token=SKYCLAW_TOKEN)["jobs"])
    with LosingRelay(foreign.port, lose=1) as relay:
        urls = f"http://127.0.0.1:{relay.port},{foreign.url}"
        job_id = enqueue(foreign, "enqueue-shell", "sh", SKYCLAW_COORDINATOR_URLS=urls)
        assert relay.lost == 1
    jobs = call(f"{foreign.url}/v1/state", x_skyclaw_token=SKYCLAW_TOKEN)["jobs"]
    assert [job["id"] for job in jobs[before:]] == [job_id]


def test_what_a_bot_asks_for_is_done_by_claws(foreign: Spine, claws: list[Claw]) -> None:
    for machine in claws:
        machine.start(CLAW_DIALECTS="broker", WORKER_ID="runner-of-the-tests")

    def ask(command: str, payload: str = "") -> dict[str, Any]:
        body = {"command": command, "payload": payload}
        job_id = call(f"{foreign.url}/broker/jobs", body, X_Bot_Token=BOT_TOKEN)["id"]

        def ended() -> dict[str, Any] | None:
            job: dict[str, Any] = call(f"{foreign.url}/broker/jobs/{job_id}", X_Bot_Token=BOT_TOKEN)
            return job if job["status"] in ("done", "failed") else None

        return until(ended)

    assert ask("ping", "hello")["result"] == "pong: hello"
    assert json.loads(ask("capabilities")["result"])["worker_id"] == "runner-of-the-tests"
    planned = ask("plan_echo", "paint it")
    plan = json.loads(planned["result"])
    assert (plan["plan_id"], plan["summary"]) == (planned["id"], "Echo plan for: paint it")
    # Whichever of the claws takes the approval: the plan is the spine's, and is approved once.
    assert json.loads(ask("approve_echo", f" {plan['plan_id']} ")["result"]) == {
        "type": "approval",
        "plan_id": plan["plan_id"],
        "status": "approved",
        "applied": False,
        "note": "no-op (scaffold)",
    }
    again = ask("approve_echo", plan["plan_id"])
    assert (again["status"], again["result"]) == ("failed", None)
    assert again["error"].startswith(f"plan {plan['plan_id']} was approved already")
    for command, payload, error in (
        ("approve_echo", "", "plan_id required"),
        ("approve_echo", "../plans/x", "unknown plan_id"),
        ("approve_echo", "0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9", "unknown plan_id"),
        ("dance", "", "unknown command: dance"),
    ):
        job = ask(command, payload)
        assert (job["status"], job["error"], job["result"]) == ("failed", error, None)
