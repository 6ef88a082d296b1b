"""The claw's settings: one frozen struct, built once from the environment. Nobody else reads the environment."""

import json
import os
import re
import shlex
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from claw import dispatching, envfile
from claw.dialects import BROKER, NAMES, SKYCLAW
from claw.dispatching import Dispatching
from contract import sdnotify
from contract.env import ROTATE_SECONDS, EnvReader, Secret, Setting, SettingsError, base_urls, newer_token, text_of
from contract.logs import FORMATS, LEVELS

SETTINGS: tuple[Setting, ...] = (
    Setting("SPINE_BASE_URL", "http://127.0.0.1:36725", "where the spine is; several, separated by commas, fail over"),
    Setting("SPINE_TOKEN", "required", "this claw's token"),
    Setting("SPINE_TOKEN_FILE", "", "a file with the token; better than the variable, which a process list may show"),
    Setting("CLAW_NAME", "the host's name", "this machine's name, in worker ids and logs"),
    Setting("CLAW_TARGETS", "", "targets to claim for, separated by commas; empty means all that the token may claim"),
    Setting("CLAW_CAPABILITIES", "", "capabilities besides those that are found (shell, os:…, arch:…, tools)"),
    Setting("CLAW_MODE", "worker", "worker: a detached process runs all phases; phases: each tick runs the next one"),
    Setting(
        "CLAW_STATE_DIR",
        "~/.spine",
        "folder of claw.env, current-job.json, its lock, the worker id and undelivered results",
    ),
    Setting(
        "CLAW_WORK_DIR", "~/.spine/work", "folder in which each attempt gets a fresh one (default: in CLAW_STATE_DIR)"
    ),
    Setting("CLAW_KEEP_WORKSPACES", "0", "1 keeps an attempt's folder after its result was acknowledged"),
    Setting("CLAW_HEARTBEAT_SECONDS", "10", "how often the holder of a job beats"),
    Setting("CLAW_TICK_SECONDS", "60", "how often the resident claw looks after what it holds"),
    Setting("CLAW_WAIT_SECONDS", "25", "how long one claim waits at the spine (0 to 30)"),
    Setting("CLAW_FACTS_SECONDS", "300", "how often the claw tells the spine what this machine is and can do"),
    Setting("CLAW_DRAIN_SECONDS", "30", "how long SIGTERM lets the running job go on before it is given back"),
    Setting("CLAW_KILL_GRACE_SECONDS", "5", "from SIGTERM to SIGKILL when a job's processes are ended"),
    Setting("CLAW_MAX_JOB_SECONDS", "86400", "longest run of a job that sets no timeoutSeconds"),
    Setting("CLAW_LOG_MAX_BYTES", "67108864", "most output kept of one attempt; the rest is dropped with a note"),
    Setting("CLAW_AGENT_COMMAND", "", "runs a text spec: a command with {spec_file} or {spec}, and {workspace}"),
    Setting("CLAW_DISPATCH_COMMAND", "", "the spine-dispatch that runs a text spec on a gateway, if it is not found"),
    *dispatching.SETTINGS,
    Setting("CLAW_ALLOWED_COMMANDS", "", "executables that phases may start, separated by commas; empty allows all"),
    Setting("CLAW_ALLOWED_REPOS", "", "repositories that jobs may name, as prefixes or globs; empty allows none"),
    Setting("CLAW_GIT_NAME", "Spinal Cord", "author of the commits of jobs"),
    Setting("CLAW_GIT_EMAIL", "claw@localhost", "address of that author"),
    Setting("CLAW_GIT_TIMEOUT_SECONDS", "600", "longest run of one git command"),
    Setting("CLAW_PR_COMMAND", "", "run after a push: {branch} {base} {repo} {title} {job_id}; its last URL is the pr"),
    Setting("CLAW_PASS_ENV", "", "variables of the claw that jobs may see, separated by commas"),
    Setting("CLAW_DIALECTS", "", "whose jobs this claw takes besides our own: skyclaw, broker; separated by commas"),
    Setting("SKYCLAW_CAPABILITIES", "shell,automaton", "with skyclaw: capabilities of the host, separated by commas"),
    Setting("SKYCLAW_ALLOWED_COMMANDS", "automaton,node,bash,sh", "with skyclaw: what a job's command may be, exactly"),
    Setting("SKYCLAW_AUTOMATON_COMMAND", "automaton", "with skyclaw: what automaton-run starts; must be allowed too"),
    Setting("SKYCLAW_TIMEOUT_MS", "300000", "with skyclaw: longest run of a job that names no timeoutMs"),
    Setting("SKYCLAW_MAX_OUTPUT_BYTES", "128000", "with skyclaw: most of standard output, and of errors, in a result"),
    Setting("WORKER_ID", "the claw's name", "with broker: the worker_id in results"),
    Setting("WORKER_CAPS", "", "with broker: capabilities of the runner, separated by commas or as a JSON list"),
    Setting("LLM_CAP", "", "with broker: one capability more"),
    Setting("RUNNER_STATE_DIR", "", "with broker: folder of a runner before, whose plans may still be approved"),
    Setting("SKYCLAW_TOKEN", "", "not used by a claw; where it is still set it is masked in logs and results"),
    Setting("WORKER_TOKEN", "", "not used by a claw; where it is still set it is masked in logs and results"),
    Setting("CLAW_LOG_LEVEL", "info", "debug, info, warning or error"),
    Setting("CLAW_LOG_FORMAT", "auto", "json, text, or auto: JSON unless a terminal shows it"),
    Setting("SPINE_KILL_POINT", "", "for tests: the named point at which this process stops"),
    Setting("SPINE_KILL_POINT_FILE", "", "for tests: the file that tells that it was reached"),
)

# A token may be refused to a worker before the claw that takes it up with another token has started.
_HAND_SECONDS = (0.0, *[1.0] * 10)
_FOREIGN_TOKENS = ("SKYCLAW_TOKEN", "WORKER_TOKEN")
_DIGITS = re.compile(r"[+-]?[0-9]+")
_SECRETIVE = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL")


class Dialects(msgspec.Struct, frozen=True, kw_only=True):
    """What a claw needs for jobs of others. `names` are the dialects that are on, `capabilities` what they add."""

    names: tuple[str, ...]
    capabilities: tuple[str, ...]
    allowed_commands: tuple[str, ...]
    automaton: str
    timeout_ms: int
    output_bytes: int
    worker_id: str
    runner_folder: Path | None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds and bytes as the names say; commands are argument lists; paths are absolute."""

    base_urls: tuple[str, ...]
    token: Secret
    token_file: Path | None
    name: str
    targets: tuple[str, ...]
    capabilities: tuple[str, ...]
    mode: str
    state_dir: Path
    work_dir: Path
    keep_workspaces: bool
    heartbeat_seconds: int
    tick_seconds: int
    wait_seconds: int
    facts_seconds: int
    drain_seconds: int
    kill_grace_seconds: int
    max_job_seconds: int
    log_max_bytes: int
    agent_command: tuple[str, ...]
    dispatching: Dispatching | None
    allowed_commands: tuple[str, ...]
    allowed_repos: tuple[str, ...]
    git_name: str
    git_email: str
    git_timeout_seconds: int
    pr_command: tuple[str, ...]
    base_env: dict[str, str]
    passed_secrets: tuple[Secret, ...]
    foreign_secrets: tuple[Secret, ...]
    dialects: Dialects
    log_level: str
    log_format: str
    kill_point: str | None
    kill_point_file: str | None
    handed_file: Path | None = None
    """For a worker: where the claw that has taken it up puts its own token."""

    def secrets(self) -> tuple[str, ...]:
        """Return the values that no log may show."""
        gateway = () if self.dispatching is None else self.dispatching.secrets
        return (self.token, *self.passed_secrets, *self.foreign_secrets, *gateway)

    def newer_token(self, used: str) -> str | None:
        """Return the token that a file holds now, when it is not the one that was used."""
        waits = ROTATE_SECONDS if self.handed_file is None else _HAND_SECONDS
        return newer_token(used, [self.token_file, self.handed_file], waits)

    def token_now(self) -> str:
        """Return the newest token: `claw rotate` may have written one since the start."""
        return (text_of(self.token_file) if self.token_file else "") or self.token


def from_env(
    environ: Mapping[str, str] | None = None, token: str | None = None, token_file: Path | None = None
) -> Settings:
    """Read the settings, without `environ` from the environment and claw.env.

    `token`, when given, stands in for the variables (a worker gets it through a pipe, with the file it came from).

    Raises:
        SettingsError: with every fault at once.
    """
    env, faults = _environment() if environ is None else (dict(environ), [])
    if token is not None:
        env["SPINE_TOKEN"] = token
        env.pop("SPINE_TOKEN_FILE", None)
    read = EnvReader(env)
    read.faults += faults
    secret = read.secret("SPINE_TOKEN")
    if secret is None and not any(fault.startswith("SPINE_TOKEN") for fault in read.faults):
        read.faults.append("SPINE_TOKEN: not set; run `claw join`, or give this claw's token, best in SPINE_TOKEN_FILE")
    if token is None:
        named = read.optional("SPINE_TOKEN_FILE")
        token_file = Path(named).absolute() if named else None
    passed = {name: env[name] for name in read.listed("CLAW_PASS_ENV") if name in env}
    machine = read.text("CLAW_NAME", socket.gethostname().split(".")[0] or "claw")
    dialects = _dialects(read, machine)
    tokens = {name: Secret(value) for name in _FOREIGN_TOKENS if (value := read.optional(name))}
    kept_back = {
        "SPINE_TOKEN",
        "SPINE_TOKEN_FILE",
        *dispatching.NEVER_PASSED,
        *(_FOREIGN_TOKENS if dialects.names else ()),
    }
    for name in sorted(set(passed) & kept_back):
        read.faults.append(f"CLAW_PASS_ENV: {name} is never passed to a job; take it out")
    state_dir = read.absolute("CLAW_STATE_DIR", _home(env) / ".spine")
    settings = Settings(
        base_urls=read.custom("SPINE_BASE_URL", base_urls, ("http://127.0.0.1:36725",)),
        token=secret or Secret(""),
        token_file=token_file,
        name=machine,
        targets=read.listed("CLAW_TARGETS"),
        capabilities=read.listed("CLAW_CAPABILITIES"),
        mode=read.choice("CLAW_MODE", "worker", ("worker", "phases")),
        state_dir=state_dir,
        work_dir=read.absolute("CLAW_WORK_DIR", state_dir / "work"),
        keep_workspaces=read.flag("CLAW_KEEP_WORKSPACES", False),
        heartbeat_seconds=read.integer("CLAW_HEARTBEAT_SECONDS", 10, 1, 300),
        tick_seconds=read.integer("CLAW_TICK_SECONDS", 60, 1, 3600),
        wait_seconds=read.integer("CLAW_WAIT_SECONDS", 25, 0, 30),
        facts_seconds=read.integer("CLAW_FACTS_SECONDS", 300, 1, 86_400),
        drain_seconds=read.integer("CLAW_DRAIN_SECONDS", 30, 0, 86_400),
        kill_grace_seconds=read.integer("CLAW_KILL_GRACE_SECONDS", 5, 0, 600),
        max_job_seconds=read.integer("CLAW_MAX_JOB_SECONDS", 86_400, 1, 2_592_000),
        log_max_bytes=read.integer("CLAW_LOG_MAX_BYTES", 64 << 20, 4096, 1 << 40),
        agent_command=read.custom("CLAW_AGENT_COMMAND", _command, ()),
        dispatching=dispatching.find(read, env, read.custom("CLAW_DISPATCH_COMMAND", _command, ())),
        allowed_commands=read.listed("CLAW_ALLOWED_COMMANDS"),
        allowed_repos=read.listed("CLAW_ALLOWED_REPOS"),
        git_name=read.text("CLAW_GIT_NAME", "Spinal Cord"),
        git_email=read.text("CLAW_GIT_EMAIL", "claw@localhost"),
        git_timeout_seconds=read.integer("CLAW_GIT_TIMEOUT_SECONDS", 600, 1, 86_400),
        pr_command=read.custom("CLAW_PR_COMMAND", _command, ()),
        base_env=_child_base(env) | passed,
        passed_secrets=tuple(Secret(v) for k, v in passed.items() if any(word in k.upper() for word in _SECRETIVE)),
        foreign_secrets=tuple(tokens.values()),
        dialects=dialects,
        log_level=read.choice("CLAW_LOG_LEVEL", "info", LEVELS),
        log_format=read.choice("CLAW_LOG_FORMAT", "auto", FORMATS),
        kill_point=read.optional("SPINE_KILL_POINT"),
        kill_point_file=read.optional("SPINE_KILL_POINT_FILE"),
    )
    read.finish()
    return settings


def notifier() -> sdnotify.Notifier:
    """Take the service manager's variables out of the environment, so that no worker answers it."""
    return sdnotify.take(os.environ)


def state_folder() -> Path:
    """Return the state folder alone: looking at it needs no token."""
    env, _ = _environment()
    return EnvReader(env).absolute("CLAW_STATE_DIR", _home(env) / ".spine")


def home_folder() -> Path:
    """Return where this machine's claw.env and token belong, whatever stands in them."""
    env = dict(os.environ)
    return EnvReader(env).absolute("CLAW_STATE_DIR", _home(env) / ".spine")


def own_home() -> Path:
    """Return the user's home."""
    return _home(os.environ)


def shadowing() -> list[str]:
    """Return the variables of the environment that win over what `claw join` writes."""
    return [name for name in ("SPINE_BASE_URL", "SPINE_TOKEN", "SPINE_TOKEN_FILE") if os.environ.get(name)]


def for_scheduler() -> dict[str, str]:
    """Return what a scheduler must set for our ticks: PATH as jobs get it, and a state folder that is not the usual."""
    env = {"PATH": _child_base(os.environ)["PATH"]}
    home = home_folder()
    return env if home == _home(os.environ) / ".spine" else env | {"CLAW_STATE_DIR": str(home)}


def unseen_by_scheduler() -> list[str]:
    """Return the settings that stand in this environment alone: a tick that a scheduler starts would lack them."""
    file, _ = envfile.read(home_folder() / envfile.NAME)
    names = (setting.name for setting in SETTINGS if setting.name != "CLAW_STATE_DIR")
    return [name for name in names if os.environ.get(name) and name not in file]


def joined(url: str, token: str, token_file: Path | None) -> Settings:
    """Read the settings as they are for a machine that has just joined there with this token.

    Raises:
        SettingsError
    """
    env, faults = _environment()
    if faults:
        raise SettingsError(faults)
    return from_env(env | {"SPINE_BASE_URL": url}, token, token_file)


def _environment() -> tuple[dict[str, str], list[str]]:
    """Return the environment laid over claw.env, and the faults of that file."""
    file, faults = envfile.read(home_folder() / envfile.NAME)
    return envfile.under(file, os.environ), faults


def worker_environ() -> dict[str, str]:
    """Return the environment of a detached worker: ours, without the token."""
    return {name: value for name, value in os.environ.items() if name not in ("SPINE_TOKEN", "SPINE_TOKEN_FILE")}


def _home(env: Mapping[str, str]) -> Path:
    return Path(env.get("HOME") or "~").expanduser()


def _dialects(read: EnvReader, machine: str) -> Dialects:
    """Read what hosts of Skyclaw and runners of the broker read, under the names and in the manner that those have."""
    on = tuple(sorted(set(read.listed("CLAW_DIALECTS"))))
    for name in on:
        if name not in NAMES:
            read.faults.append(f"CLAW_DIALECTS: {name!r} is not one of {', '.join(NAMES)}")
    host = read.listed("SKYCLAW_CAPABILITIES", ("shell", "automaton"))
    none: tuple[str, ...] = ()
    runner = (*read.custom("WORKER_CAPS", _caps, none), *read.listed("LLM_CAP"))
    return Dialects(
        names=on,
        capabilities=(*on, *(host if SKYCLAW in on else ()), *(runner if BROKER in on else ())),
        allowed_commands=read.listed("SKYCLAW_ALLOWED_COMMANDS", ("automaton", "node", "bash", "sh")),
        automaton=read.text("SKYCLAW_AUTOMATON_COMMAND", "automaton"),
        timeout_ms=_leading_digits(read.optional("SKYCLAW_TIMEOUT_MS"), 300_000),
        output_bytes=max(_leading_digits(read.optional("SKYCLAW_MAX_OUTPUT_BYTES"), 128_000), 0),
        worker_id=read.text("WORKER_ID", machine),
        runner_folder=read.absolute("RUNNER_STATE_DIR", "") if read.optional("RUNNER_STATE_DIR") else None,
    )


def _leading_digits(text: str | None, default: int) -> int:
    """Read a number as JavaScript's parseInt does; what does not begin with one is the default."""
    found = _DIGITS.match(text or "")
    return int(found.group()[:18]) if found else default


def _caps(text: str) -> tuple[str, ...]:
    if not text.startswith("["):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return tuple(msgspec.json.decode(text, type=list[str]))
    except msgspec.DecodeError as e:
        raise ValueError("not a JSON list of texts") from e


def _command(text: str) -> tuple[str, ...]:
    """Read a command: a JSON list of texts, or words as a shell would split them."""
    if text.startswith("["):
        try:
            words = msgspec.convert(json.loads(text), list[str])
        except (ValueError, msgspec.ValidationError) as e:
            raise ValueError("not a JSON list of texts") from e
    else:
        words = shlex.split(text)
    if not words:
        raise ValueError("the command is empty")
    return tuple(words)


def _child_base(env: Mapping[str, str]) -> dict[str, str]:
    """Return what every child gets of our environment; its PATH lacks the virtual environment that we run in."""
    venv = {str(Path(p, "bin")) for p in (env.get("VIRTUAL_ENV"), _own_venv()) if p}
    path = [p for p in env.get("PATH", "").split(":") if p and p.rstrip("/") not in venv]
    base = {"PATH": ":".join(path) or "/usr/local/bin:/usr/bin:/bin"}
    for name in ("HOME", "LANG", "LC_ALL", "TERM", "TMPDIR", "TZ", "USER", "LOGNAME", "SHELL"):
        if name in env:
            base[name] = env[name]
    base.setdefault("LANG", "C.UTF-8")
    return base


def _own_venv() -> str | None:
    return sys.prefix if sys.prefix != sys.base_prefix else None
