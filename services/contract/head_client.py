"""What only a head says: decisions about jobs, the same for many at once, machines, targets, join codes."""

import re
from collections.abc import Iterable
from copy import copy
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import msgspec
import requests

from contract import wire
from contract.errors import Unavailable
from contract.mail_client import MailClient

_NO_NAME = re.compile(r"^[^A-Za-z0-9]+|[^A-Za-z0-9:+@._-]")
_PERSON_MOST = 128
_JOBS = re.compile(r"^spine_jobs\{[^}\n]*\bstatus=\"(\w+)\"[^}\n]*\} ([0-9.e+]+)$", re.MULTILINE)


class TargetState(msgspec.Struct):
    """Whether a target is paused."""

    target: str
    paused: bool


class Skill(NamedTuple):
    """The skill document as one spine serves it, and its ETag."""

    text: str
    etag: str


class HeadClient(MailClient):
    """The client of a head. Decisions carry an Idempotency-Key, made here unless the caller gives one."""

    def speaking_for(self, person: str) -> Self:
        """Return this client as one whose calls are made for a person, such as `discord:123`. For a chat front's token.

        Connections are shared. Characters that such a name cannot have become `_`.
        """
        found = copy(self)
        found._person = _NO_NAME.sub("_", person)[:_PERSON_MOST] or None
        return found

    # --- jobs ------------------------------------------------------------------------------------------------------

    def submit_all(self, jobs: Iterable[dict[str, Any]], idempotency_key: str | None = None) -> list[wire.Job]:
        """Submit up to 1,000 jobs, all or none; the answer has them in the same order.

        Raises:
            InvalidField: naming the position, such as `[3].target`.
        """
        return self._post("/jobs", list(jobs), wire.JobList, key=idempotency_key).jobs

    def cancel(self, job_id: str, reason: str | None = None, idempotency_key: str | None = None) -> wire.Job:
        """Cancel a job that has not ended; its holder learns it with the next heartbeat."""
        return self._post(_verb(job_id, "cancel"), {"reason": reason}, wire.Job, key=idempotency_key)

    def approve(self, job_id: str, spec_digest: str | None = None, idempotency_key: str | None = None) -> wire.Job:
        """Approve a waiting job; with a digest exactly the spec that was looked at.

        Raises:
            SpecChanged, NotAwaiting
        """
        return self._post(_verb(job_id, "approve"), {"specDigest": spec_digest}, wire.Job, key=idempotency_key)

    def reject(self, job_id: str, reason: str | None = None, idempotency_key: str | None = None) -> wire.Job:
        """Refuse approval: the job is cancelled."""
        return self._post(_verb(job_id, "reject"), {"reason": reason}, wire.Job, key=idempotency_key)

    def review(
        self,
        job_id: str,
        decision: str,
        text: str | None = None,
        fence: int | None = None,
        idempotency_key: str | None = None,
    ) -> wire.Job:
        """Accept a finished job (`accept`), or send it back for another round (`rework`) with what to do differently.

        `fence`: of the result that was looked at.

        Raises:
            NotAwaiting: there is nothing to review (any more). StaleFence: another result has come since.
        """
        asked = {"decision": decision, "text": text, "fence": fence}
        return self._post(_verb(job_id, "review"), asked, wire.Job, key=idempotency_key)

    def retry(self, job_id: str, idempotency_key: str | None = None) -> wire.Job:
        """Queue a job again that has ended badly."""
        return self._post(_verb(job_id, "retry"), {}, wire.Job, key=idempotency_key)

    def adopt(self, job_id: str, fence: int, idempotency_key: str | None = None) -> wire.Job:
        """Make the late result of an attempt the job's result.

        Raises:
            NoLateResult, TerminalStatus, InvalidField
        """
        return self._post(_verb(job_id, "adopt"), {"fence": fence}, wire.Job, key=idempotency_key)

    def why(self, job_id: str) -> wire.Why:
        """Return why a job does not run, what would unblock it first at the top."""
        return self._get(_verb(job_id, "why"), wire.Why)

    def bulk(
        self,
        verb: str,
        narrowed: dict[str, Any],
        *,
        reason: str | None = None,
        cursor: str | None = None,
        idempotency_key: str | None = None,
    ) -> wire.BulkResult:
        """Cancel, retry or release up to 500 jobs that match; go on from `nextCursor` until it is None.

        Args:
            narrowed: members of `wire.Bulk` such as `status`, `target`, `label`, `dryRun`, or `{"all": True}`.
        """
        body = narrowed | {name: value for name, value in (("reason", reason), ("cursor", cursor)) if value is not None}
        return self._post(f"/jobs/bulk/{quote(verb, safe='')}", body, wire.BulkResult, key=idempotency_key)

    def counts(self) -> dict[str, int]:
        """Return how many jobs the spine keeps, by status, as its figures tell."""
        page = self._call("GET", "/metrics").text
        found: dict[str, int] = {}
        for status, number in _JOBS.findall(page):
            found[status] = found.get(status, 0) + int(float(number))
        return found

    def log_state(self, job_id: str, fence: int | None = None) -> wire.LogState:
        """Return how long the newest attempt's log is, or that of the one with `fence`."""
        params = {"limit": 1} | ({} if fence is None else {"fence": fence})
        told = self._call("GET", _verb(job_id, "log"), params=params).headers
        try:
            return wire.LogState(fence=int(told["Spine-Log-Fence"]), size=int(told["Spine-Log-Size"]))
        except (KeyError, ValueError) as e:
            raise Unavailable("the answer does not tell how long the log is") from e

    # --- machines --------------------------------------------------------------------------------------------------

    def machines(self) -> wire.MachineList:
        """Return every machine that has been heard of, and the paused targets."""
        return self._get("/machines", wire.MachineList)

    def machine(self, name: str, verb: str) -> wire.Machine:
        """Drain, pause, resume or revoke a machine. Twice is once."""
        return self._post(_machine(name, verb), {}, wire.Machine, keyed=False)

    def rotate(self, name: str, grace_seconds: int | None = None) -> wire.Joined:
        """Give a machine a new token, shown this once; its others end after the grace.

        A repeat after a lost answer makes one more, which ends the lost one too.
        """
        body = {} if grace_seconds is None else {"graceSeconds": grace_seconds}
        return self._post(_machine(name, "rotate"), body, wire.Joined, keyed=False)

    def join_code(self, name: str, ttl_seconds: int | None = None) -> wire.JoinCode:
        """Make a one-time code with which a machine of that name joins."""
        body = {"name": name} | ({} if ttl_seconds is None else {"ttlSeconds": ttl_seconds})
        return self._post("/machines/join-codes", body, wire.JoinCode, keyed=False)

    def pause_target(self, name: str, paused: bool) -> TargetState:
        """Pause or resume a target. Twice is once."""
        verb = "pause" if paused else "resume"
        return self._post(f"/targets/{quote(name, safe='')}/{verb}", {}, TargetState, keyed=False)

    # --- task groups -----------------------------------------------------------------------------------------------

    def new_group(self, fields: dict[str, Any], idempotency_key: str | None = None) -> wire.Group:
        """Watch a set of jobs; `fields` are the members of `wire.NewGroup` in camelCase."""
        return self._post("/groups", fields, wire.Group, key=idempotency_key)

    def groups(self, **query: str | int) -> wire.GroupList:
        """List groups, the newest first; `query` holds limit, cursor."""
        return self._get("/groups", wire.GroupList, params=query)

    def group(self, group_id: str) -> wire.Group:
        """Return a group, with how its jobs stand now."""
        return self._get(f"/groups/{quote(group_id, safe='')}", wire.Group)

    def close_group(self, group_id: str) -> wire.Group:
        """Watch a group no more. Twice is once."""
        return self._post(f"/groups/{quote(group_id, safe='')}/close", {}, wire.Group, keyed=False)

    # --- documents -------------------------------------------------------------------------------------------------

    def skill_unless(self, etag: str | None) -> Skill | None:
        """Return the skill document, or None when it is still the one with `etag`.

        Raises:
            Unavailable
        """
        headers, url = {"If-None-Match": etag} if etag else {}, self._servers.current
        try:
            answer = self._session().get(
                url + "/skill.md", headers=headers, timeout=self._timeouts, allow_redirects=False
            )
        except requests.RequestException as e:
            self._servers.leave(url)
            raise Unavailable(f"GET {url}/skill.md: no answer ({e.__class__.__name__})") from e
        if answer.status_code == requests.codes.not_modified and etag:
            return None
        if answer.status_code != requests.codes.ok or not answer.content.strip():
            raise Unavailable(f"HTTP {answer.status_code} from {answer.url}, and not the skill of a spine")
        return Skill(answer.content.decode("utf-8", "replace"), answer.headers.get("ETag", ""))


def _verb(job_id: str, verb: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}/{verb}"


def _machine(name: str, verb: str) -> str:
    return f"/machines/{quote(name, safe='')}/{quote(verb, safe='')}"
