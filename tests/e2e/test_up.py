"""What `make up` starts: four healthy containers that do jobs, each claw its own and either of them those for any."""

import json
import re
from collections.abc import Callable

import pytest
from tests.support.engine import run_in
from tests.support.eventually import eventually
from tests.support.stack import CLAWS, MAIN, SERVICES, Stack

from contract.wire import Job

pytestmark = pytest.mark.docker

TICKS = {"heartbeat", "claim or reconcile", "advance", "outbox", "facts", "sleep check", "alive"}
UP_SECONDS = 60
# What a program inside a claw's container asks for with the claw's own token, and the answers that it gets.
ASK = """
import json, sys, urllib.error, urllib.request
token = open("/run/secrets/token").read().strip()
for line in sys.argv[1:]:
    method, path = line.split()
    ask = urllib.request.Request(
        "http://spine:36725" + path, b"{}" if method == "POST" else None, method=method,
        headers={"Authorization": "Bearer " + token, "X-Worker-Id": "w1", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(ask, timeout=10) as answer:
            print(json.dumps([answer.status, json.load(answer)]))
    except urllib.error.HTTPError as e:
        print(json.dumps([e.code, json.load(e)]))
"""


def test_four_containers_are_healthy_in_less_than_a_minute(
    stack: Stack, record_property: Callable[[str, object], None]
) -> None:
    record_property("seconds until four containers were healthy", stack.seconds_up)
    assert [stack.health(service) for service in SERVICES] == ["healthy"] * 4
    assert stack.seconds_up < UP_SECONDS


def test_a_head_submits_in_its_container_and_reads_the_answer(stack: Stack, until_status: Callable[..., Job]) -> None:
    code, output = stack.sh("head", "spine-head submit --target left-claw --run 'echo from $(hostname)' --wait --json")
    assert code == 0, output
    told = json.loads(output)
    assert (told["status"], told["claimedBy"]) == ("done", "left-claw")
    job = until_status(told["id"], "done")
    assert (job.attempts, [phase["exitCode"] for phase in job.result["phases"]]) == (1, [0])
    assert stack.head.read_log(job.id).splitlines()[-1] == b"from left-claw"


def test_each_claw_does_its_own_and_either_does_those_for_any(stack: Stack, until_status: Callable[..., Job]) -> None:
    def submit(target: str) -> str:
        return stack.head.submit({"target": target, "spec": {"run": stack.ledger.note("done")}}).id

    own = {claw: [submit(claw) for _ in range(2)] for claw in CLAWS}
    free = [submit("any") for _ in range(2)]
    for claw, ids in own.items():
        assert [until_status(job_id, "done").claimed_by for job_id in ids] == [claw, claw]
    assert {until_status(job_id, "done").claimed_by for job_id in free} <= set(CLAWS)
    for job_id in (*own["left-claw"], *own["right-claw"], *free):
        assert stack.ledger.marks(job_id) == ["done"]


def test_right_never_sees_what_is_for_left(stack: Stack, until_status: Callable[..., Job]) -> None:
    secret = {"target": "left-claw", "spec": {"run": "true"}, "delaySeconds": 3600}
    left, right = stack.head.submit(secret).id, stack.head.submit(secret | {"target": "right-claw"}).id
    done = stack.head.submit({"target": "left-claw", "spec": {"run": "true"}}).id
    until_status(done, "done")
    asked = ["GET /jobs", f"GET /jobs/{right}", f"POST /jobs/{left}/claim"]
    asked += [f"GET /jobs/{job_id}{more}" for job_id in (left, done) for more in ("", "/log", "/events", "/attempts")]
    code, output = run_in(stack.container("right-claw"), ["/usr/bin/python3", "-IS", "-c", ASK, *asked])
    assert code == 0, output
    answers = [json.loads(line) for line in output.splitlines()]
    listed, own, *others = answers
    assert (listed[0], own[0], own[1]["target"]) == (200, 200, "right-claw")
    ids = {job["id"] for job in listed[1]["jobs"]}
    assert right in ids
    assert not ids & {left, done}
    assert {job["target"] for job in listed[1]["jobs"]} <= {"right-claw", "any"}
    assert [(code, body["error"]) for code, body in others] == [(403, "forbidden")] * len(others)
    for job_id in (left, right):
        stack.head.cancel(job_id)


def test_the_main_process_of_a_claw_runs_the_ticks(stack: Stack) -> None:
    for claw in CLAWS:
        # Docker's init has one child, which is what the image names, and which no other process stands behind.
        assert stack.main_process(claw) == ["/opt/spinal-cord/bin/python", "/opt/spinal-cord/bin/claw", "run"]
        code, output = stack.sh(claw, f"cat /state/alive; echo {MAIN}")
        assert code == 0
        assert len(set(output.split())) == 1, "the process that tells that it goes on is the main process"

        def ticks(claw: str = claw) -> bool:
            lines = [json.loads(line) for line in stack.logs(claw).splitlines() if '"claw.tick"' in line]
            return {line["tick"] for line in lines} == TICKS

        eventually(ticks, 15, every=0.3, what=f"every tick of {claw}")
    assert re.search(r'"event": ?"claw.started"', stack.logs("left-claw"))


def test_ports_are_bound_to_loopback_alone(stack: Stack) -> None:
    bound = {service: stack.container(service).attrs["NetworkSettings"]["Ports"] for service in SERVICES}
    published = {service: {port: at for port, at in ports.items() if at} for service, ports in bound.items()}
    mine = [{"HostIp": "127.0.0.1", "HostPort": str(stack.port)}]
    assert published == {"spine": {"36725/tcp": mine}, "head": {}, "left-claw": {}, "right-claw": {}}
