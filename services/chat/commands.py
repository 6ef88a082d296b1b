"""The commands: what each word and each button does. Who may, `chat.front` knows; what is said, `chat.words`."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import structlog

from chat import words
from chat.limits import Limits, label_of
from chat.owed import owed
from chat.render import LINES_MOST, Renderer, plan_id_of
from chat.spine import Spine
from chat.transport import ACCEPT, APPROVE, CANCEL, REJECT, REWORK, Asked, Pressed, Reply, Transport, key_of
from chat.waits import Waits
from contract import errors, wire
from contract.clock import iso
from contract.errors import SpineError
from contract.head_client import HeadClient
from contract.servers import nobody_there
from contract.states import Status

_log = structlog.get_logger()

BROKER = "broker"
"""What a job that is one of the broker's commands requires."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TARGET = re.compile(r"@([a-z0-9][a-z0-9._-]{0,63})\s+(\S.*)", re.DOTALL)
_APPROVED = re.compile(r"plan approved with job (\S+)")
_ENDED_BADLY = frozenset({Status.FAILED, Status.DEAD, Status.CANCELLED})
_MINE_MS, _STATUS_MS = 7 * 86_400_000, 86_400_000
_SAID: tuple[tuple[type[SpineError], str], ...] = (
    (errors.Unauthorized, words.NOT_ALLOWED),
    (errors.Forbidden, words.NOT_ALLOWED),
    (errors.TooLarge, words.TOO_LONG),
    (errors.TerminalStatus, words.ENDED_ALREADY),
    (errors.Unavailable, words.SPINE_AWAY),
    (errors.Draining, words.SPINE_AWAY),
)


class _Call(NamedTuple):
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
        said = Reply(reply) if isinstance(reply, str) else reply
        key = key_of(self.by.name, self.channel_id, self.source, "answer")
        await self.by.say(self.channel_id, said, key, self.answers)


_Verb = Callable[["Commands", _Call, str], Awaitable[None]]


class Commands:
    """Carries out what people ask.

    Args:
        target: of the jobs that are submitted.
    """

    def __init__(self, spine: Spine, waits: Waits, limits: Limits, renderer: Renderer, target: str) -> None:
        self._spine, self._waits, self._limits = spine, waits, limits
        self._renderer, self._target = renderer, target
        self._plans = asyncio.Lock()

    async def asked(self, asked: Asked, by: Transport) -> None:
        """Carry out a message.

        Raises:
            CannotSay
        """
        call = self._call(by, asked.user_id, asked.channel_id, asked.message_id, asked.message_id)
        word, *more = asked.text.split(maxsplit=1)
        verb = VERBS.get(word.lower())
        if verb is None:
            await call.say(words.unknown_command())
            return
        rest = more[0].strip() if more else ""
        try:
            await verb(self, call, rest)
        except SpineError as e:
            named = rest.split(maxsplit=2)[1:] if verb is Commands.review else rest.split(maxsplit=1)
            await call.say(self._refusal(e, named[0] if named else ""))

    async def pressed(self, pressed: Pressed, by: Transport) -> bool:
        """Carry out a button; tell whether the buttons may go.

        Raises:
            CannotSay
        """
        call = self._call(by, pressed.user_id, pressed.channel_id, pressed.key, None)
        job_id = pressed.job_id
        try:
            if not _ID.fullmatch(job_id):
                return False
            if pressed.verb == REWORK:
                if not pressed.text.strip():
                    await call.say(words.REWORK_TEXT)
                    return False
                await self._review(call, job_id, REWORK, pressed.fence, pressed.text)
            elif pressed.verb == ACCEPT:
                await self._review(call, job_id, ACCEPT, pressed.fence, None)
            elif pressed.verb == APPROVE:
                return await self._approve(call, job_id)
            elif pressed.verb in (REJECT, CANCEL):
                await self._end(call, pressed.verb, job_id, "")
            else:
                return False
        except SpineError as e:
            await call.say(self._refusal(e, job_id))
            return isinstance(e, errors.NotAwaiting | errors.StaleFence | errors.TerminalStatus)
        return True

    def _call(self, by: Transport, user_id: str, channel_id: str, source: str, answers: str | None) -> _Call:
        label = label_of(by.name, user_id)
        return _Call(by, self._spine.client.speaking_for(label), label, channel_id, source, answers)

    # --- jobs of the broker's kind -----------------------------------------------------------------------------------

    async def ping(self, call: _Call, rest: str) -> None:
        """`ping <text>`."""
        await self._start(call, _broker("ping", rest), words.JOB_PREFIX)

    async def capabilities(self, call: _Call, rest: str) -> None:
        """`capabilities`."""
        await self._start(call, _broker("capabilities", ""), words.JOB_PREFIX)

    async def plan(self, call: _Call, rest: str) -> None:
        """`plan <text>`."""
        await self._start(call, _broker("plan_echo", rest), words.PLAN_PREFIX)

    async def approve(self, call: _Call, rest: str) -> None:
        """`approve <id>`: a plan, or a job of ours that waits for approval."""
        if not _ID.fullmatch(rest):
            await call.say(words.usage("approve"))
            return
        await self._approve(call, rest)

    async def _approve(self, call: _Call, wanted: str) -> bool:
        async with self._plans:  # a plan is approved once: whoever asks next sees the comment
            try:
                job = await self._spine.call(self._spine.client.job, wanted)
            except (errors.NotFound, errors.Gone):
                job = None
            waits = job is not None and job.approval is not None and job.approval.state == "pending"
            if job is not None and job.approval is not None and waits:
                await self._spine.call(call.client.approve, wanted, job.approval.spec_digest)
                said, done = words.approved(wanted), True
            else:
                said, done = await self._approve_plan(call, wanted, job)
        # Only now: a chat that is slow holds up nobody else's approval.
        if said:
            await call.say(said)
        if waits:
            await self._owe(call, wanted)
        return done

    async def _approve_plan(self, call: _Call, wanted: str, plan: wire.Job | None) -> tuple[str, bool]:
        """Have a plan approved by a job; return what is to be said, if anything, and whether the plan is approved.

        `plan`: the job that made it, None when it was made by other means.
        """
        fields = _broker("approve_echo", wanted)
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
            if found is None or not _ID.fullmatch(found[1]):
                continue
            try:
                job = await self._spine.call(self._spine.client.job, found[1])
            except (errors.NotFound, errors.Gone):
                return found[1]
            return None if job.status in _ENDED_BADLY else found[1]
        return None

    # --- jobs of ours ------------------------------------------------------------------------------------------------

    async def submit(self, call: _Call, rest: str) -> None:
        """`submit [@target] <task>`: a text for an agent, or a spec as JSON; its result waits for a review."""
        found = _TARGET.fullmatch(rest)
        target, task = (self._target, rest) if found is None else (found[1], found[2])
        if not task:
            await call.say(words.usage("submit"))
            return
        spec: Any = task
        if task.startswith("{"):
            try:
                spec = msgspec.json.decode(task)
            except (msgspec.DecodeError, RecursionError) as e:
                await call.say(words.bad_spec(str(e)))
                return
        await self._start(call, {"target": target, "spec": spec, "needsReview": True}, words.JOB_PREFIX)

    async def _start(self, call: _Call, fields: dict[str, Any], prefix: str) -> None:
        """Create a job, or say why not; its replies follow by themselves."""
        found = await self._create(call, fields, prefix)
        if isinstance(found, str):
            await call.say(found)

    async def _create(self, call: _Call, fields: dict[str, Any], prefix: str) -> wire.Job | str:
        """Create a job when the user may have one more; return it, or why there is none.

        Raises:
            SpineError
        """
        async with self._limits.turn(call.label) as refusal:
            if refusal is not None:
                return refusal
            fields = {"target": self._target, **fields, "label": call.label}
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

    async def _owe(self, call: _Call, job_id: str) -> None:
        """Say the end of a job that was there before."""
        entry = owed(call.by.name, call.channel_id, call.source, call.answers, job_id=job_id, told=True)
        await self._waits.owe(entry)
        self._waits.follow(entry)

    # --- about jobs --------------------------------------------------------------------------------------------------

    async def status(self, call: _Call, rest: str) -> None:
        """`status <id>`."""
        if not _ID.fullmatch(rest):
            await call.say(words.usage("status"))
            return
        await call.say(self._renderer.status(await self._spine.call(self._spine.client.job, rest)))

    async def jobs(self, call: _Call, rest: str) -> None:
        """`jobs`: what runs and waits; `jobs mine`, `jobs <status>`: the newest of them."""
        wanted, now = rest.lower(), self._spine.client.time.now()
        if not wanted:
            found: list[wire.Job] = []
            for status in (Status.RUNNING, Status.QUEUED, Status.WAITING):
                page = await self._spine.call(self._spine.client.jobs, status=status.value, limit=LINES_MOST + 1)
                found += page.jobs
            more = len(found) > LINES_MOST
        elif wanted == "mine":
            found, more = await self._spine.newest(LINES_MOST, label=call.label, since=iso(now - _MINE_MS))
        elif wanted in list(Status):
            found, more = await self._spine.newest(LINES_MOST, status=wanted, since=iso(now - _STATUS_MS))
        else:
            await call.say(words.usage("jobs"))
            return
        await call.say(self._renderer.jobs(found, more))

    async def why(self, call: _Call, rest: str) -> None:
        """`why <id>`."""
        if not _ID.fullmatch(rest):
            await call.say(words.usage("why"))
            return
        await call.say(self._renderer.why(rest, await self._spine.call(self._spine.client.why, rest)))

    async def cancel(self, call: _Call, rest: str) -> None:
        """`cancel <id> [reason]`."""
        await self._end_by_words(call, CANCEL, rest)

    async def reject(self, call: _Call, rest: str) -> None:
        """`reject <id> [reason]`."""
        await self._end_by_words(call, REJECT, rest)

    async def review(self, call: _Call, rest: str) -> None:
        """`review accept <id>`, `review rework <id> <text>`."""
        decision, job_id, text = (*rest.split(maxsplit=2), "", "", "")[:3]
        if decision.lower() not in (ACCEPT, REWORK) or not _ID.fullmatch(job_id):
            await call.say(words.usage("review"))
        elif decision.lower() == REWORK and not text:
            await call.say(words.REWORK_TEXT)
        else:
            await self._review(call, job_id, decision.lower(), None, text or None)

    async def accept(self, call: _Call, rest: str) -> None:
        """`accept <id>`, as a transport without buttons offers it."""
        await self.review(call, f"{ACCEPT} {rest}")

    async def rework(self, call: _Call, rest: str) -> None:
        """`rework <id> <text>`, likewise."""
        await self.review(call, f"{REWORK} {rest}")

    async def comment(self, call: _Call, rest: str) -> None:
        """`comment <id> <text>`."""
        job_id, text = (*rest.split(maxsplit=1), "", "")[:2]
        if not _ID.fullmatch(job_id) or not text:
            await call.say(words.usage("comment"))
            return
        await self._spine.call(call.client.comment, job_id, text)
        await call.say(words.commented(job_id))

    async def help(self, call: _Call, rest: str) -> None:
        """`help`."""
        await call.say(words.help_text())

    async def _review(self, call: _Call, job_id: str, decision: str, fence: int | None, text: str | None) -> None:
        await self._spine.call(call.client.review, job_id, decision, text, fence)
        if decision == ACCEPT:
            await call.say(words.accepted(job_id))
            return
        await call.say(words.sent_back(job_id))
        await self._owe(call, job_id)

    async def _end_by_words(self, call: _Call, verb: str, rest: str) -> None:
        job_id, reason = (*rest.split(maxsplit=1), "", "")[:2]
        if not _ID.fullmatch(job_id):
            await call.say(words.usage(verb))
            return
        await self._end(call, verb, job_id, reason)

    async def _end(self, call: _Call, verb: str, job_id: str, reason: str) -> None:
        await self._spine.call(call.client.cancel if verb == CANCEL else call.client.reject, job_id, reason or None)
        await call.say(words.cancelled(job_id) if verb == CANCEL else words.rejected(job_id))

    async def _note(self, call: _Call, job_id: str, text: str) -> None:
        """Leave a comment on a job, which is there in any case."""
        try:
            await self._spine.call(call.client.comment, job_id, text)
        except SpineError as e:
            _log.warning("chat.note_lost", job_id=job_id, code=e.code)

    def _refusal(self, e: SpineError, job_id: str) -> str:
        if isinstance(e, errors.NotFound | errors.Gone):
            return words.no_such_job(job_id)
        if isinstance(e, errors.StaleFence):
            return words.newer_result(job_id)
        if isinstance(e, errors.NotAwaiting):
            return words.NOT_AWAITING
        for kind, said in _SAID:
            if isinstance(e, kind):
                return said
        if e.retryable:
            return words.SPINE_BUSY
        return words.refused(self._renderer.one_line(e.detail, 300))


def _broker(command: str, payload: str) -> dict[str, Any]:
    """Return a job as the broker's facade submits it."""
    return {"target": wire.ANY_TARGET, "spec": {"command": command, "payload": payload}, "requires": [BROKER]}


VERBS: dict[str, _Verb] = {
    "ping": Commands.ping,
    "capabilities": Commands.capabilities,
    "plan": Commands.plan,
    "approve": Commands.approve,
    "status": Commands.status,
    "submit": Commands.submit,
    "jobs": Commands.jobs,
    "why": Commands.why,
    "cancel": Commands.cancel,
    "reject": Commands.reject,
    "review": Commands.review,
    "accept": Commands.accept,
    "rework": Commands.rework,
    "comment": Commands.comment,
    "help": Commands.help,
}
