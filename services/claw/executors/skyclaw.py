"""The executor of Skyclaw's jobs, as its host runs them: one program of an allowlist, no shell, both outputs apart.

Better than that host: the program is found by the claw's own PATH, whatever the job's is; nothing that it started
outlives it or the time-out; the outputs are never held whole.
"""

import errno
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping

import msgspec

from claw import outcome
from claw.executors import shell
from claw.executors.base import Place
from claw.outcome import Outcome
from claw.process import guard
from claw.process.capture import Capture
from claw.process.run import Ended, run_guarded
from claw.settings import Settings
from claw.spec import HostCommand

TIMEOUT_LEAST_MS = 1000
NOT_ALLOWED = 126
FAILED = 1
RUN_ANYTHING = frozenset({"bash", "sh", "dash", "zsh", "node", "python", "python3", "env"})
_LOADERS = re.compile(r"(LD_|DYLD_|GCONV_PATH\Z|GLIBC_TUNABLES\Z)")
_INTERPRETERS = re.compile(
    r"(NODE_|PYTHON|PERL5?|RUBY|BASH_FUNC_|(BASH_ENV|ENV|SHELLOPTS|BASHOPTS|PS4|IFS|JAVA_TOOL_OPTIONS|JDK_JAVA_OPTIONS)\Z)"
)
_NOT_EXECUTED = (126, 127)
"""What the guard answers when the program could not be executed."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds a run besides its own time-out: what is left of the job's time `limit` (s), and `stop()`."""

    limit: int
    left_seconds: float
    stop: Callable[[], bool]


def run(
    command: HostCommand, place: Place, settings: Settings, tee: Callable[[bytes], None], bounds: Bounds
) -> tuple[Ended, Outcome]:
    """Run the command; returns how it ended and what the spine is to be told. Its failures are final."""
    name = settings.dialects.automaton if command.command is None else command.command
    if not allowed(name, settings):
        return _ended(NOT_ALLOWED), _outcome(NOT_ALLOWED, error=f"command not allowed: {name}")
    program = find(name, settings)
    if program is None:
        return _ended(FAILED), _outcome(FAILED, error=f"spawn {name} ENOENT")
    variable = forbidden(place.env, settings)
    if variable is not None:
        return _ended(NOT_ALLOWED), _outcome(NOT_ALLOWED, error=f"variable not allowed: {variable}")
    out, errors = (Capture(settings.dialects.output_bytes, settings.secrets(), tee) for _ in range(2))
    wanted_ms = settings.dialects.timeout_ms if command.timeout_ms is None else command.timeout_ms
    limit_ms = max(TIMEOUT_LEAST_MS, wanted_ms)
    begun = time.monotonic()
    try:
        ended = run_guarded(
            [name, *command.args],
            program=program,
            cwd=place.workspace / (command.cwd or "."),
            env=_environment(place.env, settings),
            sink=out.write,
            errors=errors.write,
            timeout_seconds=min(limit_ms / 1000, bounds.left_seconds),
            grace_seconds=0,
            stop=bounds.stop,
            signal_code=FAILED,
        )
    except OSError as e:
        return _ended(FAILED), _outcome(FAILED, _ms(time.monotonic() - begun), error=_not_started(name, e.errno))
    stdout, stderr = out.text(), errors.text()
    code, error = FAILED if ended.timed_out else ended.code, None
    if ended.timed_out:
        own = limit_ms / 1000 <= bounds.left_seconds
        error = f"timed out after {limit_ms}ms" if own else f"the job timed out after {bounds.limit} s"
    elif ended.code in _NOT_EXECUTED and (number := _why_not(name, stderr)) is not None:
        code, error, stderr = FAILED, _not_started(name, number), ""
    done = Ended(code, timed_out=False, stopped=ended.stopped, seconds=ended.seconds)
    return done, _outcome(code, _ms(ended.seconds), stdout, stderr, error)


def allowed(name: str, settings: Settings) -> bool:
    """Tell whether a command may run: its text is an entry of the list, and the claw's own list has its program."""
    if name not in settings.dialects.allowed_commands:
        return False
    if not settings.allowed_commands:
        return True
    program, path = find(name, settings), settings.base_env["PATH"]
    return program is not None and os.path.realpath(program) in shell.resolved(settings.allowed_commands, path)


def forbidden(env: Mapping[str, str], settings: Settings) -> str | None:
    """Return a variable of the job's by which something else than the allowed program would run; None if there is none.

    Those that interpreters read are let through where the list has a shell or node: such a job may run anything anyway.
    """
    open_to_all = not set(settings.dialects.allowed_commands).isdisjoint(RUN_ANYTHING)
    for name in (name for name, value in env.items() if settings.base_env.get(name) != value):
        if _LOADERS.match(name) or (not open_to_all and _INTERPRETERS.match(name)):
            return name
    return None


def find(name: str, settings: Settings) -> str | None:
    """Return the absolute path of a command's program by the claw's PATH; a job's has no say in it."""
    if not name or "\x00" in name:
        return None
    if "/" in name:
        return name if name.startswith("/") else None
    folders = [folder for folder in settings.base_env["PATH"].split(":") if folder.startswith("/")]
    return shutil.which(name, path=":".join(folders))


def _environment(env: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """Let the claw's PATH go first also for the child: an allowed program may be a script that looks for its own."""
    own, wanted = settings.base_env["PATH"], env.get("PATH", "")
    return {**env, "PATH": own if wanted in ("", own) else f"{own}:{wanted}"}


def _why_not(name: str, stderr: str) -> int | None:
    """Return the number of the error when the program could not be executed after all."""
    for number in errno.errorcode:
        if stderr.encode() == guard.cannot_start(name, os.strerror(number)):
            return number
    return None


def _not_started(name: str, number: int | None) -> str:
    return f"spawn {name} {errno.errorcode.get(number or 0, 'UNKNOWN')}"


def _outcome(code: int, duration_ms: int = 0, stdout: str = "", stderr: str = "", error: str | None = None) -> Outcome:
    result = {"durationMs": duration_ms, "exitCode": code, "stdout": stdout, "stderr": stderr}
    if code == 0 and error is None:
        return outcome.complete(result)
    return outcome.fail(error, requeue=False, result=result)


def _ended(code: int) -> Ended:
    return Ended(code, timed_out=False, stopped=False, seconds=0.0)


def _ms(seconds: float) -> int:
    return math.floor(seconds * 1000)
