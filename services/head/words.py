"""A job in words: short, clean of control characters, the same for tables, lines and the live view."""

from typing import Any, NamedTuple

from msgspec import UNSET

from contract import told
from contract.clock import parse_iso
from contract.states import TERMINAL, Status
from contract.wire import Job, Retry
from head import clean

STYLES = {
    Status.QUEUED: "cyan",
    Status.WAITING: "magenta",
    Status.RUNNING: "yellow",
    Status.DONE: "green",
    Status.FAILED: "red",
    Status.DEAD: "bold red",
    Status.CANCELLED: "dim",
}


class Line(NamedTuple):
    """A line for people and the style it has where there are colours."""

    text: str
    style: str = ""


def ended(job: Job) -> bool:
    """Tell whether the job has come to an end."""
    return job.status in TERMINAL


def style(status: str) -> str:
    """Return the style of a status; one that a newer server may have is plain."""
    return STYLES.get(Status(status), "") if status in set(Status) else ""


def what(job: Job) -> str:
    """Say in one line what the job is: its label, or the beginning of its spec."""
    return clean.line(told.what(job.label, job.spec))


def holder(job: Job) -> str:
    """Say who has the job."""
    return who(job.claimed_by, job.machine)


def who(claimed_by: str | None, machine: str | None) -> str:
    """Say who took a job: the claimant, and its machine when that has another name."""
    return clean.line(" on ".join(dict.fromkeys(name for name in (claimed_by, machine) if name)))


def approval(job: Job) -> str:
    """Say where a job's approval stands; empty when it asks for none."""
    found = job.approval
    if found is None:
        return ""
    return found.state + (f" by {found.by}" if found.by else f": spine-head approve {job.id}")


def review(job: Job) -> str:
    """Say where a job's review stands; empty when it asks for none."""
    found = job.review
    if found is None:
        return "asked for" if job.needs_review else ""
    return found.state + (f" by {found.by}" if found.by and found.state != "pending" else "")


def needs_review(job: Job) -> bool:
    """Tell whether somebody has to review the job now."""
    return job.status == Status.DONE and job.review is not None and job.review.state == "pending"


def backoff(retry: Retry | None) -> str:
    """Say when a failed attempt is followed by another; empty for at once."""
    if retry is None:
        return ""
    return f"{span(retry.backoff_seconds)}, times {retry.factor:g}, at most {span(retry.max_seconds)}"


def phase(progress: Any) -> str:
    """Say where the work stands, from whatever a claw sent as progress; empty when it says nothing."""
    return "" if progress is UNSET else clean.line(told.phase(progress))


def changes(before: Job | None, now: Job) -> list[Line]:
    """Say what has changed between two looks at a job, in the order in which it happened."""
    lines = []
    moved = before is None or (before.status, before.fence, before.round) != (now.status, now.fence, now.round)
    if moved:
        lines.append(Line(_status(before, now), style(now.status)))
    stands = phase(now.progress)
    # A new attempt still carries the progress of the last one until it sends its own.
    if stands and now.status == Status.RUNNING and (before is None or phase(before.progress) != stands):
        lines.append(Line(f"  {stands}"))
    known = 0 if before is None else len(before.comments)
    lines += [Line(f"  comment by {clean.line(c.by)}: {clean.line(c.text)}", "blue") for c in now.comments[known:]]
    return lines


def _status(before: Job | None, now: Job) -> str:
    if now.status == Status.RUNNING:
        return f"running: {holder(now)}, attempt {now.attempts} of {now.max_attempts}"
    if now.status in (Status.QUEUED, Status.WAITING):
        why = now.error or (now.release_reason if isinstance(now.release_reason, str) else "")
        if now.status == Status.WAITING and now.approval is not None and now.approval.state == "pending":
            return f"waiting for approval: spine-head approve {now.id}"
        again = "" if before is None and now.fence == 0 else " again"
        return f"{now.status}{again} for {clean.line(now.target)}" + (f": {clean.line(why)}" if again and why else "")
    return now.status


def seconds_between(start: str | None, end: str | None) -> float | None:
    """Return the seconds from one ISO time to another, or None when one is missing."""
    if not start or not end:
        return None
    return max(0.0, (parse_iso(end) - parse_iso(start)) / 1000)


def span(seconds: float | None) -> str:
    """Say a length of time; empty for None."""
    return "" if seconds is None else told.span(seconds)


def clock(seconds: int) -> str:
    """Write a length of time as a clock that counts: `0:09`, `4:59`, `1:02:03`."""
    hours, left = divmod(seconds, 3600)
    return f"{hours}:{left // 60:02d}:{left % 60:02d}" if hours else f"{left // 60}:{left % 60:02d}"


def ago(at: str, now_ms: int) -> str:
    """Say how long ago an ISO time was, in its largest unit; for one that a clock has not come to, `0 s ago`."""
    return f"{_largest(max(0, now_ms - parse_iso(at)))} ago"


def when(at: str, now_ms: int) -> str:
    """Say when an ISO time was or will be, as in `3 min ago` and `in 12 s`."""
    away = parse_iso(at) - now_ms
    return f"in {_largest(away)}" if away >= 1000 else ago(at, now_ms)


class Times(NamedTuple):
    """How moments are told: as a distance from the server's now, or as they are."""

    now_ms: int
    utc: bool = False

    def say(self, at: str) -> str:
        """Say when an ISO time was or will be."""
        return at if self.utc else when(at, self.now_ms)


def _largest(ms: int) -> str:
    seconds = ms // 1000
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
