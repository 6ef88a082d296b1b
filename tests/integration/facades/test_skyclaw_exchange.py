"""What a Skyclaw coordinator answers, rule by rule (contract: Skyclaw). Each row names its section and its mark.

`differs` says what is other than with the original on purpose, which section 10 of the contract allows.
"""

import itertools
from typing import Any, NamedTuple

import pytest
from tests.integration.facades.conftest import Skyclaw, plain
from tests.support.raw_http import Api
from tests.support.spine_process import SpineProcess

JSON = "application/json; charset=utf-8"
PAYLOAD = {"kind": "shell", "command": "sh", "args": ["-c", "echo"]}
UNAUTHORIZED = '{\n  "error": "unauthorized"\n}'
NOT_FOUND = '{\n  "error": "not found"\n}'
HEALTH = '{\n  "ok": true,\n  "nodeId": "node-1"\n}'


class Row(NamedTuple):
    """A request and what comes back. `body` None: none is sent; bytes are sent as they are."""

    rule: str
    mark: str
    method: str
    path: str
    body: Any
    status: int
    answer: str
    token: str | None = "skyclaw-token-0001"
    differs: str = ""


def told(text: str) -> str:
    return f'{{\n  "error": "{text}"\n}}'


HOST = """{
  "host": {
    "id": "%s",
    "name": "%s",
    "capabilities": %s,
    "maxParallel": %s,
    "activeLeases": 0,
    "lastSeenAt": "<time>",
    "registeredAt": "<time>",
    "updatedBy": "node-1",
    "version": %d
  }
}"""
QUEUED = """{
  "job": {
    "id": "<job>",
    "createdAt": "<time>",
    "updatedAt": "<time>",
    "updatedBy": "node-1",
    "version": 1,
    "status": "queued",
    "attempts": 0,
    "requirement": {
      "requiredCapabilities": %s
    },
    "payload": %s
  }
}"""
SHELL = """{
      "kind": "shell",
      "command": "sh",
      "args": [
        "-c",
        "echo"
      ]
    }"""
CODES = "a code that says what it is, where the original has 500 for all"

ROWS = [
    # --- 1. General HTTP rules
    Row("health", "3 seed", "GET", "/health", None, 200, HEALTH),
    Row("a token is asked for, of health too", "1 source", "GET", "/health", None, 401, UNAUTHORIZED, None),
    Row("another token", "1 source", "GET", "/v1/state", None, 401, UNAUTHORIZED, "another-token"),
    Row("before routing: a path that is not there", "1 source", "GET", "/nothing", None, 401, UNAUTHORIZED, None),
    Row("before the body is read", "1 source", "POST", "/v1/jobs", b"{", 401, UNAUTHORIZED, None),
    Row("an unknown path", "1 source", "GET", "/nothing", None, 404, NOT_FOUND),
    Row("a wrong method", "1 source", "GET", "/v1/jobs", None, 404, NOT_FOUND),
    Row("a method that no path has", "1 source", "DELETE", "/v1/state", None, 404, NOT_FOUND),
    Row("OPTIONS", "1 source", "OPTIONS", "/v1/state", None, 404, NOT_FOUND),
    Row("a slash at the end", "1 source", "GET", "/health/", None, 404, NOT_FOUND),
    Row("a query string is ignored", "1 source", "GET", "/health?a=1&a", None, 200, HEALTH),
    Row(
        "two slashes are one", "1 seed", "GET", "//health", None, 200, HEALTH, differs="the original knows no such path"
    ),
    Row(
        "an escape that is none",
        "1 source",
        "POST",
        "/v1/hosts/%zz/claim",
        b"{}",
        400,
        told("URI malformed"),
        differs=CODES,
    ),
    # --- 3. POST /v1/hosts/register
    Row(
        *("a host", "3 seed", "POST", "/v1/hosts/register"),
        {
            "name": " mac ",
            "hostId": " h-1 ",
            "capabilities": ["shell", " Git ", "", "shell"],
            "maxParallel": "4",
            "x": 1,
        },
        *(200, HOST % ("h-1", "mac", '[\n      "Git",\n      "shell"\n    ]', "4", 1)),
    ),
    Row(
        *("an id is made, the rest has defaults", "3 source", "POST", "/v1/hosts/register", {"name": "x"}, 200),
        HOST % ("<host>", "x", "[]", "1", 1),
    ),
    Row(
        *("a known id: what is left out is reset", "3 source", "POST", "/v1/hosts/register"),
        *({"name": "new", "hostId": "h-1"}, 200, HOST % ("h-1", "new", "[]", "1", 2)),
    ),
    Row(
        *("below 1 becomes 1", "3 source", "POST", "/v1/hosts/register"),
        *({"name": "m", "hostId": "h-2", "maxParallel": 0}, 200, HOST % ("h-2", "m", "[]", "1", 1)),
    ),
    Row("no name", "3 source", "POST", "/v1/hosts/register", {}, 400, told("name is required")),
    Row(
        "an empty body is an empty object", "1 source", "POST", "/v1/hosts/register", b"", 400, told("name is required")
    ),
    Row("a blank name", "3 source", "POST", "/v1/hosts/register", {"name": "  "}, 400, told("name is required")),
    # --- 3. POST /v1/hosts/:id/heartbeat
    Row(
        *("a heartbeat; the number in it is hearsay", "3 seed", "POST", "/v1/hosts/h-2/heartbeat"),
        *({"activeLeases": 7}, 200, HOST % ("h-2", "m", "[]", "1", 1)),
    ),
    Row(
        *("a number that is none", "3 source", "POST", "/v1/hosts/h-2/heartbeat"),
        *({"activeLeases": "many"}, 200, HOST % ("h-2", "m", "[]", "1", 1)),
    ),
    Row(
        *(
            "an id is decoded",
            "1 source",
            "POST",
            "/v1/hosts/no%2Fone/heartbeat",
            {},
            404,
            told("unknown host: no/one"),
        ),
        differs=CODES,
    ),
    # --- 3. POST /v1/hosts/:id/claim
    Row("nothing to do", "3 seed", "POST", "/v1/hosts/h-2/claim", {}, 200, '{\n  "job": null\n}'),
    Row("the body is ignored", "3 seed", "POST", "/v1/hosts/h-2/claim", {"any": [1]}, 200, '{\n  "job": null\n}'),
    Row(
        *(
            "an unknown host claims",
            "3 source",
            "POST",
            "/v1/hosts/nobody/claim",
            {},
            404,
            told("unknown host: nobody"),
        ),
        differs=CODES,
    ),
    # --- 3. POST /v1/jobs
    Row(
        *("a job", "3 seed", "POST", "/v1/jobs"),
        {"payload": PAYLOAD, "requirement": {"requiredCapabilities": ["nobody-has-it", " a ", "a"]}},
        *(200, QUEUED % ('[\n        "a",\n        "nobody-has-it"\n      ]', SHELL)),
    ),
    Row(
        *("any kind is taken, and kept whole", "2 source", "POST", "/v1/jobs"),
        {
            "payload": {"kind": "x", "b": {"c": [1.50, None]}},
            "requirement": {"requiredCapabilities": ["nobody-has-it"]},
        },
        200,
        QUEUED
        % (
            '[\n        "nobody-has-it"\n      ]',
            '{\n      "kind": "x",\n      "b": {\n        "c": [\n          1.5,\n          null\n        ]\n'
            "      }\n    }",
        ),
    ),
    Row("no payload", "3 source", "POST", "/v1/jobs", {}, 400, told("payload is required")),
    Row("no kind", "3 source", "POST", "/v1/jobs", {"payload": {"kind": ""}}, 400, told("payload is required")),
    Row(
        *(
            "malformed JSON",
            "1 source",
            "POST",
            "/v1/jobs",
            b"{",
            400,
            told("the body is not JSON: Input data was truncated"),
        ),
        differs=CODES,
    ),
    Row(
        *("null", "1 source", "POST", "/v1/jobs", b"null", 400, told("the body must be a JSON object")),
        differs=CODES,
    ),
    Row(
        *("a field of a wrong type", "1 source", "POST", "/v1/jobs"),
        *({"payload": PAYLOAD, "requirement": 1}, 400, told("requirement: expected an object")),
        differs=CODES,
    ),
    # --- 3. POST /v1/jobs/:id/complete, the first two of its refusals
    Row(
        *("an unknown host completes", "3 source", "POST", "/v1/jobs/job_x/complete"),
        *({"hostId": "nobody", "success": True}, 404, told("unknown host: nobody")),
        differs=CODES,
    ),
    Row(
        *("an unknown job", "3 source", "POST", "/v1/jobs/job_%20x/complete"),
        *({"hostId": "h-2", "success": True}, 404, told("unknown job: job_ x")),
        differs=CODES,
    ),
    # --- 3. POST /v1/replicate/snapshot
    Row(
        *("an empty snapshot", "3 seed", "POST", "/v1/replicate/snapshot", {}, 200),
        '{\n  "ok": true,\n  "changed": false,\n  "nodeId": "node-1"\n}',
    ),
]


def test_every_row(module_spine: SpineProcess) -> None:
    wrong = []
    for row in ROWS:
        base = "" if row.path.startswith("/v1/") else "/skyclaw"
        for prefix in {base, "/skyclaw"}:
            if prefix != base and row.method == "POST" and row.status == 200:
                continue  # it would be there already
            answer = Skyclaw(module_spine.port, prefix, row.token).call(row.method, row.path, row.body)
            seen = (answer.status, plain(answer.body.decode()), answer.headers.get("content-type"))
            if seen != (row.status, row.answer, JSON):
                wrong.append((row.rule, prefix, seen, (row.status, row.answer)))
    assert wrong == []


def test_the_base_address_may_end_with_a_slash(module_spine: SpineProcess) -> None:
    for base in ("/", "/skyclaw/", "//", "/skyclaw//"):
        assert Skyclaw(module_spine.port, base).call("GET", "/v1/state").status == 200


# --- what a job goes through ------------------------------------------------------------------------------------------

_names = itertools.count()


@pytest.fixture
def host(skyclaw: Skyclaw) -> str:
    """A host of its own, with a capability that no other has."""
    name = f"host-{next(_names)}"
    skyclaw.register(name, f"for-{name}", "shell")
    return name


def test_claim_and_complete(skyclaw: Skyclaw, host: str) -> None:
    """Sections 2, 3, 4: seed and source."""
    job_id = skyclaw.enqueue(f"for-{host}", command="sh")
    answer = skyclaw.call("POST", f"/v1/hosts/{host}/claim", {})
    taken = answer.json["job"]
    assert plain(answer.body.decode()) == (
        '{\n  "job": {\n    "id": "<job>",\n    "createdAt": "<time>",\n    "updatedAt": "<time>",\n'
        '    "updatedBy": "node-1",\n'
        '    "version": 2,\n    "status": "leased",\n    "attempts": 1,\n    "requirement": {\n'
        f'      "requiredCapabilities": [\n        "for-{host}"\n      ]\n    }},\n'
        '    "payload": {\n      "kind": "shell",\n      "command": "sh"\n    },\n'
        f'    "leaseExpiresAt": "<time>",\n    "assignedHostId": "{host}"\n  }}\n}}'
    )
    assert skyclaw.host(host)["activeLeases"] == 1
    assert skyclaw.claim(host) is None  # one at a time
    ended = skyclaw.complete(job_id, host, stdout="out\nü\x00", stderr="err", durationMs=12.5)
    assert (ended.status, ended.headers["content-type"]) == (200, JSON)
    job = ended.json["job"]
    assert job == skyclaw.job(job_id)
    assert job["result"] == {
        "finishedAt": job["updatedAt"], "durationMs": 12.5, "exitCode": 0, "stdout": "out\nü\x00", "stderr": "err",
    }  # fmt: skip
    assert "leaseExpiresAt" not in job
    assert "error" not in job
    assert {name: job[name] for name in ("status", "attempts", "assignedHostId", "version", "createdAt")} == {
        "status": "completed", "attempts": 1, "assignedHostId": host, "version": 3, "createdAt": taken["createdAt"],
    }  # fmt: skip
    assert skyclaw.host(host)["activeLeases"] == 0


def test_a_failure_is_final_and_keeps_its_outputs(skyclaw: Skyclaw, host: str) -> None:
    """Section 4: source."""
    job_id = skyclaw.enqueue(f"for-{host}")
    skyclaw.claim(host)
    assert skyclaw.complete(job_id, host, success=False, exitCode=126, error="command not allowed: x").status == 200
    job = skyclaw.job(job_id)
    assert (job["status"], job["error"], job["result"]["exitCode"]) == ("failed", "command not allowed: x", 126)
    assert skyclaw.claim(host) is None


def test_a_completion_with_little_in_it(skyclaw: Skyclaw, host: str) -> None:
    """Section 3: source. The error is left out when there is none."""
    job_id = skyclaw.enqueue(f"for-{host}")
    skyclaw.claim(host)
    answer = skyclaw.call("POST", f"/v1/jobs/{job_id}/complete", {"hostId": host, "success": 0})
    assert list(answer.json["job"]["result"]) == ["finishedAt"]
    assert "error" not in answer.json["job"]
    assert answer.json["job"]["status"] == "failed"


def test_refusals_in_their_order(skyclaw: Skyclaw, host: str) -> None:
    """Section 3: source; the codes are ours, and an identical repeat is answered as the first one was (section 10)."""
    other = f"{host}-other"
    skyclaw.register(other)
    job_id = skyclaw.enqueue(f"for-{host}")
    assert skyclaw.complete(job_id, host).json == {"error": f"job {job_id} is assigned to nobody"}
    skyclaw.claim(host)
    refused = skyclaw.complete(job_id, other)
    assert (refused.status, refused.json) == (409, {"error": f"job {job_id} is assigned to {host}"})
    first = skyclaw.complete(job_id, host, stdout="a")
    again = skyclaw.complete(job_id, host, stdout="a")
    assert (again.status, again.body) == (200, first.body)
    for late in (skyclaw.complete(job_id, host, stdout="b"), skyclaw.complete(job_id, other)):
        assert (late.status, late.json) == (409, {"error": f"job {job_id} is not leased"})


def test_the_oldest_that_a_host_can_do_comes_first(skyclaw: Skyclaw, host: str) -> None:
    """Section 4: seed (only what it can satisfy), source (order; exactly, by case)."""
    cannot = skyclaw.enqueue(f"FOR-{host}")
    first, second = skyclaw.enqueue(f"for-{host}"), skyclaw.enqueue("shell", f"for-{host}")
    for job_id in (first, second):
        assert (skyclaw.claim(host) or {})["id"] == job_id
        skyclaw.complete(job_id, host)
    assert skyclaw.claim(host) is None
    assert skyclaw.job(cannot)["status"] == "queued"


def test_as_many_as_it_may(skyclaw: Skyclaw) -> None:
    """Section 4: source."""
    skyclaw.register("wide", "for-wide", maxParallel=2)
    ids = [skyclaw.enqueue("for-wide") for _ in range(3)]
    assert [(skyclaw.claim("wide") or {}).get("id") for _ in range(3)] == [*ids[:2], None]
    assert skyclaw.host("wide")["activeLeases"] == 2
    skyclaw.complete(ids[0], "wide")
    assert (skyclaw.claim("wide") or {})["id"] == ids[2]
    again = skyclaw.register("wide", "for-wide", maxParallel=2)
    assert again["activeLeases"] == 2  # kept over a registration (source)
    for job_id in ids[1:]:
        assert skyclaw.complete(job_id, "wide").status == 200


def test_a_lease_of_a_minute(skyclaw: Skyclaw, host: str) -> None:
    """Section 4: source."""
    skyclaw.enqueue(f"for-{host}")
    job = skyclaw.claim(host) or {}
    taken, ends = job["updatedAt"], job["leaseExpiresAt"]
    minute = (int(taken[14:16]) + 1) % 60
    assert (ends[14:16], ends[17:]) == (f"{minute:02d}", taken[17:])


# --- idempotency (section 6, later) -----------------------------------------------------------------------------------


def test_an_idempotency_key_gives_the_first_answer_again(skyclaw: Skyclaw) -> None:
    body = {"payload": {"kind": "shell", "command": "a"}, "requirement": {"requiredCapabilities": ["nobody-has-it"]}}
    turned = {"requirement": body["requirement"], "payload": {"command": "a", "kind": "shell"}}
    key = {"X-Idempotency-Key": " key-1 "}
    first = skyclaw.call("POST", "/v1/jobs", body, key)
    assert skyclaw.call("POST", "/v1/jobs", turned, key | {"X-Idempotency-Key": "key-1"}).body == first.body
    other = skyclaw.call("POST", "/v1/jobs", {"payload": {"kind": "x"}}, key)
    assert (other.status, other.json) == (409, {"error": "idempotency key reuse conflict for route /v1/jobs"})
    # On another route the key is another one; a refusal is not kept.
    assert skyclaw.call("POST", "/v1/hosts/register", {}, key).status == 400
    assert skyclaw.call("POST", "/v1/hosts/register", {"name": "n", "hostId": "keyed"}, key).status == 200
    assert skyclaw.call("POST", "/v1/jobs", body, {"X-Idempotency-Key": " "}).body != first.body


def test_a_claim_that_found_nothing_is_repeated_as_nothing(skyclaw: Skyclaw, host: str) -> None:
    key = {"X-Idempotency-Key": "claim-1"}
    assert skyclaw.call("POST", f"/v1/hosts/{host}/claim", {}, key).json == {"job": None}
    job_id = skyclaw.enqueue(f"for-{host}")
    assert skyclaw.call("POST", f"/v1/hosts/{host}/claim", {}, key).json == {"job": None}
    assert (skyclaw.claim(host) or {})["id"] == job_id


# --- our own side -----------------------------------------------------------------------------------------------------


def test_a_head_sees_and_steers_them(skyclaw: Skyclaw, head: Api, host: str) -> None:
    job_id = skyclaw.enqueue(f"for-{host}", command="sleep")
    job = head.job(job_id)
    assert {name: job[name] for name in ("target", "requires", "spec", "createdBy", "status", "maxAttempts")} == {
        "target": "any", "requires": [f"for-{host}", "skyclaw"], "spec": {"kind": "shell", "command": "sleep"},
        "createdBy": "skyclaw", "status": "queued", "maxAttempts": 5,
    }  # fmt: skip
    assert head.post(f"/jobs/{job_id}/cancel", {"reason": "not wanted"}).status == 200
    assert (skyclaw.job(job_id)["status"], skyclaw.job(job_id)["error"]) == ("failed", "cancelled: not wanted")
    assert head.post(f"/jobs/{job_id}/retry").status == 200
    taken = skyclaw.claim(host) or {}
    assert (taken["id"], taken["attempts"]) == (job_id, 1)
    (machine,) = [one for one in head.get("/machines").json["machines"] if one["name"] == f"skyclaw:{host}"]
    assert (machine["running"], machine["capabilities"]) == ([job_id], [f"for-{host}", "shell", "skyclaw"])
    assert head.post(f"/machines/skyclaw:{host}/drain").status == 200
    skyclaw.complete(job_id, host)
    skyclaw.enqueue(f"for-{host}")
    assert skyclaw.claim(host) is None
    assert head.post(f"/machines/skyclaw:{host}/resume").status == 200
    assert skyclaw.claim(host) is not None


def test_a_claw_of_ours_takes_one_only_when_it_offers_the_dialect(
    skyclaw: Skyclaw, module_spine: SpineProcess, host: str
) -> None:
    job_id = skyclaw.enqueue(f"for-{host}")
    claw = Api(module_spine.port, "left-token-0001", "w1")
    assert claw.claim_next(capabilities=[f"for-{host}"]) == []
    (job,) = claw.claim_next(capabilities=[f"for-{host}", "skyclaw"])
    assert job["id"] == job_id
    assert skyclaw.job(job_id)["assignedHostId"] == "left-claw"
    assert claw.post(f"/jobs/{job_id}/complete", {"fence": 1, "result": {"exitCode": 0, "stdout": "x"}}).status == 200
    assert skyclaw.job(job_id)["result"] == {
        "finishedAt": skyclaw.job(job_id)["updatedAt"], "exitCode": 0, "stdout": "x",
    }  # fmt: skip


def test_a_host_takes_nothing_that_is_not_its_dialect_s(skyclaw: Skyclaw, head: Api, host: str) -> None:
    native = head.submit(target="any", requires=["shell"], spec={"run": "true"})
    assert skyclaw.claim(host) is None
    assert head.job(native["id"])["status"] == "queued"
    assert skyclaw.complete(native["id"], host).json == {"error": f"unknown job: {native['id']}"}
    assert native["id"] not in [job["id"] for job in skyclaw.call("GET", "/v1/state").json["jobs"]]
