"""Many jobs at once over HTTP: a list taken whole or not at all, verbs by filter, pages; and what they refuse."""

from typing import Any

import pytest
from tests.support.raw_http import Api
from tests.support.server import StartSpine


def listed(head: Api, query: str) -> list[dict[str, Any]]:
    answer = head.get(f"/jobs?{query}")
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.json["jobs"]
    return found


def test_a_list_is_taken_whole(head: Api, name: str) -> None:
    answer = head.post("/jobs", [{"target": name, "spec": n} for n in range(1000)])
    assert answer.status == 201
    assert [job["spec"] for job in answer.json["jobs"]] == list(range(1000))
    assert len(listed(head, f"target={name}")) == 1000


def test_a_list_repeats_its_answer_for_its_key(head: Api, name: str) -> None:
    items = [{"target": name}, {"target": name, "dedupeKey": name}]
    first = head.post("/jobs", items, Idempotency_Key=f"list-{name}")
    again = head.post("/jobs", items, Idempotency_Key=f"list-{name}")
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert len(listed(head, f"target={name}")) == 2
    assert head.post("/jobs", [items[1]]).status == 200  # nothing new


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"priority": 101}, "priority"),
        ({"target": "nobody"}, "target"),
        ({"after": ["job_never"]}, "after"),
        ({"prioritx": 1}, "prioritx"),
        ({"notBefore": "x"}, "notBefore"),
        ({"delaySeconds": 1, "notBefore": "2030-01-01T00:00:00Z"}, "delaySeconds"),
        ({"concurrencyLimit": 1}, "concurrencyLimit"),
        ({"retry": {"backoffSeconds": 0}}, "retry.backoffSeconds"),
        ({"spec": "a\u0000b"}, "spec"),
    ],
)
def test_one_bad_item_takes_none(head: Api, name: str, item: dict[str, Any], field: str) -> None:
    answer = head.post("/jobs", [{"target": name}, {"target": name}, {"target": name} | item, {"target": name}])
    assert (answer.status, answer.error) == (422, "invalid_field")
    assert answer.json["field"] == f"[2].{field}"
    assert answer.json["detail"].startswith(f"[2].{field.split('.')[0]}")
    assert listed(head, f"target={name}") == []


def test_an_item_that_is_too_large(head: Api, name: str) -> None:
    answer = head.post("/jobs", [{"target": name}, {"target": name, "spec": "x" * 300_000}])
    assert (answer.status, answer.error, answer.json["field"]) == (413, "too_large", "[1].spec")
    assert listed(head, f"target={name}") == []


@pytest.mark.parametrize("body", [[], [{}] * 1001, [1], [[]], [None]])
def test_a_list_of_wrong_form(head: Api, body: Any) -> None:
    assert head.post("/jobs", body).status in (413, 422)


@pytest.mark.parametrize("raw", [b"[{},]", b"[{}", b"[{}] x", b"["])
def test_a_list_that_is_no_json(head: Api, raw: bytes) -> None:
    answer = head.call("POST", "/jobs", raw, {"Content-Type": "application/json"})
    assert (answer.status, answer.error) == (400, "bad_json")


def test_a_claw_submits_no_list(claw: Api, name: str) -> None:
    assert claw.post("/jobs", [{"target": name}]).status == 401


# --- verbs by filter -------------------------------------------------------------------------------------------------


def test_cancel_and_retry_by_label_page_by_page(head: Api, name: str) -> None:
    head.post("/jobs", [{"target": name, "label": name}] * 700)
    other = head.submit(target=name)
    for verb, status in (("cancel", "cancelled"), ("retry", "queued")):
        first = head.post(
            f"/jobs/bulk/{verb}", {"label": name, "reason": "all"} if verb == "cancel" else {"label": name}
        )
        assert (first.status, first.json["matched"], first.json["changed"]) == (200, 700, 500)
        rest = head.post(f"/jobs/bulk/{verb}", {"label": name, "cursor": first.json["nextCursor"]})
        assert (rest.json["matched"], rest.json["changed"], rest.json["nextCursor"]) == (700, 200, None)
        assert {job["status"] for job in listed(head, f"label={name}")} == {status}
    assert head.job(other["id"])["version"] == 1


def test_release_by_machine(head: Api, claw: Api, name: str) -> None:
    ids = [head.submit(target=name)["id"] for _ in range(3)]
    claw.claim_next(max=2)
    answer = head.post("/jobs/bulk/release", {"machine": name, "status": ["running"], "reason": "moving house"})
    assert answer.json == {"matched": 2, "changed": 2, "nextCursor": None}
    found = [head.job(job_id) for job_id in ids]
    assert [(job["status"], job.get("releaseReason")) for job in found] == [
        ("queued", "moving house"),
        ("queued", "moving house"),
        ("queued", None),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "all"),
        ({"all": False}, "all"),
        ({"reason": "no filter"}, "all"),
        ({"lable": "x"}, "lable"),
        ({"stauts": ["queued"]}, "stauts"),
        ({"status": ["queud"]}, "status"),
        ({"status": "queued"}, "status"),
        ({"status": [], "all": False}, "all"),
        ({"all": True, "label": "x"}, "all"),
        ({"since": "yesterday"}, "since"),
        ({"q": ""}, "q"),
        ({"label": "x", "cursor": "junk"}, "cursor"),
        ({"label": "x", "limit": 5}, "limit"),
    ],
)
@pytest.mark.parametrize("verb", ["cancel", "retry", "release"])
def test_a_misspelt_filter_does_nothing(head: Api, claw: Api, name: str, verb: str, body: Any, field: str) -> None:
    queued, running = head.submit(target=name, label="x"), head.submit(target=name, label="x", priority=1)
    claw.claim_next()
    ended = head.submit(target=name, label="x")
    head.post(f"/jobs/{ended['id']}/cancel")
    before = [head.job(job["id"]) for job in (queued, running, ended)]
    answer = head.post(f"/jobs/bulk/{verb}", body)
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", field), answer
    assert [head.job(job["id"]) for job in (queued, running, ended)] == before


def test_a_verb_that_there_is_not(head: Api) -> None:
    answer = head.post("/jobs/bulk/delete", {"all": True})
    assert (answer.status, answer.error) == (422, "invalid_field")


def test_all_means_all(start_spine: StartSpine) -> None:
    server = start_spine()
    head = server.head
    head.post("/jobs", [{"target": name} for name in ("any", "left-claw", "right-claw")])
    server.claw("c0").claim_next()
    waiting = head.submit(needsApproval=True)["id"]
    assert head.post("/jobs/bulk/cancel", {"all": True}).json == {"matched": 4, "changed": 4, "nextCursor": None}
    assert {job["status"] for job in listed(head, "")} == {"cancelled"}
    # What a person never approved is not run because all is retried.
    assert head.post("/jobs/bulk/retry", {"all": True}).json == {"matched": 4, "changed": 3, "nextCursor": None}
    assert head.job(waiting)["status"] == "cancelled"


def test_a_bulk_call_repeats_its_answer_for_its_key(head: Api, name: str) -> None:
    head.submit(target=name, label=name)
    first = head.post("/jobs/bulk/cancel", {"label": name}, Idempotency_Key=f"bulk-{name}")
    head.submit(target=name, label=name)
    again = head.post("/jobs/bulk/cancel", {"label": name}, Idempotency_Key=f"bulk-{name}")
    assert again.body == first.body
    assert len(listed(head, f"label={name}&status=queued")) == 1


def test_a_claw_does_nothing_by_filter(claw: Api) -> None:
    assert claw.post("/jobs/bulk/cancel", {"all": True}).status == 401


# --- lists -----------------------------------------------------------------------------------------------------------


def test_filters_of_a_list(head: Api, claw: Api, name: str) -> None:
    a = head.submit(target=name, label=f"{name} x", spec="find ME")["id"]
    b = head.submit(target=name, label=f"{name} y", priority=1)
    claw.claim_next()

    def ids(query: str) -> list[str]:
        return [job["id"] for job in listed(head, f"target={name}&{query}")]

    assert ids("q=find%20me") == [a]
    assert ids(f"label={name}%20y") == [b["id"]]
    assert ids(f"machine={name}") == [b["id"]]
    assert ids("status=queued,running") == ids("status=queued&status=running") == [a, b["id"]]
    assert ids(f"since={b['createdAt']}")[-1:] == [b["id"]]
    assert ids("since=2999-01-01T00:00:00Z") == []
    page = head.get(f"/jobs?target={name}&limit=1").json
    assert [job["id"] for job in page["jobs"]] == [a]
    assert ids(f"limit=1&cursor={page['nextCursor']}") == [b["id"]]
