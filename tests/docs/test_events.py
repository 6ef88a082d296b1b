"""docs/reference/events.md has every type of event, and what each holds is seen on a real server."""

import ast
import re
import time

from tests.docs.pages import REPO, reference, section, table
from tests.support.eventually import eventually
from tests.support.raw_http import Api
from tests.support.spine_process import TOKENS, SpineProcess

from contract.states import TRANSITIONS, Action
from spine.queue import moving, reap

PAGE = reference("events.md")
ROWS, PLANS, SCHEDULES, FLEET, NOTICES, MAIL, GROUPS = (
    {row["type"]: set(re.findall(r"\w+", row["data"])) for row in table(PAGE, heading)}
    for heading in (
        *("Types", "Plans of the broker's dialect", "Schedules", "Machines and targets", "Notices", "Messages"),
        "Task groups",
    )
)


def appended() -> set[str]:
    """Return the types that the verbs write besides those of the transitions."""
    found = set()
    for room in ("queue", "facades"):
        for path in (REPO / "services/spine" / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= set(
                        re.findall(r"^(?:group|job|machine|message|notice|plan|schedule|target)\.[a-z_]+$", node.value)
                    )
    return found


def test_every_type_is_there_and_no_other() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (REPO / "services/spine").rglob("*.py"))
    taken = {TRANSITIONS[action].event for action in Action if f"Action.{action.name}" in code}
    assert {*ROWS, *PLANS, *SCHEDULES, *FLEET, *NOTICES, *MAIL, *GROUPS} == taken | appended()
    assert all(name.startswith("job.") for name in ROWS)
    rest = {row.event for row in TRANSITIONS.values()} - taken
    assert set(re.findall(r"`(job\.\w+)`", section(PAGE, "Types").rsplit("|\n", 1)[1])) == rest


def test_what_an_event_holds_is_on_the_page(spine: SpineProcess) -> None:
    head, claw = Api(spine.port, TOKENS["HEAD_TOKEN"]), Api(spine.port, TOKENS["LEFT_CLAW_TOKEN"], "w")
    spine.stop()
    dialect = {"BOT_TOKEN": "bot-token-0001", "WORKER_TOKEN": "worker-token-0001"}
    spine.start(LEASE_SECONDS="1", SPINE_ACCEPT_LEASE_SECONDS="1", REAPER_INTERVAL_MS="100", **dialect)
    failed = head.submit(maxAttempts=2)["id"]
    done, dead, released, lost, late, full, later = (head.submit(maxAttempts=1)["id"] for _ in range(7))
    for job in (done, failed, dead, released, full, later):
        claw.claim(job)
    claw.post(f"/jobs/{full}/fail", {"error": "529", "cause": "overload", "retryAfterSeconds": 60})
    claw.post(f"/jobs/{later}/release", {"retryAfterSeconds": 60})
    claw.post(f"/jobs/{done}/heartbeat", {"progress": 1})
    claw.post(f"/jobs/{done}/comment", {"text": "a word"})
    claw.post(f"/jobs/{done}/complete", {"result": {}})
    claw.post(f"/jobs/{failed}/fail", {"error": "no", "requeue": False})
    claw.post(f"/jobs/{dead}/fail", {"error": "no", "cause": "transient"})
    claw.post(f"/jobs/{released}/release", {"reason": "why"})
    claw.post(f"/jobs/{released}/claim")  # no attempt is left: it dies
    assert [job["id"] for job in claw.claim_next()] == [lost]  # never confirmed: the attempt comes back
    eventually(lambda: head.job(lost)["status"] == "queued")
    claw.claim(lost)
    claw.claim(late)
    eventually(lambda: head.job(late)["status"] == "dead" == head.job(lost)["status"])
    assert claw.post(f"/jobs/{late}/complete", {"result": {}, "fence": 1}).json["lateResult"] == "kept"
    decide(head, claw, late)
    steer(head, claw)
    approve_plan(Api(spine.port))
    schedule(head, spine)
    message = head.post("/messages", {"to": "left-claw", "text": "hello"}).json["id"]
    claw.post(f"/messages/{message}/read")
    group(head)
    seen: dict[str, set[str]] = {}
    for event in head.events():
        seen.setdefault(event["type"], set()).update(event["data"])
        assert (event["jobId"] is None) == (event["type"] in FLEET | SCHEDULES | MAIL | GROUPS)
    assert seen == ROWS | PLANS | SCHEDULES | FLEET | MAIL | GROUPS
    ours = {"head", "left-claw", "build-box", reap.REAPER, moving.SPINE}
    assert {event["by"] for event in head.events()} == ours | {"broker", "broker:mac-1"}


def decide(head: Api, claw: Api, late: str) -> None:
    """Bring about every event that a head's decision on a job makes."""
    approved, rejected = (head.submit(needsApproval=True)["id"] for _ in range(2))
    after = head.submit(after=[approved])["id"]
    head.post(f"/jobs/{approved}/approve")
    head.post(f"/jobs/{rejected}/reject", {"reason": "no"})
    head.post(f"/jobs/{approved}/cancel", {"reason": "why"})
    assert head.job(after)["status"] == "cancelled"
    head.post(f"/jobs/{approved}/retry")
    head.post(f"/jobs/{late}/adopt", {"fence": 1})
    reviewed = head.submit(needsReview=True)["id"]
    claw.claim(reviewed)
    claw.post(f"/jobs/{reviewed}/complete", {"result": {}})
    head.post(f"/jobs/{reviewed}/review", {"decision": "accept", "text": "good"})


def steer(head: Api, claw: Api) -> None:
    """Bring about every event of machines and targets."""
    code = head.post("/machines/join-codes", {"name": "build-box"}).json["code"]
    claw.post("/join", {"code": code})
    for verb in ("drain", "pause", "resume", "rotate", "revoke"):
        head.post(f"/machines/build-box/{verb}")
    for verb in ("pause", "resume"):
        head.post(f"/targets/left-claw/{verb}")


def schedule(head: Api, spine: SpineProcess) -> None:
    """Bring about every event of schedules."""
    made = head.post("/schedules", {"name": "s", "everySeconds": 1, "overlap": "allow", "job": {}}).json["id"]
    for verb in ("pause", "resume"):
        head.post(f"/schedules/{made}/{verb}")
    head.call("PATCH", f"/schedules/{made}", b'{"name": "t"}')
    root = head.post("/schedules", {"name": "root", "at": "2100-01-01T00:00:00Z", "job": {}}).json["id"]
    for job in ({"target": "build-box"}, *({} for _ in range(25))):  # whose machine has been revoked above
        head.post("/schedules", {"name": "child", "parentId": root, "on": "both", "job": job})
    job = head.post(f"/schedules/{root}/run").json["jobId"]
    head.post(f"/jobs/{job}/cancel")
    eventually(lambda: "schedule.dropped" in {event["type"] for event in head.events()})
    spine.stop()
    down = time.monotonic()
    eventually(lambda: time.monotonic() > down + 2.1)  # two due times pass
    spine.start()
    eventually(lambda: "schedule.missed" in {event["type"] for event in head.events()})
    head.call("DELETE", f"/schedules/{made}")


def group(head: Api) -> None:
    """Bring about every event of task groups."""
    ended, waits = head.submit()["id"], head.submit()["id"]
    head.post(f"/jobs/{ended}/cancel")
    head.post("/groups", {"name": "done", "jobIds": [ended]})
    late = head.post("/groups", {"name": "late", "jobIds": [waits], "deadlineSeconds": 1}).json["id"]
    eventually(lambda: {"group.done", "group.overdue"} <= {event["type"] for event in head.events()})
    head.post(f"/groups/{late}/close")


def approve_plan(broker: Api) -> None:
    """Bring about every event of plans."""
    bot, worker = {"X_Bot_Token": "bot-token-0001"}, {"X_Worker_Token": "worker-token-0001", "X_Worker_Id": "mac-1"}
    plan_id = "5b0c1cde-7a51-4b5e-9b39-6f0d3c1f0d01"
    job = broker.post("/broker/jobs", {"command": "plan_echo", "payload": "x"}, **bot).json["id"]
    broker.get("/broker/jobs/next", {name.replace("_", "-"): value for name, value in worker.items()})
    result = f'{{"type": "plan", "plan_id": "{plan_id}"}}'
    broker.post(f"/broker/jobs/{job}/result", {"result": result}, **worker)
    broker.post("/broker/jobs", {"command": "approve_echo", "payload": plan_id}, **bot)
