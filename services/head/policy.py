"""The review policy of `spine-head loop`: rules from a TOML or JSON file, checked whole when it is read.

Which rule fits a job is decided here, and what it says; running commands and telling the spine are done elsewhere.
"""

import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from contract.env import SettingsError
from contract.wire import Job

_PLACE = re.compile(r"\{([A-Za-z]+)\}")
PLACES = ("id", "label", "target", "machine", "round", "exit", "notes", "branch", "pr", "url")
TEXT_MOST = 16_384
_Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class Rule(msgspec.Struct, rename="camel", kw_only=True, forbid_unknown_fields=True, frozen=True):
    """What a job must be like, and what is then done: exactly one of accept, leave, rework and command.

    `label`, `target`, `machine` and `branch` are patterns with `*` and `?`; `exit` is the first exit code other than 0
    among the result's phases, else 0; `maxRound` is the last round in which the rule fits.
    """

    label: str | None = None
    target: str | None = None
    machine: str | None = None
    branch: str | None = None
    exit: int | list[int] | None = None
    max_round: Annotated[int, Meta(ge=1)] | None = None
    accept: bool = False
    leave: bool = False
    rework: str | None = None
    command: list[str] | None = None
    timeout_seconds: _Seconds = 600.0


class Policy(msgspec.Struct, rename="camel", kw_only=True, forbid_unknown_fields=True, frozen=True):
    """The rules, tried from the first; `notify` runs for every other end, and for a review that is left to a person.

    `maxRounds`: from this round on no rule sends a job back, so that no loop goes round for ever.
    """

    rules: list[Rule] = []
    max_rounds: Annotated[int, Meta(ge=1, le=1000)] = 5
    notify: list[str] | None = None
    notify_timeout_seconds: _Seconds = 60.0


def read(path: Path) -> Policy:
    """Read a policy; the file's name says which of the two forms it has (`.toml`, else JSON).

    Raises:
        SettingsError: with every fault that it has.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".toml":
            policy = msgspec.convert(tomllib.loads(data.decode()), Policy, strict=True)
        else:
            policy = msgspec.json.decode(data, type=Policy)
    except OSError as e:
        raise SettingsError([f"--policy: cannot read {path}: {e.strerror or e}"]) from e
    except (msgspec.MsgspecError, ValueError) as e:
        raise SettingsError([f"--policy: {path}: {e}"]) from e
    faults = [
        f"--policy: {path}: rules[{n}]: {fault}" for n, rule in enumerate(policy.rules) for fault in _faults(rule)
    ]
    if policy.notify is not None and not _is_command(policy.notify):
        faults.append(f"--policy: {path}: notify: expected a list of texts, the program first")
    if faults:
        raise SettingsError(faults)
    return policy


def _faults(rule: Rule) -> list[str]:
    faults = []
    if [rule.accept, rule.leave, rule.rework is not None, rule.command is not None].count(True) != 1:
        faults.append("say exactly one of accept, leave, rework and command")
    for place in _PLACE.findall(rule.rework or ""):
        if place not in PLACES:
            faults.append(f"rework: {{{place}}} is none of {', '.join(PLACES)}")
    if rule.command is not None and not _is_command(rule.command):
        faults.append("command: expected a list of texts, the program first")
    return faults


def _is_command(words: list[str]) -> bool:
    return bool(words) and bool(words[0].strip()) and not any("\0" in word for word in words)


def choose(policy: Policy, job: Job) -> tuple[int, Rule] | None:
    """Return the first rule that fits a job, with its number; None: it is left to a person."""
    return next(((n, rule) for n, rule in enumerate(policy.rules) if fits(rule, job)), None)


def fits(rule: Rule, job: Job) -> bool:
    """Tell whether every condition of a rule holds."""
    patterns = (
        (rule.label, job.label),
        (rule.target, job.target),
        (rule.machine, job.machine),
        (rule.branch, _member(job.result, "branch")),
    )
    if any(pattern is not None and not fnmatchcase(value or "", pattern) for pattern, value in patterns):
        return False
    if rule.exit is not None and exit_of(job) not in (rule.exit if isinstance(rule.exit, list) else [rule.exit]):
        return False
    return rule.max_round is None or job.round <= rule.max_round


def exit_of(job: Job) -> int:
    """Return the first exit code of the result's phases that is not 0; 0 when there is none."""
    phases = job.result.get("phases") if isinstance(job.result, dict) else None
    for phase in phases if isinstance(phases, list) else []:
        code = phase.get("exitCode") if isinstance(phase, dict) else None
        if isinstance(code, int) and code != 0:
            return code
    return 0


def fill(template: str, job: Job) -> str:
    """Put a job's values into the places of a template; nothing else in it has a meaning."""
    values = {
        "id": job.id,
        "label": job.label or "",
        "target": job.target,
        "machine": job.machine or "",
        "round": str(job.round),
        "exit": str(exit_of(job)),
        **{name: _member(job.result, name) for name in ("notes", "branch", "pr", "url")},
    }
    return as_text(_PLACE.sub(lambda place: values.get(place[1], place[0]), template))


def as_text(text: str) -> str:
    """Cut a text to what a review may say, and replace what the spine refuses in it."""
    clean = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    while len(clean.encode()) > TEXT_MOST:
        clean = clean.encode()[:TEXT_MOST].decode("utf-8", "ignore")
    return clean.strip()


def _member(result: Any, name: str) -> str:
    value = result.get(name) if isinstance(result, dict) else None
    return value if isinstance(value, str) else ""
