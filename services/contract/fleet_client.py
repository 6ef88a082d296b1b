"""What a claw says of itself, and how a machine becomes one: the client of /machines, /join and /skill.md."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from contract import wire
from contract.answers import read
from contract.mail_client import MailClient
from contract.retry import ONCE


class Document(NamedTuple):
    """A document and its ETag; "" where the server gave none."""

    text: str
    etag: str


class FleetClient(MailClient):
    """A client of one machine's own affairs, besides those of its jobs."""

    def join(self, code: str, capabilities: list[str], facts: Mapping[str, Any]) -> wire.Joined:
        """Trade a one-time code for a token. Sent once: a code that the spine has taken is not taken again.

        Raises:
            NotFound: the code is unknown, used or over.
        """
        body = {"code": code, "capabilities": capabilities, "facts": dict(facts)}
        return read(self._call("POST", "/join", body=body, retry=ONCE), wire.Joined)

    def earlier(self, job_id: str) -> list[wire.EarlierRun]:
        """Return what runs before a job that this claw holds came to, as its schedule's `context` asks.

        Raises:
            NotOwner, NotRunning: it is not held any more.
        """
        return self._get(f"/jobs/{quote(job_id, safe='')}/earlier", wire.EarlierRuns).runs

    def machines(self) -> wire.MachineList:
        """Return the machines that this token may see; a claw sees itself, once it has been heard of."""
        return self._get("/machines", wire.MachineList)

    def tell_facts(self, name: str, capabilities: list[str], facts: Mapping[str, Any]) -> wire.Machine:
        """Say what the machine `name` is and can do; repeating it is harmless.

        Raises:
            Forbidden: the token is another machine's.
        """
        body = {"capabilities": capabilities, "facts": dict(facts)}
        return self._post(f"/machines/{quote(name, safe='')}/facts", body, wire.Machine, keyed=False)

    def rotate(self, name: str, grace_seconds: int) -> wire.Joined:
        """Get a new token for the machine `name`; the ones before end after the grace (s). Sent once.

        Raises:
            Forbidden: the token is another machine's. NotFound: it is not known, or revoked.
        """
        path = f"/machines/{quote(name, safe='')}/rotate"
        return read(self._call("POST", path, body={"graceSeconds": grace_seconds}, retry=ONCE), wire.Joined)

    def skill_document(self, etag: str = "") -> Document | None:
        """Return the skill document, or None when it is still the one with this ETag."""
        answer = self._call("GET", "/skill.md", headers={"If-None-Match": etag} if etag else None)
        if answer.status_code == 304:
            return None
        return Document(answer.content.decode(), answer.headers.get("ETag", ""))
