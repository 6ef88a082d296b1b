"""Whatever is sent, the answer is one that /openapi.json promises: schemathesis against the application, in-process.

Each call is tried on jobs in every state and by every role, with bodies that the document allows and with bodies that
it does not. Errors are checked down to their codes, since the document lists them for every status of every call.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.generation.case import Case
from schemathesis.generation.modes import GenerationMode
from schemathesis.python import asgi
from schemathesis.specs.openapi import checks
from schemathesis.specs.openapi.schemas import OpenApiSchema

from contract.clock import SystemClock
from contract.ids import token_digest
from spine.api.routes import ROUTES
from spine.app import App, Server, create_app
from spine.queue.access import Principal
from spine.settings import Settings

TOKENS = {"head": "head-token-0001", "claw": "left-token-0001", "viewer": "view-token-0001", "chat": "chat-token-0001"}
RIGHT = "right-token-0001"
PRINCIPALS = {
    TOKENS["head"]: Principal("head", "head"),
    TOKENS["claw"]: Principal("left-claw", "claw"),
    TOKENS["viewer"]: Principal("viewer", "viewer"),
    TOKENS["chat"]: Principal("chat", "chat"),
    RIGHT: Principal("right-claw", "claw"),  # of no role below: what it loses hinders nobody
}
CALLS = {call.name: (route, call) for route in ROUTES for call in route.calls}
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
# Ended or not, held or not, and what a head may decide on; in `unknown` names and ids stay as they were made up.
# In `unknown`, names and ids stay as they were made up.
STATES = ("queued", "running", "released", "late", "done", "accepted", "failed", "cancelled", "waiting", "unknown")
# Where the call can succeed, if not in `running`.
BEST = {
    "claimNextJobs": "queued",
    "claimJob": "queued",
    "approveJob": "waiting",
    "rejectJob": "waiting",
    "reviewJob": "done",
    "retryJob": "failed",
    "adoptResult": "late",
}
# A wrong token comes seldom, or the throttle of guesses would answer in the end.
OTHERS = [*TOKENS.values(), "", "wrong-token-0001"]
STEADY, EXAMPLES = 6, 10
READ_SECONDS = 30


class World:
    """A server of one test, and what there is in it to call upon."""

    def __init__(self, folder: Path) -> None:
        principals = {token_digest(token): principal for token, principal in PRINCIPALS.items()}
        listed = folder / "notices.json"
        listed.touch(mode=0o600)
        listed.write_text('{"ops": {"channel": "discord", "url": "http://127.0.0.1:9/"}}')
        known = Settings(principals=principals, data_dir=folder, notices_file=listed)
        self.app: App = create_app(Server(known, SystemClock()))  # nobody listens there
        self.blob_id = self.post("/blobs", files={"file": ("a.txt", b"text")})["id"]
        for claw, token in (("left-claw", TOKENS["claw"]), ("right-claw", RIGHT)):
            self.post(f"/machines/{claw}/facts", {"facts": {"os": "linux"}}, token)
        made = self.post("/jobs", {})["id"]
        self.group_id = self.post("/groups", {"name": "all of it", "jobIds": [made]})["id"]
        self.message_id = self.post("/messages", {"to": "left-claw", "text": "hello"})["id"]
        self.notice_id = self.post("/notices", {"alias": "ops", "text": "hello"})["id"]
        self.post("/leases/leader/take", {"holder": "h1", "ttlSeconds": 3600})
        self.post("/leases/cluster-leader/take", {"holder": "n1:i1", "ttlSeconds": 3600}, TOKENS["claw"])
        self.post("/cluster/nodes/n1/join", {"instance": "i1", "ttlSeconds": 3600}, TOKENS["claw"])
        self.schedule_id = self.post("/schedules", {"name": "nightly", "cron": "0 3 * * *", "job": {}})["id"]

    def post(self, path: str, body: Any = None, token: str = TOKENS["head"], expected: int = 2, **more: Any) -> Any:
        """POST, by default as the head; `expected` is the first digit of the status. Return the answer's JSON."""
        headers = {"Authorization": f"Bearer {token}"}
        with asgi.get_client(self.app) as client:
            answer = client.request("POST", path, json=body, headers=headers, timeout=READ_SECONDS, **more)
        assert answer.status_code // 100 == expected, (path, answer.status_code, answer.text)
        return answer.json()

    def job(self, state: str) -> str:
        """Make a job in a state; return its id."""
        claw = TOKENS["claw"]
        made = self.post("/jobs", {"needsApproval": state == "waiting", "needsReview": state != "failed"})
        path = f"/jobs/{made['id']}"
        if state in ("running", "released", "late", "done", "accepted", "failed"):
            self.post(f"{path}/claim", None, claw)
        if state in ("released", "late"):
            self.post(f"{path}/release")
        if state == "late":
            self.post(f"{path}/complete", {"fence": 1, "result": {"notes": "late"}}, claw, expected=4)
        if state in ("done", "accepted"):
            self.post(f"{path}/complete", {"result": {"notes": "fine"}}, claw)
        if state == "accepted":
            self.post(f"{path}/review", {"decision": "accept"})
        if state == "failed":
            self.post(f"{path}/fail", {"error": "broke", "requeue": False}, claw)
        if state == "cancelled":
            self.post(f"{path}/cancel")
        return str(made["id"])

    def place(self, case: Case[Any], state: str, fence: int, fitting: bool) -> None:
        """Let a made-up call name things that exist, and when `fitting` say what means something to this server."""
        names = {"blob_id": self.blob_id, "name": "right-claw", "schedule_id": self.schedule_id}
        names["node_id"] = "n1"
        names |= {"message_id": self.message_id, "notice_id": self.notice_id, "group_id": self.group_id}
        if "/leases/" in case.operation.path:
            names["name"] = "leader"
        elif case.operation.path.endswith(("/rotate", "/facts")):
            names["name"] = "left-claw"
        if state != "unknown":
            names["job_id"] = self.job(state)
            case.path_parameters.update({name: names[name] for name in case.path_parameters})
        for one in case.body if isinstance(case.body, list) else [case.body]:
            if isinstance(one, dict):
                if fitting and state != "unknown":
                    self._fit(one, fence)
                    if case.operation.path.endswith("/ack"):
                        one["cursor"] = 0
                    if case.operation.path == "/groups":
                        one |= {"label": "a label", "jobIds": None, "parentId": None, "overdueAt": None, "notify": []}
                    if case.operation.path in ("/schedules", "/schedules/preview", "/schedules/{schedule_id}"):
                        self._fit_schedule(one)
                if isinstance(one.get("wait"), int | float):
                    one["wait"] = 0
        if fitting and state != "unknown":
            for name in ("X-Spine-Fence", "X-Spine-Lease"):
                case.headers.pop(name, None)
            if case.operation.path in ("/messages", "/groups"):
                case.query.pop("cursor", None)
            case.headers.update({name: "bytes=0-1" for name in ("Range",) if name in case.headers})
            case.query.update({name: 0 for name in ("offset", "fence") if name in case.query})

    def _fit(self, body: dict[str, Any], fence: int) -> None:
        meant: dict[str, Any] = {
            "after": [],
            "alias": "@ops",
            "concurrencyKey": "one",
            "concurrencyLimit": 1,
            "dedupeKey": "same",
            "delaySeconds": None,
            "delivery": {"to": "@ops"},
            "expiresAt": None,
            "fence": fence,
            "holder": "h1",
            "instance": "i1",
            "jobId": None,
            "label": "a label",
            "meta": {"a": 1},
            "notify": ["ops"],
            "parentId": None,
            "replyTo": None,
            "sender": "n1",
            "specDigest": None,
            "status": ["queued", "waiting"],
            "target": "left-claw",
            "targets": ["left-claw"],
            "to": "left-claw",
        }
        if "code" in body:
            meant["code"] = self.post("/machines/join-codes", {"name": "new-claw"})["code"]
        if "concurrencyLimit" in body:
            body["concurrencyKey"] = "one"
        body.update({name: value for name, value in meant.items() if name in body})

    def _fit_schedule(self, body: dict[str, Any]) -> None:
        whens = ("kind", "everySeconds", "at", "parentId", "startAt", "endAt", "on", "delaySeconds", "condition")
        for name in (*whens, "version"):
            body.pop(name, None)
        meant = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "job": {}, "name": "nightly"}
        body.update({name: value for name, value in meant.items() if name in body or name == "cron"})


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> OpenApiSchema:
    """The document, as the server gives it."""
    config = SchemathesisConfig.from_dict({"max-stream-events": 1})
    app = World(tmp_path_factory.mktemp("document")).app
    found: OpenApiSchema = schemathesis.openapi.from_asgi("/openapi.json", app, config=config)
    return found


def can_be_wrong(name: str) -> bool:
    """Tell whether a call takes anything that the document forbids: more than free texts."""
    route, call = CALLS[name]
    bound = [param for param in call.params if param.schema != {"type": "string"}]
    return bool(bound or call.takes or "{" in route.path)


@pytest.mark.parametrize("name", CALLS)
def test_what_the_document_allows_is_answered_as_it_says(name: str, schema: OpenApiSchema, tmp_path: Path) -> None:
    world, call = World(tmp_path), CALLS[name][1]
    may = [TOKENS[role] for role in sorted(call.roles or TOKENS)]
    cases = schema.find_operation_by_id(name).as_strategy(generation_mode=GenerationMode.POSITIVE)
    seen = try_out(world, cases, may, [BEST.get(name, "running")], [1], STEADY, fitting=True)
    assert seen & call.gives.keys(), "nobody got through: the rest would prove little"
    try_out(world, cases, may * 3 + OTHERS, STATES, [0, 1, 2], EXAMPLES, fitting=True)


@pytest.mark.parametrize("name", [name for name in CALLS if can_be_wrong(name)])
def test_what_the_document_forbids_is_answered_as_it_says(name: str, schema: OpenApiSchema, tmp_path: Path) -> None:
    cases = schema.find_operation_by_id(name).as_strategy(generation_mode=GenerationMode.NEGATIVE)
    may = [TOKENS[role] for role in sorted(CALLS[name][1].roles or TOKENS)]
    try_out(World(tmp_path), cases, may * 3 + OTHERS, STATES, [0, 1, 2], EXAMPLES, fitting=False)


def try_out(
    world: World,
    cases: st.SearchStrategy[Case[Any]],
    tokens: Sequence[str],
    states: Sequence[str],
    fences: Sequence[int],
    examples: int,
    fitting: bool,
) -> set[int]:
    """Make calls up, the same ones in every run, and check every answer; return the statuses that came."""
    seen: set[int] = set()

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases, st.sampled_from(tokens), st.sampled_from(states), st.sampled_from(fences), st.booleans())
    def made_up(case: Case[Any], token: str, state: str, fence: int, stream: bool) -> None:
        world.place(case, state, fence, fitting)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if stream and "/events" in case.operation.path:
            headers["Accept"] = "text/event-stream"
        answer = case.call(app=world.app, headers=headers, timeout=READ_SECONDS)
        seen.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    made_up()
    return seen
