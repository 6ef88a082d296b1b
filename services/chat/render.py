"""From a job to what is said of it: cut for a chat with a link to all of it, secrets masked, what others wrote defused.

The texts that are ours stand in `chat.words`.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from chat import words
from chat.transport import ACCEPT, APPROVE, CANCEL, REJECT, REWORK, Button, Reply
from contract import wire
from contract.redaction import redact
from contract.states import UNFINISHED, Status

CUT_CHARS = 1500
LINES_MOST = 10
# Of a long text a bounded piece is read: a secret that begins in what is shown ends in it.
_READ_CHARS = 32_768
_ZERO_WIDTH = "\u200b"
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# Where a result says in words what came of the job, the likeliest first.
_WORDS = ("text", "output", "stdout", "notes", "plan", "summary", "message")
_PLAN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FACTS = ("pr", "branch")
_BAD = frozenset({Status.FAILED, Status.DEAD})


def clean(text: str) -> str:
    """Take out what no reader sees: controls, and marks that turn the direction of writing."""
    return _CONTROLS.sub("", text.replace("\r\n", "\n"))


def defuse(text: str) -> str:
    """Break what a chat would obey in a text that others wrote: mentions, fences, links with other words, controls.

    What a reader sees stays the same: a character without width is put in.
    """
    text = re.sub(r"(?<!\w)@(?=\S)|<(?=[!#])", lambda found: found.group() + _ZERO_WIDTH, clean(text))
    text = re.sub(r"`(?=`)", "`" + _ZERO_WIDTH, text)
    return text.replace("](", "]" + _ZERO_WIDTH + "(")


def button(verb: str, job: wire.Job) -> Button:
    """Return the button of a verb for a job as it stands."""
    label, style = words.BUTTONS[verb]
    return Button(label, verb, job.id, job.fence, style)


def buttons(job: wire.Job) -> tuple[Button, ...]:
    """Return what a person may decide about a job as it stands."""
    if job.review is not None and job.review.state == "pending":
        return button(ACCEPT, job), button(REWORK, job)
    if job.status == Status.WAITING and job.approval is not None and job.approval.state == "pending":
        return button(APPROVE, job), button(REJECT, job)
    return (button(CANCEL, job),) if job.status in UNFINISHED else ()


def in_words(result: Any) -> str:
    """Return what a result says: a text, or an object's words with the facts that a person wants, or its JSON."""
    if result is None:
        return words.NO_RESULT
    if isinstance(result, str):
        return result or words.NO_RESULT
    if isinstance(result, dict):
        said = next((result[n] for n in _WORDS if isinstance(result.get(n), str) and result[n].strip()), None)
        facts = [f"{n}: {result[n]}" for n in _FACTS if isinstance(result.get(n), str)]
        if said is not None:
            facts.insert(0, said)
        if facts:
            return "\n".join(facts)
    return msgspec.json.encode(result).decode()


class Renderer:
    """Makes replies.

    Args:
        public_url: the spine's address for people, or None: then a text that is cut names the command for more.
        secrets: values that are masked wherever they stand.
    """

    def __init__(self, public_url: str | None = None, secrets: Iterable[str] = ()) -> None:
        self._base, self._secrets = public_url, tuple(secrets)

    def link(self, job_id: str) -> str | None:
        """Return the address of a job's page."""
        return None if self._base is None else f"{self._base}/ui/jobs/{job_id}"

    def untrusted(self, text: str, job_id: str | None = None, most: int = CUT_CHARS) -> str:
        """Return a text that others wrote as it may be shown; what is left out is said, with where to read it."""
        shown = self._shown(text)
        if len(shown) <= most and len(text) <= _READ_CHARS:
            return shown
        return shown[:most] + self._more(job_id)

    def one_line(self, text: str, most: int = 100) -> str:
        """Return the beginning of a text as one line."""
        line = " ".join(self._shown(text).split())
        return line if len(line) <= most else line[: most - 1] + "…"

    def _shown(self, text: str, most: int | None = _READ_CHARS) -> str:
        # Cleaned before it is masked: a secret with a control in its midst would be whole again afterwards.
        return defuse(redact(clean(text[:most]), self._secrets))

    def _result(self, text: str, job_id: str) -> str:
        """Return a result as it may be shown; of one that nobody could see, a chat would take nothing."""
        shown = self.untrusted(text, job_id)
        return shown if shown.strip() else words.NO_RESULT

    def _more_at(self, link: str | None) -> str:
        return "… and more" + ("" if link is None else f": {link}")

    def _more(self, job_id: str | None) -> str:
        if job_id is None:
            return "…"
        link = self.link(job_id)
        return f"… (use `status {job_id}` for full output)." if link is None else f"… (all of it: {link})"

    def end(self, job: wire.Job) -> Reply:
        """Say what came of a job that has ended."""
        if job.status == Status.DONE:
            shape, plan_id = _SHAPES.get(_command(job) or "", in_words), plan_id_of(job)
            label, style = words.BUTTONS[APPROVE]
            pressable = buttons(job) if plan_id is None else (Button(label, APPROVE, plan_id, 0, style),)
            return Reply(self._result(shape(job.result), job.id), pressable)
        if job.status == Status.CANCELLED:
            return Reply(words.was_cancelled(job.id))
        return Reply(self.untrusted(f"Job failed: {_error(job)}", job.id), buttons(job))

    def status(self, job: wire.Job, part: int = 1) -> Reply:
        """Say how a job stands, with a part of its result, or of its error; the first one is 1."""
        head = f"Job `{job.id}`: **{job.status}**"
        if job.status == Status.DONE:
            shown = self._shown(in_words(job.result), None)
        elif job.status in _BAD:
            shown = self._shown(f"Error: {_error(job)}", None)
        else:
            return Reply(head, buttons(job))
        pieces = [shown[at : at + CUT_CHARS] for at in range(0, len(shown), CUT_CHARS)]
        if not 1 <= part <= max(len(pieces), 1):
            return Reply(words.no_such_part(job.id, len(pieces)))
        if part > 1:
            head += f" ({part} of {len(pieces)})"
        piece = pieces[part - 1] if shown.strip() else words.NO_RESULT
        if part < len(pieces):
            link = self.link(job.id)
            piece += f"… (go on: `status {job.id} {part + 1}`)" if link is None else self._more(job.id)
        return Reply(f"{head}\n{piece}", buttons(job))

    def jobs(self, found: list[wire.Job], more: bool) -> Reply:
        """List jobs, one a line; `more`: there are others."""
        if not found:
            return Reply(words.NO_JOBS)
        lines = [f"`{job.id}` **{job.status}** {self.one_line(_about(job), 60)}" for job in found[:LINES_MOST]]
        if more or len(found) > LINES_MOST:
            lines.append(self._more_at(None if self._base is None else f"{self._base}/ui/jobs"))
        return Reply("\n".join(lines))

    def why(self, job_id: str, found: wire.Why) -> Reply:
        """Say why a job does not run."""
        lines = [f"Job `{job_id}`: **{found.status}**"]
        room = CUT_CHARS
        for reason in found.reasons[:LINES_MOST]:
            line = f"- {self.one_line(reason.message, 200)}"
            room -= len(line)
            if room < 0:
                lines.append(self._more_at(self.link(job_id)))
                break
            lines.append(line)
        return Reply("\n".join(lines))

    def notice(self, title: str, text: str, cut: bool, job_id: str | None) -> str:
        """Say what the spine tells of: its own title, what a job wrote, and where all of it stands."""
        said = self.untrusted(text.strip(), job_id)
        lines = [f"**{self.one_line(title, 200)}**", *([said] if said else [])]
        link = None if job_id is None else self.link(job_id)
        if link is not None and link not in said:
            lines.append(link)
        elif cut and job_id is not None and link is None and len(said) <= CUT_CHARS:
            lines.append(self._more(job_id))
        return "\n".join(lines)


def _command(job: wire.Job) -> str | None:
    """Return the broker's command that a job is; None for any other."""
    if "broker" not in job.requires or not isinstance(job.spec, dict):
        return None
    command = job.spec.get("command")
    return command if isinstance(command, str) else None


def plan_id_of(job: wire.Job) -> str | None:
    """Return the id of the plan that a job has made; None when it has made none."""
    if _command(job) != "plan_echo" or job.status != Status.DONE:
        return None
    plan_id = (_read(job.result) or {}).get("plan_id")
    return plan_id if isinstance(plan_id, str) and _PLAN_ID.fullmatch(plan_id) else None


def _about(job: wire.Job) -> str:
    if isinstance(job.spec, str):
        return job.spec
    if isinstance(job.spec, dict):
        parts = [job.spec.get("command"), job.spec.get("payload"), job.spec.get("run"), job.spec.get("plan")]
        said = " ".join(part for part in parts if isinstance(part, str))
        if said:
            return said
    return msgspec.json.encode(job.spec).decode()


def _error(job: wire.Job) -> str:
    return job.error or (in_words(job.result) if job.result is not None else "unknown")


def _read(result: Any) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(result) if isinstance(result, str) else result
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _capabilities(result: Any) -> str:
    found = _read(result)
    if found is None or not isinstance(found.get("capabilities"), list):
        return in_words(result)
    return f"Worker: `{found.get('worker_id', '?')}`\nCapabilities: {', '.join(map(str, found['capabilities']))}"


def _plan(result: Any) -> str:
    found = _read(result)
    if found is None or "plan_id" not in found:
        return in_words(result)
    plan_id = found["plan_id"]
    return f"Plan ID: `{plan_id}`\nSummary: {found.get('summary', '')}\nTo apply: `approve {plan_id}`"


def _approval(result: Any) -> str:
    found = _read(result)
    if found is None or "status" not in found:
        return in_words(result)
    note = found.get("note")
    return f"Status: {found['status']}" + (f"\n{note}" if note else "")


_SHAPES: dict[str, Callable[[Any], str]] = {
    "capabilities": _capabilities,
    "plan_echo": _plan,
    "approve_echo": _approval,
}
