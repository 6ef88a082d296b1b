"""Machines over HTTP: joining, tokens of their own, revoking, pausing; and a role that looks on."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.figures import until_waiting
from tests.support.raw_http import Answer, Api, Poll
from tests.support.server import Server, StartSpine

VIEWER = "viewer-token-0001"


def code_for(head: Api, name: str, **fields: Any) -> str:
    answer = head.post("/machines/join-codes", {"name": name, **fields})
    assert answer.status == 201, answer
    return str(answer.json["code"])


def joined(server: Server, name: str, **fields: Any) -> Api:
    answer = server.nobody.post("/join", {"code": code_for(server.head, name), **fields})
    assert answer.status == 201, answer
    assert answer.json["name"] == name
    return Api(server.port, answer.json["token"], "w1")


def machine(head: Api, name: str) -> dict[str, Any]:
    (found,) = [m for m in head.get("/machines").json["machines"] if m["name"] == name]
    return dict(found)


@contextmanager
def waiting(server: Server, api: Api, **fields: Any) -> Iterator[Poll]:
    poll = api.poll(wait=20, **fields)
    try:
        until_waiting(server.head, 1)
        yield poll
    finally:
        poll.close()
        until_waiting(server.head, 0)


def refused(answer: Answer, status: int, error: str) -> Answer:
    assert (answer.status, answer.error) == (status, error), answer
    return answer


# --- joining ---------------------------------------------------------------------------------------------------------


def test_a_second_machine_joins_with_one_line_and_does_a_job(server: Server, head: Api) -> None:
    answer = head.post("/machines/join-codes", {"name": "mini"})
    code = answer.json["code"]
    assert answer.json["command"] == f"claw join http://127.0.0.1:{server.port} {code}"
    proxied = head.post("/machines/join-codes", {"name": "mini"}, X_Forwarded_Proto="https").json
    assert proxied["command"] == f"claw join https://127.0.0.1:{server.port} {proxied['code']}"
    refused(head.post("/jobs", {"target": "mini"}), 422, "invalid_field")
    told = {"capabilities": ["git", "os:darwin"], "facts": {"arch": "arm64", "diskFreeBytes": 10, "ok": True}}
    token = server.nobody.post("/join", {"code": code.lower(), **told}).json["token"]
    mini = Api(server.port, token, "w1")
    job = head.submit(target="mini")
    (claimed,) = mini.claim_next()
    assert (claimed["id"], claimed["claimedBy"], claimed["machine"]) == (job["id"], "mini", "mini")
    assert machine(head, "mini")["running"] == [job["id"]]
    assert mini.post(f"/jobs/{job['id']}/complete", {"fence": 1}).status == 200
    found = machine(head, "mini")
    assert (found["state"], found["facts"], found["revokedAt"]) == ("active", told["facts"], None)
    assert "machine.joined" in [event["type"] for event in head.events()]
    assert token not in head.get("/machines").body.decode() + str(head.events())
    assert code not in str(head.events())


def test_a_code_works_once(server: Server, head: Api) -> None:
    code = code_for(head, "once")
    assert server.nobody.post("/join", {"code": code}).status == 201
    refused(server.nobody.post("/join", {"code": code}), 404, "not_found")


def test_a_code_ends(start_spine: StartSpine) -> None:
    server = start_spine()
    code = code_for(server.head, "later", ttlSeconds=60)
    server.process.kill9()
    with contextlib.closing(sqlite3.connect(server.process.data_dir / "spine.db")) as db, db:
        db.execute("UPDATE join_codes SET expires_at = created_at")
    server.process.start()
    refused(server.nobody.post("/join", {"code": code}), 404, "not_found")


@pytest.mark.parametrize("name", ["head", "any", "all", "spine", "viewer", "chat", "Upper", "", "a b", "-x"])
def test_a_name_that_is_not_free(head: Api, name: str) -> None:
    refused(head.post("/machines/join-codes", {"name": name}), 422, "invalid_field")


@pytest.mark.parametrize(
    "body", [{}, {"code": ""}, {"code": "x", "kode": 1}, {"code": "x", "facts": []}, {"code": "x", "facts": {"a": []}}]
)
def test_a_join_of_wrong_form(server: Server, body: dict[str, Any]) -> None:
    refused(server.nobody.post("/join", body), 422, "invalid_field")


def test_guesses_are_throttled_and_a_valid_token_or_code_never_is(start_spine: StartSpine) -> None:
    server = start_spine()
    code = code_for(server.head, "true")
    for n in range(50):
        refused(server.nobody.post("/join", {"code": f"guess-{n}"}), 404, "not_found")
        refused(Api(server.port, f"guess-{n}").get("/jobs"), 401, "unauthorized")
    answer = refused(server.nobody.post("/join", {"code": "one-more"}), 429, "rate_limited")
    assert answer.headers["retry-after"] == "1"
    refused(Api(server.port, "one-more").get("/jobs"), 429, "rate_limited")
    assert server.head.get("/jobs").status == server.left.get("/jobs").status == 200
    joined_one = server.nobody.post("/join", {"code": code})
    assert joined_one.status == 201
    assert Api(server.port, joined_one.json["token"]).get("/jobs").status == 200


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_revoked_in_the_middle_of_a_job(server: Server, head: Api) -> None:
    api = joined(server, "rogue")
    job = head.submit(target="rogue")
    api.claim_next()
    assert api.post(f"/jobs/{job['id']}/heartbeat", {"fence": 1}).status == 200
    assert head.post("/machines/rogue/revoke").json["state"] == "revoked"
    for answer in (
        api.post(f"/jobs/{job['id']}/heartbeat", {"fence": 1}),
        api.post(f"/jobs/{job['id']}/complete", {"fence": 1}),
        api.post("/jobs/claim", {}),
        api.get(f"/jobs/{job['id']}"),
    ):
        refused(answer, 401, "unauthorized")
    found = head.job(job["id"])
    assert (found["status"], found["claimedBy"], found["releaseReason"]) == ("queued", None, "the machine was revoked")
    assert head.attempts(job["id"])[0]["outcome"] == "released"
    assert [e["type"] for e in head.events(job["id"])] == ["job.created", "job.claimed", "job.released"]
    assert head.post("/machines/rogue/revoke").status == 200  # twice is once


def test_a_claim_that_waits_learns_it_too(server: Server, head: Api) -> None:
    api = joined(server, "waiter")
    with waiting(server, api) as poll:
        assert head.post("/machines/waiter/revoke").status == 200
        refused(poll.answer(5), 401, "unauthorized")
    job = head.submit(target="waiter")
    assert head.job(job["id"])["status"] == "queued"


def test_an_open_stream_ends_too(server: Server, head: Api) -> None:
    api = joined(server, "listener")
    with api.stream("/events") as stream:
        assert stream.status == 200
        head.post("/machines/listener/revoke")
        assert "machine.revoked" not in [kind for kind, _, _ in stream.rest()]


def test_a_revoked_machine_joins_again(server: Server, head: Api) -> None:
    before = joined(server, "prodigal")
    head.post("/machines/prodigal/revoke")
    after = joined(server, "prodigal")
    refused(before.get("/jobs"), 401, "unauthorized")
    assert after.get("/jobs").status == 200
    assert machine(head, "prodigal")["state"] == "active"


def test_rotation_is_live_and_leaves_a_grace(server: Server, head: Api) -> None:
    old = joined(server, "turner")
    answer = old.post("/machines/turner/rotate", {"graceSeconds": 600})
    new = Api(server.port, answer.json["token"], "w1")
    assert answer.status == 201
    assert old.get("/jobs").status == new.get("/jobs").status == 200
    last = Api(server.port, head.post("/machines/turner/rotate", {"graceSeconds": 0}).json["token"])
    for api in (old, new):
        refused(api.get("/jobs"), 401, "unauthorized")
    assert last.get("/jobs").status == 200


def test_a_grace_ends_by_itself(server: Server, head: Api) -> None:
    old = joined(server, "brief")
    head.post("/machines/brief/rotate", {"graceSeconds": 1})
    eventually(lambda: old.get("/jobs").status == 401, what="the end of the grace")


def test_a_head_is_no_machine_that_rotates(head: Api) -> None:
    answer = head.post("/machines/head/rotate")
    refused(answer, 422, "invalid_field")
    assert answer.json["field"] == "name"
    assert [m for m in head.get("/machines").json["machines"] if m["name"] == "head"] == []


def test_a_claw_speaks_of_itself_only(server: Server, head: Api) -> None:
    api = joined(server, "modest")
    joined(server, "other")
    refused(api.post("/machines/other/rotate"), 403, "forbidden")
    refused(api.post("/machines/other/facts", {}), 403, "forbidden")
    for verb in ("drain", "pause", "resume", "revoke"):
        refused(api.post(f"/machines/modest/{verb}"), 401, "unauthorized")
    assert [m["name"] for m in api.get("/machines").json["machines"]] == ["modest"]


def test_facts_are_kept_and_shown(server: Server, head: Api) -> None:
    api = joined(server, "facty")
    body = {"capabilities": ["b", "a"], "facts": {"os": "linux", "tools": 3, "gpu": None}}
    assert api.post("/machines/facty/facts", body).status == 200
    found = machine(head, "facty")
    assert (found["capabilities"], found["facts"]) == (["a", "b"], body["facts"])
    refused(api.post("/machines/facty/facts", {"facts": {"x": "y" * 9000}}), 422, "invalid_field")
    assert machine(head, "facty")["facts"] == body["facts"]


def test_tokens_live_through_a_restart(start_spine: StartSpine) -> None:
    server = start_spine()
    keeps, loses = joined(server, "keeps"), joined(server, "loses")
    server.head.post("/machines/loses/revoke")
    server.process.kill9()
    server.process.start()
    assert keeps.get("/jobs").status == 200
    refused(loses.get("/jobs"), 401, "unauthorized")
    assert server.head.submit(target="keeps")["status"] == "queued"
    secrets = [keeps.token or "-", loses.token or "-"]
    for path in server.process.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [s for s in secrets if s.encode() in data], path


# --- drain, pause, resume --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["drain", "pause"])
def test_a_held_machine_gets_nothing_until_it_is_resumed(server: Server, head: Api, verb: str) -> None:
    api = joined(server, f"held-{verb}")
    held = head.submit(target=f"held-{verb}")
    api.claim_next()
    assert head.post(f"/machines/held-{verb}/{verb}").json["state"] == {"drain": "draining", "pause": "paused"}[verb]
    assert api.post(f"/jobs/{held['id']}/heartbeat", {"fence": 1}).status == 200  # what it holds it may finish
    job = head.submit(target=f"held-{verb}")
    assert api.claim_next() == []
    answer = refused(api.post(f"/jobs/{job['id']}/claim"), 409, "not_claimable")
    assert [reason["code"] for reason in answer.json["reasons"]] == ["machines_held"]
    with waiting(server, api) as poll:
        head.post(f"/machines/held-{verb}/resume")
        assert [found["id"] for found in poll.jobs(5)] == [job["id"]]


def test_a_paused_target_holds_its_jobs_until_it_is_resumed(server: Server, head: Api, claw: Api, name: str) -> None:
    assert head.post(f"/targets/{name}/pause").json == {"target": name, "paused": True}
    assert name in head.get("/machines").json["pausedTargets"]
    job = head.submit(target=name)
    assert claw.claim_next() == []
    refused(claw.post(f"/jobs/{job['id']}/claim"), 409, "not_claimable")
    with waiting(server, claw) as poll:
        assert head.post(f"/targets/{name}/resume").json == {"target": name, "paused": False}
        assert [found["id"] for found in poll.jobs(5)] == [job["id"]]
    assert name not in head.get("/machines").json["pausedTargets"]


def test_targets_and_machines_that_are_not_there(head: Api) -> None:
    refused(head.post("/targets/nobody/pause"), 404, "not_found")
    refused(head.post("/machines/nobody/drain"), 404, "not_found")
    refused(head.post("/machines/nobody/revoke"), 404, "not_found")
    refused(head.post("/targets/any/halt"), 422, "invalid_field")
    refused(head.post("/machines/left-claw/halt"), 422, "invalid_field")


def test_a_v0_claw_is_a_machine_too(server: Server, head: Api) -> None:
    job = head.submit(target="right-claw")
    server.right.claim(job["id"])
    assert machine(head, "right-claw")["running"] == [job["id"]]


# --- a role that looks on --------------------------------------------------------------------------------------------


def test_a_viewer_sees_all_and_changes_nothing(start_spine: StartSpine) -> None:
    server = start_spine(VIEWER_TOKEN=VIEWER)
    viewer, head = Api(server.port, VIEWER, "w1"), server.head
    job = head.submit(target="left-claw", needsApproval=True)["id"]
    seen = [
        "/jobs",
        f"/jobs/{job}",
        f"/jobs/{job}/why",
        f"/jobs/{job}/attempts",
        f"/jobs/{job}/earlier",
        f"/jobs/{job}/events",
        "/events",
        "/machines",
        "/metrics",
    ]
    assert [viewer.get(path).status for path in seen] == [200] * len(seen)
    assert [found["id"] for found in viewer.get("/jobs").json["jobs"]] == [job]
    before = head.job(job), len(head.events())
    changing: list[tuple[str, Any]] = [
        ("/jobs", {"target": "left-claw"}),
        ("/jobs", [{"target": "left-claw"}]),
        ("/jobs/claim", {}),
        ("/machines/join-codes", {"name": "spy"}),
        ("/targets/any/pause", None),
        ("/targets/any/resume", None),
        ("/leases/one/take", {"holder": "me"}),
        ("/leases/one/renew", {"fence": 1}),
        ("/leases/one/release", {"fence": 1}),
        ("/blobs", None),
    ]
    changing += [(f"/jobs/bulk/{verb}", {"all": True}) for verb in ("cancel", "retry", "release")]
    changing += [
        (f"/machines/left-claw/{verb}", None) for verb in ("drain", "pause", "resume", "revoke", "rotate", "facts")
    ]
    for verb, body in {
        "claim": None,
        "heartbeat": {"fence": 1},
        "complete": {"fence": 1},
        "fail": {"fence": 1},
        "release": {"fence": 1},
        "comment": {"text": "hm"},
        "log": None,
        "cancel": None,
        "approve": None,
        "reject": None,
        "review": {"decision": "accept"},
        "retry": None,
        "adopt": {"fence": 1},
    }.items():
        changing.append((f"/jobs/{job}/{verb}", body))
    for path, body in changing:
        answer = viewer.post(path, body)
        assert (answer.status, answer.error) == (401, "unauthorized"), (path, answer)
    assert (head.job(job), len(head.events())) == before


# --- named leases ----------------------------------------------------------------------------------------------------


def test_one_holder_of_a_named_lease(server: Server, head: Api, name: str) -> None:
    left, right = server.left, server.right
    taken = left.post(f"/leases/{name}/take", {"holder": "a", "ttlSeconds": 60, "data": {"url": "x"}})
    assert taken.status == 200
    assert {k: taken.json[k] for k in ("name", "holder", "fence", "data")} == {
        "name": name,
        "holder": "a",
        "fence": 1,
        "data": {"url": "x"},
    }
    answer = refused(right.post(f"/leases/{name}/take", {"holder": "b"}), 409, "lease_held")
    assert (answer.json["holder"], answer.json["until"]) == ("a", taken.json["until"])
    refused(right.post(f"/leases/{name}/take", {"holder": "a"}), 409, "lease_held")  # the name alone is no proof
    assert left.post(f"/leases/{name}/take", {"holder": "a"}).json["fence"] == 1
    assert left.post(f"/leases/{name}/renew", {"fence": 1, "ttlSeconds": 60}).status == 200
    for wrong in (0, 2):
        refused(left.post(f"/leases/{name}/renew", {"fence": wrong}), 409, "stale_fence")
    refused(right.post(f"/leases/{name}/renew", {"fence": 1}), 409, "stale_fence")
    refused(right.post(f"/leases/{name}/release", {"fence": 1}), 409, "stale_fence")
    assert left.post(f"/leases/{name}/release", {"fence": 1}).json["holder"] is None
    assert right.post(f"/leases/{name}/take", {"holder": "b"}).json["fence"] == 2
    assert head.post(f"/leases/{name}/release", {"fence": 2}).json["holder"] is None


def test_a_named_lease_ends_by_itself(server: Server, head: Api, name: str) -> None:
    server.left.post(f"/leases/{name}/take", {"holder": "a", "ttlSeconds": 0.1})
    taken = eventually(
        lambda: (
            answer.json
            if (answer := server.right.post(f"/leases/{name}/take", {"holder": "b"})).status == 200
            else None
        ),
        5,
    )
    assert taken["fence"] == 2
    refused(server.left.post(f"/leases/{name}/renew", {"fence": 1}), 409, "stale_fence")


def test_named_leases_of_wrong_form(server: Server, head: Api, name: str) -> None:
    refused(head.get(f"/leases/{name}"), 404, "not_found")
    refused(head.post(f"/leases/{name}/renew", {"fence": 1}), 404, "not_found")
    bodies: list[Any] = [{}, {"holder": ""}, {"holder": "a", "ttlSeconds": 0}, {"holder": "a", "ttl": 5}]
    for body in bodies:
        refused(head.post(f"/leases/{name}/take", body), 422, "invalid_field")
    refused(head.post(f"/leases/{'x' * 129}/take", {"holder": "a"}), 422, "invalid_field")
    refused(head.post(f"/leases/{name}/take", {"holder": "a", "data": "x" * 20_000}), 413, "too_large")
    refused(head.get(f"/leases/{name}"), 404, "not_found")


def test_of_twelve_who_want_a_lease_one_gets_it(server: Server, name: str) -> None:
    gate, answers = threading.Barrier(12), list[Answer]()

    def take(n: int) -> None:
        gate.wait()
        answers.append(server.left.post(f"/leases/{name}/take", {"holder": f"h{n}"}))

    threads = [threading.Thread(target=take, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [200] + [409] * 11


def test_a_machine_whose_name_is_not_known_here_yet_is_a_target(start_spine: StartSpine) -> None:
    """It has joined, and so it is in the list of machines; the server learns its name a moment later."""
    server = start_spine()
    with contextlib.closing(sqlite3.connect(server.process.data_dir / "spine.db")) as store, store:
        store.execute("INSERT INTO tokens (digest, name, role, created_at) VALUES ('digest', 'just-joined', 'claw', 1)")
    assert server.head.post("/jobs", {"target": "just-joined", "spec": "x"}).status == 201
    assert server.head.post("/jobs", {"target": "never-joined", "spec": "x"}).status == 422


def test_what_is_kept_with_a_named_lease_outlives_its_holder(server: Server, head: Api, name: str) -> None:
    head.post(f"/leases/{name}/take", {"holder": "a", "data": {"at": 7}})
    head.post(f"/leases/{name}/release", {"fence": 1})
    assert head.post(f"/leases/{name}/take", {"holder": "b"}).json["data"] == {"at": 7}


def test_under_a_lease_that_is_over_nothing_is_changed(server: Server, head: Api, name: str) -> None:
    job = head.submit(needsApproval=True)["id"]
    head.post(f"/leases/{name}/take", {"holder": "a"})
    head.post(f"/leases/{name}/release", {"fence": 1})
    head.post(f"/leases/{name}/take", {"holder": "b"})
    before = (head.job(job), head.events())
    stale, keyed = {"X-Spine-Lease": f"{name};1"}, {"Idempotency-Key": f"key-{name}"}
    calls: list[tuple[str, Any]] = [
        ("/jobs", {"spec": "x"}),
        (f"/jobs/{job}/approve", {}),
        (f"/jobs/{job}/comment", {"text": "hello"}),
        (f"/jobs/{job}/cancel", {}),
        ("/jobs/bulk/cancel", {"label": "any"}),
        ("/messages", {"to": "left-claw", "text": "hello"}),
        ("/machines/left-claw/pause", {}),
        (f"/leases/{name}-2/take", {"holder": "a"}),
    ]
    for path, body in calls:
        answer = refused(head.post(path, body, **stale, **keyed), 409, "stale_fence")
        assert (answer.json["lease"], answer.json["fence"], answer.json["retryable"]) == (name, 2, False), path
    for wait in (0, 5):
        refused(server.left.by("w1").post("/jobs/claim", {"wait": wait}, **stale), 409, "stale_fence")
    assert (head.job(job), head.events()) == before
    assert head.get(f"/jobs/{job}", headers=stale).status == 200  # reading changes nothing

    held = {"X-Spine-Lease": f"{name};2"}
    assert head.post(f"/jobs/{job}/approve", {}, **held, **keyed).status == 200  # no answer was kept for the key
    assert head.post(f"/jobs/{job}/approve", {}, **held, **keyed).headers["idempotency-replayed"] == "true"
    refused(head.post(f"/jobs/{job}/approve", {}, **stale, **keyed), 409, "stale_fence")


@pytest.mark.parametrize("text", ["", "leader", ";1", "leader;", "leader;x", "leader;-1", "leader;²", f"{'n' * 129};1"])
def test_a_header_that_names_no_lease_is_refused(head: Api, text: str) -> None:
    before = head.events()
    answer = refused(head.post("/jobs", {}, **{"X-Spine-Lease": text}), 422, "invalid_field")
    assert (answer.json["field"], "NAME;FENCE" in answer.json["detail"]) == ("X-Spine-Lease", True)
    assert head.events() == before
