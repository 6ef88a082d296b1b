"""A claw in worker mode against a real spine: what a job sees, what is reported, what is left behind."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.integration.claw.conftest import Claw, git, until


def test_a_tick_claims_one_job_and_leaves_it_to_a_worker(claw: Claw) -> None:
    job_id = claw.submit({"run": "echo first; echo last"})
    done = claw.cli("tick", "--mode", "worker")
    assert (done.returncode, done.stdout) == (0, "")
    job = claw.until_status(job_id, "done")
    assert job.attempts == 1
    assert job.result["notes"] == "--- run: echo first; echo last\nfirst\nlast"
    assert [a["name"] for a in job.result["artifacts"]] == ["build.log"]
    assert [(p["name"], p["exitCode"]) for p in job.result["phases"]] == [("run", 0)]
    assert job.progress == {"phase": "run", "index": 1, "of": 1, "percent": 0}
    assert claw.spine.head.read_log(job_id) == b"--- run: echo first; echo last\nfirst\nlast\n"
    until(lambda: not claw.state_file.exists())
    assert until(lambda: not list((claw.state / "work").iterdir()))


def test_a_tick_without_work_exits_0_and_holds_nothing(claw: Claw) -> None:
    assert claw.cli("tick").returncode == 0
    assert not claw.state_file.exists()


def test_a_job_sees_its_variables_and_no_token(claw: Claw) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    script = (
        "env > seen; tr '\\0' '\\n' < /proc/$PPID/environ >> seen; "
        'worker=$(awk \'{print $4}\' /proc/$PPID/stat); tr "\\0" " " < /proc/$worker/cmdline > argv; '
        'tr "\\0" "\\n" < /proc/$worker/environ > environ 2>/dev/null || :'
    )
    job_id = claw.submit(
        {"run": script, "env": {"COLOUR": "red"}, "artifacts": ["seen", "argv", "environ"]}, traceparent=trace
    )
    claw.cli("tick", PASSED="yes", CLAW_PASS_ENV="PASSED")
    job = claw.until_status(job_id, "done", "failed")
    files = {a["name"]: claw.spine.head.download(a["url"].rsplit("/", 1)[1]).decode() for a in job.result["artifacts"]}
    seen = dict(line.split("=", 1) for line in files["seen"].splitlines() if "=" in line)
    assert seen["SPINE_JOB_ID"] == job_id
    assert seen["SPINE_FENCE"] == "1"
    assert seen["SPINE_BRANCH"] == ""
    assert seen["COLOUR"] == "red"
    assert seen["PASSED"] == "yes"
    assert Path(seen["SPINE_WORKSPACE"]).name == "workspace"
    assert seen["TRACEPARENT"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert seen["TRACEPARENT"] != trace
    assert "claw.worker" in files["argv"]
    assert "SPINE_TOKEN" not in "".join(files.values())
    assert claw.token not in "".join(files.values())


@pytest.mark.parametrize(
    ("script", "status", "error"),
    [
        ("echo no luck; exit 75", "dead", "the job ended with exit code 75: no luck"),
        ("echo no right; exit 77", "failed", "the job ended with exit code 77: no right"),
        ("exit 9", "failed", "the job ended with exit code 9"),
        ("exit 1", "dead", "the job ended with exit code 1"),
        ("kill -9 $$", "dead", "the job was ended by SIGKILL"),
        ("echo '{nonsense' > $SPINE_RESULT_FILE", "failed", "the result file (SPINE_RESULT_FILE) is not JSON"),
        ('echo \'{"outcome":"fail","error":"worded"}\' > $SPINE_RESULT_FILE', "dead", "worded"),
    ],
)
def test_how_a_job_ends(claw: Claw, script: str, status: str, error: str) -> None:
    # One attempt: what would be requeued is dead.
    job_id = claw.submit({"run": script, "permanentExits": [9]}, maxAttempts=2, timeoutSeconds=30)
    claw.start()
    job = claw.until_status(job_id, "dead", "failed")
    assert (job.status, job.attempts) == (status, 2 if status == "dead" else 1)
    assert job.error is not None
    assert job.error.startswith(error)


def test_a_job_over_its_time_is_ended(claw: Claw) -> None:
    job_id = claw.submit({"run": "sleep 60"}, maxAttempts=1, timeoutSeconds=1)
    claw.start()
    assert claw.until_status(job_id, "dead").error == "the job timed out after 1 s"


def test_a_job_over_its_time_is_tried_again_while_attempts_are_left(claw: Claw) -> None:
    job_id = claw.submit({"run": "echo begun; sleep 60"}, maxAttempts=2, timeoutSeconds=1)
    claw.start()
    job = claw.until_status(job_id, "dead")
    assert (job.attempts, job.error) == (2, "the job timed out after 1 s")
    tries = claw.spine.head.attempts(job_id)
    assert [(one.outcome, one.error) for one in tries] == [("failed", "the job timed out after 1 s")] * 2


def test_exit_69_gives_the_job_back_with_its_last_line(claw: Claw) -> None:
    job_id = claw.submit({"run": "echo the tool is missing; exit 69"})
    claw.cli("tick")
    job = until(lambda: (found := claw.job(job_id)).status == "queued" and found.attempts == 1 and found)
    assert job.release_reason == "the tool is missing"


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("fix the tests", "CLAW_AGENT_COMMAND"),
        ({"run": "true", "phasez": []}, "spec: Object contains unknown field `phasez`"),
        ({"phases": [{"run": 7}]}, "spec.phases[0].run: Expected `str | array`, got `int`"),
        ({"run": "true", "repo": "https://example.org/a.git"}, "CLAW_ALLOWED_REPOS"),
    ],
)
def test_a_spec_that_cannot_run_here_fails_at_once(claw: Claw, spec: object, error: str) -> None:
    job_id = claw.submit(spec)
    claw.cli("tick")
    job = claw.until_status(job_id, "failed")
    assert job.attempts == 1
    assert error in (job.error or "")


def test_a_text_spec_goes_to_the_agent_command(claw: Claw) -> None:
    job_id = claw.submit("count to three")
    claw.cli("tick", CLAW_AGENT_COMMAND='["/bin/sh", "-c", "cat \\"$1\\"; echo; pwd", "agent", "{spec_file}"]')
    job = claw.until_status(job_id, "done")
    assert job.result["notes"].splitlines()[0] == "count to three"


def test_a_repository_is_changed_and_pushed(claw: Claw, repo: Path) -> None:
    job_id = claw.submit(
        {
            "repo": str(repo),
            "phases": [
                {"name": "test", "run": ["grep", "one", "file.txt"]},
                {"name": "change", "run": "echo two >> file.txt; mkdir out; echo report > out/report.txt"},
            ],
            "artifacts": ["out/*.txt"],
        },
        label="Add two",
    )
    claw.start(
        CLAW_ALLOWED_REPOS=str(repo.parent),
        CLAW_GIT_NAME="A Claw",
        CLAW_PR_COMMAND="sh -c 'echo working on {branch} into {base}; echo https://example.org/pulls/7'",
    )
    job = claw.until_status(job_id, "done")
    branch = f"spine/job-{job_id}"
    assert job.result["branch"] == branch
    assert job.result["pr"] == "https://example.org/pulls/7"
    assert git(repo, "log", "-1", "--format=%an|%s|%H", branch) == f"A Claw|Add two|{job.result['commit']}"
    assert git(repo, "show", f"{branch}:file.txt") == "one\ntwo"
    assert git(repo, "rev-parse", f"{branch}~1") == git(repo, "rev-parse", "main")
    assert sorted(a["name"] for a in job.result["artifacts"]) == ["build.log", "out/report.txt"]


def test_another_round_goes_on_from_the_branch_of_the_first(claw: Claw, repo: Path) -> None:
    job_id = claw.submit({"repo": str(repo), "run": "cat earlier.txt; echo later > later.txt"})
    branch = f"spine/job-{job_id}"
    work = repo.parent.parent / "earlier"
    git(repo.parent, "clone", "--quiet", str(repo), str(work))
    (work / "earlier.txt").write_text("from an earlier round\n")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "--message", "Earlier")
    git(work, "push", "--quiet", str(repo), f"HEAD:refs/heads/{branch}")
    claw.cli("tick", CLAW_ALLOWED_REPOS=str(repo.parent))
    job = claw.until_status(job_id, "done")
    assert job.result["branch"] == branch
    assert git(repo, "log", "--format=%s", branch).splitlines() == [f"Spine job {job_id}", "Earlier", "Begin"]


def test_a_job_that_changes_nothing_pushes_nothing(claw: Claw, repo: Path) -> None:
    job_id = claw.submit({"repo": str(repo), "run": "cat file.txt"})
    claw.cli("tick", CLAW_ALLOWED_REPOS=str(repo.parent))
    job = claw.until_status(job_id, "done")
    assert "branch" not in job.result
    assert job.result["notes"].splitlines()[-1] == "the job changed nothing in the repository"
    assert git(repo, "branch", "--list", "spine/*") == ""


@pytest.mark.parametrize("hook", ["pre-commit", "post-checkout"])
def test_hooks_of_a_repository_never_run(claw: Claw, repo: Path, hook: str) -> None:
    ran = claw.folder / "hook-ran"
    script = f"printf '#!/bin/sh\\ntouch {ran}\\n' > .git/hooks/{hook}; chmod +x .git/hooks/{hook}; echo x >> file.txt"
    job_id = claw.submit({"repo": str(repo), "run": script})
    claw.cli("tick", CLAW_ALLOWED_REPOS=str(repo.parent))
    claw.until_status(job_id, "done")
    assert not ran.exists()


def test_a_repository_that_does_not_exist_fails_clearly(claw: Claw, repo: Path) -> None:
    job_id = claw.submit({"repo": str(repo.parent / "none.git"), "run": "true"})
    claw.cli("tick", CLAW_ALLOWED_REPOS=str(repo.parent))
    job = claw.until_status(job_id, "failed")
    assert job.attempts == 1
    assert "git clone failed" in (job.error or "")
    assert "does not exist" in (job.error or "")


@pytest.fixture
def guarded_host() -> Iterator[str]:
    """A web server that asks everybody for a password."""

    class Asking(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="closed"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Asking) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_repository_that_asks_for_a_password_fails_without_a_prompt(claw: Claw, guarded_host: str) -> None:
    job_id = claw.submit({"repo": f"{guarded_host}/team/app.git", "run": "true"})
    claw.cli("tick", CLAW_ALLOWED_REPOS=guarded_host)
    job = claw.until_status(job_id, "failed")
    assert job.attempts == 1
    assert "Authentication failed" in (job.error or "")


def test_log_lines_hide_the_secrets_that_a_job_was_given(claw: Claw) -> None:
    job_id = claw.submit(
        {"run": 'echo "key is $DEPLOY_KEY"; printf "{\\"notes\\":\\"$DEPLOY_KEY\\"}" > $SPINE_RESULT_FILE'}
    )
    claw.cli("tick", DEPLOY_KEY="hunter2hunter2", CLAW_PASS_ENV="DEPLOY_KEY")
    job = claw.until_status(job_id, "done")
    assert claw.spine.head.read_log(job_id).decode().splitlines()[-1] == "key is [redacted]"
    assert job.result["notes"] == "[redacted]"


def test_odd_characters_in_a_result_do_not_stand_in_its_way(claw: Claw) -> None:
    job_id = claw.submit(
        {"run": "printf '{\"notes\":\"a\\\\u0000b \\303\\251\"}' > $SPINE_RESULT_FILE; printf 'x\\000\\377y\\n'"}
    )
    claw.cli("tick")
    job = claw.until_status(job_id, "done", "failed")
    assert job.result["notes"] == "a\N{REPLACEMENT CHARACTER}b é"
    assert claw.spine.head.read_log(job_id).endswith(b"x\x00\xffy\n")


def test_a_result_file_that_is_a_pipe_is_not_waited_for(claw: Claw) -> None:
    job_id = claw.submit({"run": "mkfifo $SPINE_RESULT_FILE; echo done"})
    claw.cli("tick")
    assert claw.until_status(job_id, "done").result["notes"].endswith("done")


def test_a_token_from_a_file_works(claw: Claw) -> None:
    (claw.folder / "token").write_text(claw.token)
    job_id = claw.submit({"run": "true"})
    env = claw.env(SPINE_TOKEN_FILE=str(claw.folder / "token")) | {"SPINE_TOKEN": ""}
    subprocess.run([sys.executable, "-m", "claw.cli", "tick"], env=env, check=True, capture_output=True)
    claw.until_status(job_id, "done")


def test_doctor_and_status_speak_json(claw: Claw) -> None:
    done = claw.cli("doctor", "--json")
    checks = {check["name"]: check["state"] for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0
    assert checks["spine"] == checks["token"] == checks["clock"] == checks["state folder"] == "ok"
    assert json.loads(claw.cli("status", "--json").stdout) == {"held": None}


def test_doctor_fails_on_a_wrong_token(claw: Claw) -> None:
    claw.token = "nobody-knows-this-one"
    done = claw.cli("doctor")
    assert done.returncode == 1
    assert "does not know this token" in done.stdout
    assert claw.token not in done.stdout + done.stderr


def test_faulty_settings_are_all_named_and_exit_78(claw: Claw) -> None:
    done = claw.cli("run", CLAW_MODE="both", CLAW_DRAIN_SECONDS="never")
    assert done.returncode == 78
    assert done.stderr.splitlines() == [
        "claw: CLAW_MODE: 'both' is not one of worker, phases",
        "claw: CLAW_DRAIN_SECONDS: 'never' is not a whole number; give one from 0 to 86400",
    ]


def test_the_state_folder_is_private(claw: Claw) -> None:
    claw.cli("tick")
    assert claw.state.stat().st_mode & 0o777 == 0o700
