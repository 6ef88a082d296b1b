"""Events: pages from an opaque cursor, a job's own, streams that resume, gaps, and who sees what."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.eventually import eventually
from tests.support.figures import figure
from tests.support.raw_http import Api
from tests.support.server import Server, StartSpine
from tests.support.times import ms


def run_through(head: Api, claw: Api, name: str) -> str:
    """Take a job from its submit to its end; return its id."""
    job_id: str = head.submit(target=name, spec="x")["id"]
    claw.claim(job_id)
    claw.post(f"/jobs/{job_id}/heartbeat", {"progress": {"phase": 1}})
    claw.post(f"/jobs/{job_id}/heartbeat")
    claw.post(f"/jobs/{job_id}/fail", {"error": "boom"})
    claw.claim(job_id)
    claw.post(f"/jobs/{job_id}/release", {"reason": "tired"})
    head.post(f"/jobs/{job_id}/comment", {"text": "go on"})
    claw.claim(job_id)
    claw.post(f"/jobs/{job_id}/complete", {"result": 1})
    return job_id


def test_every_change_has_its_event_with_v0s_names_and_members(head: Api, claw: Api, name: str) -> None:
    job_id = run_through(head, claw, name)
    events = head.events(job_id)
    assert [(e["type"], e["by"]) for e in events] == [
        ("job.created", "head"),
        ("job.claimed", name),
        ("job.heartbeat", name),
        ("job.failed", name),
        ("job.claimed", name),
        ("job.released", name),
        ("job.comment", "head"),
        ("job.claimed", name),
        ("job.completed", name),
    ]
    assert all(e["jobId"] == job_id and set(e) == {"cursor", "jobId", "at", "type", "by", "data"} for e in events)
    data = [e["data"] for e in events]
    assert data[0]["target"] == name
    assert data[1]["attempt"] == 1
    assert ms(data[1]["leaseUntil"]) - ms(events[1]["at"]) == 300_000
    assert data[2]["progress"] == {"phase": 1}
    assert (data[3]["requeued"], data[3]["attempt"], data[3]["error"]) == (True, 1, "boom")
    assert data[5]["reason"] == "tired"
    assert data[8]["status"] == "done"
    assert [ms(e["at"]) for e in events] == sorted(ms(e["at"]) for e in events)


def test_pages_follow_each_other_without_gap_or_repeat(head: Api, claw: Api, name: str) -> None:
    job_id = run_through(head, claw, name)
    whole = head.events(job_id)
    cursor, found = "", []
    while True:
        page = head.get(f"/jobs/{job_id}/events?limit=2&cursor={cursor}").json
        assert len(page["events"]) <= 2
        assert page["gap"] is False
        if not page["events"]:
            break
        assert page["nextCursor"] == page["events"][-1]["cursor"]
        found += page["events"]
        cursor = page["nextCursor"]
    assert found == whole
    assert page["nextCursor"] == cursor
    head.post(f"/jobs/{job_id}/comment", {"text": "more"})
    assert [e["type"] for e in head.get(f"/jobs/{job_id}/events?cursor={cursor}").json["events"]] == ["job.comment"]


def test_the_whole_stream_pages_too(head: Api, claw: Api, name: str) -> None:
    job_id = run_through(head, claw, name)
    cursor, found = "", []
    while page := head.get(f"/events?limit=7&cursor={cursor}").json:
        if not page["events"]:
            break
        found += page["events"]
        cursor = page["nextCursor"]
    assert [e for e in found if e["jobId"] == job_id] == head.events(job_id)
    assert len({e["cursor"] for e in found}) == len(found)


def test_from_now_on(start_spine: StartSpine) -> None:
    server = start_spine()
    run_through(server.head, server.claw("c0"), "c0")
    page = server.head.get("/events?cursor=newest").json
    assert (page["events"], page["gap"]) == ([], False)
    job_id = server.head.submit(target="c0")["id"]
    told = server.head.get(f"/events?cursor={page['nextCursor']}").json["events"]
    assert [(event["type"], event["jobId"]) for event in told] == [("job.created", job_id)]


def test_a_claw_sees_only_events_of_its_jobs(start_spine: StartSpine) -> None:
    server = start_spine()
    jobs = {t: server.head.submit(target=t)["id"] for t in ("c0", "c1", "any")}

    def seen(api: Api) -> list[str]:
        return [e["jobId"] for e in api.events()]

    assert seen(server.head) == [jobs["c0"], jobs["c1"], jobs["any"]]
    assert seen(server.claw("c0")) == [jobs["c0"], jobs["any"]]
    assert seen(server.claw("c2")) == [jobs["any"]]
    answer = server.claw("c0").get(f"/jobs/{jobs['c1']}/events")
    assert (answer.status, answer.error) == (403, "forbidden")
    answer = server.claw("c0").get(f"/jobs/{jobs['c1']}/events", {"Accept": "text/event-stream"})
    assert (answer.status, answer.error) == (403, "forbidden")
    with server.claw("c0").stream("/events") as stream:
        assert [stream.next()[1]["jobId"] for _ in range(2)] == [jobs["c0"], jobs["any"]]
        server.head.post(f"/jobs/{jobs['c1']}/comment", {"text": "not for you"})
        server.head.post(f"/jobs/{jobs['c0']}/comment", {"text": "for you"})
        assert stream.next()[1]["data"]["text"] == "for you"


def test_a_stream_tells_what_was_and_what_comes(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    with head.stream(f"/jobs/{job_id}/events") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        kind, event, event_id = stream.next()
        assert (kind, event["type"], event["jobId"]) == ("job.created", "job.created", job_id)
        assert event_id == event["cursor"]
        claw.claim(job_id)
        assert stream.next()[0] == "job.claimed"
        claw.post(f"/jobs/{job_id}/complete", {})
        assert stream.next()[0] == "job.completed"
    assert [e["type"] for e in head.events(job_id)] == ["job.created", "job.claimed", "job.completed"]


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_stream_resumes_behind_the_last_event_that_came(head: Api, claw: Api, name: str, how: str) -> None:
    job_id = run_through(head, claw, name)
    events = head.events(job_id)
    last = events[3]["cursor"]
    path, headers = f"/jobs/{job_id}/events", {}
    if how == "header":
        headers["Last-Event-ID"] = last
    else:
        path += f"?cursor={last}"
    with head.stream(path, headers) as stream:
        assert [stream.next()[1] for _ in events[4:]] == events[4:]


def test_the_whole_stream_resumes(head: Api, claw: Api, name: str) -> None:
    run_through(head, claw, name)
    last = head.get("/events?limit=1000").json["nextCursor"]
    with head.stream("/events", {"Last-Event-ID": last}) as stream:
        job_id = head.submit(target=name)["id"]
        assert stream.next()[1]["jobId"] == job_id


def test_many_streams_get_every_event_in_order(head: Api, claw: Api, name: str) -> None:
    start = head.get("/events?limit=1000").json["nextCursor"]
    streams = [head.stream("/events", {"Last-Event-ID": start}) for _ in range(10)]
    ids = [head.submit(target=name)["id"] for _ in range(30)]
    for stream in streams:
        assert [stream.next()[1]["jobId"] for _ in ids] == ids
        stream.close()


def foreign(cursor: str) -> str:
    """A cursor of another store at the same place."""
    text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    other = "0" * 12 + ":" + text.split(":")[1]
    return base64.urlsafe_b64encode(other.encode()).decode().rstrip("=")


def beyond(cursor: str) -> str:
    """A cursor of this store at a place that it has not reached."""
    text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    return base64.urlsafe_b64encode((text.split(":")[0] + ":999999999").encode()).decode().rstrip("=")


@pytest.mark.parametrize("kind", ["foreign", "beyond", "nonsense", "bytes", "number", "long"])
def test_an_unknown_cursor_is_a_gap_and_starts_over(head: Api, claw: Api, name: str, kind: str) -> None:
    job_id = run_through(head, claw, name)
    known = head.events(job_id)[-1]["cursor"]
    cursor = {
        "foreign": foreign(known),
        "beyond": beyond(known),
        "nonsense": "!!nonsense!!",
        "bytes": "%00%ff",
        "number": "17",
        "long": "A" * 3000,
    }[kind]
    page = head.get(f"/jobs/{job_id}/events?cursor={cursor}").json
    assert page["gap"] is True
    assert page["events"] == head.events(job_id)
    if kind not in ("bytes", "long"):
        with head.stream(f"/jobs/{job_id}/events", {"Last-Event-ID": cursor}) as stream:
            assert stream.next()[0] == "gap"
            assert stream.next()[1]["type"] == "job.created"


@pytest.mark.parametrize("path", ["/events", "/jobs/J/events"])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=1001", "limit"),
        ("limit=1.5", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("limit=" + "9" * 31, "limit"),
        ("curser=x", "curser"),
        ("since=1", "since"),
    ],
)
def test_a_wrong_query_is_refused(head: Api, name: str, path: str, query: str, field: str) -> None:
    job_id = head.submit(target=name)["id"]
    for accept in ("application/json", "text/event-stream"):
        answer = head.get(f"{path.replace('J', job_id)}?{query}", {"Accept": accept})
        assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", field)


def test_a_stream_over_the_cap_is_429_and_closing_one_makes_room(start_spine: StartSpine) -> None:
    server = start_spine(SPINE_STREAMS_MAX="3")
    job_id = server.head.submit(target="c1")["id"]
    streams = [server.head.stream("/events"), server.claw("c1").stream("/events")]
    streams.append(server.head.stream(f"/jobs/{job_id}/log?follow=1"))
    for path in ("/events", f"/jobs/{job_id}/events", f"/jobs/{job_id}/log?follow=1"):
        answer = server.head.get(path, {"Accept": "text/event-stream"})
        assert (answer.status, answer.error, answer.headers["retry-after"]) == (429, "rate_limited", "1")
    streams.pop().close()

    def again() -> bool:
        with server.head.stream("/events") as stream:
            return stream.status == 200

    # Less than the 15 s to the next ping, which would free a dead one anyway.
    eventually(again, 12)
    for stream in streams:
        stream.close()
    # All of them are let go: the figure is back at nothing.
    eventually(lambda: figure(server.head, "spine_open_streams") == 0, 12)


def test_many_streams_opened_at_once_do_not_pass_the_cap(start_spine: StartSpine) -> None:
    server = start_spine(SPINE_STREAMS_MAX="5")
    with ThreadPoolExecutor(20) as pool:
        opened = list(pool.map(lambda _: server.head.stream("/events"), range(40)))
    assert sorted(stream.status for stream in opened) == [200] * 5 + [429] * 35
    for stream in opened:
        stream.close()


def test_events_are_written_as_json_once(server: Server, head: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    text = 'quote " backslash \\ newline \n data: x\n\nid: 7\n ü'
    head.post(f"/jobs/{job_id}/comment", {"text": text})
    with head.stream(f"/jobs/{job_id}/events") as stream:
        assert stream.next()[0] == "job.created"
        assert stream.next()[1]["data"] == {"text": text}
    assert json.loads(head.get(f"/jobs/{job_id}/events").body)["events"][1]["data"]["text"] == text
