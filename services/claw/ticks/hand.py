"""One turn of a claw's hand: look at the journal, do the next thing that it calls for. Both `tick` and `run` turn it.

At any moment one process turns it: the holder of the state folder's lock.
"""

import sys
from typing import Literal

import msgspec
import structlog

from claw import capabilities
from claw.leash import Leash
from claw.modes import phases
from claw.runner import launch, machine, outbox
from claw.runner.attempt import Attempt
from claw.runner.claim import claim
from claw.runner.connect import connect
from claw.runner.reconcile import reconcile, standing
from claw.settings import Settings
from claw.state import Held, Journal
from contract.clock import SystemClock
from contract.errors import Unauthorized
from contract.fleet_client import FleetClient
from contract.retry import PATIENT, RetryPolicy

Turn = Literal["idle", "working", "waiting", "again"]
"""idle: nothing to do. working: a worker runs. waiting: the outbox could not be delivered. again: turn once more."""

log = structlog.get_logger()


class Hand(msgspec.Struct, kw_only=True):
    """What a turn needs. `leash` is pulled when the claw is to take nothing new, `work` when a phase is to end."""

    settings: Settings
    client: FleetClient
    journal: Journal
    leash: Leash
    work: Leash
    clock: SystemClock = msgspec.field(default_factory=SystemClock)

    def held(self) -> Held | None:
        """Return what the journal holds; a broken file is reported and set aside."""
        held, note = self.journal.load()
        if note is not None:
            log.error("claw.state_broken", why=note)
            print(note, file=sys.stderr)  # noqa: T201 - for whoever reads cron's mail
        return held

    def turn(self, wait: float) -> Turn:
        """Do the next thing; `wait` is how long a claim may wait at the spine (s).

        Raises:
            SpineError: the spine could not be reached or refuses this claw.
        """
        held = self.held()
        if held is None or held.job is None:
            if self.leash.pulled():
                return "idle"
            found = capabilities.find(self.settings)
            held = claim(self.settings, self.client, self.journal, self.clock, found, wait)
            if held is None:
                return "idle"
        if held.outcome is not None:
            return self._deliver(held)
        return self._phase(held) if held.mode == "phases" else self._worker(held)

    def _deliver(self, held: Held) -> Turn:
        if launch.running(held):
            return "working"  # the worker is delivering it
        how = outbox.deliver(self.client, self.journal, held)
        if how == "locked out":
            raise Unauthorized(f"the token is refused; what job {held.job_id} came to is kept in {self.journal.path}")
        if how == "waiting":
            return "waiting"
        launch.tidy(self.settings, held)
        return "again"

    def _worker(self, held: Held) -> Turn:
        if not launch.begun(held):
            if self.leash.pulled():
                return "idle"
            launch.start(self.settings, self.journal, held)
            return "working"
        if launch.running(held):
            return "working"
        return self._bury(held)

    def _phase(self, held: Held) -> Turn:
        if held.in_phase:
            return self._bury(held)  # the process that ran it has died: we hold the lock
        with self.work.branch() as leash:
            attempt = Attempt(self.settings, self.client, self.journal, held, leash, patient=False)
            done = attempt.carry_on(phases.walk)
        if done:
            return "again"
        return "waiting" if held.outcome is not None else "working"

    def _bury(self, held: Held) -> Turn:
        # The worker may have ended well between our look at the journal and our look at it.
        now = self.held()
        if now is None or now.outcome is not None or now.job_id != held.job_id or now.fence != held.fence:
            return "again"
        if now.mode == "worker" and launch.resumable(now):
            launch.sweep(now)
            now.restarts += 1
            launch.start(self.settings, self.journal, now)
            return "working"
        launch.mourn(self.journal, now)
        return self._deliver(now)

    def ask(self) -> bool:
        """Beat for what is held, changing nothing; tells whether it is lost."""
        held, _ = self.journal.peek()
        return held is not None and standing(self.client, held)[0] == "lost"

    def tell_facts(self, *, anyway: bool = False) -> bool:
        """Say what this machine is and can do, when it is time for it; tells whether it was said now."""
        return machine.tell_when_due(self.settings, self.client, self.journal, anyway=anyway)

    def look_after(self) -> None:
        """Ask the spine about what is held, and end what is not ours any more."""
        held = self.held()
        if held is not None:
            launch.take_up(self.settings, self.journal, held)
            reconcile(self.settings, self.client, self.journal, held)


def make(settings: Settings, journal: Journal, leash: Leash, work: Leash, retry: RetryPolicy = PATIENT) -> Hand:
    """Build a hand with a client of its own, whose waits end when the leash is pulled."""
    client = connect(settings, journal, retry=retry, sleep=leash.wait)
    return Hand(settings=settings, client=client, journal=journal, leash=leash, work=work)
