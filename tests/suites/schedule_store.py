"""A store with schedules: the verbs of a head, and the tick, said shortly."""

from typing import Any

import msgspec
from tests.suites.harness import HEAD, Store

from contract import wire
from contract.clock import iso, parse_iso
from spine.queue import firing, schedule_plan, schedules
from spine.queue.schedules import Definition
from spine.store import occurrences
from spine.store import schedules as rows
from spine.store.engine import Tx
from spine.store.jobs import JobRow
from spine.store.occurrences import OccurrenceRow
from spine.store.schedules import ScheduleRow


class Scheduler:
    """The schedules of a store."""

    def __init__(self, store: Store) -> None:
        self.store, self.clock = store, store.clock

    def definition(self, fields: dict[str, Any], times: bool = True) -> Definition:
        """Check what a head sent, as the server does."""
        data = msgspec.json.encode({"name": "nightly", "job": {}} | fields)
        request = msgspec.json.decode(data, type=wire.NewSchedule)
        job = msgspec.json.decode(bytes(request.job), type=wire.Submit)
        schedule_plan.check(self.store.rules, request, job, self.clock.now(), times)
        members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        return Definition(request, schedule_plan.definition(members))

    def make(self, **fields: Any) -> ScheduleRow:
        """Make a schedule; `fields` as on the wire."""
        made = self.definition(fields)
        return self.store.write(lambda tx: schedules.make(tx, HEAD, made))

    def edit(self, row: ScheduleRow, **fields: Any) -> ScheduleRow:
        """Change some members; None takes one away."""
        kept = msgspec.json.decode(self.row(row.id).definition)
        made = self.definition({n: v for n, v in (kept | fields).items() if v is not None})
        seen = self.row(row.id).version
        return self.store.write(lambda tx: schedules.edit(tx, HEAD, row.id, seen, made, None))

    def pause(self, row: ScheduleRow, paused: bool = True) -> ScheduleRow:
        """Pause a schedule, or resume it."""
        return self.store.write(lambda tx: schedules.pause(tx, HEAD, row.id, paused))

    def run(self, row: ScheduleRow) -> OccurrenceRow:
        """Run a schedule's job now."""
        return self.store.write(lambda tx: firing.run_now(tx, self.store.rules, HEAD, schedules.find(tx, row.id)))

    def delete(self, row: ScheduleRow) -> None:
        """Delete a schedule."""
        self.store.write(lambda tx: schedules.delete(tx, "head", schedules.find(tx, row.id)))

    def tick(self) -> None:
        """Do all that is to be done now, in as many transactions as it takes."""
        while self.store.write(lambda tx: firing.fire(tx, self.store.rules)):
            pass

    def pass_to(self, moment: str) -> None:
        """Let time pass up to a moment (ISO), then tick."""
        self.clock.wall = parse_iso(moment)
        self.tick()

    # --- looks -----------------------------------------------------------------------------------------------------

    def row(self, schedule_id: str) -> ScheduleRow:
        """Return a schedule that must be there."""
        found = self.store.read(lambda tx: rows.find(tx, schedule_id))
        assert found is not None
        return found

    def shown(self, row: ScheduleRow) -> wire.Schedule:
        """Return a schedule as a head sees it."""
        return self.store.read(lambda tx: schedules.record(tx, schedules.find(tx, row.id)))

    def runs(self, row: ScheduleRow) -> list[OccurrenceRow]:
        """Return what became of each due time, oldest first."""
        return [one.row for one in self.store.read(lambda tx: occurrences.page(tx, row.id, 2**62, 10_000))][::-1]

    def outcomes(self, row: ScheduleRow) -> list[tuple[str, str]]:
        """Return due time and outcome of each occurrence, oldest first."""
        return [(iso(run.due_at)[:19], run.status) for run in self.runs(row)]

    def job_of(self, run: OccurrenceRow) -> JobRow:
        """Return an occurrence's job, which must be there."""
        assert run.job_id is not None
        return self.store.job(run.job_id)

    def jobs(self, row: ScheduleRow) -> list[JobRow]:
        """Return a schedule's jobs, oldest first."""
        return [self.job_of(run) for run in self.runs(row) if run.job_id is not None]

    def end(self, job: JobRow, result: str | None = '"ok"', error: str | None = None) -> None:
        """Claim a job and end it: done, or failed with an error; then tick."""
        held = self.store.claim(job.id)
        if error is None:
            self.store.complete(job.id, held.fence, result=result)
        else:
            self.store.fail(job.id, held.fence, error=error, requeue=False, result=result)
        self.tick()

    def next_moment(self) -> int | None:
        """Return when the tick has something to do next (ms)."""

        def look(tx: Tx) -> int | None:
            return firing.first_moment(tx)

        return self.store.read(look)
