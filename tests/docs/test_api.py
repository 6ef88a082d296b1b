"""docs/reference/api.md has every route with its methods and who may call it, and every member that goes in or out."""

import re
from pathlib import Path

import falcon.inspect
import pytest
from tests.docs.pages import REPO, headings, reference, section, table, tables
from tests.support.raw_http import Api
from tests.support.spine_process import TOKENS, SpineProcess

from contract import wire
from contract.clock import SystemClock
from contract.ids import token_digest
from spine.api import routes as routes_module
from spine.app import ROUTES, Server, create_app
from spine.queue.access import Principal
from spine.settings import Settings

PAGE = reference("api.md")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def routes(tmp_path: Path) -> set[str]:
    """Every `METHOD /path` that the application takes."""
    principals = {token_digest("head-token-0001"): Principal("head", "head")}
    server = Server(Settings(principals=principals, data_dir=tmp_path), SystemClock())
    found = falcon.inspect.inspect_routes(create_app(server))
    server.store.close()
    return {f"{m.method} {route.path}" for route in found for m in route.methods if not m.internal}


def described() -> list[str]:
    return [title for title in headings(PAGE) if title.split(" ")[0] in METHODS]


def test_every_route_is_there_with_each_of_its_methods_and_none_that_does_not_exist(routes: set[str]) -> None:
    assert sorted(described()) == sorted(routes)


def test_every_route_says_who_may_call_it() -> None:
    wanted = {path: who for path, _, _, who in ROUTES}
    for title in described():
        method, path = title.split(" ")
        by_method = dict(part.split(": ") for part in wanted[path].split("; ")) if ": " in wanted[path] else {}
        said = re.search(r"^Who: (.*)\.$", section(PAGE, title), re.MULTILINE)
        assert said is not None, title
        assert said[1] == by_method.get(method, wanted[path]), title


def members(kind: type[wire.Record] | type[wire.Request]) -> set[str]:
    return set(kind.__struct_encode_fields__)


def test_every_member_of_a_job_is_there() -> None:
    assert {row["member"] for row in table(PAGE, "The job")} == members(wire.Job)


WITH_TABLE: list[tuple[str, type[wire.Request]]] = [
    ("POST /jobs", wire.Submit),
    ("POST /jobs/claim", wire.ClaimNext),
    ("POST /jobs/bulk/{verb}", wire.Bulk),
    ("POST /schedules", wire.NewSchedule),
    ("POST /messages", wire.SendMessage),
    ("POST /groups", wire.NewGroup),
]
SHORT: list[tuple[str, type[wire.Request]]] = [
    ("POST /jobs/{job_id}/claim", wire.ClaimOne),
    ("POST /jobs/{job_id}/heartbeat", wire.Heartbeat),
    ("POST /jobs/{job_id}/complete", wire.Complete),
    ("POST /jobs/{job_id}/fail", wire.Fail),
    ("POST /jobs/{job_id}/release", wire.Release),
    ("POST /jobs/{job_id}/comment", wire.Comment),
    ("POST /jobs/{job_id}/cancel", wire.Cancel),
    ("POST /jobs/{job_id}/reject", wire.Cancel),
    ("POST /jobs/{job_id}/approve", wire.Approve),
    ("POST /jobs/{job_id}/review", wire.Review),
    ("POST /jobs/{job_id}/adopt", wire.Adopt),
    ("POST /schedules/preview", wire.PreviewSchedule),
    ("POST /machines/join-codes", wire.NewJoinCode),
    ("POST /join", wire.Join),
    ("POST /notices", wire.SendNotice),
    ("POST /leases/{name}/take", wire.TakeLease),
    ("POST /leases/{name}/renew", wire.RenewLease),
    ("POST /leases/{name}/release", wire.ReleaseLease),
    ("POST /cluster/nodes/{node_id}/join", wire.JoinCluster),
    ("POST /cluster/nodes/{node_id}/beat", wire.BeatCluster),
    ("POST /cluster/nodes/{node_id}/leave", wire.LeaveCluster),
    ("POST /cluster/nodes/{node_id}/ack", wire.AckCluster),
    ("POST /cluster/messages", wire.SendCluster),
    ("POST /cluster/events", wire.EmitCluster),
    ("POST /cluster/sweep", wire.SweepCluster),
    ("POST /cluster/history/forget", wire.ForgetCluster),
]
MACHINE_VERBS: dict[str, type[wire.Request]] = {"rotate": wire.Rotate, "facts": wire.Facts}


@pytest.mark.parametrize(("heading", "kind"), WITH_TABLE)
def test_every_member_of_a_request_with_a_table_is_there(heading: str, kind: type[wire.Request]) -> None:
    assert {row["member"] for row in table(PAGE, heading)} == members(kind)


@pytest.mark.parametrize(("heading", "kind"), SHORT)
def test_every_member_of_a_short_request_is_in_its_body(heading: str, kind: type[wire.Request]) -> None:
    said = re.search(r"Body: `\{(.*?)\}`", section(PAGE, heading))
    assert said is not None
    assert set(re.findall(r'"(\w+)":', said[1])) == members(kind)


def test_every_verb_of_a_machine_has_its_body() -> None:
    rows = {row["verb"]: row["body"] for row in table(PAGE, "POST /machines/{name}/{verb}")}
    calls = next(route.calls for route in routes_module.ROUTES if route.path == "/machines/{name}/{verb}")
    assert set(rows) == {call.verb for call in calls}
    for verb, body in rows.items():
        assert set(re.findall(r'"(\w+)":', body)) == members(MACHINE_VERBS.get(verb, wire.Nothing)), verb


def test_the_members_of_retry_are_there_with_their_defaults() -> None:
    said = next(row["default"] + row[""] for row in table(PAGE, "POST /jobs") if row["member"] == "retry")
    assert dict(re.findall(r'"(\w+)": ([^,}]+)', said)) == {
        "backoffSeconds": "…",
        "factor": f"{wire.Retry(backoff_seconds=1).factor:g}",
        "maxSeconds": f"{wire.Retry(backoff_seconds=1).max_seconds:g}",
    }


def test_no_request_is_forgotten_above() -> None:
    described = {kind for _, kind in (*WITH_TABLE, *SHORT)} | set(MACHINE_VERBS.values())
    assert set(wire.Request.__subclasses__()) == described | {
        wire.Retry,
        wire.Delivery,
        wire.Condition,
        wire.Context,
        wire.EditSchedule,
        wire.Nothing,
    }


def test_a_schedule_is_changed_by_the_members_that_make_it() -> None:
    assert members(wire.EditSchedule) == members(wire.NewSchedule) - {"runNow"} | {"version"}


def test_the_members_of_a_condition_are_there() -> None:
    said = next(row[""] for row in table(PAGE, "POST /schedules") if row["member"] == "condition")
    assert set(re.findall(r'"(\w+)":', said)) == members(wire.Condition)


def test_every_outcome_of_a_run_is_there() -> None:
    rows = {
        row["outcome"].strip("`") for row in table_of(section(PAGE, "GET /schedules/{schedule_id}/runs"), "outcome")
    }
    sql = (REPO / "services/spine/store/migrations/sqlite/0008_schedules.sql").read_text(encoding="utf-8")
    allowed = re.search(r"CHECK \(status IN \((.*?)\)\)", sql)
    assert allowed is not None
    assert rows == set(re.findall(r"'(\w+)'", allowed[1]))


def test_every_refusal_of_a_route_is_named_there_or_among_those_of_all() -> None:
    common = section(PAGE, "Errors first")
    for route in routes_module.ROUTES:
        for call in route.calls:
            text = common + section(PAGE, f"{call.method} {route.path}")
            assert {kind.code for kind in call.errors if f"`{kind.code}`" not in text} == set(), call.name


def test_a_viewer_may_call_what_the_page_says() -> None:
    """Every GET and HEAD, and nothing else."""
    for route in routes_module.ROUTES:
        for call in route.calls:
            if call.roles:
                assert ("viewer" in call.roles) == (call.method in ("GET", "HEAD")), call.name


def test_every_reason_of_why_is_there() -> None:
    source = (REPO / "services/spine/queue/why.py").read_text(encoding="utf-8")
    codes = set(re.findall(r'code(?:=|\s=\s)"(\w+)"', source)) | {"backoff", "time"}
    rows = {row["code"] for row in table_of(section(PAGE, "GET /jobs/{job_id}/why"), "code")}
    assert rows == codes


def table_of(text: str, title: str) -> list[dict[str, str]]:
    """Return the table that has a column of this title."""
    return next(rows for rows in tables(text) if title in rows[0])


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("The job", wire.Approval),
        ("The job", wire.ReviewState),
        ("GET /jobs", wire.JobList),
        ("POST /jobs/claim", wire.Claimed),
        ("GET /jobs/{job_id}/why", wire.Why),
        ("GET /jobs/{job_id}/why", wire.Reason),
        ("POST /jobs/bulk/{verb}", wire.BulkResult),
        ("GET /machines", wire.MachineList),
        ("GET /machines", wire.Machine),
        ("POST /machines/join-codes", wire.JoinCode),
        ("POST /join", wire.Joined),
        ("Named leases", wire.NamedLease),
        ("GET /schedules", wire.ScheduleList),
        ("GET /schedules/{schedule_id}/runs", wire.OccurrenceList),
        ("GET /schedules/{schedule_id}/runs", wire.Occurrence),
        ("GET /schedules/{schedule_id}/next", wire.DueTimes),
        ("GET /schedules/{schedule_id}/next", wire.DueTime),
        ("Messages", wire.Message),
        ("Task groups", wire.Group),
        ("Task groups", wire.GroupJob),
        ("GET /groups", wire.GroupList),
        ("Messages", wire.Receipt),
        ("GET /messages", wire.MessageList),
        ("GET /jobs/{job_id}/attempts", wire.Attempt),
        ("GET /jobs/{job_id}/earlier", wire.EarlierRuns),
        ("GET /jobs/{job_id}/earlier", wire.EarlierRun),
        ("GET /events", wire.EventPage),
        ("POST /blobs", wire.Blob),
        ("POST /jobs/{job_id}/log", wire.LogState),
    ],
)
def test_every_member_of_an_answer_is_named(heading: str, kind: type[wire.Record]) -> None:
    text = section(PAGE, heading)
    assert {name for name in members(kind) if not re.search(rf"\b{name}\b", text)} == set()


@pytest.mark.parametrize(
    "heading", ["GET /jobs/{job_id}/attempts", "GET /jobs/{job_id}/log", "GET /events", "GET /schedules"]
)
def test_the_parameters_are_those_that_the_server_knows(heading: str, spine: SpineProcess) -> None:
    api = Api(spine.port, TOKENS["HEAD_TOKEN"])
    path = heading.removeprefix("GET ").replace("{job_id}", api.submit()["id"])
    refused = api.get(f"{path}?no-such-parameter=1")
    assert refused.error == "invalid_field"
    known = set(refused.json["detail"].partition("known: ")[2].split(", ")) - {"none"}
    text = section(PAGE, heading)
    assert {row["parameter"] for row in table(PAGE, heading)} == known if known else "| parameter" not in text


def test_the_parameters_of_the_list_are_those_that_it_is_described_with() -> None:
    calls = next(route.calls for route in routes_module.ROUTES if route.path == "/jobs")
    known = {param.name for call in calls for param in call.params if param.place == "query"}
    assert {row["parameter"] for row in table(PAGE, "GET /jobs")} == known
