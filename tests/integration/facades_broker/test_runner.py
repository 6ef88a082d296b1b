"""A runner and a bot as the real ones are (contract: Broker, sections 7 and 8), in bad weather too."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.facades_broker.conftest import WORKER_TOKEN, Broker, Start
from tests.integration.facades_broker.flaky import Fate, FlakyRelay
from tests.support.eventually import eventually
from tests.support.raw_http import Api
from tests.support.spine_process import TOKENS

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Runner:
    """A runner's process, over its lives."""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        self.state, self.name, self.port = folder / name, name, port
        self.state.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Runner":
        """Start."""
        env = {
            "BROKER_URL": f"http://127.0.0.1:{self.port}/broker/", "WORKER_TOKEN": WORKER_TOKEN, "WORKER_ID": self.name,
            "RUNNER_STATE_DIR": str(self.state), "POLL_INTERVAL_SEC": "0.1",
        }  # fmt: skip
        command = [sys.executable, str(Path(__file__).with_name("runner.py"))]
        with (self.state / "log").open("ab") as log:
            self._process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def kill(self) -> None:
        """Kill."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def hold(self) -> None:
        """From now on finish no job."""
        (self.state / "hold").touch()

    def let_go(self) -> None:
        """Finish jobs again."""
        (self.state / "hold").unlink()

    def ran(self) -> list[str]:
        """The jobs that it ran, in their order."""
        path = self.state / "ran"
        return path.read_text().split() if path.exists() else []

    def log(self) -> str:
        """What it said."""
        return (self.state / "log").read_text()


MakeRunner = Callable[[str, int], Runner]


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[MakeRunner]:
    """Make runners; killed when the test ends."""
    made: list[Runner] = []

    def make(name: str, port: int) -> Runner:
        made.append(Runner(tmp_path, name, port))
        return made[-1].start()

    yield make
    for one in made:
        one.kill()
        assert "Traceback" not in one.log(), one.log()


def awaited(broker: Broker, job_id: str, seconds: float = 20) -> dict[str, Any]:
    """Wait for a job as the bot does: read it until it has ended."""

    def look() -> dict[str, Any] | None:
        job = broker.job(job_id)
        return job if job["status"] in ("done", "failed") else None

    return eventually(look, seconds, every=0.05, what=f"the end of {job_id}")


def ask(broker: Broker, command: str, payload: str = "") -> dict[str, Any]:
    """Do what the bot does with a message: create, wait, return the job."""
    return awaited(broker, broker.create(command, payload))


def test_every_command(start_spine: Start, runner: MakeRunner) -> None:
    broker = Broker(start_spine().port)
    one = runner("mac-1", broker.port)
    ping = ask(broker, "ping", "hello žluť")
    assert (ping["status"], ping["result"], ping["worker_id"]) == ("done", "pong: hello žluť", "mac-1")
    capabilities = ask(broker, "capabilities")["result"]
    assert capabilities == (
        '{"worker_id": "mac-1", "capabilities": ["ping", "capabilities", "plan_echo", "approve_echo"], '
        '"version": "mvp"}'
    )
    planned = ask(broker, "plan_echo", "tidy the house")["result"]
    plan_id = json.loads(planned)["plan_id"]
    assert UUID.fullmatch(plan_id)
    assert planned == (
        f'{{"type": "plan", "plan_id": "{plan_id}", "summary": "Echo plan for: tidy the house", '
        '"proposed_actions": ["(no-op)"], "requires_approval": true}'
    )
    assert json.loads((one.state / "plans" / f"{plan_id}.json").read_text()) == json.loads(planned)
    assert ask(broker, "approve_echo", f"{plan_id} ")["result"] == (
        f'{{"type": "approval", "plan_id": "{plan_id}", "status": "approved", "applied": false, '
        '"note": "no-op (scaffold)"}'
    )
    assert ask(broker, "make_tea")["result"] == "unknown command: make_tea"
    assert len(one.ran()) == 5
    assert one.log() == ""


def test_a_plan_is_approved_by_name_and_by_no_path(start_spine: Start, runner: MakeRunner) -> None:
    """Weakness 11: the runner would take any file for a plan; it is not asked. Nor is it asked twice."""
    broker = Broker(start_spine().port)
    one = runner("mac-1", broker.port)
    plan_id = json.loads(ask(broker, "plan_echo")["result"])["plan_id"]
    (one.state / "secret.json").write_text("{}")
    tricks = ("../secret", str(one.state / "secret"), f"../plans/{plan_id}", f"./{plan_id}")
    for payload in tricks:
        assert (one.state / "plans" / f"{payload}.json").exists()
        job = ask(broker, "approve_echo", payload)
        assert (job["status"], job["error"], job["worker_id"]) == ("failed", "unknown plan_id", None)
    assert ask(broker, "approve_echo", plan_id)["status"] == "done"
    again = ask(broker, "approve_echo", plan_id)
    assert again["status"] == "failed"
    assert again["error"].startswith(f"plan {plan_id} was approved already, at ")
    assert len(one.ran()) == 2


def test_a_plan_that_lies_with_another_runner(start_spine: Start, runner: MakeRunner) -> None:
    """Section 7: a plan belongs to one disk. The approval that went to the wrong runner is not used up by that."""
    broker = Broker(start_spine().port)
    mine = runner("mine", broker.port)
    plan_id = json.loads(ask(broker, "plan_echo", "x")["result"])["plan_id"]
    mine.kill()
    other = runner("other", broker.port)
    job = ask(broker, "approve_echo", plan_id)
    assert (job["status"], job["error"], job["worker_id"]) == ("failed", "unknown plan_id", "other")
    other.kill()
    mine.start()
    job = ask(broker, "approve_echo", plan_id)
    assert (job["status"], job["worker_id"]) == ("done", "mine")
    # One that the spine has never heard of is a runner's to know.
    old = "5b0c1cde-7a51-4b5e-9b39-6f0d3c1f0b01"
    (mine.state / "plans" / f"{old}.json").write_text("{}")
    assert ask(broker, "approve_echo", old)["status"] == "done"


def test_several_runners_share_the_work(start_spine: Start, runner: MakeRunner) -> None:
    broker = Broker(start_spine().port)
    ids = [broker.create("ping", str(n)) for n in range(60)]
    runners = [runner(f"mac-{n}", broker.port) for n in range(3)]
    jobs = [awaited(broker, job_id) for job_id in ids]
    assert [job["result"] for job in jobs] == [f"pong: {n}" for n in range(60)]
    assert sorted(job_id for one in runners for job_id in one.ran()) == sorted(ids)
    for one in runners:
        assert {job["id"] for job in jobs if job["worker_id"] == one.name} == set(one.ran())
        assert one.log() == ""


def test_503_before_and_after_the_request_came_through(start_spine: Start, runner: MakeRunner) -> None:
    """Each result is refused once, then taken but answered 503, and acknowledged on the third and last try."""
    spine = start_spine()
    broker, head = Broker(spine.port), Api(spine.port, TOKENS["HEAD_TOKEN"])
    tries: dict[str, int] = {}
    guard = threading.Lock()

    def judge(method: str, path: str) -> Fate:
        with guard:
            tries[path] = tries.get(path, 0) + 1
            if method == "GET":
                return "pass" if tries[path] % 3 == 0 else "refuse"
            fates: tuple[Fate, ...] = ("refuse", "lose", "pass")
            return fates[tries[path] - 1]

    with FlakyRelay(spine.port, judge) as relay:
        one = runner("mac-1", relay.port)
        ids = [broker.create("ping", str(n)) for n in range(2)]
        plan = broker.create("plan_echo")
        jobs = [awaited(broker, job_id) for job_id in (*ids, plan)]
        posts = [f"/broker/jobs/{job_id}/result" for job_id in (*ids, plan)]
        eventually(lambda: [tries.get(path) for path in posts] == [3] * 3, what="the third try")
        one.kill()
    assert [job["result"] for job in jobs[:2]] == ["pong: 0", "pong: 1"]
    assert one.ran() == [*ids, plan]
    assert [head.job(job_id)["attempts"] for job_id in one.ran()] == [1, 1, 1]
    assert "dropped" not in one.log()
    assert "refused" not in one.log()


def test_a_claim_whose_answer_is_lost(start_spine: Start, runner: MakeRunner) -> None:
    """Weakness 13: the job comes back when its lease is over, and is run once."""
    spine = start_spine(BROKER_LEASE_SECONDS="1")
    broker, head = Broker(spine.port), Api(spine.port, TOKENS["HEAD_TOKEN"])
    job_id = broker.create("ping", "x")
    lost: list[str] = []

    def judge(method: str, path: str) -> Fate:
        if not lost:
            lost.append(path)
            return "lose"
        return "pass"

    with FlakyRelay(spine.port, judge) as relay:
        one = runner("mac-1", relay.port)
        assert awaited(broker, job_id)["result"] == "pong: x"
        one.kill()
    assert lost == ["/broker/jobs/next"]
    assert one.ran() == [job_id]
    assert [a["outcome"] for a in head.attempts(job_id)] == ["expired", "done"]


def test_an_upgrade_under_a_running_job(start_spine: Start, runner: MakeRunner) -> None:
    """The spine is stopped and started while a runner works, and while it polls."""
    spine = start_spine()
    broker, head = Broker(spine.port), Api(spine.port, TOKENS["HEAD_TOKEN"])
    one = runner("mac-1", spine.port)
    one.hold()
    first, second = broker.create("ping", "1"), broker.create("ping", "2")
    eventually(lambda: broker.job(first)["status"] == "running", what="the claim")
    assert spine.stop() == 0
    spine.start()
    one.let_go()
    assert [awaited(broker, job_id)["result"] for job_id in (first, second)] == ["pong: 1", "pong: 2"]
    assert spine.stop() == 0
    eventually(lambda: "poll failed" in one.log(), what="a poll that failed")
    spine.start()
    assert ask(broker, "ping", "3")["result"] == "pong: 3"
    assert len(one.ran()) == 3
    assert [head.job(job_id)["attempts"] for job_id in one.ran()] == [1, 1, 1]
    assert "dropped" not in one.log()


def test_a_runner_that_was_overtaken_goes_on(start_spine: Start, runner: MakeRunner) -> None:
    """Section 10: it is told 409, logs it, and takes the next job."""
    spine = start_spine(BROKER_LEASE_SECONDS="1")
    broker = Broker(spine.port)
    slow = runner("slow", spine.port)
    slow.hold()
    job_id = broker.create("capabilities")
    eventually(lambda: broker.job(job_id)["worker_id"] == "slow", what="the slow one's claim")
    eventually(lambda: broker.job(job_id)["status"] == "queued", what="the end of its lease")
    spine.stop()
    spine.start(BROKER_LEASE_SECONDS="60")
    quick = runner("quick", spine.port)
    quick.hold()
    eventually(lambda: broker.job(job_id)["worker_id"] == "quick", what="the quick one's claim")
    slow.let_go()
    eventually(lambda: f"refused /jobs/{job_id}/result: 409" in slow.log(), what="the refusal")
    quick.let_go()
    assert json.loads(awaited(broker, job_id)["result"])["worker_id"] == "quick"
    quick.kill()
    assert ask(broker, "ping", "on")["worker_id"] == "slow"
