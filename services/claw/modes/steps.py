"""One phase of a job: started, watched, its end judged and recorded. Which phase comes when is for the modes to say."""

import shlex
from collections.abc import Callable
from typing import Any

import msgspec

from claw import dialects, exits, outcome
from claw.dispatching import Dispatching
from claw.executors import agent, broker, builtin, dispatch, shell, skyclaw
from claw.executors.base import Place, Refused
from claw.leash import Leash
from claw.outcome import Outcome
from claw.process.run import Ended, run_guarded
from claw.process.spool import Spool
from claw.settings import Settings
from claw.spec import HostCommand, Phase, Plan, RunnerOrder
from claw.state import Held, Journal, PhaseDone
from contract.clock import Clock
from contract.durable import write_durably
from contract.killpoints import reach


class Steps(msgspec.Struct, kw_only=True):
    """What a phase needs. `tell` takes the progress that the next heartbeat carries."""

    settings: Settings
    clock: Clock
    journal: Journal
    held: Held
    plan: Plan
    place: Place
    spool: Spool
    leash: Leash
    tell: Callable[[dict[str, Any]], None]

    def run_next(self) -> Outcome | None:
        """Run the next phase; returns how the job ends when this was the last thing to do, else None."""
        held, index = self.held, self.held.phase
        if held.all_run():
            return self._judged()  # a process before this one ran the last phase and died
        if self.leash.pulled():
            return self._stopped()
        phase = self.plan.phases[index]
        held.in_phase = True
        self.journal.save(held)
        of = len(self.plan.phases)
        self.tell({"phase": phase.name, "index": index + 1, "of": of, "percent": 100 * index // of})
        reach(f"claw.phase-{index + 1}")
        try:
            ended, limit, whole = self._run(phase)
        except Refused as e:
            return outcome.fail(str(e), requeue=False)
        held.phases = [*held.phases, PhaseDone(name=phase.name, exit_code=ended.code, seconds=round(ended.seconds, 3))]
        held.phase, held.in_phase = index + 1, False
        self.journal.save(held)
        if ended.stopped:
            return self._stopped()
        if ended.timed_out:
            return outcome.fail(f"{'the job' if whole else self._named(phase.name)} timed out after {limit} s")
        judged = self._judged()
        return None if judged.action == "complete" and held.phase < of else judged

    def _judged(self) -> Outcome:
        """Judge the newest phase by its exit code; of a foreign job the report tells what came of it."""
        if self.plan.foreign is not None:
            return outcome.complete({})
        last = self.held.phases[-1]
        return outcome.from_exit(
            last.exit_code, self.spool.last_line(), self._named(last.name), self.plan.permanent_exits
        )

    def _named(self, phase: str) -> str:
        return "the job" if len(self.plan.phases) == 1 else f"phase {phase!r}"

    def _run(self, phase: Phase) -> tuple[Ended, int, bool]:
        """Run one phase; also returns its limit (s) and whether that is what was left for the whole job."""
        limit, whole, left = self._limits(phase)
        if self.plan.builtin is not None:
            return builtin.run(self.plan.builtin, self.place, self.settings), limit, whole
        if self.plan.foreign is not None:
            return self._run_foreign(self.plan.foreign, limit, left), limit, whole
        if self.plan.text is not None and not self.settings.agent_command and self.settings.dispatching is not None:
            return self._run_session(self.settings.dispatching, left), limit, whole
        if self.plan.text is not None:
            words = agent.command(self.settings.agent_command, self.place)
        else:
            words = shell.command(phase.run, self.place, self.settings.allowed_commands)
            shown = phase.run if isinstance(phase.run, str) else shlex.join(phase.run)
            self.spool.say(f"--- {phase.name}: {shown.splitlines()[0][:200]}")
        self.spool.begin()
        ended = run_guarded(
            words,
            cwd=self.place.workspace,
            env=self.place.env,
            sink=self.spool.write,
            timeout_seconds=left,
            grace_seconds=self.settings.kill_grace_seconds,
            stop=self.leash.pulled,
        )
        self.spool.settle()
        return ended, limit, whole

    def _run_session(self, used: Dispatching, left: float) -> Ended:
        bounds = dispatch.Bounds(left, self.settings.kill_grace_seconds, self.leash.pulled)
        planned = self.plan.planned is not None
        return dispatch.run(used, self.held.claimed(), self.place, self.spool, self.tell, bounds, planned)

    def _run_foreign(self, foreign: HostCommand | RunnerOrder, limit: int, left: float) -> Ended:
        """Do a job of another dialect; its report goes where a command's result would go: into the result file."""
        begun, dialect = self.clock.now(), dialects.dialect_of(self.plan)
        if dialect not in self.settings.dialects.names:
            raise Refused(
                f"requires: this claw runs no jobs of {dialect}; name it in CLAW_DIALECTS, or use another claw"
            )
        if isinstance(foreign, RunnerOrder):
            report = broker.run(foreign, self.held.job_id, self.settings)
            seconds = (self.clock.now() - begun) / 1000
            ended = Ended(exits.CHILD_OK, timed_out=False, stopped=False, seconds=seconds)
        else:
            bounds = skyclaw.Bounds(limit=limit, left_seconds=left, stop=self.leash.pulled)
            ended, report = skyclaw.run(foreign, self.place, self.settings, self.spool.write, bounds)
            self.spool.settle()
        # What the command itself has written there does not count.
        write_durably(self.place.result_file, msgspec.json.encode(report))
        return ended

    def _limits(self, phase: Phase) -> tuple[int, bool, float]:
        """Return the limit that applies (s), whether it is the job's, and what of it is left (s)."""
        whole = self.held.claimed().timeout_seconds or self.settings.max_job_seconds
        left = whole - (self.clock.now() - self.held.claimed_at_ms) / 1000
        if phase.timeout_seconds is not None and phase.timeout_seconds < left:
            return phase.timeout_seconds, False, float(phase.timeout_seconds)
        return whole, True, max(left, 0.0)

    def _stopped(self) -> Outcome:
        if self.leash.why == "drain":
            return outcome.release(f"given back: {self.leash.detail}", count_attempt=False)
        return outcome.drop(self.leash.detail)
