"""The commands: what each word and each button does. Who may, `chat.front` knows; what is said, `chat.words`."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

from chat import words
from chat.creating import JOB_ID, Call, Creator, broker
from chat.limits import label_of
from chat.render import LINES_MOST, Renderer
from chat.spine import Spine
from chat.transport import ACCEPT, APPROVE, CANCEL, REJECT, REWORK, Asked, Pressed, Transport
from contract import errors, wire
from contract.errors import SpineError
from contract.states import Status

_log = structlog.get_logger()

_TARGET = re.compile(r"@([a-z0-9][a-z0-9._-]{0,63})\s+(\S.*)", re.DOTALL)
_PART = re.compile(r"[0-9]{1,4}")
_SAID: tuple[tuple[type[SpineError], str], ...] = (
    (errors.Unauthorized, words.NOT_ALLOWED),
    (errors.Forbidden, words.NOT_ALLOWED),
    (errors.TooLarge, words.TOO_LONG),
    (errors.TerminalStatus, words.ENDED_ALREADY),
    (errors.Unavailable, words.SPINE_AWAY),
    (errors.Draining, words.SPINE_AWAY),
)


_Verb = Callable[["Commands", Call, str], Awaitable[None]]


class Commands:
    """Carries out what people ask.

    Args:
        target: of the jobs that are submitted.
    """

    def __init__(self, spine: Spine, creator: Creator, renderer: Renderer, target: str) -> None:
        self._spine, self._creator, self._renderer, self._target = spine, creator, renderer, target

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
        except OSError as e:
            await call.say(self._cannot_keep(e))

    async def pressed(self, pressed: Pressed, by: Transport) -> bool:
        """Carry out a button; tell whether the buttons may go.

        Raises:
            CannotSay
        """
        call = self._call(by, pressed.user_id, pressed.channel_id, pressed.key, None)
        job_id = pressed.job_id
        try:
            if not JOB_ID.fullmatch(job_id):
                return False
            if pressed.verb == REWORK:
                if not pressed.text.strip():
                    await call.say(words.REWORK_TEXT)
                    return False
                await self._review(call, job_id, REWORK, pressed.fence, pressed.text)
            elif pressed.verb == ACCEPT:
                await self._review(call, job_id, ACCEPT, pressed.fence, None)
            elif pressed.verb == APPROVE:
                return await self._creator.approve(call, job_id)
            elif pressed.verb in (REJECT, CANCEL):
                await self._end(call, pressed.verb, job_id, "")
            else:
                return False
        except SpineError as e:
            await call.say(self._refusal(e, job_id))
            return isinstance(e, errors.NotAwaiting | errors.StaleFence | errors.TerminalStatus)
        except OSError as e:
            await call.say(self._cannot_keep(e))
            return False
        return True

    def _call(self, by: Transport, user_id: str, channel_id: str, source: str, answers: str | None) -> Call:
        label = label_of(by.name, user_id)
        return Call(by, self._spine.client.speaking_for(label), label, channel_id, source, answers)

    # --- jobs of the broker's kind -----------------------------------------------------------------------------------

    async def ping(self, call: Call, rest: str) -> None:
        """`ping <text>`."""
        await self._creator.start(call, broker("ping", rest), words.JOB_PREFIX)

    async def capabilities(self, call: Call, rest: str) -> None:
        """`capabilities`."""
        await self._creator.start(call, broker("capabilities", ""), words.JOB_PREFIX)

    async def plan(self, call: Call, rest: str) -> None:
        """`plan <text>`."""
        await self._creator.start(call, broker("plan_echo", rest), words.PLAN_PREFIX)

    async def approve(self, call: Call, rest: str) -> None:
        """`approve <id>`: a plan, or a job of ours that waits for approval."""
        if not JOB_ID.fullmatch(rest):
            await call.say(words.usage("approve"))
            return
        await self._creator.approve(call, rest)

    # --- jobs of ours ------------------------------------------------------------------------------------------------

    async def submit(self, call: Call, rest: str) -> None:
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
        await self._creator.start(call, {"target": target, "spec": spec, "needsReview": True}, words.JOB_PREFIX)

    # --- about jobs --------------------------------------------------------------------------------------------------

    async def status(self, call: Call, rest: str) -> None:
        """`status <id>`, `status <id> <part>`: a long result goes on in further parts."""
        job_id, part = (*rest.split(maxsplit=1), "", "")[:2]
        if not JOB_ID.fullmatch(job_id) or (part and not _PART.fullmatch(part)):
            await call.say(words.usage("status"))
            return
        job = await self._spine.call(self._spine.client.job, job_id)
        await call.say(self._renderer.status(job, int(part or 1)))

    async def jobs(self, call: Call, rest: str) -> None:
        """`jobs`: what runs and waits; `jobs mine`, `jobs <status>`: the newest of them."""
        wanted = rest.lower()
        if not wanted:
            found: list[wire.Job] = []
            for status in (Status.RUNNING, Status.QUEUED, Status.WAITING):
                page = await self._spine.call(self._spine.client.jobs, status=status.value, limit=LINES_MOST + 1)
                found += page.jobs
            more = len(found) > LINES_MOST
        elif wanted == "mine":
            found, more = await self._spine.newest(LINES_MOST, label=call.label)
        elif wanted in list(Status):
            found, more = await self._spine.newest(LINES_MOST, status=wanted)
        else:
            await call.say(words.usage("jobs"))
            return
        await call.say(self._renderer.jobs(found, more))

    async def why(self, call: Call, rest: str) -> None:
        """`why <id>`."""
        if not JOB_ID.fullmatch(rest):
            await call.say(words.usage("why"))
            return
        await call.say(self._renderer.why(rest, await self._spine.call(self._spine.client.why, rest)))

    async def cancel(self, call: Call, rest: str) -> None:
        """`cancel <id> [reason]`."""
        await self._end_by_words(call, CANCEL, rest)

    async def reject(self, call: Call, rest: str) -> None:
        """`reject <id> [reason]`."""
        await self._end_by_words(call, REJECT, rest)

    async def review(self, call: Call, rest: str) -> None:
        """`review accept <id>`, `review rework <id> <text>`."""
        decision, job_id, text = (*rest.split(maxsplit=2), "", "", "")[:3]
        if decision.lower() not in (ACCEPT, REWORK) or not JOB_ID.fullmatch(job_id):
            await call.say(words.usage("review"))
        elif decision.lower() == REWORK and not text:
            await call.say(words.REWORK_TEXT)
        else:
            await self._review(call, job_id, decision.lower(), None, text or None)

    async def accept(self, call: Call, rest: str) -> None:
        """`accept <id>`, as a transport without buttons offers it."""
        await self.review(call, f"{ACCEPT} {rest}")

    async def rework(self, call: Call, rest: str) -> None:
        """`rework <id> <text>`, likewise."""
        await self.review(call, f"{REWORK} {rest}")

    async def comment(self, call: Call, rest: str) -> None:
        """`comment <id> <text>`."""
        job_id, text = (*rest.split(maxsplit=1), "", "")[:2]
        if not JOB_ID.fullmatch(job_id) or not text:
            await call.say(words.usage("comment"))
            return
        await self._spine.call(call.client.comment, job_id, text)
        await call.say(words.commented(job_id))

    async def help(self, call: Call, rest: str) -> None:
        """`help`."""
        await call.say(words.help_text())

    async def _review(self, call: Call, job_id: str, decision: str, fence: int | None, text: str | None) -> None:
        await self._spine.call(call.client.review, job_id, decision, text, fence)
        if decision == ACCEPT:
            await call.say(words.accepted(job_id))
            return
        await call.say(words.sent_back(job_id))
        await self._creator.owe(call, job_id)

    async def _end_by_words(self, call: Call, verb: str, rest: str) -> None:
        job_id, reason = (*rest.split(maxsplit=1), "", "")[:2]
        if not JOB_ID.fullmatch(job_id):
            await call.say(words.usage(verb))
            return
        await self._end(call, verb, job_id, reason)

    async def _end(self, call: Call, verb: str, job_id: str, reason: str) -> None:
        await self._spine.call(call.client.cancel if verb == CANCEL else call.client.reject, job_id, reason or None)
        await call.say(words.cancelled(job_id) if verb == CANCEL else words.rejected(job_id))

    def _cannot_keep(self, e: OSError) -> str:
        _log.error("chat.disk_refused", error=str(e))
        return words.CANNOT_KEEP

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
