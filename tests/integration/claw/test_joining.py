"""A machine joins with one line, tells what it is, gets another token, and is sent away."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.claw.conftest import Newcomer, Spine, until

from claw.process import identity
from contract.errors import Unauthorized
from contract.fleet_client import FleetClient
from contract.retry import ONCE


def known(newcomer: Newcomer) -> dict[str, object]:
    machines = newcomer.spine.head.machines().machines
    return next({"capabilities": m.capabilities, **m.facts} for m in machines if m.name == newcomer.name)


def test_one_line_joins_and_the_claw_works_with_no_further_settings(newcomer: Newcomer) -> None:
    done = newcomer.join()
    assert done.returncode == 0, done.stderr
    assert (newcomer.state / "claw.env").read_text().splitlines()[1:] == [
        f"SPINE_BASE_URL={newcomer.spine.url}",
        f"SPINE_TOKEN_FILE={newcomer.state}/token",
        f"CLAW_NAME={newcomer.name}",
    ]
    modes = {name: stat.S_IMODE((newcomer.state / name).stat().st_mode) for name in ("claw.env", "token")}
    assert modes == {"claw.env": 0o600, "token": 0o600}
    assert newcomer.stored() not in done.stdout + done.stderr
    job_id = newcomer.submit({"builtin": "ping"})
    newcomer.start()
    assert newcomer.until_status(job_id, "done").result["notes"] == "pong"


def test_the_line_that_the_head_is_shown_is_the_one_to_paste(newcomer: Newcomer) -> None:
    line = newcomer.spine.head.join_code(newcomer.name).command
    assert re.fullmatch(rf"claw join {newcomer.spine.url} ([A-Z2-9]{{4}}-){{3}}[A-Z2-9]{{4}}", line)
    assert newcomer.cli(*line.split()[1:]).returncode == 0


def test_a_code_may_come_through_a_pipe(newcomer: Newcomer) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "claw.cli", "join", newcomer.spine.url, "-"],
        env=newcomer.env(),
        input=newcomer.code() + "\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_machine_that_has_joined_is_left_alone_and_its_code_is_not_spent(newcomer: Newcomer) -> None:
    newcomer.join()
    before, code = newcomer.stored(), newcomer.code()
    refused = newcomer.cli("join", newcomer.spine.url, code)
    assert refused.returncode == 73
    assert "--force" in refused.stderr
    assert newcomer.stored() == before
    with (newcomer.state / "claw.env").open("a") as file:
        file.write("CLAW_MODE=phases\n")
    forced = newcomer.cli("join", newcomer.spine.url, code, "--force", "--name", "upstairs")
    assert forced.returncode == 0, forced.stderr
    assert newcomer.stored() != before
    assert (newcomer.state / "claw.env").read_text().splitlines()[3:] == ["CLAW_NAME=upstairs", "CLAW_MODE=phases"]


@pytest.mark.parametrize("code", ["AAAA-AAAA-AAAA-AAAA", ""])
def test_a_wrong_code_leaves_nothing_behind(newcomer: Newcomer, code: str) -> None:
    refused = newcomer.cli("join", newcomer.spine.url, code)
    assert refused.returncode == 77
    assert refused.stderr.startswith("claw: ")
    assert sorted(path.name for path in newcomer.state.iterdir()) == []


def test_a_used_code_is_not_taken_again(newcomer: Newcomer) -> None:
    code = newcomer.code()
    assert newcomer.cli("join", newcomer.spine.url, code).returncode == 0
    again = newcomer.cli("join", newcomer.spine.url, code, "--force")
    assert again.returncode == 77
    assert "this join code is not valid" in again.stderr


def test_a_folder_that_cannot_be_written_costs_no_code(newcomer: Newcomer) -> None:
    (newcomer.folder / "file").touch()
    code = newcomer.code()
    assert newcomer.cli("join", newcomer.spine.url, code, CLAW_STATE_DIR=f"{newcomer.folder}/file").returncode == 73
    assert newcomer.cli("join", newcomer.spine.url, code).returncode == 0


@pytest.mark.parametrize(("url", "code"), [("spine:36725", 2), ("http://127.0.0.1:1", 69)])
def test_an_address_where_no_spine_is(newcomer: Newcomer, url: str, code: int) -> None:
    assert newcomer.cli("join", url, "AAAA-AAAA-AAAA-AAAA").returncode == code


def test_a_setting_that_cannot_be_used_costs_no_code(newcomer: Newcomer) -> None:
    code = newcomer.code()
    refused = newcomer.cli("join", newcomer.spine.url, code, CLAW_MODE="fast")
    assert (refused.returncode, refused.stderr) == (78, "claw: CLAW_MODE: 'fast' is not one of worker, phases\n")
    assert newcomer.cli("join", newcomer.spine.url, code).returncode == 0


def test_a_token_in_the_environment_is_told_of(newcomer: Newcomer) -> None:
    done = newcomer.join(SPINE_TOKEN="an-old-token-of-the-shell")
    assert done.returncode == 0, done.stderr
    assert "SPINE_TOKEN is set in the environment and wins over" in done.stdout
    assert "The spine knows what it can do" in done.stdout


def test_joining_again_runs_a_ping_that_waits_and_leaves_other_work_alone(newcomer: Newcomer) -> None:
    newcomer.join()
    other, ping = newcomer.submit({"run": "true"}), newcomer.submit({"builtin": "ping"})
    done = newcomer.join("--force")
    assert f"Did job {ping} (ping)." in done.stdout
    assert (newcomer.job(ping).status, newcomer.job(other).status) == ("done", "queued")
    assert not newcomer.state_file.exists()


def test_run_goes_on_at_once(newcomer: Newcomer) -> None:
    code = newcomer.code()
    with (newcomer.folder / "claw.log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "claw.cli", "join", "--run", newcomer.spine.url, code],
            env=newcomer.env(),
            stdout=out,
            stderr=out,
        )
    newcomer._processes.append(process)
    until(lambda: any(m.name == newcomer.name for m in newcomer.spine.head.machines().machines))
    assert newcomer.until_status(newcomer.submit({"run": "true"}), "done")


# --- what it tells -----------------------------------------------------------------------------------------------


def test_a_claw_that_starts_tells_what_it_is(newcomer: Newcomer) -> None:
    newcomer.join()
    newcomer.start(CLAW_CAPABILITIES="gpu", CLAW_MODE="phases")
    seen = until(lambda: (told := known(newcomer)).get("mode") == "phases" and told)
    assert {"shell", "gpu", "os:" + os.uname().sysname.lower(), "arch:" + os.uname().machine} <= set(
        seen["capabilities"]  # type: ignore[arg-type]
    )
    assert isinstance(seen["diskFreeBytes"], int)
    assert isinstance(seen["memoryBytes"], int)
    assert seen["clawVersion"] == "0.1.0"


def test_ticks_tell_it_no_more_often_than_they_should(newcomer: Newcomer) -> None:
    newcomer.join()
    newcomer.cli("tick", CLAW_MODE="phases")
    assert known(newcomer)["mode"] == "phases"
    newcomer.cli("tick", CLAW_MODE="worker")
    assert known(newcomer)["mode"] == "phases"
    os.utime(newcomer.state / "facts-sent", (0, 0))
    newcomer.cli("tick", CLAW_MODE="worker")
    assert known(newcomer)["mode"] == "worker"


def test_doctor_shows_the_machine_and_its_facts(newcomer: Newcomer) -> None:
    newcomer.join()
    newcomer.spine.head.machine(newcomer.name, "drain")
    done = newcomer.cli("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["machine"]["state"] == "hint"
    assert checks["machine"]["detail"].startswith(f"{newcomer.name} is draining, last heard of at 20")
    assert "diskFreeBytes" in checks["facts"]["detail"]


# --- its token ---------------------------------------------------------------------------------------------------


def test_a_running_claw_takes_up_its_new_token(newcomer: Newcomer) -> None:
    newcomer.join()
    daemon = newcomer.start()
    newcomer.until_status(newcomer.submit({"run": "true"}), "done")
    before = newcomer.stored()
    done = newcomer.cli("rotate", "--grace", "0")
    assert (done.returncode, newcomer.stored() == before) == (0, False)
    assert newcomer.stored() not in done.stdout + done.stderr
    with pytest.raises(Unauthorized):
        FleetClient(newcomer.spine.url, before, retry=ONCE).machines()
    assert newcomer.until_status(newcomer.submit({"run": "true"}), "done").attempts == 1
    assert daemon.poll() is None


def test_a_worker_takes_up_the_new_token_in_the_middle_of_a_job(newcomer: Newcomer, tmp_path: Path) -> None:
    newcomer.join()
    gate = tmp_path / "gate"
    job_id = newcomer.submit({"run": f"while ! test -e {gate}; do sleep 0.05; done"})
    newcomer.cli("tick")
    newcomer.until_status(job_id, "running")
    assert newcomer.cli("rotate", "--grace", "0").returncode == 0
    seen = newcomer.job(job_id).lease_until
    until(lambda: (newcomer.job(job_id).lease_until or "") > (seen or ""))  # it beats on
    gate.touch()
    job = newcomer.until_status(job_id, "done")
    assert (job.attempts, job.fence) == (1, 1)


def test_a_token_in_a_variable_is_not_rotated(newcomer: Newcomer) -> None:
    newcomer.join()
    refused = newcomer.cli("rotate", SPINE_TOKEN=newcomer.stored())
    assert refused.returncode == 78
    assert "SPINE_TOKEN_FILE" in refused.stderr


def test_a_revoked_machine_is_refused_a_new_token(newcomer: Newcomer) -> None:
    newcomer.join()
    newcomer.spine.head.machine(newcomer.name, "revoke")
    before = newcomer.stored()
    assert newcomer.cli("rotate").returncode == 78
    assert newcomer.stored() == before


# --- revoked -----------------------------------------------------------------------------------------------------


def test_a_revoked_token_stops_the_work_and_the_claw(newcomer: Newcomer, tmp_path: Path) -> None:
    newcomer.join()
    ledger = tmp_path / "ledger"
    job_id = newcomer.submit({"run": f"trap '' TERM; (setsid sleep 1000 &); echo begin > {ledger}; sleep 1000"})
    daemon = newcomer.start(CLAW_KILL_GRACE_SECONDS="1", CLAW_WAIT_SECONDS="2")
    until(ledger.exists)
    newcomer.spine.head.machine(newcomer.name, "revoke")
    assert newcomer.job(job_id).status == "queued"
    assert daemon.wait(20) == 78
    assert identity.marked({"SPINE_JOB_ID": job_id}) == []
    assert (newcomer.held() or {}).get("job") is None  # at most a claim that was not answered
    log = (newcomer.folder / "claw.log").read_text()
    assert '"event": "claw.locked_out"' in log
    assert "join again" in log


def test_a_finished_result_outlives_the_token_and_comes_late_after_another_join(newcomer: Newcomer) -> None:
    newcomer.join()
    job_id = newcomer.submit({"run": "echo precious"})
    newcomer.start_armed("claw.result-written")
    newcomer.await_point("claw.result-written")
    newcomer.spine.head.machine(newcomer.name, "revoke")
    newcomer.kill_all()
    refused = newcomer.cli("run")
    assert refused.returncode == 78
    assert '"event": "claw.result_kept"' in refused.stderr + refused.stdout
    assert (newcomer.held() or {})["outcome"]["result"]["notes"].endswith("precious")
    assert newcomer.cli("tick").returncode == 78
    newcomer.join("--force")
    newcomer.spine.head.machine(newcomer.name, "pause")
    assert newcomer.cli("tick").returncode == 0
    late = newcomer.spine.head.attempts(job_id)[0]
    assert late.late_result["notes"].endswith("precious")
    assert newcomer.job(job_id).status == "queued"


def test_a_spine_that_is_down_is_no_reason_to_end(own_spine: Spine, lone_newcomer: Newcomer) -> None:
    newcomer = lone_newcomer
    newcomer.join()
    daemon = newcomer.start(CLAW_WAIT_SECONDS="1")
    own_spine.stop(signal.SIGTERM)
    until(lambda: "claw.spine_trouble" in (newcomer.folder / "claw.log").read_text())
    own_spine.start()
    assert newcomer.until_status(newcomer.submit({"run": "true"}), "done")
    assert daemon.poll() is None
