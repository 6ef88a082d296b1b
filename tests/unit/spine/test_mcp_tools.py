"""The table of tools against the API's description; answers that are cut to fit."""

import json

import pytest

from contract.errors import BadJson, InvalidField
from spine.api.routes import ROUTES
from spine.mcp.calling import Answer, asked_by, log_piece, record
from spine.mcp.fitting import fitted, shallow, size
from spine.mcp.tools import TOOLS, forms

FORMS = forms()


def test_each_tool_is_listed_only_for_roles_that_may_make_its_call() -> None:
    roles = {call.name: call.roles for route in ROUTES for call in route.calls}
    assert [tool.name for tool in TOOLS if not tool.roles <= roles[tool.operation]] == []
    assert len({tool.name for tool in TOOLS}) == len(TOOLS)


def test_a_schema_is_whole_within_itself() -> None:
    form = FORMS["submit_job"]
    assert "#/components" not in json.dumps(form.schema)
    assert sorted(form.schema["$defs"]) == ["Delivery", "Retry"]
    assert form.schema["properties"]["priority"] == {"type": "integer", "minimum": -100, "maximum": 100, "default": 0}
    assert form.schema["description"].startswith("Body of POST /jobs. `spec`, `meta` stay the JSON text")
    assert (form.schema["required"], form.schema["additionalProperties"]) == ([], False)


def test_arguments_of_path_query_header_and_body_stand_side_by_side() -> None:
    assert list(FORMS["fail_job"].arguments) == [
        *("jobId", "workerId", "fence", "idempotencyKey"),
        *("error", "requeue", "result", "cause", "notBefore", "retryAfterSeconds"),
    ]
    assert list(FORMS["claim_job"].arguments) == ["workerId", "idempotencyKey", "capabilities"]
    assert FORMS["append_log"].schema["required"] == ["jobId", "text"]
    assert {name: FORMS[name].schema["properties"]["limit"]["maximum"] for name in ("list_jobs", "read_log")} == {
        "list_jobs": 20,
        "read_log": 16384,
    }


def test_a_call_becomes_the_request_that_a_client_would_send() -> None:
    asked = asked_by(FORMS["review_job"], {"jobId": "j1", "decision": "accept", "idempotencyKey": "k"}, claw=False)
    assert asked == ("POST", "/jobs/j1/review", {}, {"Idempotency-Key": "k"}, b'{"decision": "accept"}')
    asked = asked_by(FORMS["list_jobs"], {"status": ["queued", "running"], "q": None}, claw=True)
    assert asked == ("GET", "/jobs", {"status": ["queued", "running"], "limit": "20"}, {}, b"")
    assert asked_by(FORMS["claim_job"], {}, claw=True).headers == {"X-Worker-Id": "mcp"}


@pytest.mark.parametrize("bad", ["", "a/why", "..", "A", "x" * 65, 7, None, "a\ud800"])
def test_an_id_cannot_lead_elsewhere(bad: object) -> None:
    with pytest.raises(InvalidField) as refused:
        asked_by(FORMS["show_job"], {"jobId": bad}, claw=False)
    assert refused.value.members["field"] == "jobId"


@pytest.mark.parametrize(
    ("tool", "given", "field"),
    [
        ("list_jobs", {"q": {"a": 1}}, "q"),
        ("list_jobs", {"q": "\x00"}, "q"),
        ("list_jobs", {"status": [1]}, "status"),
        ("list_jobs", {"limit": 10**30}, "limit"),
        ("submit_job", {"idempotencyKey": "a\r\nb"}, "idempotencyKey"),
        ("submit_job", {"idempotencyKey": "ü"}, "idempotencyKey"),
        ("append_log", {"jobId": "j", "text": "x", "fence": True}, "fence"),
        ("append_log", {"jobId": "j"}, "text"),
    ],
)
def test_what_cannot_stand_in_a_request_is_refused_by_name(tool: str, given: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        asked_by(FORMS[tool], given, claw=True)
    assert refused.value.members["field"] == field


def test_what_fits_is_left_as_it_is() -> None:
    assert fitted({"id": "a", "spec": [1, None, "x"]}) == ({"id": "a", "spec": [1, None, "x"]}, False)


def test_small_members_stay_whole_beside_a_long_one() -> None:
    found, cut = fitted({"id": "a" * 20, "result": {"text": "ü" * 50_000, "n": 1}, "error": None}, 2000)
    assert cut
    assert (found["id"], found["error"], found["result"]["n"]) == ("a" * 20, None, 1)
    assert found["result"]["text"].startswith("üü")
    assert found["result"]["text"].endswith(" … (50000 characters in all)")
    assert 1800 < size(found) <= 2000


def test_each_record_of_a_list_is_kept() -> None:
    found, _ = fitted({"jobs": [{"id": n, "spec": "x" * 5000 * n} for n in range(20)], "nextCursor": "c"}, 20_000)
    assert [job["id"] for job in found["jobs"]] == list(range(20))
    assert found["nextCursor"] == "c"
    assert size(found) <= 20_000


def test_what_cannot_be_divided_becomes_the_beginning_of_its_json() -> None:
    found, _ = fitted({"result": list(range(100_000))}, 1000)
    assert found["result"].startswith("[0, 1, 2, 3")
    assert size(found) <= 1000
    deep: list[object] = []
    for _ in range(500):
        deep = [deep, "x" * 10]
    assert size(fitted({"result": deep}, 1000)[0]) <= 1000


def test_numbers_that_few_can_read_come_as_the_text_that_they_are() -> None:
    assert record(Answer(200, {}, b'{"result": 1e999}')) == {"json": '{"result": 1e999}'}
    assert record(Answer(204, {}, b"")) == {"jobs": []}


def test_what_lies_deep_comes_as_its_text() -> None:
    assert shallow({"a": [{"b": [1]}], "c": 2}, 3) == {"a": [{"b": "[1]"}], "c": 2}
    deep = b'{"result": ' + b"[" * 500 + b"]" * 500 + b"}"
    found = record(Answer(200, {}, deep))["result"]
    for _ in range(31):
        (found,) = found
    assert found == "[" * 469 + "]" * 469
    deeper = b'{"result": ' + b"[" * 9000 + b"]" * 9000 + b"}"
    assert record(Answer(200, {}, deeper)) == {"json": deeper.decode()}


def test_arguments_that_are_nested_too_deeply_are_refused() -> None:
    spec: list[object] = []
    for _ in range(9000):
        spec = [spec]
    with pytest.raises(BadJson):
        asked_by(FORMS["submit_job"], {"spec": spec}, claw=False)


def test_a_piece_of_a_log_ends_with_a_whole_character_and_fits() -> None:
    headers = {"spine-log-size": "100", "spine-log-fence": "2", "spine-log-open": "0"}
    piece = log_piece(Answer(200, headers, "aü".encode()[:2]), 10, 1000)
    assert piece == {"text": "a", "offset": 10, "nextOffset": 11, "size": 100, "fence": 2, "open": False}
    assert log_piece(Answer(200, headers, b"\xc3"), 99, 1000)["nextOffset"] == 100
    bells = log_piece(Answer(200, headers, b"\x07" * 1000), 0, 1000)
    assert (bells["text"], bells["nextOffset"]) == ("\x07" * 125, 125)
