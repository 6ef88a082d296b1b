"""The client of /schedules, for a head."""

from typing import Any
from urllib.parse import quote

from contract import wire
from contract.answers import read as _read
from contract.head_client import HeadClient
from contract.retry import ONCE


class ScheduleClient(HeadClient):
    """The client of a head that makes schedules."""

    def schedules(
        self, name: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> wire.ScheduleList:
        """Return a page of schedules, oldest first; with `name` those that are called so."""
        asked = {"name": name, "limit": limit, "cursor": cursor}
        params = {key: value for key, value in asked.items() if value is not None}
        return self._get("/schedules", wire.ScheduleList, params=params)

    def make_schedule(self, body: dict[str, Any], idempotency_key: str | None = None) -> wire.Schedule:
        """Make a schedule.

        Raises:
            InvalidField
        """
        return self._post("/schedules", body, wire.Schedule, key=idempotency_key)

    def preview_schedule(self, body: dict[str, Any]) -> wire.DueTimes:
        """Return the next due times of a schedule that is not made.

        Raises:
            InvalidField
        """
        return self._post("/schedules/preview", body, wire.DueTimes, keyed=False)

    def schedule(self, schedule_id: str) -> wire.Schedule:
        """Return one schedule.

        Raises:
            NotFound
        """
        return self._get(_path(schedule_id), wire.Schedule)

    def edit_schedule(self, schedule_id: str, members: dict[str, Any]) -> wire.Schedule:
        """Change members of a schedule; None takes one away. Sent once when it names a `version`.

        Raises:
            NotFound, InvalidField
            Conflict: it is not at that version any more.
        """
        retry = ONCE if "version" in members else None
        return _read(self._call("PATCH", _path(schedule_id), body=members, retry=retry), wire.Schedule)

    def delete_schedule(self, schedule_id: str) -> wire.Schedule:
        """Delete a schedule; return it as it was. Sent once: a repeat would not find it.

        Raises:
            NotFound
        """
        return _read(self._call("DELETE", _path(schedule_id), retry=ONCE), wire.Schedule)

    def run_schedule(self, schedule_id: str, idempotency_key: str | None = None) -> wire.Occurrence:
        """Submit a schedule's job now.

        Raises:
            NotFound
        """
        return self._post(_path(schedule_id, "run"), {}, wire.Occurrence, key=idempotency_key)

    def pause_schedule(self, schedule_id: str, paused: bool) -> wire.Schedule:
        """Pause or resume a schedule. Twice is once.

        Raises:
            NotFound
        """
        return self._post(_path(schedule_id, "pause" if paused else "resume"), {}, wire.Schedule, keyed=False)

    def schedule_runs(
        self, schedule_id: str, limit: int | None = None, cursor: str | None = None
    ) -> wire.OccurrenceList:
        """Return a page of what became of a schedule's due times, newest first.

        Raises:
            NotFound
        """
        params = {key: value for key, value in (("limit", limit), ("cursor", cursor)) if value is not None}
        return self._get(_path(schedule_id, "runs"), wire.OccurrenceList, params=params)

    def next_due(self, schedule_id: str, count: int | None = None) -> wire.DueTimes:
        """Return a schedule's next due times.

        Raises:
            NotFound
        """
        params = {} if count is None else {"n": count}
        return self._get(_path(schedule_id, "next"), wire.DueTimes, params=params)


def _path(schedule_id: str, *more: str) -> str:
    return "/".join(("/schedules", quote(schedule_id, safe=""), *more))
