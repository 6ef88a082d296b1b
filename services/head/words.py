"""A job in words: short, clean of control characters, the same for tables, lines and the live view."""

from typing import Any, NamedTuple

from msgspec import UNSET

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
    if job.label:
        return clean.line(job.label)
    spec = job.spec
    if isinstance(spec, str):
        return clean.line(spec)
    if isinstance(spec, dict):
        phases = spec.get("phases")
        if isinstance(phases, list) and phases:
            names = [str(p.get("name", n)) if isinstance(p, dict) else str(n) for n, p in enumerate(phases, 1)]
            return clean.line(" → ".join(names))
        run = spec.get("run")
        if run:
            return clean.line(" ".join(map(str, run)) if isinstance(run, list) else str(run))
        return clean.line(", ".join(map(str, spec)))
    return clean.line(str(spec))


def holder(job: Job) -> str:
    """Say who has the job: the claimant, and its machine when that has another name."""
    names = [name for name in (job.claimed_by, job.machine) if name]
    return clean.line(" on ".join(dict.fromkeys(names)))


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
    if isinstance(progress, str):
        return clean.line(progress)
    if not isinstance(progress, dict):
        return "" if progress is UNSET or progress is None else clean.line(str(progress))
    name = next((progress[key] for key in ("phase", "step", "message", "note") if progress.get(key)), "")
    index, of = progress.get("index"), progress.get("of")
    if isinstance(index, int) and isinstance(of, int):
        return clean.line(f"phase {index} of {of}: {name}" if name else f"phase {index} of {of}")
    return clean.line(str(name))


def percent(progress: Any) -> float | None:
    """Return how much is done in 0…100, when the progress says so."""
    value = progress.get("percent") if isinstance(progress, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return min(100.0, max(0.0, float(value)))


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
    """Say a length of time: `12 s`, `3 min 05 s`, `2 h 10 min`, `4 d 3 h`; empty for None."""
    if seconds is None:
        return ""
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def ago(at: str, now_ms: int) -> str:
    """Say how long ago an ISO time was, in its largest unit."""
    seconds = max(0, (now_ms - parse_iso(at)) // 1000)
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"
