"""The shape of answers: problem documents, ETags, unknown members and query names, methods and routes."""

from typing import Any

import pytest
from tests.support.raw_http import Answer, Api
from tests.support.server import Server, StartSpine

# --- problem documents ---------------------------------------------------------------------------------------------


def problem(answer: Answer, status: int, error: str) -> dict[str, Any]:
    """Check the form that every refusal has; return its members."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    members: dict[str, Any] = answer.json
    assert {"error", "type", "title", "status", "detail", "retryable"} <= set(members)
    assert members["error"] == error
    assert members["type"] == f"/problems/{error}"
    assert isinstance(members["retryable"], bool)
    assert members["title"]
    assert members["detail"]
    return members


def test_a_refusal_keeps_v0s_code_as_a_member(server: Server, head: Api, claw: Api, name: str) -> None:
    assert problem(server.nobody.get("/jobs"), 401, "unauthorized")["status"] == 401
    assert problem(head.get("/jobs/x"), 404, "not_found")["status"] == 404
    job_id = head.submit(target="right-claw")["id"]
    assert problem(claw.get(f"/jobs/{job_id}"), 403, "forbidden")["status"] == 403
    found = problem(head.post("/jobs", {"target": 5}), 422, "invalid_field")
    assert (found["status"], found["field"]) == (422, "target")
    assert problem(head.call("POST", "/jobs", b"{"), 400, "bad_json")["status"] == 400


def test_where_v0_has_a_status_member_it_is_the_jobs(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    found = problem(claw.post(f"/jobs/{job_id}/heartbeat"), 409, "not_running")
    assert (found["status"], found["httpStatus"]) == ("queued", 409)
    claw.claim(job_id)
    claw.post(f"/jobs/{job_id}/complete")
    found = problem(claw.post(f"/jobs/{job_id}/claim"), 409, "terminal_status")
    assert (found["status"], found["httpStatus"]) == ("done", 409)


def test_an_unknown_route_is_404_and_a_wrong_method_405(server: Server) -> None:
    problem(server.head.get("/nothing"), 404, "not_found")
    problem(server.nobody.get("/jobs/a/b/c"), 404, "not_found")
    for method, path in (("DELETE", "/jobs"), ("PUT", "/jobs/x"), ("GET", "/jobs/x/claim"), ("POST", "/health")):
        answer = server.head.call(method, path)
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"]


def test_no_cors_is_offered(server: Server) -> None:
    for method in ("GET", "OPTIONS"):
        answer = server.head.call(method, "/jobs", headers={"Origin": "https://example.com"})
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_no_refusal_shows_a_token_or_a_path_of_the_server(server: Server) -> None:
    for answer in (server.nobody.get("/jobs"), Api(server.port, "wrong-token-x").get("/jobs"), server.head.get("/x")):
        text = answer.body.decode()
        assert "wrong-token-x" not in text
        assert str(server.process.folder) not in text


def test_a_trailing_slash_changes_nothing(head: Api, name: str) -> None:
    job = head.submit(target=name)
    assert head.get(f"/jobs/{job['id']}/").json == job


# --- ETag ----------------------------------------------------------------------------------------------------------


def test_a_job_that_has_not_changed_is_304(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    first = head.get(f"/jobs/{job_id}")
    tag = first.headers["etag"]
    assert tag == '"1"'
    for value in (tag, f'"x", {tag}', "*", f"W/{tag}"):
        answer = head.get(f"/jobs/{job_id}", {"If-None-Match": value})
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
    answer = head.get(f"/jobs/{job_id}", {"If-None-Match": '"0"'})
    assert (answer.status, answer.body) == (200, first.body)


def test_every_change_gives_a_new_etag(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    tags = [head.get(f"/jobs/{job_id}").headers["etag"]]
    for verb, body in (
        ("claim", {}),
        ("heartbeat", {}),
        ("heartbeat", {"progress": 1}),
        ("comment", {"text": "x"}),
        ("fail", {}),
        ("claim", {}),
        ("release", {}),
        ("claim", {}),
        ("complete", {}),
    ):
        assert claw.post(f"/jobs/{job_id}/{verb}", body).status == 200
        answer = head.get(f"/jobs/{job_id}", {"If-None-Match": tags[-1]})
        assert answer.status == 200, verb
        tags.append(answer.headers["etag"])
        assert answer.json["version"] == len(tags)
    assert len(set(tags)) == len(tags)


def test_a_304_needs_the_right_to_see(server: Server, head: Api) -> None:
    job_id = head.submit(target="right-claw")["id"]
    assert server.left.get(f"/jobs/{job_id}", {"If-None-Match": "*"}).status == 403
    assert server.nobody.get(f"/jobs/{job_id}", {"If-None-Match": "*"}).status == 401
    assert head.get("/jobs/nosuch", {"If-None-Match": "*"}).status == 404


def test_the_skill_has_an_etag_too(server: Server) -> None:
    tag = server.nobody.get("/skill.md").headers["etag"]
    answer = server.nobody.get("/skill.md", {"If-None-Match": tag})
    assert (answer.status, answer.body) == (304, b"")


# --- members and query names that are not known --------------------------------------------------------------------

NEAR = (
    ("/jobs", "max_attempts", "maxAttempts"),
    ("/jobs", "maxattempts", "maxAttempts"),
    ("/jobs", "maxAttempt", "maxAttempts"),
    ("/jobs", "max-attempts", "maxAttempts"),
    ("/jobs", "Target", "target"),
    ("/jobs", "targets", "target"),
    ("/jobs", "specs", "spec"),
    ("/jobs", "timeout_seconds", "timeoutSeconds"),
    ("/jobs", "requires_", "requires"),
    ("/jobs/J/fail", "re_queue", "requeue"),
    ("/jobs/J/fail", "errors", "error"),
    ("/jobs/J/heartbeat", "Progress", "progress"),
    ("/jobs/J/complete", "results", "result"),
    ("/jobs/J/release", "count_attempt", "countAttempt"),
    ("/jobs/J/comment", "texts", "text"),
    ("/jobs/J/claim", "capability", "capabilities"),
)


@pytest.mark.parametrize(("path", "sent", "meant"), NEAR)
def test_a_member_that_is_nearly_right_is_refused(
    head: Api, claw: Api, name: str, path: str, sent: str, meant: str
) -> None:
    job_id = head.submit(target=name)["id"]
    if not path.endswith(("/jobs", "claim", "comment")):
        claw.claim(job_id)
    before, count = head.job(job_id), len(head.get("/jobs").json["jobs"])
    api = head if path == "/jobs" else claw
    answer = api.post(path.replace("J", job_id), {sent: "x"})
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", sent)
    assert answer.json["detail"].endswith(f"did you mean {meant}?")
    assert head.job(job_id) == before
    assert len(head.get("/jobs").json["jobs"]) == count


def test_other_unknown_members_are_ignored_and_listed(head: Api, claw: Api, name: str) -> None:
    answer = head.post("/jobs", {"target": name, "spec": 1, "zebra": {"a": [1]}, "colour": None})
    assert answer.status == 201
    assert answer.headers["spine-ignored"] == "zebra, colour"
    assert "zebra" not in answer.json
    job_id = answer.json["id"]
    for verb in ("claim", "heartbeat", "release", "claim", "fail", "claim", "complete"):
        answer = claw.post(f"/jobs/{job_id}/{verb}", {"zebra": 1})
        assert (answer.status, answer.headers["spine-ignored"]) == (200, "zebra")
    answer = claw.post(f"/jobs/{job_id}/comment", {"text": "x", "zebra": 1})
    assert (answer.status, answer.headers["spine-ignored"]) == (200, "zebra")


def test_nothing_is_listed_when_all_is_known(head: Api, name: str) -> None:
    assert "spine-ignored" not in head.post("/jobs", {"target": name}).headers


@pytest.mark.parametrize("member", ["a\r\nX-Evil: 1", "ü🦀", "x" * 5000, "", "a, b", "\u0000x"])
def test_an_odd_unknown_member_does_not_reach_into_the_headers(head: Api, name: str, member: str) -> None:
    answer = head.post("/jobs", {"target": name, member: 1})
    assert answer.status in (201, 422)
    assert "x-evil" not in answer.headers
    if answer.status == 201:
        assert len(answer.headers["spine-ignored"]) <= 500


def test_new_routes_are_strict(head: Api, claw: Api, name: str) -> None:
    job = head.submit(target=name)
    answer = claw.post("/jobs/claim", {"zebra": 1})
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "zebra")
    assert answer.json["detail"].endswith("known: capabilities, max, targets, wait")
    assert head.job(job["id"]) == job


def test_v0s_list_ignores_query_names_that_it_does_not_know(head: Api, name: str) -> None:
    job = head.submit(target=name)
    assert head.get(f"/jobs?target={name}&zebra=1").json == {"jobs": [job]}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=nope", "status"),
        ("status=queued,nope", "status"),
        ("status=%00", "status"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=10001", "limit"),
        ("limit=1" + "0" * 30, "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=nope", "cursor"),
    ],
)
def test_a_list_with_a_wrong_value_is_refused(head: Api, query: str, field: str) -> None:
    answer = head.get(f"/jobs?{query}")
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", field)


def test_a_list_in_pages(head: Api, claw: Api, name: str) -> None:
    ids = [head.submit(target=name, label="l" if n % 2 else None)["id"] for n in range(7)]
    found, cursor = [], ""
    while True:
        page = head.get(f"/jobs?target={name}&limit=3&cursor={cursor}").json
        found += [job["id"] for job in page["jobs"]]
        assert "truncated" not in page
        if "nextCursor" not in page:
            break
        cursor = page["nextCursor"]
        claw.claim_next()  # jobs move while the pages are read
    assert found == ids
    assert [j["id"] for j in head.get(f"/jobs?target={name}&label=l").json["jobs"]] == ids[1::2]
    two = head.get(f"/jobs?target={name}&status=queued,running&status=done").json["jobs"]
    assert [j["id"] for j in two] == ids
    assert len(head.get(f"/jobs?machine={name}").json["jobs"]) == 2


def test_a_list_without_a_limit_is_cut_at_32_mebibytes(start_spine: StartSpine) -> None:
    head = start_spine().head
    ids = [head.submit(spec="x" * 262_000)["id"] for _ in range(140)]
    first = head.get("/jobs").json
    assert first["truncated"] is True
    assert 100 < len(first["jobs"]) < 140
    rest = head.get(f"/jobs?cursor={first['nextCursor']}").json
    assert set(rest) == {"jobs"}
    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == ids


def test_tools_for_agents_are_not_there_unless_asked_for(server: Server) -> None:
    answer = server.head.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert (answer.status, answer.json["detail"]) == (404, "there is no route /mcp")
