"""What a job of Skyclaw or of the broker asks for; every other job's spec is read by `claw.spec`."""

from typing import Any

from claw.spec import BadSpec, HostCommand, Phase, Plan, RunnerOrder
from claw.spec import parse as parse_native

SKYCLAW, BROKER = "skyclaw", "broker"
NAMES = (BROKER, SKYCLAW)
"""A dialect's name is the capability that its jobs require."""


TIMEOUT_MOST_MS = 2_592_000_000


def parse(spec: Any, requires: list[str]) -> Plan:
    """Read a job's `spec` as the dialect that the job requires, or as our own.

    Raises:
        BadSpec
    """
    wanted = [name for name in NAMES if name in requires]
    if not wanted:
        return parse_native(spec)
    if len(wanted) > 1:
        raise BadSpec("requires: a job is one of broker or of skyclaw, not of both")
    if not isinstance(spec, dict):
        raise BadSpec(f"spec: a job that requires {wanted[0]} has an object")
    return _skyclaw(spec) if wanted == [SKYCLAW] else _broker(spec)


def dialect_of(plan: Plan) -> str | None:
    """Name the dialect of a plan; None for our own."""
    if plan.foreign is None:
        return None
    return SKYCLAW if isinstance(plan.foreign, HostCommand) else BROKER


def _skyclaw(spec: dict[str, Any]) -> Plan:
    kind = spec.get("kind")
    if not kind:
        raise BadSpec("spec.kind: missing; give shell or automaton-run")
    # Any other kind is an automaton's: that is how Skyclaw's hosts take it.
    shell = kind == "shell"
    command = _text(spec, "command") if shell else None
    if shell and command is None:
        raise BadSpec("spec.command: missing; a shell job names a command")
    foreign = HostCommand(
        command=command,
        args=_words(spec, () if shell else ("--run",)),
        cwd=_folder(spec, "cwd" if shell else "automatonDir"),
        timeout_ms=_milliseconds(spec),
    )
    name = "shell" if shell else "automaton-run"
    return Plan(phases=(Phase(name=name, run=name),), foreign=foreign, env=_variables(spec))


def _broker(spec: dict[str, Any]) -> Plan:
    command, plan = _text(spec, "command"), spec.get("plan")
    if command is None:
        raise BadSpec("spec.command: missing")
    approved = plan.get("id") if isinstance(plan, dict) else None
    foreign = RunnerOrder(
        command=command.strip(),
        payload=_text(spec, "payload") or "",
        approved=approved if isinstance(approved, str) else None,
    )
    name = foreign.command[:100] or "command"
    return Plan(phases=(Phase(name=name, run=name),), foreign=foreign)


def _text(spec: dict[str, Any], name: str) -> str | None:
    value = spec.get(name)
    if value is not None and not isinstance(value, str):
        raise BadSpec(f"spec.{name}: expected a text")
    return value


def _folder(spec: dict[str, Any], name: str) -> str | None:
    folder = _text(spec, name)
    if folder is not None and "\x00" in folder:
        raise BadSpec(f"spec.{name}: a folder's name cannot hold a NUL character")
    return folder or None


def _words(spec: dict[str, Any], default: tuple[str, ...]) -> tuple[str, ...]:
    args = spec.get("args")
    if args is None:
        return default
    if not isinstance(args, list) or not all(isinstance(word, str) for word in args):
        raise BadSpec("spec.args: expected a list of texts")
    if any("\x00" in word for word in args):
        raise BadSpec("spec.args: an argument cannot hold a NUL character")
    return tuple(args)


def _variables(spec: dict[str, Any]) -> dict[str, str]:
    env = spec.get("env")
    if env is None:
        return {}
    if not isinstance(env, dict):
        raise BadSpec("spec.env: expected an object")
    for name, value in env.items():
        if not name or "=" in name or "\x00" in name:
            raise BadSpec(f"spec.env: {name!r} is not a name of a variable")
        if not isinstance(value, str | int | float):
            raise BadSpec(f"spec.env.{name}: expected a text")
        if isinstance(value, str) and "\x00" in value:
            raise BadSpec(f"spec.env.{name}: a variable cannot hold a NUL character")
    return {name: value if isinstance(value, str) else _printed(value) for name, value in env.items()}


def _printed(value: float | bool) -> str:
    """Write a number or a truth value as JSON does, a whole number without a fraction."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if value == int(value) else str(value)


def _milliseconds(spec: dict[str, Any]) -> int | float | None:
    value = spec.get("timeoutMs")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= TIMEOUT_MOST_MS:
        raise BadSpec("spec.timeoutMs: expected a number of milliseconds")
    return int(value) if value == int(value) else value
