"""The native contract, Identity: who may call what, who sees what, and which tokens stand for whom."""

import http.client

import pytest
from tests.support.raw_http import Answer, Api
from tests.support.server import Server, StartSpine

OPEN = ("/health", "/healthz", "/skill.md")
# Every route of the contract that needs a token: method, path (J is a job for any), body.
GUARDED = (
    ("POST", "/jobs", "{}"),
    ("GET", "/jobs", None),
    ("GET", "/jobs/J", None),
    ("POST", "/jobs/J/claim", None),
    ("POST", "/jobs/J/heartbeat", "{}"),
    ("POST", "/jobs/J/complete", "{}"),
    ("POST", "/jobs/J/fail", "{}"),
    ("POST", "/jobs/J/release", "{}"),
    ("POST", "/jobs/J/comment", '{"text":"hi"}'),
    ("POST", "/blobs", None),
)
# What this product adds.
GUARDED_TOO = (
    ("POST", "/jobs/claim", "{}"),
    ("GET", "/jobs/J/attempts", None),
    ("GET", "/jobs/J/earlier", None),
    ("GET", "/jobs/J/events", None),
    ("GET", "/jobs/J/log", None),
    ("POST", "/jobs/J/log", None),
    ("GET", "/events", None),
    ("GET", "/metrics", None),
    ("GET", "/blobs/blob_0", None),
    ("HEAD", "/blobs/blob_0", None),
)


@pytest.fixture(scope="module")
def job_id(server: Server) -> str:
    return str(server.head.submit(target="any")["id"])


def call(api: Api, method: str, path: str, body: str | None, job_id: str) -> Answer:
    return api.call(method, path.replace("/J", f"/{job_id}"), None if body is None else body.encode())


@pytest.mark.parametrize("path", OPEN)
def test_open_routes_need_no_token(server: Server, path: str) -> None:
    assert server.nobody.get(path).status == 200


@pytest.mark.parametrize("path", [path for path in OPEN if path != "/skill.md"])  # which is rendered for its token
def test_open_routes_do_not_mind_a_wrong_token(server: Server, path: str) -> None:
    assert Api(server.port, "nonsense").get(path).status == 200


@pytest.mark.parametrize(("method", "path", "body"), GUARDED + GUARDED_TOO)
@pytest.mark.parametrize("token", [None, "unknown-token", "", "head-token-0002"])
def test_without_a_known_token_401(
    server: Server, job_id: str, method: str, path: str, body: str | None, token: str | None
) -> None:
    before = server.head.job(job_id)
    answer = call(Api(server.port, token), method, path, body, job_id)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    if method != "HEAD":
        assert answer.error == "unauthorized"
    assert server.head.job(job_id) == before


@pytest.mark.parametrize(
    "header",
    ["head-token-0001", "Basic head-token-0001", "Bearer", "Bearer ", "Token head-token-0001", "Bearerhead-token-0001"],
)
def test_only_the_bearer_scheme_counts(server: Server, header: str) -> None:
    answer = server.nobody.get("/jobs", {"Authorization": header})
    assert (answer.status, answer.error) == (401, "unauthorized")


def test_the_schemes_name_has_no_case(server: Server) -> None:
    assert server.nobody.get("/jobs", {"Authorization": "bearer head-token-0001"}).status == 200


@pytest.mark.parametrize("doubled", ["head-token-0001", "left-token-0001", "x"])
def test_a_doubled_authorization_is_refused(server: Server, doubled: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest("GET", "/jobs")
    connection.putheader("Authorization", "Bearer head-token-0001")
    connection.putheader("Authorization", f"Bearer {doubled}")
    connection.endheaders()
    response = connection.getresponse()
    assert response.status in (400, 401)
    connection.close()


@pytest.mark.parametrize("who", ["left", "right"])
def test_a_claw_may_not_submit_which_is_401(server: Server, who: str) -> None:
    answer = getattr(server, who).post("/jobs", {"spec": "x"})
    assert (answer.status, answer.error) == (401, "unauthorized")


def test_a_head_may_not_claim_which_is_401(server: Server, job_id: str) -> None:
    answer = server.head.post(f"/jobs/{job_id}/claim")
    assert (answer.status, answer.error) == (401, "unauthorized")
    answer = server.head.by("w1").post("/jobs/claim", {})
    assert (answer.status, answer.error) == (401, "unauthorized")
    assert server.head.job(job_id)["status"] == "queued"


VERBS = (
    ("GET", "", None),
    ("POST", "/claim", None),
    ("POST", "/heartbeat", "{}"),
    ("POST", "/complete", "{}"),
    ("POST", "/fail", "{}"),
    ("POST", "/release", "{}"),
    ("POST", "/comment", '{"text":"hi"}'),
    ("GET", "/attempts", None),
    ("GET", "/events", None),
    ("GET", "/log", None),
    ("POST", "/log", None),
)


@pytest.mark.parametrize(("method", "path", "body"), VERBS)
def test_a_claw_does_not_touch_jobs_of_another_which_is_403(
    server: Server, method: str, path: str, body: str | None
) -> None:
    job = server.head.submit(target="right-claw")
    answer = call(server.left, method, f"/jobs/{job['id']}{path}", body, "")
    assert (answer.status, answer.error) == (403, "forbidden")
    assert server.head.job(job["id"]) == job


def test_lists_leave_out_what_a_claw_does_not_see(start_spine: StartSpine) -> None:
    server = start_spine()
    ids = {target: server.head.submit(target=target)["id"] for target in ("left-claw", "right-claw", "any", "c0")}

    def seen(api: Api, query: str = "") -> list[str]:
        return [job["id"] for job in api.get(f"/jobs{query}").json["jobs"]]

    assert seen(server.head) == [ids["left-claw"], ids["right-claw"], ids["any"], ids["c0"]]
    assert seen(server.left) == [ids["left-claw"], ids["any"]]
    assert seen(server.right) == [ids["right-claw"], ids["any"]]
    assert seen(server.left, "?target=right-claw") == []
    assert seen(server.left, "?status=queued") == [ids["left-claw"], ids["any"]]
    assert seen(server.left, "?status=done") == []


def test_a_claimant_is_written_with_a_hyphen(server: Server) -> None:
    for api, name in ((server.left, "left-claw"), (server.right, "right-claw")):
        job = server.head.submit(target=name)
        assert job["createdBy"] == "head"
        assert api.claim(job["id"])["claimedBy"] == name
        assert api.post(f"/jobs/{job['id']}/comment", {"text": "hi"}).json["comments"][0]["by"] == name
        assert server.head.post(f"/jobs/{job['id']}/comment", {"text": "hi"}).json["comments"][1]["by"] == "head"


def test_several_tokens_of_a_role_are_valid_at_once(start_spine: StartSpine) -> None:
    server = start_spine(
        HEAD_TOKENS="head-second-1, head-third-11,",
        LEFT_CLAW_TOKENS="left-second-1",
        RIGHT_CLAW_TOKEN=None,
        RIGHT_CLAW_TOKENS="right-second,right-third1",
    )
    for token in ("head-token-0001", "head-second-1", "head-third-11"):
        assert Api(server.port, token).post("/jobs", {}).status == 201
    for token in ("left-token-0001", "left-second-1", "right-second", "right-third1"):
        assert Api(server.port, token).get("/jobs").status == 200
        assert Api(server.port, token).post("/jobs", {}).status == 401
    assert Api(server.port, "right-token-0001").get("/jobs").status == 401
    job = server.head.submit()
    Api(server.port, "left-token-0001").claim(job["id"])
    # The other token of the same role is the same owner: tokens rotate in the middle of a job.
    assert Api(server.port, "left-second-1").post(f"/jobs/{job['id']}/complete", {"result": 1}).status == 200


def test_the_same_token_twice_in_one_role_is_fine(start_spine: StartSpine) -> None:
    server = start_spine(HEAD_TOKENS="head-token-0001,head-token-0001")
    assert server.head.post("/jobs", {}).status == 201
