"""What a job asks for: its `spec` read strictly, so that a mistake is named before anything runs."""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

PHASES_MOST = 100
BUILTINS = ("capabilities", "ping")
_ENV_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
_BRANCH = re.compile(r"^(?![-/.])(?!.*(\.\.|//|@\{|/\.|\.lock(/|$)))[^\x00-\x20\x7f~^:?*\[\\]{1,200}(?<![/.])$")

Run = Annotated[str, Meta(min_length=1)] | Annotated[list[str], Meta(min_length=1)]
Seconds = Annotated[int, Meta(ge=1, le=2_592_000)]


class BadSpec(ValueError):
    """The spec cannot be run; the text names the field and the fix."""


class Phase(msgspec.Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """One step. `run` is a shell line, or an argument list that no shell sees."""

    name: Annotated[str, Meta(min_length=1, max_length=100)] = ""
    run: Run
    timeout_seconds: Seconds | None = None


class Planning(msgspec.Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """A planning done by a command. A text in its place is a task for an agent."""

    run: Run
    timeout_seconds: Seconds | None = None


class Spec(msgspec.Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """The object form. Exactly one of `run`, `phases`, `builtin` and `plan` is given."""

    run: Run | None = None
    phases: Annotated[list[Phase], Meta(min_length=1, max_length=PHASES_MOST)] | None = None
    builtin: str | None = None
    plan: str | Planning | None = None
    then: str | dict[str, Any] | None = None
    repo: Annotated[str, Meta(min_length=1, max_length=2000)] | None = None
    branch: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    env: dict[str, str] = {}
    artifacts: Annotated[list[str], Meta(max_length=100)] = []
    permanent_exits: list[Annotated[int, Meta(ge=1, le=255)]] = []


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What a job that only plans is about: the task in words, where there is one, and what is to follow."""

    task: str | None = None
    then: str | dict[str, Any] | None = None


class HostCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What a host of Skyclaw runs; without a command it is the host's automaton. The limit is in milliseconds."""

    command: str | None = None
    args: tuple[str, ...] = ()
    cwd: str | None = None
    timeout_ms: int | float | None = None


class RunnerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner of the broker does; `approved` is the id of the plan that the spine has recorded as approved."""

    command: str
    payload: str = ""
    approved: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A spec made ready: at least one phase, each with a name.

    `text` is set where an agent is to run, `builtin` where the claw itself does it, `planned` where a plan is wanted,
    `foreign` where the job is one of Skyclaw or of the broker.
    """

    phases: tuple[Phase, ...]
    foreign: HostCommand | RunnerOrder | None = None
    text: str | None = None
    builtin: str | None = None
    planned: Planned | None = None
    repo: str | None = None
    branch: str | None = None
    env: dict[str, str] = {}
    artifacts: tuple[str, ...] = ()
    permanent_exits: tuple[int, ...] = ()


def parse(spec: Any) -> Plan:
    """Read a job's `spec`: text for an agent, or the object form.

    Raises:
        BadSpec
    """
    if isinstance(spec, str):
        if not spec.strip():
            raise BadSpec("spec: it is empty; give a text for an agent, or an object with run or phases")
        if "\x00" in spec:
            raise BadSpec("spec: the text has a NUL character; take it out")
        return Plan(phases=(Phase(name="agent", run="agent"),), text=spec)
    if not isinstance(spec, dict):
        raise BadSpec(f"spec: expected a text or an object, got {_kind(spec)}")
    try:
        read = msgspec.convert(spec, Spec)
    except msgspec.ValidationError as e:
        raise BadSpec(_located(str(e))) from e
    _check(read)
    task = read.plan if isinstance(read.plan, str) else None
    return Plan(
        phases=_phases(read),
        text=task,
        builtin=read.builtin,
        planned=None if read.plan is None else Planned(task=task, then=read.then),
        repo=read.repo,
        branch=read.branch,
        env=read.env,
        artifacts=tuple(read.artifacts),
        permanent_exits=tuple(read.permanent_exits),
    )


def _phases(read: Spec) -> tuple[Phase, ...]:
    if read.phases is not None:
        return tuple(
            Phase(name=p.name or f"phase {n}", run=p.run, timeout_seconds=p.timeout_seconds)
            for n, p in enumerate(read.phases, 1)
        )
    if read.builtin is not None:
        return (Phase(name=read.builtin, run=read.builtin),)
    if isinstance(read.plan, Planning):
        return (Phase(name="plan", run=read.plan.run, timeout_seconds=read.plan.timeout_seconds),)
    return (Phase(name="run" if read.plan is None else "plan", run=read.run or "agent"),)


def _check(read: Spec) -> None:
    if [read.run, read.phases, read.builtin, read.plan].count(None) != 3:
        raise BadSpec("spec: give exactly one of run, phases, builtin and plan")
    if read.builtin is not None:
        _check_builtin(read)
    if read.then is not None and read.plan is None:
        raise BadSpec("spec.then: it needs a plan")
    if isinstance(read.plan, str) and (not read.plan.strip() or "\x00" in read.plan):
        raise BadSpec("spec.plan: it is empty, or has a NUL character")
    runs = [("spec.run", read.run)] if read.run is not None else []
    runs += [("spec.plan.run", read.plan.run)] if isinstance(read.plan, Planning) else []
    runs += [(f"spec.phases[{n}].run", phase.run) for n, phase in enumerate(read.phases or [])]
    for where, run in runs:
        words = [run] if isinstance(run, str) else run
        if not words[0].strip():
            raise BadSpec(f"{where}: the command is empty")
        if any("\x00" in word for word in words):
            raise BadSpec(f"{where}: a command cannot hold a NUL character")
    for name, value in read.env.items():
        if not _ENV_NAME.match(name):
            raise BadSpec(f"spec.env: {name!r} is not a name of a variable")
        if name.startswith(("SPINE_", "CLAW_")) or name == "TRACEPARENT":
            raise BadSpec(f"spec.env: {name} is set by the claw; choose another name")
        if "\x00" in value:
            raise BadSpec(f"spec.env.{name}: a variable cannot hold a NUL character")
    if read.branch is not None:
        if read.repo is None:
            raise BadSpec("spec.branch: it needs a repo")
        if not _BRANCH.match(read.branch):
            raise BadSpec(f"spec.branch: {read.branch!r} is not a name of a branch")
    if read.repo is not None and ("\x00" in read.repo or read.repo != read.repo.strip() or not read.repo.isprintable()):
        raise BadSpec("spec.repo: it holds blanks or control characters at its ends or inside")
    for n, glob in enumerate(read.artifacts):
        if not glob or glob.startswith("/") or "\x00" in glob or ".." in glob.split("/"):
            raise BadSpec(f"spec.artifacts[{n}]: {glob!r} must be a pattern inside the workspace, such as build/*.txt")


def _check_builtin(read: Spec) -> None:
    if read.builtin not in BUILTINS:
        raise BadSpec(f"spec.builtin: {read.builtin!r} is none of {', '.join(BUILTINS)}")
    if read != Spec(builtin=read.builtin):
        raise BadSpec("spec.builtin: it stands alone; take the other members out")


def _located(message: str) -> str:
    """Turn msgspec's `… - at `$.phases[0].run`` into our field first."""
    text, _, place = message.partition(" - at `$")
    return f"spec{place.rstrip('`')}: {text}"


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", type(None): "null"}
    return names.get(type(value), type(value).__name__)
