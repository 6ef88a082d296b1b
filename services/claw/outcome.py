"""What came of a job: the mapping from exit code and result file to what the spine is told."""

import signal
from typing import Any, Literal, get_args

import msgspec

from claw import exits
from claw.process.capture import MARK
from contract import wire
from contract.clock import parse_iso

RESULT_MOST_BYTES = 250 * 1024
"""The spine takes 256 KiB; the rest is room for the body around it."""
RESULT_FILE_MOST_BYTES = 4 << 20
ERROR_MOST_CHARS = 4000
WORDS = frozenset({"outcome", "error", "requeue", "reason", "cause", "notBefore"})
"""Members of a result file that speak of the attempt and are no part of the result."""
CUT_MARK = MARK.decode()

Action = Literal["complete", "fail", "release", "drop"]


class Outcome(msgspec.Struct, rename="camel", kw_only=True):
    """What is to be reported; `drop` means that there is nobody to report to."""

    action: Action
    result: Any = None
    error: str | None = None
    requeue: bool = True
    reason: str | None = None
    count_attempt: bool = True
    cause: wire.Cause | None = None
    not_before: str | None = None


def complete(result: Any) -> Outcome:
    """Report success."""
    return Outcome(action="complete", result=result)


def fail(error: str | None, requeue: bool = True, result: Any = None) -> Outcome:
    """Report failure; the error is cut to 4,000 characters. A result stays on a job that ends by this."""
    return Outcome(action="fail", error=None if error is None else _cut(error), requeue=requeue, result=result)


def release(reason: str, count_attempt: bool = True) -> Outcome:
    """Give the job back."""
    return Outcome(action="release", reason=_cut(reason), count_attempt=count_attempt)


def drop(reason: str) -> Outcome:
    """Report nothing: the job is not ours any more."""
    return Outcome(action="drop", reason=reason)


def from_exit(code: int, last_line: str, phase: str, permanent: tuple[int, ...] = ()) -> Outcome:
    """Map an exit code (128 + n for signal n) to an outcome, as documented for writers of jobs."""
    said = f": {last_line}" if last_line else ""
    if code == exits.CHILD_OK:
        return complete({})
    if code in permanent or code == exits.CHILD_FORBIDDEN:
        return fail(f"{phase} ended with exit code {code}{said}", requeue=False)
    if code == exits.CHILD_UNAVAILABLE:
        return release(last_line or f"{phase} ended with exit code {code}")
    if code > 128:
        return fail(f"{phase} was ended by {_signal_name(code - 128)}{said}")
    return fail(f"{phase} ended with exit code {code}{said}")


class BadResult(ValueError):
    """The result file cannot be used; the text says why and shows its beginning."""


def parse_result_file(raw: bytes) -> dict[str, Any]:
    """Read a result file: a JSON object, with `outcome` one of complete, fail, release when it is there.

    Raises:
        BadResult
    """
    shown = raw[:500].decode("utf-8", "replace")
    if len(raw) > RESULT_FILE_MOST_BYTES:
        raise BadResult(f"the result file is larger than {RESULT_FILE_MOST_BYTES} bytes")
    try:
        said = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadResult(f"the result file (SPINE_RESULT_FILE) is not JSON ({e}); it begins: {shown}") from e
    if not isinstance(said, dict):
        raise BadResult(f"the result file (SPINE_RESULT_FILE) is not a JSON object; it begins: {shown}")
    if said.get("outcome", "complete") not in ("complete", "fail", "release"):
        raise BadResult(f"the result file's outcome is not complete, fail or release; it begins: {shown}")
    if not isinstance(said.get("requeue", True), bool):
        raise BadResult(f"the result file's requeue is neither true nor false; it begins: {shown}")
    if said.get("cause") not in (None, *get_args(wire.Cause)):
        raise BadResult(f"the result file's cause is not transient, overload or permanent; it begins: {shown}")
    if not _is_moment(said.get("notBefore")):
        raise BadResult(f"the result file's notBefore is no time such as 2030-01-31T08:00:00Z; it begins: {shown}")
    return said


def merge(by_exit: Outcome, said: dict[str, Any]) -> Outcome:
    """Let a result file refine what the exit code says.

    With exit 0 the file decides. Otherwise it may word the error, set `requeue`, name the cause and the time of another
    try, and choose between fail and release; it cannot make a success of a failure.
    """
    rest = {name: value for name, value in said.items() if name not in WORDS}
    wanted = said.get("outcome")
    error = _text(said.get("error")) or _text(said.get("reason"))
    if by_exit.action == "complete":
        if wanted == "fail":
            return _failed(error or "the job reported a failure", said, requeue=True)
        if wanted == "release":
            return _released(error or "the job gave itself back", said)
        return complete(rest)
    if wanted == "release" or (wanted is None and by_exit.action == "release"):
        return _released(error or by_exit.reason or by_exit.error or "", said)
    return _failed(error or by_exit.error or by_exit.reason or "", said, by_exit.requeue)


def _failed(error: str, said: dict[str, Any], requeue: bool) -> Outcome:
    """Report a failure as the file words it. A cause decides about another try, unless `requeue` does."""
    cause, moment = said.get("cause"), said.get("notBefore")
    again = bool(said.get("requeue", requeue if cause is None else True)) and cause != "permanent"
    return msgspec.structs.replace(fail(error, again), cause=cause, not_before=moment)


def _released(reason: str, said: dict[str, Any]) -> Outcome:
    return msgspec.structs.replace(release(reason), not_before=said.get("notBefore"))


def _is_moment(value: Any) -> bool:
    if value is None:
        return True
    try:
        return isinstance(value, str) and parse_iso(value) >= 0
    except (ValueError, OverflowError):
        return False


def fit(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result small enough for the spine: long notes are cut first, then everything but the links goes."""
    if _size(result) <= RESULT_MOST_BYTES:
        return result
    notes = _text(result.get("notes"))
    if notes:
        spare = RESULT_MOST_BYTES - _size(result | {"notes": ""})
        if spare > 100:
            # A character takes at most 6 bytes as JSON (\u0000).
            return result | {"notes": notes[: (spare - 50) // 6] + " … (cut)"}
    kept = {name: result[name] for name in ("url", "pr", "branch", "commit", "artifacts") if name in result}
    small = kept | {"notes": "The result was too large for the spine; only its links are kept."}
    return small if _size(small) <= RESULT_MOST_BYTES else {"notes": "The result was too large for the spine."}


def smaller(ended: Outcome) -> Outcome | None:
    """Return the outcome with the texts of its result cut so that the spine takes it; None when that is of no help."""
    result, spare = ended.result, RESULT_MOST_BYTES
    if _size(result) <= spare:
        return None
    if isinstance(result, str):
        return msgspec.structs.replace(ended, result=_shortened(result, spare))
    if not isinstance(result, dict) or not {"stdout", "stderr"} <= result.keys():
        return None
    out, errors = str(result["stdout"]), str(result["stderr"])
    spare -= _size(result | {"stdout": "", "stderr": ""})
    # What one stream leaves free is the other's.
    least = spare // 2
    errors = _shortened(errors, max(least, spare - _size(out)))
    out = _shortened(out, spare - _size(errors))
    return msgspec.structs.replace(ended, result=result | {"stdout": out, "stderr": errors})


def _shortened(text: str, most: int) -> str:
    """Return the text, or its beginning with a mark, so that it is at most so many bytes as JSON."""
    if _size(text) <= most:
        return text
    least, beyond = 0, len(text)
    while beyond - least > 1:
        middle = (least + beyond) // 2
        if _size(text[:middle] + CUT_MARK) <= most:
            least = middle
        else:
            beyond = middle
    return text[:least] + CUT_MARK


def _size(value: Any) -> int:
    return len(msgspec.json.encode(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _cut(text: str) -> str:
    # NUL is refused by the spine on both engines; a program may well print one.
    text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text if len(text) <= ERROR_MOST_CHARS else text[: ERROR_MOST_CHARS - 8] + " … (cut)"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
