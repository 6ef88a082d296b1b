"""W3C trace context: which trace a call or a job belongs to, and the spans of the steps that a job goes through."""

import hashlib
import re

HEADER = "traceparent"
# Of a later version only what this one knows is read, as the standard asks.
_CONTEXT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-[^\x00-\x20\x7f]*)?"
)
_LEN = 55


def of_text(text: str | None) -> str | None:
    """Return a `traceparent` in the form of version 00; None where it is none: the standard has it ignored."""
    found = _CONTEXT.fullmatch(text or "")
    if found is None or (found[1] == "00" and len(found[0]) != _LEN):
        return None
    return f"00-{found[2]}-{found[3]}-{found[4]}"


def trace_id(traceparent: str | None) -> str | None:
    """Return the trace that a `traceparent` is of."""
    known = of_text(traceparent)
    return None if known is None else known.split("-")[1]


def named(traceparent: str | None) -> dict[str, str]:
    """Return what a line of the log says of a trace: nothing where there is none."""
    found = trace_id(traceparent)
    return {} if found is None else {"trace_id": found}


def of_attempt(job_id: str, fence: int, submitted: str | None) -> str:
    """Return the span of an attempt, in the trace of its job; a job that has none begins one.

    Reckoned, not drawn: every process that works on an attempt, before and after a crash, says the same.
    """
    return _span(job_id, str(fence), submitted)


def of_submit(job_id: str, submitted: str | None) -> str:
    """Return the span by which a job was submitted, in its trace; reckoned like an attempt's."""
    return _span(job_id, "send", submitted)


def of_call(job_id: str, fence: int, what: str, submitted: str | None) -> str:
    """Return the span of a call about an attempt, in the trace of its job; `what`: `receive` or `settle`."""
    return _span(job_id, f"{fence}:{what}", submitted)


def is_sampled(submitted: str | None) -> bool:
    """Tell whether a job's trace is recorded; one that begins with the job is."""
    known = of_text(submitted)
    return known is None or bool(int(known[-2:], 16) & 1)


def _span(job_id: str, name: str, submitted: str | None) -> str:
    flags, trace = "01", _hash(job_id)[:32]
    known = of_text(submitted)
    if known is not None:
        _, trace, _, flags = known.split("-")
    return f"00-{trace}-{_hash(f'{job_id}:{name}')[:16]}-{flags}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
