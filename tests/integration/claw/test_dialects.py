"""Jobs of Skyclaw and of the broker on a real spine, done by real claws; what the spine then holds."""

import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.integration.claw.conftest import Claw, until

from contract.wire import Job

SKYCLAW, BROKER = {"CLAW_DIALECTS": "skyclaw"}, {"CLAW_DIALECTS": "broker"}


def skyclaw(claw: Claw, spec: dict[str, Any], *requires: str, **fields: Any) -> str:
    return claw.submit(spec, requires=["skyclaw", *requires], **fields)


def shell(script: str, **members: Any) -> dict[str, Any]:
    return {"kind": "shell", "command": "sh", "args": ["-c", script], **members}


def result(job: Job) -> dict[str, Any]:
    return {name: value for name, value in job.result.items() if name != "durationMs"}


@pytest.mark.parametrize("mode", ["worker", "phases"])
def test_a_claw_takes_the_place_of_a_host(claw: Claw, mode: str) -> None:
    good = skyclaw(claw, shell('echo "$GREETING"; echo err >&2', env={"GREETING": "hello"}), "shell")
    bad = skyclaw(claw, shell("echo half; exit 3"), "shell")
    refused = skyclaw(claw, {"kind": "shell", "command": "/bin/sh"}, "shell")
    slow = skyclaw(claw, shell("echo begun; sleep 300 & sleep 300", timeoutMs=1000), "shell")
    unknown = skyclaw(claw, {"kind": "automaton-run"}, "automaton")
    broken = skyclaw(claw, {"kind": "shell"}, "shell")
    claw.start(CLAW_MODE=mode, **SKYCLAW)
    job = claw.until_status(good, "done")
    assert (result(job), job.error) == ({"exitCode": 0, "stdout": "hello\n", "stderr": "err\n"}, None)
    assert isinstance(job.result["durationMs"], int)
    job = claw.until_status(bad, "failed")
    assert (result(job), job.error) == ({"exitCode": 3, "stdout": "half\n", "stderr": ""}, None)
    assert job.attempts == 1
    job = claw.until_status(refused, "failed")
    assert (job.result, job.error) == (
        {"durationMs": 0, "exitCode": 126, "stdout": "", "stderr": ""},
        "command not allowed: /bin/sh",
    )
    job = claw.until_status(slow, "failed")
    assert (result(job), job.error) == (
        {"exitCode": 1, "stdout": "begun\n", "stderr": ""},
        "timed out after 1000ms",
    )
    job = claw.until_status(unknown, "failed")
    assert (result(job), job.error) == ({"exitCode": 1, "stdout": "", "stderr": ""}, "spawn automaton ENOENT")
    job = claw.until_status(broken, "failed")
    assert (job.result, job.error) == (None, "spec.command: missing; a shell job names a command")


def test_a_job_for_any_machine_is_taken_by_one_that_has_what_it_needs(claw: Claw) -> None:
    job_id = claw.submit(shell("echo done"), target="any", requires=["gpu", "skyclaw"])
    claw.start(SKYCLAW_CAPABILITIES="gpu", **SKYCLAW)
    job = claw.until_status(job_id, "done")
    assert (job.claimed_by, result(job)) == (claw.name, {"exitCode": 0, "stdout": "done\n", "stderr": ""})


def test_no_token_reaches_the_job_and_secrets_are_masked(claw: Claw) -> None:
    job_id = skyclaw(claw, shell(f"env; echo {claw.token} >&2"))
    claw.start(SKYCLAW_TOKEN="token-of-skyclaw-in-tests", **SKYCLAW)
    job = claw.until_status(job_id, "done")
    names = {line.partition("=")[0] for line in job.result["stdout"].splitlines()}
    assert {name for name in names if "TOKEN" in name or name.startswith(("CLAW_", "SKYCLAW_"))} == set()
    assert claw.token not in job.result["stdout"]
    assert job.result["stderr"] == "[redacted]\n"


def test_full_outputs_are_kept_whole_and_larger_ones_are_cut_further(claw: Claw) -> None:
    whole = skyclaw(claw, shell("yes oooo | tr -d '\\n' | head -c 200000; yes | tr -d '\\n' | head -c 200000 >&2"))
    larger = skyclaw(claw, shell("yes '' | head -c 200000; yes | head -c 200000 >&2; exit 1"))
    claw.start(**SKYCLAW)
    job = claw.until_status(whole, "done")
    assert job.result["stdout"] == "o" * 127_980 + "\n[output truncated]\n"
    assert job.result["stderr"] == "y" * 127_980 + "\n[output truncated]\n"
    job = claw.until_status(larger, "failed")
    for stream, text in (("stdout", "\n\n"), ("stderr", "y\n")):
        assert job.result[stream].startswith(text)
        assert job.result[stream].endswith("\n[output truncated]\n")
    assert job.result["exitCode"] == 1
    assert 250_000 < len(json.dumps(job.result, separators=(",", ":"))) <= 256_000


def test_a_claw_without_the_dialect_does_not_run_its_jobs(claw: Claw) -> None:
    theirs = [skyclaw(claw, shell("touch ran")), claw.submit({"command": "ping"}, requires=["broker"])]
    own = claw.submit({"run": "true"})
    claw.start()
    claw.until_status(own, "done")
    assert [claw.job(job_id).status for job_id in theirs] == ["queued", "queued"]


@pytest.mark.parametrize(("requires", "spec"), [("skyclaw", shell("true")), ("broker", {"command": "ping"})])
def test_a_claw_that_only_claims_them_refuses_them(claw: Claw, requires: str, spec: dict[str, Any]) -> None:
    job_id = claw.submit(spec, requires=[requires])
    claw.start(CLAW_CAPABILITIES=requires)
    job = claw.until_status(job_id, "failed")
    assert job.error == (
        f"requires: this claw runs no jobs of {requires}; name it in CLAW_DIALECTS, or use another claw"
    )


@pytest.mark.parametrize("mode", ["worker", "phases"])
def test_a_claw_takes_the_place_of_a_runner(claw: Claw, mode: str, tmp_path: Path) -> None:
    kept = str(uuid.uuid4())
    (tmp_path / "runner" / "plans").mkdir(parents=True)
    (tmp_path / "runner" / "plans" / f"{kept}.json").write_text(json.dumps({"type": "plan", "plan_id": kept}))

    def order(command: str, payload: str = "", **members: Any) -> str:
        return claw.submit({"command": command, "payload": payload, **members}, requires=["broker"])

    ping, capable, plan = order("ping", "é"), order("capabilities"), order("plan_echo", "paint it")
    approved = order("approve_echo", f" {plan} ", plan={"id": plan, "jobId": plan, "digest": "d"})
    first, second = order("approve_echo", kept), order("approve_echo", kept)
    escape, unknown = order("approve_echo", f"../plans/{kept}"), order("dance")
    claw.start(CLAW_MODE=mode, RUNNER_STATE_DIR=str(tmp_path / "runner"), **BROKER)
    assert claw.until_status(ping, "done").result == "pong: é"
    assert claw.until_status(capable, "done").result == (
        f'{{"worker_id": "{claw.name}", "capabilities": ["ping", "capabilities", "plan_echo", "approve_echo"], '
        '"version": "mvp"}'
    )
    assert claw.until_status(plan, "done").result == (
        f'{{"type": "plan", "plan_id": "{plan}", "summary": "Echo plan for: paint it", '
        '"proposed_actions": ["(no-op)"], "requires_approval": true}'
    )
    for job_id, plan_id in ((approved, plan), (first, kept)):
        assert claw.until_status(job_id, "done").result == (
            f'{{"type": "approval", "plan_id": "{plan_id}", "status": "approved", "applied": false, '
            '"note": "no-op (scaffold)"}'
        )
    for job_id, error in (
        (second, f"plan {kept} was approved already"),
        (escape, "unknown plan_id"),
        (unknown, "unknown command: dance"),
    ):
        job = claw.until_status(job_id, "failed")
        assert (job.error, job.result, job.attempts) == (error, None, 1)


def test_a_worker_that_is_killed_leaves_the_job_to_the_next_attempt(lone_claw: Claw, tmp_path: Path) -> None:
    once = tmp_path / "once"
    job_id = skyclaw(lone_claw, shell(f"echo $$ >> {once}; [ $(wc -l < {once}) -gt 1 ] || sleep 300; echo done"))
    lone_claw.start(**SKYCLAW)
    until(lambda: once.exists() and once.read_text().endswith("\n"))
    os.kill(lone_claw.worker_pid(), 9)
    job = lone_claw.until_status(job_id, "done", seconds=40)
    assert (result(job), job.attempts) == ({"exitCode": 0, "stdout": "done\n", "stderr": ""}, 2)


def test_a_result_waits_for_a_spine_that_is_away(lone_claw: Claw, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job_id = skyclaw(lone_claw, shell(f"until [ -e {go} ]; do sleep 0.05; done; echo late; exit 4"))
    lone_claw.start(**SKYCLAW)
    lone_claw.until_status(job_id, "running")
    lone_claw.worker_pid()
    lone_claw.spine.stop(9)
    go.touch()
    until(lambda: (lone_claw.held() or {}).get("outcome"), 20)
    held = lone_claw.held()
    assert held is not None
    assert held["outcome"]["result"]["stdout"] == "late\n"
    lone_claw.spine.start()
    job = lone_claw.until_status(job_id, "failed", seconds=40)
    assert (result(job), job.error) == ({"exitCode": 4, "stdout": "late\n", "stderr": ""}, None)


@pytest.mark.parametrize("point", ["claw.result-written", "claw.result-sent"])
def test_a_claw_killed_while_it_reports_reports_once(lone_claw: Claw, point: str) -> None:
    job_id = skyclaw(lone_claw, shell("echo out; exit 5"))
    lone_claw.start_armed(point, **SKYCLAW)
    lone_claw.await_point(point)
    lone_claw.kill_all()
    lone_claw.start(**SKYCLAW)
    job = lone_claw.until_status(job_id, "failed", seconds=40)
    assert (result(job), job.error, job.attempts) == ({"exitCode": 5, "stdout": "out\n", "stderr": ""}, None, 1)
    until(lambda: lone_claw.held() is None or lone_claw.held()["job"] is None)  # type: ignore[index]
