"""Jobs that people start, and what they approve: within their limits, each once, with an answer that is owed."""

import asyncio
import hashlib
import re
from typing import Any, NamedTuple

import structlog

from chat import words
from chat.limits import Limits
from chat.owed import owed
from chat.render import plan_id_of
from chat.spine import Spine
from chat.transport import Reply, Transport, key_of
from chat.waits import Waits
from contract import errors, wire
from contract.errors import SpineError
from contract.head_client import HeadClient
from contract.servers import nobody_there
from contract.states import Status

_log = structlog.get_logger()

BROKER = "broker"
"""What a job that is one of the broker's commands requires."""
JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_APPROVED = re.compile(r"plan approved with job (\S+)")
_ENDED_BADLY = frozenset({Status.FAILED, Status.DEAD, Status.CANCELLED})


class Call(NamedTuple):
    """Who asked for something, where, and how he is answered. `source`: the id of the message or the press.

    `client` speaks for him: the spine's records say who decided.
    """

    by: Transport
    client: HeadClient
    label: str
    channel_id: str
    source: str
    answers: str | None

    async def say(self, reply: Reply | str) -> None:
        """Answer him, once.

        Raises:
            CannotSay
        """
        said = Reply(reply) if isinstance(reply, str) else reply
        key = key_of(self.by.name, self.channel_id, self.source, "answer")
        await self.by.say(self.channel_id, said, key, self.answers)


class Creator:
    """Creates jobs for users."""

    def __init__(self, spine: Spine, waits: Waits, limits: Limits) -> None:
        self._spine, self._waits, self._limits = spine, waits, limits
        self._plans = asyncio.Lock()

    async def start(self, call: Call, fields: dict[str, Any], prefix: str) -> None:
        """Create a job, or say why not; its replies follow by themselves.

        Raises:
            SpineError, CannotSay
        """
        found = await self._create(call, fields, prefix)
        if isinstance(found, str):
            await call.say(found)

    async def _create(self, call: Call, fields: dict[str, Any], prefix: str) -> wire.Job | str:
        """Create a job when the user may have one more; return it, or why there is none.

        Raises:
            SpineError
        """
        async with self._limits.turn(call.label) as refusal:
            if refusal is not None:
                return refusal
            fields = {**fields, "label": call.label}
            entry = owed(call.by.name, call.channel_id, call.source, call.answers, prefix=prefix, fields=fields)
            await self._waits.owe(entry)
            try:
                job = await self._waits.create(entry)
            except SpineError as e:
                await self._waits.forget(entry)
                unsure = isinstance(e, errors.Unavailable) and not (e.__cause__ and nobody_there(e.__cause__))
                if not unsure:
                    raise
                return words.SPINE_UNSURE
            self._limits.started(call.label)
        self._waits.follow(entry)
        return job

    async def owe(self, call: Call, job_id: str) -> None:
        """Say the end of a job that was there before."""
        entry = owed(call.by.name, call.channel_id, call.source, call.answers, job_id=job_id, told=True)
        await self._waits.owe(entry)
        self._waits.follow(entry)

    async def approve(self, call: Call, wanted: str) -> bool:
        """Approve a job that waits for it, or have a plan approved; tell whether it is approved now.

        Raises:
            SpineError, CannotSay
        """
        async with self._plans:  # a plan is approved once: whoever asks next sees the comment
            try:
                job = await self._spine.call(self._spine.client.job, wanted)
            except (errors.NotFound, errors.Gone):
                job = None
            asked = None if job is None else job.approval
            pending = asked if asked is not None and asked.state == "pending" else None
            if pending is not None:
                await self._spine.call(call.client.approve, wanted, pending.spec_digest)
                said, done = words.approved(wanted), True
            else:
                said, done = await self._approve_plan(call, wanted, job)
        # Only now: a chat that is slow holds up nobody else's approval.
        if said:
            await call.say(said)
        if pending is not None:
            await self.owe(call, wanted)
        return done

    async def _approve_plan(self, call: Call, wanted: str, plan: wire.Job | None) -> tuple[str, bool]:
        """Have a plan approved by a job; return what is to be said, if anything, and whether the plan is approved.

        `plan`: the job that made it, None when it was made by other means.
        """
        fields = broker("approve_echo", wanted)
        if plan is not None:
            if plan_id_of(plan) != wanted or not isinstance(plan.result, str):
                return words.NOTHING_TO_APPROVE, False
            before = await self._approved_by(plan)
            if before is not None:
                return words.approved_before(wanted, before), True
            digest = hashlib.sha256(plan.result.encode()).hexdigest()
            fields["spec"]["plan"] = {"id": wanted, "jobId": plan.id, "digest": digest}
        approval = await self._create(call, fields, words.APPROVAL_PREFIX)
        if isinstance(approval, str):
            return approval, False
        if plan is not None:
            await self._note(call, plan.id, f"plan approved with job {approval.id}")
        return "", True

    async def _approved_by(self, plan: wire.Job) -> str | None:
        """Return the job that has approved a plan, or does; one that ended badly counts for nothing."""
        for comment in reversed(plan.comments):
            found = _APPROVED.fullmatch(comment.text)
            if found is None or not JOB_ID.fullmatch(found[1]):
                continue
            try:
                job = await self._spine.call(self._spine.client.job, found[1])
            except (errors.NotFound, errors.Gone):
                return found[1]
            return None if job.status in _ENDED_BADLY else found[1]
        return None

    async def _note(self, call: Call, job_id: str, text: str) -> None:
        """Leave a comment on a job, which is there in any case."""
        try:
            await self._spine.call(call.client.comment, job_id, text)
        except SpineError as e:
            _log.warning("chat.note_lost", job_id=job_id, code=e.code)


def broker(command: str, payload: str) -> dict[str, Any]:
    """Return a job as the broker's facade submits it."""
    return {"target": wire.ANY_TARGET, "spec": {"command": command, "payload": payload}, "requires": [BROKER]}
