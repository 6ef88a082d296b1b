"""What people say and decide while a job runs, and after it: comments, cancel, another round."""

import json
from pathlib import Path

import pytest
from tests.integration.claw.conftest import Claw, git, until

from claw.process import identity

# Ends when two comments have been made, and hands them over as its result.
FOLLOW = """\
import json, os, time
while len(lines := open(os.environ["SPINE_COMMENTS_FILE"]).readlines()) < 2:
    time.sleep(0.05)
heard = [json.loads(line) for line in lines]
json.dump({"said": [c["text"] for c in heard], "keys": sorted(heard[0])}, open(os.environ["SPINE_RESULT_FILE"], "w"))
"""


@pytest.mark.parametrize("mode", ["worker", "phases"])
def test_a_running_job_reads_what_people_say(claw: Claw, mode: str) -> None:
    job_id = claw.submit({"run": ["python3", "-c", FOLLOW]})
    claw.spine.head.comment(job_id, "said before it began")
    claw.start(CLAW_MODE=mode)
    claw.until_status(job_id, "running")
    claw.spine.head.comment(job_id, "said while\nit ran")
    job = claw.until_status(job_id, "done")
    assert job.result["said"] == ["said before it began", "said while\nit ran"]
    assert job.result["keys"] == ["by", "t", "text"]


def test_a_cancelled_job_is_killed_within_a_heartbeat(claw: Claw, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    job_id = claw.submit({"run": f"trap '' TERM; (setsid sleep 1000 &); echo begin > {ledger}; sleep 1000"})
    claw.start()
    until(ledger.exists)
    assert claw.spine.head.cancel(job_id, "not wanted").status == "cancelled"
    # One heartbeat (1 s), the grace of a process that will not go (1 s), and what a busy machine takes.
    until(lambda: not identity.marked({"SPINE_JOB_ID": job_id}), 10)
    until(lambda: not (claw.held() or {}).get("jobId"))
    assert claw.until_status(claw.submit({"run": "true"}), "done")
    assert (claw.job(job_id).status, claw.job(job_id).attempts) == ("cancelled", 1)
    assert not (claw.state / "undelivered").exists()


ROUNDS = (
    'cat "${SPINE_PREVIOUS_RESULT_FILE:-/dev/null}" > previous.json; cp $SPINE_COMMENTS_FILE comments.jsonl; '
    'echo "round $SPINE_ROUND" >> rounds.txt; echo "{\\"notes\\": \\"round $SPINE_ROUND\\"}" > $SPINE_RESULT_FILE'
)


def test_another_round_knows_what_was_said_and_goes_on_with_branch_and_request(claw: Claw, repo: Path) -> None:
    asked = claw.folder / "requests"
    claw.start(
        CLAW_ALLOWED_REPOS=str(repo.parent),
        CLAW_PR_COMMAND=f"sh -c 'echo x >> {asked}; echo https://example.org/pulls/$(wc -l < {asked})'",
    )
    job_id = claw.submit({"repo": str(repo), "run": ROUNDS}, needsReview=True)
    branch = f"spine/job-{job_id}"
    first = claw.until_status(job_id, "done")
    assert (first.result["notes"], first.result["pr"]) == ("round 1", "https://example.org/pulls/1")
    assert git(repo, "show", f"{branch}:previous.json") == ""
    claw.spine.head.review(job_id, "rework", "say it in green")
    second = until(lambda: (job := claw.job(job_id)).status == "done" and job.round == 2 and job)
    assert (second.result["notes"], second.result["branch"]) == ("round 2", branch)
    assert second.result["pr"] == "https://example.org/pulls/1"
    assert asked.read_text() == "x\n"
    assert git(repo, "show", f"{branch}:rounds.txt") == "round 1\nround 2"
    assert git(repo, "rev-parse", f"{branch}~1") == first.result["commit"]
    assert json.loads(git(repo, "show", f"{branch}:previous.json"))["notes"] == "round 1"
    said = json.loads(git(repo, "show", f"{branch}:comments.jsonl"))
    assert (said["by"], said["text"]) == ("head", "say it in green")


def test_a_round_after_a_failure_has_no_previous_result(claw: Claw) -> None:
    seen = 'echo "round $SPINE_ROUND, before: [$SPINE_PREVIOUS_RESULT_FILE]"; exit $((77 * (SPINE_ROUND < 2)))'
    claw.start()
    job_id = claw.submit({"run": seen})
    claw.until_status(job_id, "failed")
    claw.spine.head.retry(job_id)
    assert claw.until_status(job_id, "done").result["notes"].splitlines()[-1] == "round 2, before: []"
