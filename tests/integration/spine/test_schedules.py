"""Schedules over HTTP, on real servers: what is taken and what is refused, a thousand at once, and kill -9."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.raw_http import Answer, Api
from tests.support.server import MakeProcess, Server
from tests.support.spine_process import TOKENS

FAR = "2100-01-01T00:00:00.000Z"


def patch(head: Api, schedule_id: str, members: dict[str, Any]) -> Answer:
    return head.call("PATCH", f"/schedules/{schedule_id}", json.dumps(members).encode())


def make(head: Api, **members: Any) -> dict[str, Any]:
    answer = head.post("/schedules", {"name": "nightly", "job": {}} | members)
    assert answer.status == 201, answer
    found: dict[str, Any] = answer.json
    return found


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def runs(head: Api, schedule_id: str) -> list[dict[str, Any]]:
    answer = head.get(f"/schedules/{schedule_id}/runs")
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.json["runs"]
    return found


# --- what is taken ---------------------------------------------------------------------------------------------------


def test_one_from_its_making_to_its_end(head: Api, name: str) -> None:
    job = {"spec": {"run": "true"}, "target": name, "label": "tests", "notify": []}
    body = {"name": "tests", "cron": "0 3 * * MON-FRI", "timezone": "Europe/Berlin", "job": job}
    answer = head.post("/schedules", body)
    made = answer.json
    assert (answer.status, answer.headers["location"]) == (201, f"/schedules/{made['id']}")
    assert (made["kind"], made["state"], made["cron"], made["job"]) == ("cron", "active", "0 3 * * MON-FRI", job)
    assert (made["overlap"], made["missed"], made["version"]) == ("skip", "once", 1)
    assert head.get(f"/schedules/{made['id']}").json == made
    assert made in head.get("/schedules?limit=1000").json["schedules"]
    times = head.get(f"/schedules/{made['id']}/next?n=2").json
    assert times["timezone"] == "Europe/Berlin"
    assert times["next"][0]["dueAt"] == made["nextAt"]
    assert all(due["local"][11:16] == "03:00" for due in times["next"])

    run = head.post(f"/schedules/{made['id']}/run")
    assert (run.status, run.json["outcome"], run.json["cause"], run.json["jobStatus"]) == (
        201,
        "submitted",
        "run",
        "queued",
    )
    found = head.job(run.json["jobId"])
    assert (found["scheduleId"], found["spec"], found["label"]) == (made["id"], {"run": "true"}, "tests")
    again = head.post(f"/schedules/{made['id']}/run").json
    assert (again["outcome"], again["reason"]) == ("skipped", f"job {found['id']} has not ended")
    assert [r["outcome"] for r in runs(head, made["id"])] == ["skipped", "submitted"]
    assert "scheduleId" not in head.submit()

    assert head.post(f"/schedules/{made['id']}/pause").json["state"] == "paused"
    assert head.post(f"/schedules/{made['id']}/resume").json["nextAt"] == made["nextAt"]
    changed = patch(head, made["id"], {"cron": None, "at": FAR, "timezone": "UTC", "name": "once"}).json
    assert (changed["kind"], changed["nextAt"], changed["cron"], changed["version"]) == ("at", FAR, None, 4)
    stale = patch(head, made["id"], {"name": "x", "version": 1})
    assert (stale.status, stale.error, stale.json["version"]) == (409, "conflict", 4)
    gone = head.call("DELETE", f"/schedules/{made['id']}")
    assert (gone.status, gone.json["name"]) == (200, "once")
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/runs"), ("GET", "/next"), ("POST", "/run")):
        assert head.call(method, f"/schedules/{made['id']}{path}").error == "not_found"
    assert head.job(found["id"])["status"] == "queued"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("", "/runs", "/next")),
        *(("POST", path) for path in ("/run", "/pause", "/resume")),
        ("PATCH", ""),
        ("DELETE", ""),
    ],
)
def test_one_that_is_not_there(head: Api, method: str, path: str) -> None:
    body = b"{}" if method in ("POST", "PATCH") else b""
    answer = head.call(method, f"/schedules/nope{path}", body)
    assert (answer.status, answer.error) == (404, "not_found")


def test_a_key_repeats_the_answer_and_makes_and_runs_nothing_twice(head: Api) -> None:
    body = {"name": "keyed", "at": FAR, "job": {}}
    first = head.post("/schedules", body, Idempotency_Key="schedule-1")
    again = head.post("/schedules", body, Idempotency_Key="schedule-1")
    assert (again.body, again.headers["idempotency-replayed"]) == (first.body, "true")
    path = f"/schedules/{first.json['id']}/run"
    one, two = (head.post(path, Idempotency_Key="run-1").json for _ in range(2))
    assert one == two
    assert len(head.get("/schedules?name=keyed").json["schedules"]) == len(runs(head, first.json["id"])) == 1


def test_a_queued_run_that_is_asked_for_again_by_its_key_stops_no_other_schedule(head: Api) -> None:
    row = make(head, name="queued", at=FAR, overlap="queue", job={"spec": "x"})
    path = f"/schedules/{row['id']}/run"
    assert head.post(path, Idempotency_Key="run-2").json["outcome"] == "submitted"
    waits = [head.post(path, Idempotency_Key="run-3") for _ in range(3)]
    assert [answer.json["outcome"] for answer in waits] == ["queued"] * 3
    assert waits[0].body == waits[1].body == waits[2].body
    every = make(head, name="every", everySeconds=1, overlap="allow")
    eventually(lambda: len(runs(head, every["id"])) >= 3, seconds=20)
    first = [run for run in runs(head, row["id"]) if run["outcome"] == "submitted"]
    head.post(f"/jobs/{first[0]['jobId']}/cancel")
    eventually(lambda: [run["outcome"] for run in runs(head, row["id"])] == ["submitted", "submitted"], seconds=20)
    for made in (every, row):
        head.call("DELETE", f"/schedules/{made['id']}")


def test_lists_come_in_pages(head: Api) -> None:
    ids = [make(head, name="paged", at=FAR, job={})["id"] for _ in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        page = head.get(f"/schedules?name=paged&limit=2&cursor={cursor}").json
        seen += [one["id"] for one in page["schedules"]]
        cursor = page["nextCursor"]
    assert seen == ids
    for _ in range(3):
        head.post(f"/schedules/{ids[0]}/run")
    first = head.get(f"/schedules/{ids[0]}/runs?limit=2").json
    rest = head.get(f"/schedules/{ids[0]}/runs?limit=2&cursor={first['nextCursor']}").json
    assert [r["outcome"] for r in first["runs"] + rest["runs"]] == ["skipped", "skipped", "submitted"]
    assert rest["nextCursor"] is None
    assert head.get("/schedules?cursor=none").json["field"] == "cursor"


def test_a_preview_keeps_nothing(head: Api) -> None:
    before = len(head.get("/schedules?limit=1000").json["schedules"])
    found = head.post("/schedules/preview", {"cron": "0 9 * * 0", "timezone": "Europe/Berlin", "n": 3})
    assert found.status == 200
    assert [datetime.fromisoformat(due["local"]).strftime("%a %H:%M") for due in found.json["next"]] == [
        "Sun 09:00"
    ] * 3
    assert len(head.get("/schedules?limit=1000").json["schedules"]) == before


def test_who_may(head: Api, claw: Api) -> None:
    made = make(head, at=FAR)["id"]
    for method, path in (
        ("GET", ""),
        ("POST", ""),
        ("GET", f"/{made}"),
        ("DELETE", f"/{made}"),
        ("POST", f"/{made}/run"),
    ):
        answer = claw.call(method, f"/schedules{path}", b"{}" if method == "POST" else None)
        assert (answer.status, answer.error) == (401, "unauthorized"), (method, path)


def test_what_earlier_runs_came_to_is_for_the_holder_and_heads(server: Server) -> None:
    head, left, right = server.head, server.left, server.right
    made = make(head, cron="@yearly", context={"last": 2}, overlap="allow", job={"target": "any", "spec": "look"})
    assert made["context"] == {"last": 2, "like": None}
    other = make(head, cron="@yearly", context={"last": 2}, overlap="allow", job={"target": "any", "spec": "look"})
    for schedule, notes in ((made, "one"), (other, "another's"), (made, "two"), (made, "three")):
        job_id = head.post(f"/schedules/{schedule['id']}/run").json["jobId"]
        fence = left.claim(job_id)["fence"]
        assert left.post(f"/jobs/{job_id}/complete", {"fence": fence, "result": {"notes": notes}}).status == 200
    job_id = head.post(f"/schedules/{made['id']}/run").json["jobId"]
    path = f"/jobs/{job_id}/earlier"
    assert (left.get(path).status, left.get(path).error) == (409, "not_running")
    left.claim(job_id)
    found = left.get(path).json
    assert [(run["text"], run["status"], run["cut"]) for run in found["runs"]] == [
        ("three", "done", False),
        ("two", "done", False),
    ]
    assert head.get(path).json == found
    assert (right.get(path).status, right.get(path).error) == (403, "not_owner")
    assert server.nobody.get(path).status == 401
    assert head.get(f"{path}?last=3").json["field"] == "last"
    assert head.get(f"/jobs/{head.submit()['id']}/earlier").json == {"runs": []}
    assert head.get("/jobs/nosuch/earlier").status == 404


# --- what is refused -------------------------------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "cron", "give exactly one of cron, everySeconds, at, parentId; given: none"),
    ({"cron": "@daily", "everySeconds": 5}, "everySeconds", "give exactly one"),
    ({"cron": "0 0 30 2 *"}, "cron", "there is no day 30 in month 2"),
    ({"cron": "* * * * * *"}, "cron", "for seconds use everySeconds"),
    ({"cron": "0 0 * *"}, "cron", "4 fields"),
    ({"cron": "@reboot"}, "cron", "is none of"),
    ({"cron": "@daily", "timezone": "Mars/Base"}, "timezone", "there is no zone 'Mars/Base'"),
    ({"cron": "@daily", "timezone": "berlin"}, "timezone", "did you mean Europe/Berlin?"),
    ({"cron": "@daily", "kind": "at"}, "kind", "but the other members say cron"),
    ({"everySeconds": 0}, "everySeconds", ">= 1"),
    ({"everySeconds": 0.5}, "everySeconds", "int"),
    ({"at": "tomorrow"}, "at", "expected a time"),
    ({"at": "2020-01-01T00:00:00Z"}, "at", "is in the past"),
    ({"at": "9999-12-31T23:59:59Z", "timezone": "Asia/Tokyo"}, "at", "later than the year 9990"),
    ({"everySeconds": 60, "startAt": "9991-01-01T00:00:00Z"}, "startAt", "later than the year 9990"),
    ({"at": FAR, "startAt": FAR}, "startAt", "not with at"),
    ({"cron": "@daily", "startAt": "2090-01-02T00:00:00Z", "endAt": "2090-01-01T00:00:00Z"}, "endAt", "before startAt"),
    ({"cron": "@yearly", "endAt": "2020-01-01T00:00:00Z"}, "endAt", "nothing is due"),
    ({"cron": "@daily", "on": "failure"}, "on", "only with parentId"),
    ({"cron": "@daily", "delaySeconds": 5}, "delaySeconds", "only with parentId"),
    ({"cron": "@daily", "condition": {"contains": "x"}}, "condition", "only with parentId"),
    ({"parentId": "sch_nosuch"}, "parentId", "there is no schedule sch_nosuch"),
    ({"parentId": "sch_nosuch", "jitterSeconds": 5}, "jitterSeconds", "not with parentId"),
    ({"parentId": "sch_nosuch", "condition": {"regex": "(a+)+$"}}, "condition", "regex"),
    ({"cron": "@daily", "missed": "never"}, "missed", "never"),
    ({"cron": "@daily", "missedMost": 101}, "missedMost", "100"),
    ({"cron": "@daily", "overlap": "kill"}, "overlap", "kill"),
    ({"cron": "@daily", "jitterSeconds": -1}, "jitterSeconds", ">= 0"),
    ({"cron": "@daily", "ttlHours": 0}, "ttlHours", "> 0"),
    ({"cron": "@daily", "approvalTimeoutSeconds": 0}, "approvalTimeoutSeconds", ">= 1"),
    ({"cron": "@daily", "context": {"last": 11}}, "context.last", "<= 10"),
    ({"cron": "@daily", "context": {"like": "a\u0000b"}}, "context.like", "matching regex"),
    ({"cron": "@daily", "context": {"lasst": 3}}, "context", "lasst"),
    ({"cron": "@daily", "context": 3}, "context", "object"),
    ({"parentId": "x", "condition": {"contains": "a\u0000b"}}, "condition.contains", "NUL"),
    ({"parentId": "x", "condition": {"pointer": "/a\u0000"}}, "condition.pointer", "NUL"),
    ({"parentId": "x", "condition": {"pointer": "/a", "equals": {"b": ["a\u0000"]}}}, "condition.equals.b[0]", "NUL"),
    ({"cron": "@daily", "timeZone": "UTC"}, "timeZone", "did you mean timezone?"),
    ({"cron": "@daily", "name": ""}, "name", "1"),
    ({"cron": "@daily", "name": "a\nb"}, "name", "cannot be printed"),
    ({"cron": "@daily", "name": "a\u0000b"}, "name", "NUL"),
    ({"cron": "@daily", "name": "x" * 201}, "name", "200"),
    ({"cron": "@daily", "job": []}, "job", "object"),
    ({"cron": "@daily", "job": None}, "job", "null"),
    ({"cron": "@daily", "job": {"target": "nobody"}}, "job.target", "no machine and no token is named 'nobody'"),
    ({"cron": "@daily", "job": {"priority": 101}}, "job.priority", "100"),
    ({"cron": "@daily", "job": {"prioritx": 1}}, "job.prioritx", "did you mean priority?"),
    ({"cron": "@daily", "job": {"notBefore": FAR}}, "job.notBefore", "the schedule says when"),
    ({"cron": "@daily", "job": {"meta": 3}}, "job.meta", "expected an object"),
    ({"cron": "@daily", "job": {"meta": {"context": {"last": 3}}}}, "job.meta.context", "give context beside job"),
    ({"cron": "@daily", "job": {"delivery": {"to": "@nobody"}}}, "job.delivery.to", "aliases"),
]


@pytest.mark.parametrize(("members", "field", "told"), BAD)
def test_what_is_refused_names_the_field_and_changes_nothing(
    head: Api, members: dict[str, Any], field: str, told: str
) -> None:
    before = head.get("/schedules?limit=1000").body
    answer = head.post("/schedules", {"name": "bad", "job": {}} | members)
    assert (answer.status, answer.error) == (422, "invalid_field"), answer
    assert answer.json["field"].startswith(field)
    assert told in answer.json["detail"]
    kept = make(head, name="kept", at=FAR)
    if members and not {"parentId", "at"} & members.keys() and members.get("job", 0) is not None:
        refused = patch(head, kept["id"], {"at": None} | members)
        assert (refused.status, refused.json["field"]) == (422, answer.json["field"]), refused
    assert head.get(f"/schedules/{kept['id']}").json == kept
    head.call("DELETE", f"/schedules/{kept['id']}")
    assert head.get("/schedules?limit=1000").body == before


def test_a_template_that_is_too_long(head: Api) -> None:
    answer = head.post("/schedules", {"name": "long", "cron": "@daily", "job": {"spec": "x" * 300_000}})
    assert (answer.status, answer.error, answer.json["field"]) == (413, "too_large", "job.spec")


# --- fired -----------------------------------------------------------------------------------------------------------


def test_a_thousand_that_are_due_at_once_are_fired_once_each_within_seconds(process: MakeProcess) -> None:
    server = process()
    server.start()
    head = Api(server.port, TOKENS["HEAD_TOKEN"])
    for n in range(1000):
        make(head, name=f"s{n}", at=FAR, job={"target": "any"})
    server.stop()
    with closing(sqlite3.connect(server.data_dir / "spine.db")) as store:
        store.execute("UPDATE schedules SET next_at = 1, fire_at = 1")  # all are due at once, when it starts
        store.commit()
    server.start()
    eventually(lambda: len(head.get("/jobs?limit=2000").json["jobs"]) == 1000, seconds=30)
    jobs = head.get("/jobs?limit=2000").json["jobs"]
    assert len({job["scheduleId"] for job in jobs}) == 1000
    created = [datetime.fromisoformat(job["createdAt"]) for job in jobs]
    assert max(created) - min(created) < timedelta(seconds=15)


@pytest.mark.parametrize("point", ["spine.before-firing", "spine.fired"])
def test_a_server_killed_while_it_fires_fires_once(process: MakeProcess, point: str) -> None:
    server = process()
    server.start()
    head = Api(server.port, TOKENS["HEAD_TOKEN"])
    made = make(head, at=soon(1.5), missed="once")["id"]
    server.kill9()
    server.start_armed(point)
    server.await_point(point)
    server.kill9()
    server.start()
    eventually(lambda: [run["outcome"] for run in runs(head, made)] == ["submitted"])
    assert len(head.get("/jobs").json["jobs"]) == 1
