"""Rounds of real work under kills: a spine, three machines, jobs from a head that never gives up, and a strict count.

Everything random comes from one seed. What is counted is counted outside the spine: by the ledger and by the remote.
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.claw_process import Machine, processes_of_job
from tests.support.eventually import eventually
from tests.support.ledger import Ledger
from tests.support.reckoning import REACH_SECONDS, Count, await_ends, examine, let_begin, passed_on, submit
from tests.support.repository import Remote
from tests.support.spine_process import TOKENS, SpineProcess
from tests.support.stores import Settings

from contract.client import SpineClient
from contract.retry import ONCE, RetryPolicy
from contract.wire import Job

NAMES = ("storm-1", "storm-2", "storm-3")
SPINE_POINTS = ("spine.claim-committed", "spine.batch-written", "spine.batch-committed")
CLAW_POINTS = (
    "claw.claimed",
    "claw.state-written",
    "claw.before-first-heartbeat",
    "claw.phase-1",
    "claw.phase-2",
    "claw.before-push",
    "claw.after-push",
    "claw.result-written",
    "claw.result-sent",
)
SPINE_BLOWS = (*SPINE_POINTS, "spine at any moment")
CLAW_BLOWS = (*CLAW_POINTS, "resident claw at any moment", "worker at any moment", "machine at any moment")
STOPPED = "machine stopped past its lease"
BLOWS = (*SPINE_BLOWS, *CLAW_BLOWS, STOPPED)

# Long enough that an outage of a second or two costs no lease on a slow machine; short enough to wait for.
LEASE_SECONDS = 10
STUBBORN = RetryPolicy(attempts=40, base_seconds=0.1, cap_seconds=1.0, total_seconds=60.0)


class Storm:
    """One fleet, kept over many rounds."""

    def __init__(self, folder: Path, seed: int, store: Settings | None = None) -> None:
        self.random = random.Random(seed)
        tokens = {name: f"token-of-{name}-0001" for name in NAMES}
        self.spine = SpineProcess(
            folder / "spine",
            {
                "LEASE_SECONDS": str(LEASE_SECONDS),
                "REAPER_INTERVAL_MS": "100",
                "CLAW_TOKENS": ",".join(f"{name}={token}" for name, token in tokens.items()),
                "SPINE_LOG_LEVEL": "warning",
                **(store or {}),
            },
        ).start()
        self.ledger, self.remote = Ledger(folder / "ledger"), Remote(folder / "remote")
        allowed: dict[str, str | None] = {"CLAW_ALLOWED_REPOS": str(self.remote.path.parent)}
        self.machines = [Machine(folder / name, name, token, self.spine.url, allowed) for name, token in tokens.items()]
        self.head = SpineClient(self.spine.url, TOKENS["HEAD_TOKEN"], retry=ONCE)
        self._stubborn = SpineClient(self.spine.url, TOKENS["HEAD_TOKEN"], retry=STUBBORN)

    def close(self) -> None:
        """Kill everything."""
        for machine in self.machines:
            machine.crash()
        self.spine.kill9()

    # --- work ------------------------------------------------------------------------------------------------------

    def submit(self, jobs: int, first_for: str = "any") -> list[str]:
        """Submit jobs, each until it is acknowledged."""
        return submit(self._stubborn, self.ledger, str(self.remote.path), jobs, first_for)

    def settle(self, ids: list[str], count: Count) -> list[Job]:
        """Wait until every job has ended and nobody holds one; note what does not come to that."""
        jobs = await_ends(self._stubborn, ids, lambda: all(machine.at_rest() for machine in self.machines), count)
        count.stuck += [f"{machine.name} holds {machine.held()}" for machine in self.machines if not machine.at_rest()]
        count.stuck += [f"{job_id} left {left}" for job_id in ids if (left := processes_of_job(job_id))]
        return jobs

    def examine(self, jobs: list[Job], count: Count) -> None:
        """Hold what the spine says of each job against what the world says."""
        examine(self._stubborn, self.ledger, self.remote.commits, jobs, count)
        for machine in self.machines:
            for path in [*machine.state.glob("undelivered/*"), *machine.state.glob("*.broken-*")]:
                count.lost.append(f"{machine.name}: {path.name}")

    # --- blows -----------------------------------------------------------------------------------------------------

    def round(self, blow: str, jobs: int) -> Count:
        """Submit jobs, strike once while they are worked on, mend, and count."""
        begun = time.monotonic()
        count = Count(blow)
        victim = self.random.choice(self.machines)
        with self._struck(blow, victim, count) as strike:
            with ThreadPoolExecutor(1) as pool:
                submitted = pool.submit(self.submit, jobs, victim.name)
                strike()
                ids = submitted.result()
            count.jobs = len(ids)
            if len(set(ids)) != jobs:
                count.twice.append(f"{jobs} submits made {len(set(ids))} jobs")
        self.examine(self.settle(ids, count), count)
        count.seconds = time.monotonic() - begun
        return count

    @contextmanager
    def _struck(self, blow: str, victim: Machine, count: Count) -> Iterator["_Strike"]:
        """Arm what is to be killed, and start what does not run."""
        for machine in self.machines:
            if machine is victim and blow in CLAW_POINTS:
                machine.kill_claw()
                machine.run(**machine.armed(blow))
            elif not machine.claws():
                machine.run()
        if blow in SPINE_POINTS:
            self.spine.kill9()
            self.spine.start_armed(blow)
        yield _Strike(self, blow, victim, count)

    def strike(self, blow: str, victim: Machine, count: Count) -> None:
        """Wait for the point, or for a moment while the jobs are worked on; kill; start anew."""
        if blow in SPINE_POINTS:
            count.reached = self._spine_reached(blow)
            self.spine.kill9()
            self.spine.start()
        elif blow in CLAW_POINTS:
            with contextlib.suppress(AssertionError):
                victim.await_point(blow, REACH_SECONDS)
                count.reached = True
            victim.crash()
            victim.run()
        else:
            let_begin(self.ledger, self.random)
            count.reached = True
            if blow.startswith("spine"):
                self.spine.kill9()
                self.spine.start()
            elif blow.startswith("resident"):
                victim.kill_claw()
                victim.run()
            elif blow == STOPPED:
                count.reached = self._stopped(victim)
            elif blow.startswith("worker"):
                count.reached = bool(victim.workers())
                victim.kill_worker()
            else:
                victim.crash()
                victim.run()

    def _stopped(self, victim: Machine) -> bool:
        """Stop a machine until another has been given its job; False when it held none."""
        with contextlib.suppress(AssertionError):
            eventually(lambda: (victim.held() or {}).get("jobId"), 5)
        held = victim.held() or {}
        job_id, fence = held.get("jobId", ""), held.get("fence", 0)
        pids = [*victim.claws(), *victim.workers(), *(processes_of_job(job_id) if job_id else [])]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        try:
            if not job_id:
                return False
            eventually(lambda: passed_on(self._stubborn, job_id, fence), 4 * LEASE_SECONDS, every=0.1)
        except AssertionError:
            return False
        finally:
            for pid in reversed(pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        return True

    def _spine_reached(self, point: str) -> bool:
        with contextlib.suppress(Exception):
            self.spine.await_point(point, REACH_SECONDS)
            return True
        return False


@dataclass
class _Strike:
    """One blow, ready to be struck."""

    storm: Storm
    blow: str
    victim: Machine
    count: Count

    def __call__(self) -> None:
        self.storm.strike(self.blow, self.victim, self.count)
