"""Rounds of real work in containers under kills and cut networks, while heads go on submitting, and a strict count.

What is counted is counted outside the spine: by the ledger, by the remote, and by what was acknowledged to a submit.
"""

import contextlib
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from docker.errors import APIError
from tests.support.eventually import eventually
from tests.support.reckoning import REACH_SECONDS, Count, await_ends, examine, let_begin, passed_on, submit
from tests.support.stack import CLAWS, LEASE_SECONDS, MAIN, SERVICES, Stack

from contract.wire import Job

BLOWS = (
    "container of the spine killed",
    "main process of a claw killed",
    "claw cut off past its lease",
    "container of a claw killed",
    "main process of the spine killed",
    "claw cut off for a moment",
    "spine cut off for a moment",
    "all containers killed",
)
JOBS = 9
SUBMITTERS = 4
SUBMITS_MOST = 200  # of each
UP_SECONDS = 60.0
REMOTE = "/ledger/app.git"
MAKE_REMOTE = f"""set -e
git init --quiet --bare --initial-branch=main {REMOTE}
cd $(mktemp -d)
git init --quiet --initial-branch=main .
echo one > file.txt
git add .
git -c user.name=Tester -c user.email=tester@localhost commit --quiet --message Begin
git push --quiet {REMOTE} main
"""
# The state file, what could not be delivered or read, and the jobs whose processes run.
LOOK = """cat /state/current-job.json 2>/dev/null | tr -d '\\n'
echo
ls -d /state/undelivered/* /state/*.broken-* 2>/dev/null
cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep ^SPINE_JOB_ID= | sort -u
exit 0
"""


class StackStorm:
    """One project, kept over many rounds."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.stack, self.random = stack, random.Random(seed)
        self._rounds = 0
        code, output = stack.sh("left-claw", f"[ -e {REMOTE} ] || {{\n{MAKE_REMOTE}\n}}")
        assert code == 0, output

    def round(self, blow: str, jobs: int = JOBS) -> Count:
        """Submit jobs, strike once while they are worked on and more are submitted, mend, and count."""
        begun = time.monotonic()
        count, victim = Count(blow), self.random.choice(CLAWS)
        self._rounds += 1
        label = f"kept-{self._rounds}"
        with self._submitting(label) as acknowledged:
            ids = submit(self.stack.stubborn, self.stack.ledger, REMOTE, jobs, victim)
            let_begin(self.stack.ledger, self.random)
            count.reached = self._strike(blow, victim)
            eventually(self.stack.serving, UP_SECONDS, every=0.1, what="the spine after a blow")
        count.jobs = jobs + len(acknowledged)
        if len(set(ids)) != jobs:
            count.twice.append(f"{jobs} submits made {len(set(ids))} jobs")
        self._count_submits(label, acknowledged, count)
        examine(self.stack.stubborn, self.stack.ledger, self._commits, self._settle(ids, count), count)
        count.seconds = time.monotonic() - begun
        return count

    # --- submits under way -----------------------------------------------------------------------------------------

    @contextmanager
    def _submitting(self, label: str) -> Iterator[list[str]]:
        """Submit jobs that wait, from several threads, until the body ends; gives the ids that were acknowledged."""
        stop, found = threading.Event(), list[str]()
        fields = {"target": "any", "spec": {"run": "true"}, "label": label, "delaySeconds": 86_400}

        def go_on() -> list[str]:
            ids = []
            while len(ids) < SUBMITS_MOST and not stop.wait(0.01):
                ids.append(self.stack.stubborn.submit(fields).id)
            return ids

        with ThreadPoolExecutor(SUBMITTERS) as pool:
            running = [pool.submit(go_on) for _ in range(SUBMITTERS)]
            try:
                yield found
            finally:
                stop.set()
            for one in running:
                found += one.result()

    def _count_submits(self, label: str, acknowledged: list[str], count: Count) -> None:
        """Hold what was acknowledged against what is there: nothing may be missing, and nothing be there unasked."""
        there = [job.id for job in self.stack.stubborn.jobs(label=label).jobs]
        count.lost += [f"{job_id} was acknowledged" for job_id in set(acknowledged) - set(there)]
        if len(set(acknowledged)) != len(acknowledged):
            count.twice.append(f"{len(acknowledged)} submits were told {len(set(acknowledged))} ids")
        count.twice += [f"{job_id} is there, unacknowledged" for job_id in set(there) - set(acknowledged)]
        cursor = None
        while True:
            done = self.stack.stubborn.bulk("cancel", {"label": label}, cursor=cursor)
            if (cursor := done.next_cursor) is None:
                return

    # --- looking ---------------------------------------------------------------------------------------------------

    def _settle(self, ids: list[str], count: Count) -> list[Job]:
        """Wait until every job has ended and nobody holds one; note what does not come to that."""
        jobs = await_ends(self.stack.stubborn, ids, lambda: not any(map(self._held, CLAWS)), count)
        count.stuck += [f"{claw} holds {held}" for claw in CLAWS if (held := self._held(claw))]
        for service in SERVICES:
            state = self.stack.container(service).attrs["State"]
            if state["Status"] != "running" or state["OOMKilled"]:
                count.stuck.append(f"{service} is {state['Status']}")
        return jobs

    def _held(self, claw: str) -> list[str]:
        """Return what a claw holds, could not deliver, or has left running."""
        try:
            code, output = self.stack.sh(claw, LOOK)
        except APIError as e:  # it is being restarted
            return [str(e)]
        if code != 0:
            return [output]
        state, *others = output.split("\n")
        held = json.loads(state or "{}")
        # A claim that waits for its answer is no job.
        return ([state] if held.get("job") is not None else []) + [line for line in others if line]

    def _commits(self, job_id: str) -> list[str]:
        """Return the commits that a job's branch has and main has not."""
        for claw in CLAWS:
            with contextlib.suppress(APIError):
                code, output = self.stack.sh(claw, f"git -C {REMOTE} log --format=%H main..spine/job-{job_id}")
                return output.split() if code == 0 else []
        raise AssertionError("no claw runs")

    # --- blows -----------------------------------------------------------------------------------------------------

    def _strike(self, blow: str, victim: str) -> bool:
        """Do what the blow says and mend it; tells whether it came about."""
        struck = "spine" if "spine" in blow else victim
        if blow.startswith("all"):
            self._kill(*SERVICES)
        elif blow.startswith("container"):
            self._kill(struck)
        elif blow.startswith("main process"):
            return self._kill_main(struck)
        elif blow.endswith("past its lease"):
            return self._cut_past_lease(victim)
        else:
            self.stack.cut(struck)
            try:
                time.sleep(self.random.uniform(0.5, 3.0))
            finally:
                self.stack.join(struck)
        return True

    def _kill(self, *services: str) -> None:
        containers = [self.stack.container(service) for service in services]
        with ThreadPoolExecutor(len(containers)) as pool:
            list(pool.map(lambda container: container.kill(), containers))
            list(pool.map(lambda container: container.start(), containers))

    def _kill_main(self, service: str) -> bool:
        """Kill -9 the process that the init runs; the container ends with it, and its restart policy brings it back."""
        before = self.stack.container(service).attrs["State"]["StartedAt"]
        with contextlib.suppress(APIError):
            self.stack.sh(service, f"kill -9 {MAIN}")

        def back() -> bool:
            state = self.stack.container(service).attrs["State"]
            return bool(state["Running"] and state["StartedAt"] != before)

        with contextlib.suppress(AssertionError):
            eventually(back, UP_SECONDS, every=0.05)
            return True
        return False

    def _cut_past_lease(self, victim: str) -> bool:
        """Cut a claw off until another has been given its job; False when it held none."""

        def holds() -> Job | None:
            jobs = self.stack.stubborn.jobs(status="running", machine=victim).jobs
            return jobs[0] if jobs else None

        try:
            job = eventually(holds, REACH_SECONDS, every=0.01)
        except AssertionError:
            return False
        self.stack.cut(victim)
        try:
            eventually(lambda: passed_on(self.stack.stubborn, job.id, job.fence), 4 * LEASE_SECONDS, every=0.1)
        except AssertionError:
            return False
        finally:
            self.stack.join(victim)
        return True
