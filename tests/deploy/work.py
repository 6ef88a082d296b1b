"""Work of a fleet while something happens to it, and a strict count of what came of it."""

import contextlib
import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.deploy.fleet import Fleet
from tests.support.eventually import eventually
from tests.support.impatient import Load
from tests.support.reckoning import Count
from tests.support.systemd_host import Host

END_SECONDS = 90.0
# Calls the spine over and over, each time with the token that its file has at this moment, and tries nothing again.
KNOCK = """
import json, sys, time, urllib.request
url, file = sys.argv[1:]
calls, failed = 0, []
while True:
    try:
        token = open(file).read().strip()
        call = urllib.request.Request(url + "/jobs?limit=1", headers={"Authorization": "Bearer " + token})
        urllib.request.urlopen(call, timeout=20).read()
    except Exception as e:
        failed.append(repr(e))
    calls += 1
    try:
        open("/root/enough").close()
        break
    except FileNotFoundError:
        time.sleep(0.05)
print(json.dumps([calls, failed]))
"""


class Work:
    """Calls that are tried once, jobs that claws do meanwhile, and one on left-claw that lasts until it is let go."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.head = fleet, fleet.head()
        self.load = Load(self.head, self._job)
        self._next_work = 0.0
        self._before = set(self.load.all_jobs())
        self._label = f"work-{len(self._before)}"
        self._ledger = f"/var/lib/claw/{self._label}"
        self._note = f'echo "$SPINE_JOB_ID $SPINE_FENCE" >> {self._ledger}'
        gated = f"{self._note}; while [ ! -e {self._ledger}.gate ]; do sleep 0.1; done"
        self._long = self.head.submit(target="left-claw", spec={"run": gated}, maxAttempts=9, label=self._label)["id"]
        eventually(self._lines, 60, what="the begin of the long job")

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Call and work until the block ends."""
        turns = [self.load.caller(0.1), self.load.keeper(0.1), self.load.keeper(0.6)]
        with self.load.running([*turns, self.load.late_speaker, self.load.late_speaker]):
            eventually(lambda: self.load.calls > 10, 30, what="the first calls")
            yield
            # What was done meanwhile may have been quicker than that.
            eventually(lambda: self.load.calls > 100, 60, what="a hundred calls")

    def long_job(self) -> dict[str, Any]:
        """Return the job that lasts, as it is now."""
        return self.head.job(self._long)

    def reckon(self, count: Count | None = None) -> list[str]:
        """Let the long job go, wait for the end of all, and count; return everything that must not be.

        That is: a call that was refused, a job that was acknowledged and is lost, one that is there unasked, one that
        does not end, and one that was done twice. An attempt that was begun anew under a new fence is none of these.
        """
        count = count or Count("")
        count.reached = True
        count.lost += [f"refused: {told}" for told in self.load.failed]
        self.fleet.left.run(f"touch {self._ledger}.gate")
        with contextlib.suppress(AssertionError):
            eventually(lambda: not self._unfinished(), END_SECONDS, every=0.2)
        count.stuck += [f"{job['id']} is {job['status']}: {job['error']}" for job in self._unfinished()]
        there = set(self.load.all_jobs()) - self._before
        asked = {*self.load.acknowledged, self._long}
        count.jobs = len(asked)
        count.lost += [f"{job_id} was acknowledged" for job_id in asked - there]
        count.twice += [f"{job_id} is there, unacknowledged" for job_id in there - asked]
        runs = Counter(self._lines())
        count.twice += [f"{job_id} ran twice under fence {fence}" for (job_id, fence), n in runs.items() if n > 1]
        for job in self._work():
            done = [attempt["fence"] for attempt in self.head.attempts(job["id"]) if attempt["outcome"] == "done"]
            if done != [job["fence"]]:
                count.twice.append(f"{job['id']} was accepted by {done}, fence {job['fence']}")
            if runs[(job["id"], job["fence"])] == 0:
                count.lost.append(f"{job['id']} is done, and did nothing")
            count.again += sum(job_id == job["id"] for job_id, _ in runs) - 1
        return count.faults()

    def _job(self, _number: int) -> dict[str, Any]:
        # One every other second is work; the others wait for tomorrow.
        if time.monotonic() > self._next_work:
            self._next_work = time.monotonic() + 2.0
            return {"target": "any", "spec": {"run": self._note}, "label": self._label, "maxAttempts": 9}
        return {"target": "any", "spec": {"run": "true"}, "delaySeconds": 86_400}

    def _work(self) -> list[dict[str, Any]]:
        jobs: list[dict[str, Any]] = self.head.get(f"/jobs?label={self._label}&limit=1000").json["jobs"]
        return jobs

    def _unfinished(self) -> list[dict[str, Any]]:
        try:
            return [job for job in self._work() if job["status"] != "done"]
        except (OSError, http.client.HTTPException) as e:  # it is on its way back
            raise AssertionError(repr(e)) from None

    def _lines(self) -> list[tuple[str, int]]:
        """Return what the claws have noted: job and fence of each run."""
        look = f"cat {self._ledger} 2>/dev/null"
        said = [host.run(look, check=False).text for host in (self.fleet.left, self.fleet.right)]
        return [(job_id, int(fence)) for job_id, fence in (line.split() for line in "".join(said).splitlines())]


@dataclass
class Knocks:
    """How often a machine called, and what failed."""

    calls: int = 0
    failed: list[str] = field(default_factory=list)


@contextmanager
def knocking(host: Host, url: str, name: str) -> Iterator[Knocks]:
    """Call from a machine, with the token of this name from its file, until the block ends; then tell how it went."""
    host.run("rm -f /root/enough")
    host.put({"/root/knock.py": KNOCK})
    command, knocks = f"python3 /root/knock.py {url} /etc/spinal-cord/secrets/{name}.token", Knocks()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(host.run, command, 300)
        try:
            yield knocks
        finally:
            host.run("touch /root/enough")
        knocks.calls, knocks.failed = json.loads(running.result().text)
