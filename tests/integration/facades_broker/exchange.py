"""The table of what a broker answers (contract: Broker, sections 1 to 5); `test_exchange` makes these calls.

`differs` says what is other than with the original on purpose, which section 10 of the contract allows. In an answer
`<id>` is a UUIDv4 and `<time>` whole seconds since the epoch (`conftest.plain`).
"""

from typing import Any, NamedTuple

from tests.integration.facades_broker.conftest import BOT_TOKEN, WORKER_TOKEN

BOT, WORKER = {"X-Bot-Token": BOT_TOKEN}, {"X-Worker-Token": WORKER_TOKEN}
JSON = {"Content-Type": "application/json"}
NONE = "00000000-0000-4000-8000-000000000000"
PING = {"command": "ping", "payload": "x"}


class Row(NamedTuple):
    """A request and what comes back.

    `{id}` in the path is a job that was brought into the state `of`: queued, running, done or failed.
    `body` None: none is sent; bytes are sent as they are, without a content type.
    """

    rule: str
    mark: str
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    status: int
    answer: str
    of: str = ""
    more: dict[str, str] = {}  # noqa: RUF012 (never changed)
    differs: str = ""


def told(detail: str) -> str:
    return f'{{"detail":"{detail}"}}'


def unprocessed(kind: str, loc: str, msg: str, shown: str, more: str = "") -> str:
    return f'{{"detail":[{{"type":"{kind}","loc":[{loc}],"msg":"{msg}","input":{shown}{more}}}]}}'


def missing(name: str, shown: str) -> str:
    return unprocessed("missing", f'"body","{name}"', "Field required", shown)


def no_string(name: str, shown: str) -> str:
    return unprocessed("string_type", f'"body","{name}"', "Input should be a valid string", shown)


def no_object(shown: str) -> str:
    msg = "Input should be a valid dictionary or object to extract fields from"
    return unprocessed("model_attributes_type", '"body"', msg, shown)


NO_BODY = unprocessed("missing", '"body"', "Field required", "null")
BAD_BOT, BAD_WORKER = told("bad bot token"), told("bad worker token")
NOT_FOUND, NO_JOB = told("Not Found"), told("job not found")
NOT_ALLOWED = told("Method Not Allowed")
CREATED = '{"id":"<id>","status":"queued"}'
DONE, FAILED = '{"ok":true,"status":"done"}', '{"ok":true,"status":"failed"}'
RESULT, FAIL = "/jobs/{id}/result", "/jobs/{id}/fail"
TOKEN_FIRST = "the token is looked at before the body, as later servers do when creating"
JOB = (
    '{"id":"<id>","created_at":<time>,"started_at":%s,"finished_at":%s,"lease_until":%s,"status":"%s",'
    '"command":"ping","payload":"x","result":%s,"error":%s,"worker_id":%s}'
)
T = "<time>"


def create(rule: str, mark: str, body: Any, status: int = 200, answer: str = CREATED, differs: str = "") -> Row:
    return Row(rule, mark, "POST", "/jobs", BOT, body, status, answer, differs=differs)


def read(of: str, mark: str, started: str, finished: str, lease: str, result: str, error: str, worker: str) -> Row:
    shown = JOB % (started, finished, lease, of, result, error, worker)
    return Row(of, mark, "GET", "/jobs/{id}", BOT, None, 200, shown, of)


def claim(rule: str, mark: str, name: str | None, shown: str) -> Row:
    headers = WORKER | ({} if name is None else {"X-Worker-Id": name})
    answer = '{"job":' + JOB % (T, "null", T, "running", "null", "null", shown) + "}"
    return Row(rule, mark, "GET", "/jobs/next", headers, None, 200, answer, "queued")


def settle(
    rule: str, mark: str, path: str, body: Any, status: int, answer: str, of: str = "", by: str = "", differs: str = ""
) -> Row:
    headers = WORKER | ({"X-Worker-Id": by} if by else {})
    return Row(rule, mark, "POST", path, headers, body, status, answer, of, differs=differs)


ROWS = [
    # --- 1. General HTTP rules
    Row("no bot token", "1 source", "POST", "/jobs", {}, PING, 401, BAD_BOT),
    Row("a wrong bot token", "1 source", "POST", "/jobs", {"X-Bot-Token": "other"}, PING, 401, BAD_BOT),
    Row("swapped: the worker's", "1 source", "POST", "/jobs", {"X-Bot-Token": WORKER_TOKEN}, PING, 401, BAD_BOT),
    Row("under the other name", "1 source", "POST", "/jobs", {"X-Worker-Token": BOT_TOKEN}, PING, 401, BAD_BOT),
    Row(
        "a bearer token is none",
        "1 seed",
        "POST",
        "/jobs",
        {"Authorization": f"Bearer {BOT_TOKEN}"},
        PING,
        401,
        BAD_BOT,
    ),
    Row("reading, without", "1 source", "GET", "/jobs/{id}", {}, None, 401, BAD_BOT, "queued"),
    Row("reading, as a worker", "1 seed", "GET", "/jobs/{id}", WORKER, None, 401, BAD_BOT, "queued"),
    Row("claiming, without", "1 source", "GET", "/jobs/next", {}, None, 401, BAD_WORKER),
    Row("claiming, as a bot", "1 source", "GET", "/jobs/next", BOT, None, 401, BAD_WORKER),
    Row("claiming, swapped", "1 source", "GET", "/jobs/next", {"X-Worker-Token": BOT_TOKEN}, None, 401, BAD_WORKER),
    Row("finishing, without", "1 source", "POST", RESULT, {}, {"result": "r"}, 401, BAD_WORKER, "running"),
    Row("failing, as a bot", "1 source", "POST", FAIL, BOT, {}, 401, BAD_WORKER, "running"),
    Row("an unknown path", "1 source", "GET", "/nothing", {}, None, 404, NOT_FOUND),
    Row("the root", "1 source", "GET", "/", {}, None, 404, NOT_FOUND),
    Row("one too deep", "1 source", "GET", "/jobs/{id}/result/x", BOT, None, 404, NOT_FOUND, "queued"),
    Row("no schema page", "10", "GET", "/docs", {}, None, 404, NOT_FOUND, differs="a schema without a token"),
    Row("no schema", "10", "GET", "/openapi.json", {}, None, 404, NOT_FOUND, differs="a schema without a token"),
    *(
        Row(f"{method} {path}", "1 source", method, path, {}, None, 405, NOT_ALLOWED, more={"allow": allow})
        for method, path, allow in (
            ("GET", "/jobs", "POST"),
            ("POST", "/health", "GET"),
            ("POST", "/jobs/next", "GET"),
            ("DELETE", f"/jobs/{NONE}", "GET"),
            ("GET", f"/jobs/{NONE}/result", "POST"),
            ("PUT", f"/jobs/{NONE}/fail", "POST"),
            ("OPTIONS", "/jobs", "POST"),
        )
    ),
    Row("HEAD", "1 source", "HEAD", "/health", {}, None, 405, "", more={"allow": "GET"}),
    *(
        Row(
            f"a slash at the end: {method} {path}",
            "1 source",
            method,
            path + "/",
            {},
            None,
            307,
            "",
            more={"location": "/broker" + path},
        )
        for method, path in (
            ("GET", "/health"),
            ("POST", "/jobs"),
            ("GET", "/jobs/next"),
            ("GET", f"/jobs/{NONE}"),
            ("POST", f"/jobs/{NONE}/result"),
            ("POST", f"/jobs/{NONE}/fail"),
        )
    ),
    Row(
        "a query string goes along",
        "1 source",
        "GET",
        "/health/?a=1&b=%2F",
        {},
        None,
        307,
        "",
        more={"location": "/broker/health?a=1&b=%2F"},
    ),
    Row("a slash after what is not there", "1 source", "GET", "/nothing/", {}, None, 404, NOT_FOUND),
    Row("malformed JSON without a token", "1 source", "POST", "/jobs", JSON, b"{", 401, BAD_BOT, differs=TOKEN_FIRST),
    Row("the token before the fields", "1 source", "POST", "/jobs", {}, {}, 401, BAD_BOT),
    settle("fields before existence", "1 source", f"/jobs/{NONE}/result", {}, 422, missing("result", "{}")),
    Row(
        "a charset is allowed",
        "1 source",
        "POST",
        "/jobs",
        BOT | {"Content-Type": "application/json; charset=utf-8"},
        PING,
        200,
        CREATED,
    ),
    Row(
        "other JSON types too",
        "1 source",
        "POST",
        "/jobs",
        BOT | {"Content-Type": "application/vnd.x+json"},
        PING,
        200,
        CREATED,
    ),
    create(
        "no content type",
        "1 source",
        b'{"command":"ping","payload":"x"}',
        422,
        no_object('"{\\"command\\":\\"ping\\",\\"payload\\":\\"x\\"}"'),
    ),
    Row(
        "text",
        "1 source",
        "POST",
        "/jobs",
        BOT | {"Content-Type": "text/plain"},
        PING,
        422,
        no_object('"{\\"command\\": \\"ping\\", \\"payload\\": \\"x\\"}"'),
    ),
    create("unknown fields", "1 source", PING | {"id": "mine", "extra": {"a": [1]}}),
    # --- 2. The job object
    read("queued", "2 seed", "null", "null", "null", "null", "null", "null"),
    read("running", "2 seed", T, "null", T, "null", "null", '"w"'),
    read("done", "2 seed", T, T, "null", '"r1"', "null", '"w"'),
    read("failed", "2 seed", T, T, "null", "null", '"e1"', '"w"'),
    # --- 3. GET /health
    Row("health", "3 seed", "GET", "/health", {}, None, 200, '{"ok":true,"ts_bound":true}'),
    # --- 3. POST /jobs
    create("create", "3 seed", PING),
    create("any command", "3 source", {"command": "make_tea", "payload": ""}),
    create("the empty command", "3 source", {"command": "", "payload": ""}),
    create("600 kB", "3 source", {"command": "ping", "payload": "x" * 600_000}),
    create("no command", "3 source", {"payload": "x"}, 422, missing("command", '{"payload":"x"}')),
    create("no payload", "3 source", {"command": "ping"}, 422, missing("payload", '{"command":"ping"}')),
    create("a command that is no text", "3 source", {"command": 1, "payload": ""}, 422, no_string("command", "1")),
    create("a command that is null", "3 source", {"command": None, "payload": ""}, 422, no_string("command", "null")),
    create(
        "an object as payload",
        "3 source",
        {"command": "ping", "payload": {"a": 1}},
        422,
        no_string("payload", '{"a": 1}'),
    ),
    create("a number as payload", "3 source", {"command": "ping", "payload": 7}, 422, no_string("payload", "7")),
    create("a list", "3 source", [], 422, no_object("[]")),
    create("a text", "3 source", "x", 422, no_object('"x"')),
    create("no body", "3 source", None, 422, NO_BODY),
    create("null", "3 source", b"null", 422, NO_BODY),
    create("requires: an object", "3 later", PING | {"requires": {"caps": ["a"]}}),
    create("requires: text", "3 later", PING | {"requires": '{"caps":["a"]}'}),
    create("requires: null", "3 later", PING | {"requires": None}),
    create("requires: no sense", "5 later", PING | {"requires": [1]}),
    create(
        "a very long command",
        "10",
        {"command": "c" * 257, "payload": ""},
        400,
        told("command: at most 256 characters"),
        differs="no limit",
    ),
    create(
        "an approval of no plan id",
        "7 source",
        {"command": "approve_echo", "payload": " "},
        200,
        '{"id":"<id>","status":"failed"}',
        differs="it fails at once, not at a worker",
    ),
    # --- 3. GET /jobs/{id}
    Row("an unknown job", "3 source", "GET", f"/jobs/{NONE}", BOT, None, 404, NO_JOB),
    Row("an id that is none", "3 source", "GET", "/jobs/x'%20OR%201=1", BOT, None, 404, NO_JOB),
    # --- 3. GET /jobs/next
    Row("nothing to do", "3 seed", "GET", "/jobs/next", WORKER, None, 200, '{"job":null}'),
    claim("the next", "3 seed", "w", '"w"'),
    claim("a name is trimmed", "3 source", "  a b ", '"a b"'),
    claim("a blank name is none", "3 source", " ", "null"),
    claim("no name", "1 seed", None, "null"),
    # --- 3. POST /jobs/{id}/result
    settle("of a running job", "3 seed", RESULT, {"result": "r"}, 200, DONE, "running"),
    settle("by its worker", "3 seed", RESULT, {"result": "r"}, 200, DONE, "running", by="w"),
    settle(
        "by another worker",
        "10",
        RESULT,
        {"result": "r"},
        409,
        told("job is held by w"),
        "running",
        differs="the worker is ignored",
        by="v",
    ),
    settle("of a done job", "3 seed", RESULT, {"result": "r2"}, 200, DONE, "done"),
    settle(
        "of a failed job",
        "3 seed",
        RESULT,
        {"result": "r"},
        200,
        '{"ok":true,"status":"failed","note":"already failed; result ignored"}',
        "failed",
    ),
    settle(
        "of a queued job", "3 source", RESULT, {"result": "r"}, 400, told("job not in running state: queued"), "queued"
    ),
    settle("of an unknown job", "3 source", f"/jobs/{NONE}/result", {"result": "r"}, 404, NO_JOB),
    settle("the empty result", "3 source", RESULT, {"result": ""}, 200, DONE, "running"),
    settle("no text", "3 seed", RESULT, {"result": {"a": 1}}, 422, no_string("result", '{"a": 1}'), "running"),
    settle("nothing", "3 seed", RESULT, None, 422, NO_BODY, "running"),
    # --- 3. POST /jobs/{id}/fail
    settle("of a running job", "3 seed", FAIL, {"error": "e"}, 200, FAILED, "running"),
    settle(
        "by another worker",
        "10",
        FAIL,
        {"error": "e"},
        409,
        told("job is held by w"),
        "running",
        differs="the worker is ignored",
        by="v",
    ),
    settle("of a queued job", "3 source", FAIL, {"error": "e"}, 200, FAILED, "queued"),
    settle("of a queued job, by name", "3 source", FAIL, {"error": "e"}, 200, FAILED, "queued", by="v"),
    settle("of a failed job", "3 seed", FAIL, {"error": "e2"}, 200, FAILED, "failed"),
    settle(
        "of a done job",
        "3 seed",
        FAIL,
        {"error": "e"},
        200,
        '{"ok":true,"status":"done","note":"already done; fail ignored"}',
        "done",
    ),
    settle("of an unknown job", "3 source", f"/jobs/{NONE}/fail", {}, 404, NO_JOB),
    settle("an empty object", "3 source", FAIL, {}, 200, FAILED, "running"),
    settle("no body", "3 source", FAIL, None, 422, NO_BODY, "running"),
    Row("null", "3 source", "POST", FAIL, WORKER | JSON, b"null", 422, NO_BODY, "running"),
    settle("an error that is no text", "3 source", FAIL, {"error": 1}, 422, no_string("error", "1"), "running"),
]
