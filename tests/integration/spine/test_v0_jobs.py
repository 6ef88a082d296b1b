"""The native contract, Job and Routes: every row, as a client that knows nothing newer calls it."""

import re
from typing import Any

import pytest
from tests.support.raw_http import Answer, Api, multipart
from tests.support.server import Server

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ISO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
V0_MEMBERS = {
    "id",
    "target",
    "status",
    "createdAt",
    "updatedAt",
    "createdBy",
    "claimedBy",
    "leaseUntil",
    "attempts",
    "maxAttempts",
    "spec",
    "meta",
    "comments",
    "result",
    "error",
}


def running(server: Server, **fields: Any) -> str:
    """Submit a job and claim it as left-claw, the v0 way; return its id."""
    job_id: str = server.head.submit(**fields)["id"]
    assert server.left.post(f"/jobs/{job_id}/claim").status == 200
    return job_id


def form(api: Api, path: str, text: str) -> Answer:
    """POST as `curl -d` does: JSON text under the content type of a form."""
    return api.call("POST", path, text.encode(), FORM)


# --- health, skill -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health(server: Server, path: str) -> None:
    answer = server.nobody.get(path)
    assert answer.status == 200
    assert answer.json["ok"] is True
    assert ISO.match(answer.json["time"])
    assert answer.headers["content-type"] == "application/json"


def test_the_skill_document(server: Server) -> None:
    answer = server.nobody.get("/skill.md")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/markdown")
    text = answer.body.decode()
    front = re.match(r"^---\n(.*?)\n---\n", text, re.DOTALL)
    assert front is not None
    assert re.search(r"^name: spinal-cord$", front.group(1), re.MULTILINE)
    assert re.search(r"^description: \S", front.group(1), re.MULTILINE)
    for token in ("head-token-0001", "left-token-0001", "right-token-0001", "token-of-c0"):
        assert token not in text


# --- submitting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{}", b"  \n", b" {} "])
@pytest.mark.parametrize("kind", [None, FORM, {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}])
def test_an_empty_submit_has_the_defaults(server: Server, body: bytes, kind: dict[str, str] | None) -> None:
    answer = server.head.call("POST", "/jobs", body, kind)
    assert answer.status == 201
    assert answer.headers["content-type"] == "application/json"
    job = answer.json
    assert re.match(r"^[A-Za-z0-9_-]+$", job["id"])
    assert ISO.match(job["createdAt"])
    assert ISO.match(job["updatedAt"])
    assert {name: job[name] for name in V0_MEMBERS - {"id", "createdAt", "updatedAt"}} == {
        "target": "left-claw",
        "status": "queued",
        "createdBy": "head",
        "claimedBy": None,
        "leaseUntil": None,
        "attempts": 0,
        "maxAttempts": 5,
        "spec": "",
        "meta": {},
        "comments": [],
        "result": None,
        "error": None,
    }
    assert "progress" not in job
    assert "releaseReason" not in job
    assert server.head.job(job["id"]) == job


@pytest.mark.parametrize("target", ["left-claw", "right-claw", "any"])
def test_a_submit_with_everything(server: Server, target: str) -> None:
    sent = {"target": target, "spec": {"run": ["ls", 1, None, 2.5]}, "meta": {"a": {"b": []}}, "maxAttempts": 2}
    answer = server.head.post("/jobs", sent)
    assert answer.status == 201
    assert {name: answer.json[name] for name in sent} == sent
    assert server.head.job(answer.json["id"]) == answer.json


@pytest.mark.parametrize("spec", ["text", "", "ü 🦀 \t\n", None, 0, -1.5, True, [], {}, [[[1]]], {"": {"": ""}}])
def test_a_spec_is_a_text_or_any_json(server: Server, spec: Any) -> None:
    job = server.head.submit(spec=spec)
    assert server.head.job(job["id"])["spec"] == spec


def test_a_submit_by_curl_d(server: Server) -> None:
    answer = form(server.head, "/jobs", '{"target":"right-claw","spec":"a=b&c=d"}')
    assert (answer.status, answer.json["target"], answer.json["spec"]) == (201, "right-claw", "a=b&c=d")


# --- listing and reading -------------------------------------------------------------------------------------------


def test_a_list_is_oldest_first_and_filtered(server: Server) -> None:
    ids = [server.head.submit(target="c119", spec=n)["id"] for n in range(5)]
    server.claw("c119", None).claim(ids[1])

    def listed(query: str) -> list[str]:
        answer = server.head.get(f"/jobs?{query}")
        assert answer.status == 200
        return [job["id"] for job in answer.json["jobs"]]

    assert listed("target=c119") == ids
    assert listed("target=c119&status=queued") == [ids[0], ids[2], ids[3], ids[4]]
    assert listed("target=c119&status=running") == [ids[1]]
    assert listed("target=c119&status=done") == []
    assert listed("target=c119&status=") == ids
    assert [i for i in listed("") if i in ids] == ids
    assert [i for i in listed("target=&status=running") if i in ids] == [ids[1]]


def test_a_list_has_whole_jobs(server: Server) -> None:
    job = server.head.submit(target="c118", spec={"a": 1})
    assert server.head.get("/jobs?target=c118").json == {"jobs": [job]}


def test_an_unknown_job_is_404_on_every_route(server: Server) -> None:
    for api in (server.head, server.left):
        answer = api.get("/jobs/nosuchjob")
        assert (answer.status, answer.error) == (404, "not_found")
        for verb in ("heartbeat", "complete", "fail", "release"):
            answer = api.post(f"/jobs/nosuchjob/{verb}")
            assert (answer.status, answer.error) == (404, "not_found")
        answer = api.post("/jobs/nosuchjob/comment", {"text": "x"})
        assert (answer.status, answer.error) == (404, "not_found")
    answer = server.left.post("/jobs/nosuchjob/claim")
    assert (answer.status, answer.error) == (404, "not_found")


# --- claiming ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["left-claw", "any"])
@pytest.mark.parametrize("body", [None, b"", b"{}"])
def test_a_claim(server: Server, target: str, body: bytes | None) -> None:
    job = server.head.submit(target=target)
    answer = server.left.call("POST", f"/jobs/{job['id']}/claim", body, FORM)
    assert answer.status == 200
    claimed = answer.json
    assert (claimed["status"], claimed["claimedBy"], claimed["attempts"]) == ("running", "left-claw", 1)
    assert ISO.match(claimed["leaseUntil"])
    assert claimed["leaseUntil"] > claimed["updatedAt"]
    assert server.head.job(job["id"]) == claimed


@pytest.mark.parametrize("who", ["left", "right"])
def test_a_claim_of_a_claimed_job_is_409(server: Server, who: str) -> None:
    job_id = running(server, target="any")
    before = server.head.job(job_id)
    answer = getattr(server, who).post(f"/jobs/{job_id}/claim")
    assert (answer.status, answer.error) == (409, "already_claimed")
    assert answer.json["claimedBy"] == "left-claw"
    assert answer.json["leaseUntil"] == before["leaseUntil"]
    assert server.head.job(job_id) == before


def ended(server: Server, status: str) -> str:
    """Return a job in a terminal status."""
    job_id = running(server, maxAttempts=1 if status == "dead" else 5)
    verb, body = {
        "done": ("complete", {}),
        "failed": ("fail", {"requeue": False, "error": "no"}),
        "dead": ("fail", {"error": "no"}),
    }[status]
    assert server.left.post(f"/jobs/{job_id}/{verb}", body).json["status"] == status
    return job_id


@pytest.mark.parametrize("status", ["done", "failed", "dead"])
def test_a_claim_of_an_ended_job_is_409(server: Server, status: str) -> None:
    job_id = ended(server, status)
    before = server.head.job(job_id)
    answer = server.left.post(f"/jobs/{job_id}/claim")
    assert (answer.status, answer.error) == (409, "terminal_status")
    assert answer.json["status"] == status
    assert server.head.job(job_id) == before


def test_a_claim_without_attempts_left_buries_the_job(server: Server) -> None:
    job_id = running(server, maxAttempts=1)
    assert server.left.post(f"/jobs/{job_id}/release").json["status"] == "queued"
    answer = server.left.post(f"/jobs/{job_id}/claim")
    assert (answer.status, answer.error) == (409, "max_attempts_reached")
    assert (answer.json["attempts"], answer.json["maxAttempts"]) == (1, 1)
    job = server.head.job(job_id)
    assert (job["status"], job["attempts"], job["leaseUntil"]) == ("dead", 1, None)
    answer = server.left.post(f"/jobs/{job_id}/claim")
    assert (answer.status, answer.error, answer.json["status"]) == (409, "terminal_status", "dead")


# --- heartbeat, complete, fail, release ----------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["left", "head"])
@pytest.mark.parametrize("body", [None, b"", b"{}"])
def test_a_heartbeat_gives_a_full_lease(server: Server, who: str, body: bytes | None) -> None:
    job_id = running(server)
    before = server.head.job(job_id)
    answer = getattr(server, who).call("POST", f"/jobs/{job_id}/heartbeat", body)
    assert answer.status == 200
    assert answer.json["status"] == "running"
    assert answer.json["leaseUntil"] >= before["leaseUntil"]
    assert answer.json["attempts"] == 1
    assert "progress" not in answer.json
    assert server.head.job(job_id)["leaseUntil"] == answer.json["leaseUntil"]


@pytest.mark.parametrize("progress", [{"phase": 1, "note": "x"}, "half", 0.5, [1], None, False])
def test_a_heartbeat_carries_progress(server: Server, progress: Any) -> None:
    job_id = running(server)
    assert server.left.post(f"/jobs/{job_id}/heartbeat", {"progress": progress}).json["progress"] == progress
    assert server.left.post(f"/jobs/{job_id}/heartbeat").json["progress"] == progress
    assert server.left.post(f"/jobs/{job_id}/complete").json["progress"] == progress


@pytest.mark.parametrize("who", ["left", "head"])
@pytest.mark.parametrize(
    ("body", "result"),
    [
        (None, None),
        ("{}", None),
        ('{"result":null}', None),
        ('{"result":{"url":"u","pr":"p","branch":"spine/job-1","notes":"n","howToTest":["a"],"artifacts":[]}}', ...),
        ('{"result":"text"}', "text"),
        ('{"result":[1,2.5]}', [1, 2.5]),
    ],
)
def test_complete(server: Server, who: str, body: str | None, result: Any) -> None:
    job_id = running(server)
    answer = form(getattr(server, who), f"/jobs/{job_id}/complete", body or "")
    assert answer.status == 200
    job = answer.json
    assert (job["status"], job["leaseUntil"], job["error"], job["attempts"]) == ("done", None, None, 1)
    if result is ...:
        assert job["result"]["howToTest"] == ["a"]
    else:
        assert job["result"] == result
    assert server.head.job(job_id) == job


def test_complete_clears_an_older_error(server: Server) -> None:
    job_id = running(server)
    assert server.left.post(f"/jobs/{job_id}/fail", {"error": "first"}).json["error"] == "first"
    assert server.left.claim(job_id)["error"] == "first"
    assert server.left.post(f"/jobs/{job_id}/complete").json["error"] is None


@pytest.mark.parametrize("who", ["left", "head"])
@pytest.mark.parametrize("body", [None, "{}", '{"requeue":true}', '{"error":null}'])
def test_fail_requeues_by_default(server: Server, who: str, body: str | None) -> None:
    job_id = running(server)
    answer = form(getattr(server, who), f"/jobs/{job_id}/fail", body or "")
    assert answer.status == 200
    job = answer.json
    assert (job["status"], job["claimedBy"], job["leaseUntil"], job["error"]) == ("queued", None, None, None)
    assert job["attempts"] == 1
    assert server.head.job(job_id) == job


def test_a_requeued_failure_keeps_its_error(server: Server) -> None:
    job_id = running(server)
    job = server.left.post(f"/jobs/{job_id}/fail", {"error": "boom"}).json
    assert (job["status"], job["error"], job["claimedBy"], job["leaseUntil"]) == ("queued", "boom", None, None)


@pytest.mark.parametrize("who", ["left", "head"])
def test_fail_without_requeue_is_failed(server: Server, who: str) -> None:
    job_id = running(server)
    answer = getattr(server, who).post(f"/jobs/{job_id}/fail", {"error": "boom", "requeue": False})
    assert (answer.status, answer.json["status"], answer.json["error"]) == (200, "failed", "boom")
    assert answer.json["leaseUntil"] is None


@pytest.mark.parametrize("requeue", [True, False])
def test_fail_at_the_last_attempt_is_dead(server: Server, requeue: bool) -> None:
    job_id = running(server, maxAttempts=2)
    assert server.left.post(f"/jobs/{job_id}/fail").json["status"] == "queued"
    assert server.left.claim(job_id)["attempts"] == 2
    job = server.left.post(f"/jobs/{job_id}/fail", {"error": "boom", "requeue": requeue}).json
    assert (job["status"], job["error"], job["attempts"], job["leaseUntil"]) == ("dead", "boom", 2, None)


@pytest.mark.parametrize("who", ["left", "head"])
@pytest.mark.parametrize("body", [None, "{}"])
def test_release_gives_the_job_back_and_the_attempt_stays_counted(server: Server, who: str, body: str | None) -> None:
    job_id = running(server)
    answer = form(getattr(server, who), f"/jobs/{job_id}/release", body or "")
    assert answer.status == 200
    job = answer.json
    assert (job["status"], job["claimedBy"], job["leaseUntil"], job["attempts"]) == ("queued", None, None, 1)
    assert "releaseReason" not in job
    assert server.left.claim(job_id)["attempts"] == 2


def test_a_release_keeps_its_reason(server: Server) -> None:
    job_id = running(server)
    assert server.left.post(f"/jobs/{job_id}/release", {"reason": "not mine"}).json["releaseReason"] == "not mine"
    assert server.left.claim(job_id)["releaseReason"] == "not mine"


VERBS = ("heartbeat", "complete", "fail", "release")


@pytest.mark.parametrize("verb", VERBS)
def test_another_claw_is_not_the_owner(server: Server, verb: str) -> None:
    job_id = running(server, target="any")
    before = server.head.job(job_id)
    answer = server.right.post(f"/jobs/{job_id}/{verb}")
    assert (answer.status, answer.error) == (403, "not_owner")
    assert server.head.job(job_id) == before


@pytest.mark.parametrize("who", ["left", "head"])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", ["queued", "done", "failed", "dead"])
def test_a_job_that_does_not_run_is_409(server: Server, who: str, verb: str, status: str) -> None:
    job_id = server.head.submit()["id"] if status == "queued" else ended(server, status)
    before = server.head.job(job_id)
    answer = getattr(server, who).post(f"/jobs/{job_id}/{verb}")
    assert (answer.status, answer.error) == (409, "not_running")
    assert answer.json["status"] == status
    assert server.head.job(job_id) == before


def test_the_head_needs_neither_worker_id_nor_fence(server: Server) -> None:
    job_id = server.head.submit()["id"]
    server.left.by("worker-1").claim(job_id)
    assert server.head.post(f"/jobs/{job_id}/heartbeat").status == 200
    assert server.head.post(f"/jobs/{job_id}/complete", {"result": "by hand"}).json["result"] == "by hand"


# --- comments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["queued", "running", "done", "failed", "dead"])
def test_a_comment_in_every_status(server: Server, status: str) -> None:
    if status == "queued":
        job_id = server.head.submit()["id"]
    else:
        job_id = running(server) if status == "running" else ended(server, status)
    assert server.left.post(f"/jobs/{job_id}/comment", {"text": "one"}).status == 200
    answer = form(server.head, f"/jobs/{job_id}/comment", '{"text":"two ü"}')
    assert answer.status == 200
    assert answer.json["status"] == status
    assert [(c["by"], c["text"]) for c in answer.json["comments"]] == [("left-claw", "one"), ("head", "two ü")]
    assert all(ISO.match(c["t"]) and set(c) == {"t", "by", "text"} for c in answer.json["comments"])
    assert server.head.job(job_id)["comments"] == answer.json["comments"]


# --- blobs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["head", "left", "right"])
def test_a_blob(server: Server, who: str) -> None:
    body, headers = multipart(b"bytes \x00\xff", "report.txt")
    answer = getattr(server, who).call("POST", "/blobs", body, headers)
    assert answer.status == 200
    assert re.match(r"^[A-Za-z0-9_-]+$", answer.json["id"])
    assert (answer.json["filename"], answer.json["size"]) == ("report.txt", 8)
    assert str(server.process.folder) not in answer.body.decode()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"bytes", {"Content-Type": "text/plain"}),
        (b'{"file":"x"}', {"Content-Type": "application/json"}),
        (b"file=x", FORM),
        multipart(b"bytes", "a.txt", name="upload"),
        (b"--limit--\r\n", {"Content-Type": "multipart/form-data; boundary=limit"}),
    ],
)
def test_a_blob_without_its_file_is_400(server: Server, body: bytes, headers: dict[str, str]) -> None:
    answer = server.left.call("POST", "/blobs", body, headers)
    assert (answer.status, answer.error) == (400, "missing_file")
    assert list((server.process.data_dir / "blobs" / "tmp").iterdir()) == []
