"""docs/reference/openapi.json is what the code makes, is sound, and says what the server does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon.inspect
import jsonschema_rs
import pytest
from schemathesis.python import asgi
from tests.docs.pages import REFERENCE, REPO

from contract.clock import SystemClock
from contract.ids import token_digest
from spine.api import openapi
from spine.api.calls import LENIENT, Call, Route
from spine.api.routes import QUERIES, ROUTES
from spine.app import App, Server, create_app
from spine.queue.access import Principal
from spine.settings import Settings

KEPT = REFERENCE / "openapi.json"
DOCUMENT = openapi.document()
TOKENS = {"head": "head-token-0001", "claw": "left-token-0001", "viewer": "view-token-0001", "chat": "chat-token-0001"}
CALLS = [(route, call) for route in ROUTES for call in route.calls]
IDS = [call.name for _, call in CALLS]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An application with a head, the claw left-claw, a viewer and a chat front."""
    principals = {
        token_digest(TOKENS["head"]): Principal("head", "head"),
        token_digest(TOKENS["claw"]): Principal("left-claw", "claw"),
        token_digest(TOKENS["viewer"]): Principal("viewer", "viewer"),
        token_digest(TOKENS["chat"]): Principal("chat", "chat"),
    }
    server = Server(Settings(principals=principals, data_dir=tmp_path), SystemClock())
    yield create_app(server)
    server.store.close()


def ask(app: App, route: Route, call: Call, role: str | None, query: str = "", body: str = "{}") -> tuple[int, Any]:
    """Make a call about things that do not exist; return its status and the refusal, if it is one."""
    ids = dict.fromkeys(
        ("job_id", "blob_id", "notice_id", "schedule_id", "message_id", "group_id", "node_id"), "nosuch"
    )
    path = openapi.path_of(route, call).format(**ids, name="left-claw")
    headers = {"X-Worker-Id": "w1"}
    if role is not None:
        headers["Authorization"] = f"Bearer {TOKENS[role]}"
    data = body if call.takes is not None else None
    with asgi.get_client(app) as client:
        answer = client.request(call.method, f"{path}{query}", headers=headers, data=data, timeout=30)
    problem = answer.headers["content-type"] == "application/problem+json" if answer.content else False
    return answer.status_code, answer.json() if problem else dict(answer.headers)


# --- the copy --------------------------------------------------------------------------------------------------------


def test_the_copy_is_what_the_code_makes() -> None:
    command = [sys.executable, "-m", "spine.api.openapi"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO / "services")}
    made = subprocess.run(command, env=env, capture_output=True, check=True, text=True).stdout
    assert made == KEPT.read_text(encoding="utf-8"), "run: python -m spine.api.openapi > docs/reference/openapi.json"


# --- the document ----------------------------------------------------------------------------------------------------


def references(value: Any) -> Iterator[str]:
    """Yield every $ref of the document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from references(item)


def resolved(pointer: str) -> Any:
    """Return what a pointer into the document leads to."""
    found: Any = DOCUMENT
    for part in pointer.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def test_it_is_openapi_3_1_of_this_version() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"]["title"] == "Spinal Cord"
    assert DOCUMENT["info"]["version"] == "0.1.0"


def test_every_reference_leads_somewhere_and_nothing_lies_about_unused() -> None:
    used = set(references(DOCUMENT))
    for pointer in used:
        assert resolved(pointer)
    kinds = ("schemas", "responses", "parameters")
    kept = {f"#/components/{kind}/{name}" for kind in kinds for name in DOCUMENT["components"][kind]}
    assert kept == used


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_every_schema_is_one(name: str) -> None:
    jsonschema_rs.meta.validate(DOCUMENT["components"]["schemas"][name])


def test_names_of_operations_are_unique() -> None:
    assert len(set(IDS)) == len(IDS)


def test_every_call_of_the_application_is_described_and_no_other(app: App) -> None:
    taken = {
        (found.path, method.method)
        for found in falcon.inspect.inspect_routes(app)
        for method in found.methods
        if not method.internal
    }
    assert {(route.path, call.method) for route, call in CALLS} == taken
    described = {
        (path, method.upper()) for path, item in DOCUMENT["paths"].items() for method in item.keys() - {"parameters"}
    }
    assert {(openapi.path_of(route, call), call.method) for route, call in CALLS} == described


def test_a_job_says_which_members_are_always_there() -> None:
    job = DOCUMENT["components"]["schemas"]["Job"]
    assert job["properties"].keys() - job["required"] == {
        *("progress", "releaseReason", "scheduleId", "newComments", "messages"),
    }
    assert job["properties"]["status"] == {
        "type": "string",
        "enum": ["queued", "running", "done", "failed", "dead", "waiting", "cancelled"],
    }
    assert job["properties"]["createdAt"] == {"type": "string", "format": "date-time"}
    assert job["properties"]["leaseUntil"] == {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}


def test_a_claim_is_described_to_its_last_refusal() -> None:
    claim = DOCUMENT["paths"]["/jobs/claim"]["post"]
    assert claim["x-roles"] == ["claw"]
    assert {(p["in"], p["name"], p.get("required", False)) for p in claim["parameters"]} == {
        ("header", "X-Worker-Id", True),
        ("header", "Idempotency-Key", False),
        ("header", "X-Spine-Lease", False),
    }
    assert claim["requestBody"]["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/ClaimNext"}}
    }
    codes = {}
    for status, answer in claim["responses"].items():
        if "$ref" in answer:
            schema = resolved(answer["$ref"])["content"]["application/problem+json"]["schema"]
            codes[status] = schema["allOf"][1]["properties"]["error"]["enum"]
    assert claim["responses"].keys() - codes.keys() == {"200", "204"}
    assert codes == {
        "400": ["bad_json"],
        "401": ["unauthorized"],
        "408": ["request_timeout"],
        "409": ["conflict", "idempotency_busy", "stale_fence"],
        "413": ["too_large"],
        "422": ["idempotency_mismatch", "invalid_field"],
        "429": ["rate_limited"],
        "500": ["internal"],
        "503": ["outcome_unknown", "unavailable"],
        "507": ["storage_full"],
    }


def test_every_call_may_say_its_id_and_its_trace() -> None:
    named = DOCUMENT["components"]["parameters"]
    assert {(name, param["in"], param["name"], "required" in param) for name, param in named.items()} == {
        ("RequestId", "header", "X-Request-Id", False),
        ("TraceContext", "header", "traceparent", False),
    }
    for path, item in DOCUMENT["paths"].items():
        told = [param["$ref"].rpartition("/")[2] for param in item["parameters"] if "$ref" in param]
        assert told == ["RequestId", "TraceContext"], path


def test_patterns_are_in_the_dialect_of_json_schema() -> None:
    assert "\\\\Z" not in openapi.text()
    assert DOCUMENT["components"]["schemas"]["ClaimNext"]["properties"]["targets"]["items"]["pattern"] == (
        "^[a-z0-9][a-z0-9._-]*$"
    )


# --- what the server does --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("route", "call"), CALLS, ids=IDS)
def test_the_roles_are_those_that_may(app: App, route: Route, call: Call) -> None:
    refused = {role for role in (None, *TOKENS) if ask(app, route, call, role)[0] == 401}
    assert refused == ({None, *TOKENS} - call.roles if call.roles else set())


def test_the_chat_front_may_do_what_is_on_its_list_and_nothing_else(app: App) -> None:
    asked = {call.name: ask(app, route, call, "chat")[0] for route, call in CALLS if call.roles}
    assert {name for name, status in asked.items() if status != 401} == {
        *("listJobs", "submitJob", "readJob", "whyNotRunning", "listAttempts", "readJobEvents", "readLog"),
        *("commentJob", "cancelJob", "approveJob", "rejectJob", "reviewJob"),
        *("readEvents", "listMachines", "download", "inspect"),
    }


@pytest.mark.parametrize(("route", "call"), CALLS, ids=IDS)
def test_the_parameters_are_those_that_the_server_knows(app: App, route: Route, call: Call) -> None:
    status, problem = ask(app, route, call, sorted(call.roles or TOKENS)[0], "?no-such-parameter=1")
    if (route.path, call.method) not in QUERIES:
        assert (status, problem.get("field")) != (422, "no-such-parameter")
        return
    assert (status, problem["error"], problem["field"]) == (422, "invalid_field", "no-such-parameter")
    known = {param.name for param in call.params if param.place == "query"}
    assert set(problem["detail"].partition("known: ")[2].split(", ")) == (known or {"none"})


def test_routes_that_ignore_unknown_parameters_are_v0s_probes_and_documents() -> None:
    assert {route.path for route, call in CALLS if (route.path, call.method) not in QUERIES} == {
        *("/health", "/healthz", "/ready", "/metrics", "/skill.md", "/openapi.json", "/llms.txt"),
        *("/jobs", "/jobs/{job_id}", "/jobs/{job_id}/claim", "/jobs/{job_id}/heartbeat", "/jobs/{job_id}/complete"),
        *("/jobs/{job_id}/fail", "/jobs/{job_id}/release", "/jobs/{job_id}/comment", "/blobs", "/blobs/{blob_id}"),
    }


WITH_RECORDS = [(r, c) for r, c in CALLS if isinstance(c.takes, type) or c.name == "submitJob"]


@pytest.mark.parametrize(("route", "call"), WITH_RECORDS, ids=[call.name for _, call in WITH_RECORDS])
def test_unknown_members_are_ignored_where_the_document_allows_them(app: App, route: Route, call: Call) -> None:
    _, answer = ask(app, route, call, sorted(call.roles or TOKENS)[0], body='{"zzzz": 1, "text": "x"}')
    lenient = call.name == "submitJob" or call.takes in LENIENT
    refused = answer.get("error") == "invalid_field" and answer.get("field") in ("zzzz", "text")
    assert refused is not lenient
    schemas = DOCUMENT["components"]["schemas"]
    name = "Submit" if call.name == "submitJob" else call.takes.__name__
    assert ("additionalProperties" not in schemas[name]) is lenient
