"""One attempt at a held job: rooms, heartbeat, log, phases by a mode, outcome. Ends with the outcome in the outbox."""

from collections.abc import Callable

import msgspec
import structlog

from claw import dialects, outcome, workspace
from claw.executors import plan as planning
from claw.executors import prompt
from claw.executors.base import Place
from claw.git import GitError
from claw.inbox import Inbox
from claw.leash import Leash
from claw.modes.steps import Steps
from claw.outcome import Outcome
from claw.process.guard import become_subreaper
from claw.process.spool import Spool
from claw.runner import earlier, outbox, previous
from claw.runner.comments import CommentFile
from claw.runner.connect import connect
from claw.runner.finish import Finish
from claw.runner.heartbeat import Beater
from claw.runner.shipper import Shipper
from claw.settings import Settings
from claw.spec import BadSpec, Plan
from claw.state import Held, Journal
from contract.client import SpineClient
from contract.clock import SystemClock
from contract.durable import write_durably
from contract.killpoints import reach
from contract.retry import RetryPolicy
from contract.wire import CommentRecord

_LOG_CLOSE_SECONDS = 15.0
_RETRY_SECONDS = 3.0
_BEAT_RETRY = RetryPolicy(attempts=2, total_seconds=5.0)

log = structlog.get_logger()
Walk = Callable[[Steps], Outcome | None]


class Attempt:
    """Carries a held job on. A `patient` one waits for a spine that is away; others leave that to the next tick."""

    def __init__(
        self,
        settings: Settings,
        client: SpineClient,
        journal: Journal,
        held: Held,
        leash: Leash,
        *,
        patient: bool,
    ) -> None:
        self._settings, self._client, self._journal, self._held, self._leash = settings, client, journal, held, leash
        self._rooms = workspace.rooms(settings, held)
        held.folder = str(self._rooms.folder)
        quick = connect(settings, journal, read_seconds=10.0, retry=_BEAT_RETRY, sleep=leash.wait)
        quick.traceparent = held.traceparent()
        self._beater = Beater(quick, held, leash, self._rooms.lease_file, settings.heartbeat_seconds, self._heed)
        self._comments: CommentFile | None = None
        self._log_client = quick
        self._patient = patient
        self._keep_folder = settings.keep_workspaces

    def carry_on(self, walk: Walk) -> bool:
        """Work until the job has ended or the turn of the mode `walk` is over; True when nothing is held any more."""
        become_subreaper()
        reach("claw.before-first-heartbeat")
        try:
            ended = self._begin() or self._work(walk)
        except Exception as e:
            log.exception("claw.attempt_broke", job_id=self._held.job_id, fence=self._held.fence)
            # What was on disk already, such as work that has been pushed, stays true.
            ended = self._held.outcome or outcome.fail(f"the claw could not run the job: {e.__class__.__name__}: {e}")
        done = ended is not None and self._report(ended)
        self._beater.stop()
        if done and not self._keep_folder:
            workspace.settle(self._rooms)
        return done

    def _begin(self) -> Outcome | None:
        """Make the rooms and ask whether the job is still ours; returns an outcome when there is nothing to do."""
        held = self._held
        # The first process of an attempt makes its rooms; later ones (phases mode, or after a crash) find them.
        if not held.ready:
            workspace.make(self._rooms, held)
        self._comments = CommentFile(self._rooms.comments_file)
        answer = self._beater.beat()
        # Work that is finished is reported whoever holds the job now: the spine keeps it as a late result.
        if answer == "cancelled" or (answer in ("stale", "ended", "locked out") and not held.all_run()):
            return outcome.drop(self._leash.detail)
        self._beater.start()
        return None

    def _heed(self, comments: list[CommentRecord]) -> None:
        if self._comments is not None:
            self._comments.heed(comments)

    def _report(self, ended: Outcome) -> bool:
        """Deliver, again and again when patient; tells whether nothing is left to deliver."""
        outbox.write(self._journal, self._held, ended)
        while True:
            how = outbox.deliver(self._client, self._journal, self._held)
            if how not in ("waiting", "locked out"):
                return True
            # With a token that the spine does not know (any more) only another process can help.
            if how == "locked out" or self._give_up(_RETRY_SECONDS):
                return False

    def _work(self, walk: Walk) -> Outcome | None:
        try:
            plan = dialects.parse(self._held.claimed().spec, self._held.claimed().requires)
        except BadSpec as e:
            return outcome.fail(str(e), requeue=False)
        if plan.planned is not None and not self._held.claimed().needs_review:
            return outcome.fail("spec.plan: submit it with needsReview: accepting the plan is its approval", False)
        self._held.of = len(plan.phases)
        spool = Spool(self._rooms.log_file, self._settings.log_max_bytes, self._settings.secrets())
        shipper = Shipper(self._log_client, self._held, spool)
        shipper.start()
        try:
            ended = self._prepare(plan, spool) or self._run(plan, spool, walk)
            if ended is not None:
                self._note(ended)  # before the log's last bytes, which may have to wait for the spine
            return ended
        finally:
            spool.close()
            if not shipper.close(_LOG_CLOSE_SECONDS):
                log.warning(
                    "claw.log_incomplete",
                    job_id=self._held.job_id,
                    fence=self._held.fence,
                    sent=shipper.offset,
                    size=spool.size,
                )
            self._held.log_offset = shipper.offset
            if self._held.outcome is None:
                self._journal.save(self._held)

    def _note(self, ended: Outcome) -> None:
        self._held.outcome = ended
        self._journal.save(self._held)

    def _give_up(self, seconds: float) -> bool:
        return not self._patient or self._leash.wait(seconds)

    def _prepare(self, plan: Plan, spool: Spool) -> Outcome | None:
        """Write the spec and clone, once an attempt; returns an outcome only when the job cannot be run."""
        held = self._held
        if held.ready:
            return None
        text = plan.text if plan.text is not None else msgspec.json.encode(held.claimed().spec).decode()
        if plan.planned is not None and plan.text is not None:
            text = planning.prompt(plan.text)
        if plan.text is not None and earlier.wanted(held):
            text += self._earlier(spool)
        write_durably(self._rooms.spec_file, text.encode("utf-8", "replace"))
        missing = previous.fetch(self._log_client, held, self._rooms.previous_file)
        if missing is not None:
            spool.say(missing)
        if plan.repo is not None:
            try:
                git = workspace.git_for(self._settings, self._rooms, self._leash.pulled)
                spool.say(workspace.clone(self._settings, git, plan, held))
            except GitError as e:
                if self._leash.why == "drain":
                    return outcome.release(f"given back: {self._leash.detail}", count_attempt=False)
                return outcome.drop(self._leash.detail) if self._leash.pulled() else outcome.fail(str(e), e.requeue)
        held.ready = True
        self._journal.save(held)
        return None

    def _earlier(self, spool: Spool) -> str:
        """Return what the agent is to know of earlier runs; it begins without it where the spine does not answer."""
        runs, why = earlier.fetch(self._log_client, self._held)
        spool.say(why or f"results of earlier runs that the agent is shown: {len(runs)}")
        return prompt.earlier(runs)

    def _run(self, plan: Plan, spool: Spool, walk: Walk) -> Outcome | None:
        place = Place(
            workspace=self._rooms.workspace,
            spec_file=self._rooms.spec_file,
            result_file=self._rooms.result_file,
            env=self._child_env(plan),
        )
        by_exit = walk(
            Steps(
                settings=self._settings,
                clock=SystemClock(),
                journal=self._journal,
                held=self._held,
                plan=plan,
                place=place,
                spool=spool,
                leash=self._leash,
                tell=self._beater.tell,
            )
        )
        if by_exit is None or by_exit.action == "drop" or (self._leash.why == "drain" and by_exit.action == "release"):
            return by_exit
        finish = Finish(
            settings=self._settings,
            client=self._client,
            held=self._held,
            plan=plan,
            rooms=self._rooms,
            spool=spool,
            git=workspace.git_for(self._settings, self._rooms, lambda: self._leash.why == "lost"),
            beater=self._beater,
            note_early=self._note,
            give_up=self._give_up,
        )
        ended = finish.judge(by_exit)
        self._keep_folder = self._keep_folder or finish.keep_folder
        return ended

    def _child_env(self, plan: Plan) -> dict[str, str]:
        """Return all that a child sees: never the token."""
        held, found = self._held, self._rooms
        return {
            **self._settings.base_env,
            **plan.env,
            **job_marks(held),
            "SPINE_SPEC_FILE": str(found.spec_file),
            "SPINE_RESULT_FILE": str(found.result_file),
            "SPINE_COMMENTS_FILE": str(found.comments_file),
            "SPINE_ROUND": str(held.claimed().round),
            "SPINE_PREVIOUS_RESULT_FILE": str(found.previous_file) if found.previous_file.exists() else "",
            "SPINE_INBOX": str(Inbox(self._journal.folder).folder),
            "SPINE_WORKSPACE": str(found.workspace),
            "SPINE_BRANCH": workspace.work_branch(held) if plan.repo is not None else "",
            "TRACEPARENT": held.traceparent(),
        }


def job_marks(held: Held) -> dict[str, str]:
    """Return the variables that tell this attempt's processes from all others."""
    return {"SPINE_JOB_ID": held.job_id, "SPINE_FENCE": str(held.fence)}
