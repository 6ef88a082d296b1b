"""spine-head submit: every way to say what is wanted, and what the spine then holds."""

import json
import signal
from pathlib import Path

import pytest
from tests.integration.head.conftest import Claw, Head, end
from tests.support.eventually import eventually
from tests.support.spine_process import TOKENS, SpineProcess

from contract.client import SpineClient
from contract.clock import parse_iso
from head import exits


@pytest.fixture
def client(spine: SpineProcess) -> SpineClient:
    return SpineClient(spine.url, TOKENS["HEAD_TOKEN"])


def test_a_text_is_the_spec(head: Head, client: SpineClient) -> None:
    job = client.job(head.submit("Fix the [bold] date bug"))
    assert (job.spec, job.target, job.max_attempts, job.label) == ("Fix the [bold] date bug", "left-claw", 5, None)


def test_options_become_the_job(head: Head, client: SpineClient) -> None:
    words = ["--target", "right-claw", "--label", "bug 7", "--priority", "-3", "--max-attempts", "2", "--timeout", "90"]
    words += ["--requires", "git", "--requires", "gpu", "--meta", '{"team": "web"}']
    job = client.job(head.submit("x", *words))
    assert (job.target, job.label, job.priority, job.max_attempts, job.timeout_seconds) == (
        "right-claw",
        "bug 7",
        -3,
        2,
        90,
    )
    assert (sorted(job.requires), job.meta) == (["git", "gpu"], {"team": "web"})


def test_every_other_option_becomes_its_field(head: Head, client: SpineClient) -> None:
    first = head.submit("first")
    words = ["--not-before", "2030-01-31T08:00:00Z", "--concurrency-key", "prod", "--concurrency-limit", "2"]
    words += ["--after", first, "--dedupe-key", "d-1", "--needs-approval", "--needs-review", "--notify", "ops"]
    words += ["--notify", "me", "--parent", first, "--retry-backoff", "1.5", "--retry-factor", "3", "--retry-max", "60"]
    job = client.job(head.submit("x", *words))
    assert (job.status, job.not_before, job.after, job.parent_id) == (
        "waiting",
        "2030-01-31T08:00:00.000Z",
        [first],
        first,
    )
    assert (job.concurrency_key, job.concurrency_limit, job.dedupe_key) == ("prod", 2, "d-1")
    assert (job.needs_approval, job.needs_review, job.notify) == (True, True, ["ops", "me"])
    assert job.retry is not None
    assert (job.retry.backoff_seconds, job.retry.factor, job.retry.max_seconds) == (1.5, 3.0, 60.0)
    assert head.submit("another", "--dedupe-key", "d-1") == job.id
    page = head.run("show", job.id).stdout
    for said in (
        f"after        {first}",
        "prod (limit 2)",
        "1.5 s, times 3, at most 1 min 00 s",
        "pending: spine-head",
    ):
        assert said in page, page


def test_a_delay(head: Head, client: SpineClient) -> None:
    job = client.job(head.submit("x", "--delay", "3600"))
    assert job.not_before is not None
    assert parse_iso(job.not_before) - parse_iso(job.created_at) == 3_600_000


def test_a_list_is_taken_whole_or_not_at_all(head: Head, client: SpineClient, tmp_path: Path) -> None:
    (tmp_path / "jobs.json").write_text('[{"spec": "a"}, {"spec": {"run": "b"}, "label": "own"}]')
    ids = head.run("submit", "--list", "jobs.json", "--label", "common", "--needs-review").stdout.split()
    jobs = [client.job(job_id) for job_id in ids]
    assert [(job.spec, job.label, job.needs_review) for job in jobs] == [
        ("a", "common", True),
        ({"run": "b"}, "own", True),
    ]
    assert [job["spec"] for job in head.json("submit", "--list", "jobs.json")["jobs"]] == ["a", {"run": "b"}]
    before = head.json("list", "--limit", "0")["matched"]
    bad = '[{"spec": "a"}, {"spec": "b", "target": "nowhere"}]'
    refused = head.run("submit", "--list", "-", stdin=bad, code=exits.REFUSED_DATA)
    assert refused.stderr.startswith("spine-head: [1].target")
    assert head.json("list", "--limit", "0")["matched"] == before


def test_phases_and_a_repository(head: Head, client: SpineClient) -> None:
    words = ["--repo", "/srv/app.git", "--branch", "dev", "--artifact", "out/*", "--phase", "test=make test A=1"]
    job = client.job(head.submit(*words, "--phase", "push = true"))
    assert job.spec == {
        "phases": [{"name": "test", "run": "make test A=1"}, {"name": "push", "run": "true"}],
        "repo": "/srv/app.git",
        "branch": "dev",
        "artifacts": ["out/*"],
    }


@pytest.mark.parametrize("words", [("-",), ()])
def test_standard_input(head: Head, client: SpineClient, words: tuple[str, ...]) -> None:
    job_id = head.run("submit", *words, stdin="line one\nline two\n").stdout.strip()
    assert client.job(job_id).spec == "line one\nline two\n"


def test_a_json_file_is_an_object_and_a_text_file_a_text(head: Head, client: SpineClient, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"run": "make"}')
    (tmp_path / "task.txt").write_text("{braces} are not JSON")
    assert client.job(head.submit("--file", "job.json")).spec == {"run": "make"}
    assert client.job(head.submit("--file", "task.txt")).spec == "{braces} are not JSON"


def test_the_same_key_is_the_same_job(head: Head) -> None:
    first = head.submit("once", "--idempotency-key", "k-1")
    assert head.submit("once", "--idempotency-key", "k-1") == first
    refused = head.run("submit", "twice", "--idempotency-key", "k-1", code=exits.REFUSED_DATA)
    assert refused.stdout == ""


def test_json_is_the_job(head: Head) -> None:
    job = head.json("submit", "x", "--label", "j")
    assert (job["status"], job["spec"], job["label"]) == ("queued", "x", "j")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("x", "--priority", "1000"), exits.REFUSED_DATA, "priority"),
        (("x", "--target", "nowhere"), exits.REFUSED_DATA, "nowhere"),
        (("x", "--priority", "high"), exits.USAGE, "--priority"),
        (("x", "--meta", "[1]"), exits.USAGE, "--meta"),
        (("x", "--run", "y"), exits.USAGE, "once"),
        (("--repo", "/x"), exits.USAGE, "--run or --phase"),
        (("--phase", "make"), exits.USAGE, "NAME=COMMAND"),
        (('{"run": }',), exits.USAGE, "JSON"),
        (("  ",), exits.USAGE, "empty"),
        (("x", "--retry-factor", "2"), exits.USAGE, "--retry-backoff"),
        (("x", "--delay", "5", "--not-before", "2030-01-01T00:00:00Z"), exits.REFUSED_DATA, "delaySeconds"),
        (("x", "--after", "nope"), exits.REFUSED_DATA, "after"),
        (("--list", "nothing.json"), exits.NOT_FOUND, "nothing.json"),
        (("x", "--list", "nothing.json"), exits.USAGE, "--list"),
        (("--file", "nothing.json"), exits.NOT_FOUND, "nothing.json"),
    ],
)
def test_a_slip_is_named_and_submits_nothing(head: Head, words: tuple[str, ...], code: int, said: str) -> None:
    before = head.json("list", "--limit", "0")["matched"]
    refused = head.run("submit", *words, code=code)
    assert refused.stdout == ""
    assert said in refused.stderr
    assert head.json("list", "--limit", "0")["matched"] == before


# --- waiting ---------------------------------------------------------------------------------------------------------


def read_until(process, said: str) -> list[str]:
    """Read lines until one holds the text."""
    lines: list[str] = []
    while not lines or said not in lines[-1]:
        line = process.stdout.readline()
        assert line, f"it ended without {said!r}: {lines} {process.stderr.read()}"
        lines.append(line.rstrip("\n"))
    return lines


def test_wait_tells_every_step_and_ends_with_the_result(head: Head, claw: Claw) -> None:
    waiting = head.start("submit", "a task", "--wait")
    first = read_until(waiting, "queued")
    job_id = first[0].removeprefix("job ")
    assert first[1] == "queued for left-claw"
    fence = claw.take(job_id).fence
    assert read_until(waiting, "running") == ["running: left-claw, attempt 1 of 5"]
    claw.heartbeat(job_id, fence, {"phase": "test", "index": 1, "of": 2, "percent": 0})
    assert read_until(waiting, "phase") == ["  phase 1 of 2: test"]
    claw.comment(job_id, "one \x1b[31mmoment")
    assert read_until(waiting, "comment") == ["  comment by left-claw: one \\x1b[31mmoment"]
    claw.complete(job_id, fence, {"branch": "spine/job-1", "howToTest": ["make test"]})
    code, out, err = end(waiting)
    assert (code, err) == (exits.OK, "")
    assert out == "done\n\nResult\n  branch  spine/job-1\n  How to test\n    ☐ make test\n"


@pytest.mark.parametrize(
    ("requeue", "attempts", "code"), [(False, 5, exits.FAILED), (True, 1, exits.DEAD)], ids=["failed", "dead"]
)
def test_the_exit_code_tells_how_the_job_ended(head: Head, claw: Claw, requeue: bool, attempts: int, code: int) -> None:
    job_id = head.submit("x", "--max-attempts", str(attempts))
    claw.fail(job_id, claw.take(job_id).fence, "no such tool", requeue=requeue)
    watched = head.run("watch", job_id, code=code)
    assert watched.stdout.splitlines()[-2:] == ["Error", "  no such tool"]
    assert head.json("watch", job_id, code=code)["error"] == "no such tool"


def test_wait_with_json_prints_one_document(head: Head, claw: Claw) -> None:
    waiting = head.start("submit", "x", "--label", "json-wait", "--wait", "--json")
    job = eventually(lambda: head.json("list", "--label", "json-wait")["jobs"], what="the job")[0]
    claw.complete(job["id"], claw.take(job["id"]).fence, {"n": 1})
    code, out, err = end(waiting)
    assert (code, err, json.loads(out)["result"]) == (exits.OK, "", {"n": 1})


def test_waiting_outlives_the_spine(head: Head, claw: Claw, spine: SpineProcess) -> None:
    waiting = head.start("submit", "x", "--wait")
    job_id = read_until(waiting, "queued")[0].removeprefix("job ")
    spine.kill9()
    read_until(waiting, "the spine does not answer")
    spine.start()
    read_until(waiting, "the spine answers again")
    claw.complete(job_id, claw.take(job_id).fence, "fine")
    code, out, err = end(waiting)
    assert (code, err) == (exits.OK, "")
    assert out.endswith("done\n\nResult\n  fine\n")


def test_interrupting_leaves_the_job_and_says_how_to_watch_it(head: Head, client: SpineClient) -> None:
    waiting = head.start("submit", "x", "--wait")
    job_id = read_until(waiting, "queued")[0].removeprefix("job ")
    waiting.send_signal(signal.SIGINT)
    code, _, err = end(waiting)
    assert code == exits.INTERRUPTED
    assert err == f"spine-head: stopped waiting; job {job_id} goes on. Watch it: spine-head watch {job_id}\n"
    assert client.job(job_id).status == "queued"
