"""From the end of the last phase to an outcome: result file, commit, push, pull request, artifacts."""

import os
import re
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from claw import outcome, workspace
from claw.executors import plan as planning
from claw.git import Git, GitError
from claw.outcome import BadResult, Outcome
from claw.process.run import run_guarded
from claw.process.spool import Spool
from claw.runner import previous
from claw.runner.artifacts import Uploads
from claw.runner.heartbeat import Answer, Beater
from claw.settings import Settings
from claw.spec import Plan
from claw.state import Held
from claw.workspace import Rooms
from contract.client import SpineClient
from contract.killpoints import reach
from contract.redaction import redact

_NOTE_LINES = 20
_PR_SECONDS = 300
_URL = re.compile(r"https?://[^\s\"'<>()\[\]]+")

log = structlog.get_logger()


class Finish(msgspec.Struct, kw_only=True):
    """What is needed to end a job well.

    `note_early` puts an outcome on disk before the end is reached; `give_up(seconds)` waits, and tells whether trying
    on to reach the spine has lost its sense.
    """

    settings: Settings
    client: SpineClient
    held: Held
    plan: Plan
    rooms: Rooms
    spool: Spool
    git: Git
    beater: Beater
    note_early: Callable[[Outcome], None]
    give_up: Callable[[float], bool]
    keep_folder: bool = False

    def judge(self, by_exit: Outcome) -> Outcome:
        """Return what the spine is to be told."""
        if self.plan.foreign is not None:
            return self._report() or by_exit
        said: dict[str, Any] | None = None
        try:
            said = self._result_file()
        except BadResult as e:
            text = str(e) if by_exit.action == "complete" else f"{by_exit.error or by_exit.reason}; also {e}"
            return outcome.fail(text, by_exit.requeue and by_exit.action != "complete")
        ended = by_exit if said is None else outcome.merge(by_exit, said)
        if ended.action != "complete":
            return ended
        result = dict(ended.result or {})
        if self.plan.planned is not None:
            try:
                result = planning.result(self.plan.planned, result, self._printed())
            except BadResult as e:
                return outcome.fail(str(e))
        elif said is None:
            result["notes"] = "\n".join(self.spool.tail(_NOTE_LINES))
        notes: list[str] = []
        if self.plan.repo is not None and self.plan.planned is None:
            refused = self._publish(result, notes)
            if refused is not None:
                return refused
        result["phases"] = [{"name": p.name, "exitCode": p.exit_code, "seconds": p.seconds} for p in self.held.phases]
        # Uploading may take long: from here on a crash costs the list of artifacts, and not the result.
        self.note_early(_whole(result, [*notes, "the worker died before the artifacts were uploaded"]))
        self._add_artifacts(result, notes)
        return _whole(result, notes)

    def _report(self) -> Outcome | None:
        """Return what the executor of a foreign job has noted; None when it has not run."""
        try:
            noted = msgspec.json.decode(self.rooms.result_file.read_bytes(), type=Outcome)
        except FileNotFoundError:
            return None
        secrets = self.settings.secrets()
        result, error = _masked(noted.result, secrets), _masked(noted.error, secrets)
        return msgspec.structs.replace(noted, result=result, error=error)

    def _printed(self) -> str:
        return redact(self.spool.said(), self.settings.secrets())

    def _result_file(self) -> dict[str, Any] | None:
        try:
            # Neither a link nor a pipe: the job may have put anything there.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(self.rooms.result_file, flags), "rb") as source:
                raw = source.read(outcome.RESULT_FILE_MOST_BYTES + 1) or b""
        except FileNotFoundError:
            return None
        except OSError as e:
            raise BadResult(f"the result file (SPINE_RESULT_FILE) cannot be read ({e.__class__.__name__})") from e
        if not raw.strip():
            return None
        return _masked_members(outcome.parse_result_file(raw), self.settings.secrets())

    # --- the repository --------------------------------------------------------------------------------------------

    def _publish(self, result: dict[str, Any], notes: list[str]) -> Outcome | None:
        """Commit and push; returns an outcome only where the job cannot be called complete."""
        held, branch = self.held, workspace.work_branch(self.held)
        title = held.claimed().label or f"Spine job {held.job_id}"
        answer = self.beater.beat_until_known()
        if answer not in ("held", "unknown"):
            return self._unpushed(answer, notes)
        try:
            head = workspace.commit_all(self.git, held, title)
            if head is None:
                notes.append("the job changed nothing in the repository")
                if held.work_sha:
                    result["branch"] = branch
                return None
            reach("claw.before-push")
            # Asked again: this process may have been frozen since.
            answer = self.beater.beat_until_known()
            if answer not in ("held", "unknown"):
                return self._unpushed(answer, notes)
            workspace.push(self.git, self.plan.repo or "", held)
            reach("claw.after-push")
        except GitError as e:
            # The refusal may be the first sign that the lease has ended; the work is not to be called a failure for it.
            answer = self.beater.beat_until_known()
            if answer not in ("held", "unknown"):
                return self._unpushed(answer, notes)
            self.keep_folder = True
            return outcome.fail(str(e), e.requeue)
        result["branch"], result["commit"] = branch, head
        self.spool.say(f"pushed {branch} at {head[:12]}")
        earlier = previous.read(self.rooms.previous_file).get("pr")
        if isinstance(earlier, str) and earlier:
            result["pr"] = earlier  # the branch is the same, and so is the request
        elif self.settings.pr_command:
            self._pull_request(result, notes, branch, title)
        return None

    def _unpushed(self, answer: Answer, notes: list[str]) -> Outcome | None:
        """Decide on work that is done but may not be pushed any more."""
        self.keep_folder = True
        if answer in ("stale", "locked out"):
            # Another attempt may run: this report can only be kept as a late result, or wait for a token.
            lost = "another claim was made" if answer == "stale" else "the spine refused this claw's token"
            notes.append(f"not pushed: {lost} before the work was finished")
            return None
        if answer == "cancelled":
            return outcome.drop("cancelled before the push")
        return outcome.fail("the lease ended before the work could be pushed")

    def _pull_request(self, result: dict[str, Any], notes: list[str], branch: str, title: str) -> None:
        values = {
            "{branch}": branch,
            "{base}": self.held.base_branch or "",
            "{repo}": self.plan.repo or "",
            "{title}": title,
            "{job_id}": self.held.job_id,
        }
        kept = bytearray()
        ended = run_guarded(
            [_filled(word, values) for word in self.settings.pr_command],
            cwd=self.rooms.workspace,
            env=self.git.env,
            sink=lambda chunk: kept.extend(chunk[: (64 << 10) - len(kept)]),
            timeout_seconds=_PR_SECONDS,
            grace_seconds=2,
        )
        said = redact(kept.decode("utf-8", "replace"), self.settings.secrets())
        links = [found[-1].rstrip(".,;") for line in said.splitlines() if (found := _URL.findall(line))]
        # A tool that finds a request already open fails and names it; that one is ours.
        if links:
            result["pr"] = links[-1]
        if ended.code != 0 and not links:
            last = said.strip().splitlines()[-1:] or ["it said nothing"]
            notes.append(f"the pull request command (CLAW_PR_COMMAND) failed with {ended.code}: {last[0][:500]}")

    # --- files -----------------------------------------------------------------------------------------------------

    def _add_artifacts(self, result: dict[str, Any], notes: list[str]) -> None:
        uploads = Uploads(self.client, self.give_up)
        uploads.add_all(self.rooms.workspace, self.plan.artifacts)
        if self.spool.size:
            uploads.add(self.rooms.log_file, "build.log")
        own = result.get("artifacts")
        result["artifacts"] = [*(own if isinstance(own, list) else []), *uploads.listed]
        notes += uploads.notes


def _whole(result: dict[str, Any], notes: list[str]) -> Outcome:
    own = result.get("notes")
    lines = [*([own] if isinstance(own, str) and own else []), *notes]
    return outcome.complete(outcome.fit(result | {"notes": "\n".join(lines)} if lines else result))


def _filled(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word


def _masked(value: Any, secrets: tuple[str, ...]) -> Any:
    """Hide secrets in every text of a JSON value, and replace NUL, which the spine does not take."""
    if isinstance(value, str):
        return redact(value, secrets).replace("\x00", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, list):
        return [_masked(item, secrets) for item in value]
    return _masked_members(value, secrets) if isinstance(value, dict) else value


def _masked_members(value: dict[str, Any], secrets: tuple[str, ...]) -> dict[str, Any]:
    return {_masked(name, secrets): _masked(item, secrets) for name, item in value.items()}
