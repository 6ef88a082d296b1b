"""The loop's work: every end once, every pending review by the policy, its place written before and after.

A decision is written down before it is told, with its idempotency key; a loop that was killed in between tells the
same one again. What the spine says of the job then (round, fence, pending) decides whether there is anything to do.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any, NamedTuple, TypeVar

import msgspec

from contract import killpoints
from contract.errors import Forbidden, Gone, NotFound, SpineError, StaleFence, Unauthorized
from contract.head_client import HeadClient
from contract.sse import ServerEvent
from contract.wire import Event, Job
from head import hooks, words
from head import policy as policies
from head.lead import Deposed, Term
from head.ledger import Decision, Ledger, Place, Shared
from head.listen import Listener
from head.policy import Policy

T = TypeVar("T")
_PAGE = 500
_SAVE_AFTER = 500  # events that asked for nothing: reading them again costs little
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0
_SLICE_SECONDS = 0.25  # between two looks whether the term goes on
_REWORK_EXIT = 10
_REVIEWABLE = ("job.completed", "job.adopted")
_ENDS = (*_REVIEWABLE, "job.failed", "job.dead", "job.cancelled", "job.rejected")


class News(NamedTuple):
    """What the loop tells whoever looks on."""

    what: str
    job: Job | None = None
    said: str = ""


class Loop:
    """Follows the spine's events from a stored place on.

    Args:
        client: one that does not retry by itself, so that a person is told at once.
        env: what commands see of the environment.
        pause: waits that many seconds.
        beat: told that the loop goes on, and how many seconds the next word may take longer.
        term: while which it may act, where several heads share a spine; the client carries its lease.
    """

    def __init__(
        self,
        client: HeadClient,
        policy: Policy,
        ledger: Ledger,
        tell: Callable[[News], None],
        env: Mapping[str, str],
        pause: Callable[[float], Any],
        beat: Callable[[float], None],
        term: Term | None = None,
    ) -> None:
        self._client, self._policy, self._ledger, self._term = client, policy, ledger, term
        self._tell, self._env, self._pause, self._beat = tell, env, pause, beat
        self._place = Place()
        self._behind, self._unshared = 0, 0  # events since the place was written, and since it was kept with the lease
        self._away, self._once = False, False
        self._acted = False  # on this event, which is not noted yet

    def run(self, once: bool = False) -> None:
        """Go on from the stored place for ever, or until nothing is left to do.

        Raises:
            SpineError: one that a repeat does not mend.
            Deposed: the term is over; what was not done yet is for the next one.
        """
        self._once = once
        self._place, note = self._ledger.load()
        if self._term is not None:
            self._ledger.resume(self._place, self._term.data)
        if note is not None:
            self._tell(News("note", said=note))
        self._deliver()
        if self._place.cursor is None:
            self._go_to_end()
        if self._place.listing:
            self._review_listed()
        while True:
            found = self._read()
            if found:
                continue
            if self._behind:
                self._save_here()
            if once:
                return
            self._await_news()

    # --- events ----------------------------------------------------------------------------------------------------

    def _read(self) -> bool:
        """Deal with a page of events; tell whether there were any."""
        page = self._ask(lambda: self._client.events(self._place.cursor, limit=_PAGE))
        if page.gap:
            self._tell(News("gap", said="some events are gone: looking for pending reviews by list"))
            self._go_to_end()
            self._review_listed()
            return True
        for event in page.events:
            self._deal_with(event)
        if not page.events:
            self._place.cursor = page.next_cursor
        return bool(page.events)

    def _go_to_end(self) -> None:
        """Put the place behind the newest event, and then look at the list of pending reviews.

        Ends that came after the last one dealt with are handled on the way (a gap); on a first start there was none,
        and what ended before it is nobody's news. What ends after the list is read has its event behind the place.
        """
        since = newest = self._place.at
        self._place.cursor, self._place.listing = None, True
        cursor: str | None = None
        while True:
            page = self._ask(lambda at=cursor: self._client.events(at, limit=1000))  # type: ignore[misc]
            for event in page.events:
                if since and event.at >= since and event.type in _ENDS:
                    self._handle(event)
                newest = event.at
            cursor = page.next_cursor
            if not page.events:
                break
        self._place.cursor, self._place.at = cursor, newest
        self._save()

    def _deal_with(self, event: Event) -> None:
        self._acted = False
        try:
            acted = event.type in _ENDS and self._handle(event)
            self._go_behind(event)
            if acted or max(self._behind, self._unshared) >= _SAVE_AFTER:
                self._save()
                killpoints.reach("loop.saved")
        except (SystemExit, KeyboardInterrupt):
            if self._acted:  # it was told to end before that was noted: nobody is to do it again
                self._go_behind(event)
                self._save_by_one_try()
            raise

    def _go_behind(self, event: Event) -> None:
        self._place.cursor, self._place.at = event.cursor, event.at
        self._behind, self._unshared = self._behind + 1, self._unshared + 1

    def _handle(self, event: Event) -> bool:
        """Do what an end asks for; tell whether anything was done that is not to be done again."""
        data = event.data if isinstance(event.data, dict) else {}
        if event.job_id is None or data.get("requeued") is True:
            return False
        job = self._look(event.job_id)
        if job is None:
            return False
        if job.needs_review and event.type in _REVIEWABLE:
            return words.needs_review(job) and self._review(job, event)
        return self._notify(job, event, "ended")

    def _await_news(self) -> None:
        """Wait until the stream tells of something new."""
        wait = _FIRST_WAIT
        while True:
            try:
                if self._follow():
                    return
            except SpineError as e:
                if not e.retryable:
                    raise
                self._lost(e)
            self._rest(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _follow(self) -> bool:
        """Wait until the stream tells of something; False when it ended without. Or until the term is over."""

        def follow(heard: Callable[[], None]) -> Generator[ServerEvent, None, None]:
            return self._client.follow_events(self._place.cursor, heard=heard)

        def beat() -> None:
            self._beat(0)

        if self._term is None:
            with closing(follow(beat)) as stream:
                return any(True for _ in stream)
        listener = Listener(follow, beat)
        try:
            while (told := listener.wait(_SLICE_SECONDS)) is None:
                self._term.require()
            return told
        finally:
            listener.leave()

    # --- reviews ---------------------------------------------------------------------------------------------------

    def _review_listed(self) -> None:
        """Review every job that is done and waits for it, found by list."""
        cursor: str | None = None
        while True:
            query: dict[str, str | int] = {"status": "done", "limit": _PAGE}
            if cursor is not None:
                query["cursor"] = cursor
            page = self._ask(lambda asked=query: self._client.jobs(**asked))  # type: ignore[misc]
            for job in page.jobs:
                if words.needs_review(job):
                    self._review(job, None)
            if not isinstance(page.next_cursor, str):
                break
            cursor = page.next_cursor
        self._place.listing = False
        self._save()

    def _review(self, job: Job, event: Event | None) -> bool:
        """Decide about a job as it is now; true, since a decision or a command is not to be made twice."""
        decided = self._decide(job)
        killpoints.reach("loop.chosen")
        if decided is None:
            self._tell(News("left", job))
            self._notify(job, event, "review")
            return True
        self._place.decided = decided
        self._save_here()  # whoever leads next decides anew
        killpoints.reach("loop.decided")
        self._deliver()
        return True

    def _decide(self, job: Job) -> Decision | None:
        """Ask the policy; None leaves the job to a person."""
        chosen = policies.choose(self._policy, job)
        if chosen is None or chosen[1].leave:
            return None
        rule = chosen[1]
        if rule.accept:
            return _decision(job, "accept", None)
        if rule.command is None:
            return self._rework(job, policies.fill(rule.rework or "", job))
        ran = self._run(rule.command, job, self._env_of(job, None, "review"), rule.timeout_seconds)
        if ran.code == 0:
            return _decision(job, "accept", None)
        if ran.code == _REWORK_EXIT:
            return self._rework(job, policies.as_text(ran.text))
        self._tell(News("note", job, ran.fault or f"{rule.command[0]} ended with {ran.code}"))
        return None

    def _rework(self, job: Job, text: str) -> Decision | None:
        if job.round >= self._policy.max_rounds:
            self._tell(News("note", job, f"round {job.round} is the last that is sent back by itself (maxRounds)"))
            return None
        return _decision(job, "rework", text or None)

    def _deliver(self) -> None:
        """Tell the spine the decision that is written down, if the job still waits for exactly this one."""
        decided = self._place.decided
        if decided is None:
            return
        job = self._look(decided.job_id)
        if job is not None and _is_for(decided, job):
            try:
                reviewed = self._ask(
                    lambda: self._client.review(
                        decided.job_id, decided.decision, decided.text, decided.fence, decided.key
                    )
                )
                self._tell(News(decided.decision, reviewed, decided.text or ""))
            except (Unauthorized, Forbidden):
                raise
            except SpineError as e:
                if e.retryable:
                    raise
                # Somebody else was first, or the spine does not take it: a person's, and no reason to stop.
                self._tell(News("note", job, f"{decided.decision} was not taken: {e.detail}"))
        elif job is not None:
            self._tell(News("note", job, f"{decided.decision} of round {decided.round} has been told already"))
        killpoints.reach("loop.told")
        self._place.decided = None

    # --- the outside -----------------------------------------------------------------------------------------------

    def _notify(self, job: Job, event: Event | None, reason: str) -> bool:
        command = self._policy.notify
        if command is None:
            return False
        seconds = self._policy.notify_timeout_seconds
        ran = self._run(command, job, self._env_of(job, event, reason), seconds)
        self._acted = True
        if ran.code == 0:
            self._tell(News("notified", job, reason))
        else:
            self._tell(News("note", job, ran.fault or f"{command[0]} ended with {ran.code}"))
        return True

    def _run(self, command: list[str], job: Job, env: dict[str, str], seconds: float) -> hooks.Ran:
        self._require()
        self._beat(seconds)
        return hooks.run(command, msgspec.json.encode(job), env, seconds, self._require)

    def _require(self) -> None:
        if self._term is not None:
            self._term.require()

    def _env_of(self, job: Job, event: Event | None, reason: str) -> dict[str, str]:
        own = {"SPINE_JOB_ID": job.id, "SPINE_JOB_STATUS": job.status, "SPINE_LOOP_REASON": reason}
        if self._term is not None:
            own["SPINE_LEASE"] = f"{self._term.name};{self._term.fence}"
        if event is not None:
            own |= {"SPINE_EVENT": event.type, "SPINE_EVENT_CURSOR": event.cursor}
        return dict(self._env) | own

    def _look(self, job_id: str) -> Job | None:
        try:
            return self._ask(lambda: self._client.job(job_id))
        except (NotFound, Gone):
            return None

    def _save(self) -> None:
        if self._term is not None:
            place, keep = self._place, self._term.keep
            shared = Shared(cursor=place.cursor, at=place.at, listing=place.listing)
            self._ask(lambda: keep(msgspec.to_builtins(shared)))
        self._unshared = 0
        self._save_here()

    def _save_by_one_try(self) -> None:
        self._once = True
        try:
            self._save()
        except (SpineError, Deposed):
            self._save_here()

    def _save_here(self) -> None:
        self._ledger.save(self._place)
        self._behind = 0

    def _ask(self, call: Callable[[], T]) -> T:
        """Make a call, again and again while the spine is away; one pass gives up.

        Raises:
            Deposed: before the call, or because the spine knows already that the term is over.
        """
        wait = _FIRST_WAIT
        while True:
            self._require()
            try:
                answer = call()
            except SpineError as e:
                if self._term is not None and isinstance(e, StaleFence) and "lease" in e.members:
                    self._term.end()
                    raise Deposed from e
                if not e.retryable or self._once:
                    raise
                self._lost(e)
                self._rest(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
                continue
            self._beat(0)
            if self._away:
                self._away = False
                self._tell(News("back"))
            return answer

    def _rest(self, seconds: float) -> None:
        self._beat(seconds)
        self._pause(seconds)

    def _lost(self, error: SpineError) -> None:
        if not self._away:
            self._away = True
            self._tell(News("lost", said=error.detail))


def _decision(job: Job, decision: str, text: str | None) -> Decision:
    key = f"loop-{job.id}-{job.round}-{job.fence}"
    return Decision(job_id=job.id, round=job.round, fence=job.fence, decision=decision, text=text, key=key)


def _is_for(decided: Decision, job: Job) -> bool:
    return words.needs_review(job) and (job.round, job.fence) == (decided.round, decided.fence)
