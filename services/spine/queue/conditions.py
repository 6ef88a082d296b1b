"""What a chain asks of its parent's job, and what of it is handed on. Bounded by the size of a result; no patterns."""

import re
from functools import cached_property
from typing import Any

import msgspec

from contract import wire
from contract.errors import InvalidField
from contract.states import Status
from spine.store.jobs import JobRow

HANDED_MOST = 3000  # characters of a result (contract: scheduler 3.8)
DEPTH_MOST = 64  # of `equals`: what is compared within is compared by calls within calls
_MISSING = object()
_BETWEEN = "\0"  # texts: no text that is sought holds it (api.body)
# The claw's words where a program left no result: `claw.outcome`.
_EXIT = re.compile(r"ended with exit code (\d{1,3})\b")


class Ended:
    """A job that has ended, read once for all that ask about it: many chains may follow one end."""

    def __init__(self, job: JobRow) -> None:
        self.job = job

    @cached_property
    def result(self) -> Any:
        """The result as a value; None also when there is none."""
        return None if self.job.result is None else msgspec.json.decode(self.job.result)

    @cached_property
    def exit_code(self) -> int | None:
        """The exit code that the job reported."""
        return exit_code(self.job, self.result)

    @cached_property
    def texts(self) -> str:
        """Every text of the result, and the error, with a NUL between two."""
        return _BETWEEN.join(_texts([self.result, self.job.error]))


def check(condition: wire.Condition) -> None:
    """Refuse a condition that says nothing or contradicts itself.

    Raises:
        InvalidField: `condition…`
    """
    c = condition
    if all(member in (None, msgspec.UNSET) for member in (c.exit_code, c.contains, c.pointer, c.equals, c.exists)):
        raise InvalidField("condition: give exitCode, contains or pointer, or leave it out", "condition")
    if c.pointer is None:
        for name, given in (("equals", c.equals is not msgspec.UNSET), ("exists", c.exists is not None)):
            if given:
                raise InvalidField(f"condition.{name}: needs a pointer, such as /status", f"condition.{name}")
        return
    if c.pointer and not c.pointer.startswith("/"):
        raise InvalidField("condition.pointer: begins with / (RFC 6901), such as /status", "condition.pointer")
    if c.exists is False and c.equals is not msgspec.UNSET:
        raise InvalidField("condition.exists: what does not exist equals nothing", "condition.exists")
    if c.equals is not msgspec.UNSET and _is_deep(bytes(c.equals)):
        raise InvalidField(f"condition.equals: nested deeper than {DEPTH_MOST}", "condition.equals")


def holds(condition: wire.Condition | None, ended: Ended) -> bool:
    """Tell whether a job that has ended is as the condition says."""
    if condition is None:
        return True
    if condition.exit_code is not None and ended.exit_code not in condition.exit_code:
        return False
    if condition.contains is not None and condition.contains not in ended.texts:
        return False
    if condition.pointer is None:
        return True
    found = _at(ended.result, condition.pointer) if ended.job.result is not None else _MISSING
    if (found is not _MISSING) != (condition.exists is not False):
        return False
    return condition.equals is msgspec.UNSET or _same(found, msgspec.json.decode(bytes(condition.equals)))


def exit_code(job: JobRow, result: Any) -> int | None:
    """Return the exit code that a job reported: in its result, of its last phase, or in its error; a done one has 0."""
    if isinstance(result, dict):
        code = result.get("exitCode")
        phases = result.get("phases")
        if code is None and isinstance(phases, list) and phases and isinstance(phases[-1], dict):
            code = phases[-1].get("exitCode")
        if isinstance(code, int) and not isinstance(code, bool):
            return code
    if job.status == Status.DONE:
        return 0
    found = _EXIT.search(job.error or "")
    return int(found.group(1)) if found else None


def handed_on(job: JobRow) -> dict[str, Any]:
    """Return what a chain's job gets to know of its parent's, as `meta.parent`.

    `result` as it is while it is short, else a text of its beginning, with `truncated`.
    """
    result = None if job.result is None else msgspec.json.decode(job.result)
    found: dict[str, Any] = {
        "jobId": job.id,
        "scheduleId": job.schedule_id,
        "status": job.status,
        "exitCode": exit_code(job, result),
        "error": None if job.error is None else job.error[:HANDED_MOST],
        "result": result,
    }
    if job.result is not None and len(job.result) > HANDED_MOST:
        text = result if isinstance(result, str) else job.result
        found |= {"result": text[:HANDED_MOST], "truncated": True}
    return found


def _texts(values: list[Any]) -> list[str]:
    found, work = [], list(values)
    while work:
        value = work.pop()
        if isinstance(value, str):
            found.append(value)
        else:
            work += _within(value)
    return found


def _within(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _is_deep(data: bytes) -> bool:
    """Tell whether JSON has lists and objects in each other beyond what is compared."""
    try:
        level = [msgspec.json.decode(data)]
    except RecursionError:
        return True
    for _ in range(DEPTH_MOST):
        level = [member for value in level for member in _within(value)]
    return any(isinstance(value, list | dict) for value in level)


def _at(value: Any, pointer: str) -> Any:
    """Follow a JSON pointer (RFC 6901)."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit() and len(name) < 8 and int(name) < len(value):
            value = value[int(name)]
        else:
            return _MISSING
    return value


def _same(left: Any, right: Any) -> bool:
    """Compare as JSON does: true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(value, right[name]) for name, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)
