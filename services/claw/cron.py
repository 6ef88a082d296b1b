"""What to tell a scheduler so that it runs `claw tick`: a crontab line, a launchd plist, a command for OpenClaw."""

import json
import plistlib
import shlex
import sys
from pathlib import Path

LABEL = "org.spinal-cord.claw-tick"
KINDS = ("crontab", "launchd", "openclaw")
# Exports what the file named first sets, then becomes the rest.
_WITH_FILE = 'set -a; . "$0" && exec "$@"'


def program() -> list[str]:
    """Return the words that start this very command, with a full path: schedulers have a short PATH."""
    own = Path(sys.argv[0])
    if own.name == "claw" and own.is_file():
        return [str(own.absolute())]  # not resolved: a link to the current release stays one
    return [sys.executable, "-m", "claw.cli"]


def tick(words: list[str], mode: str | None, env_file: Path | None) -> list[str]:
    """Return the words of one tick; with a file, of a shell that reads it first."""
    whole = [*words, "tick", *(["--mode", mode] if mode else [])]
    return whole if env_file is None else ["/bin/sh", "-c", _WITH_FILE, str(env_file.absolute()), *whole]


def crontab(words: list[str], env: dict[str, str], minutes: int) -> str:
    """Return a line for `crontab -e`. Cron mails what a command prints, so only trouble is printed."""
    set_first = " ".join(f"{name}={shlex.quote(value)}" for name, value in {"CLAW_LOG_LEVEL": "warning", **env}.items())
    every = "*" if minutes == 1 else f"*/{minutes}"
    # To cron a percent sign ends the command.
    return f"{every} * * * * {set_first} {shlex.join(words)}".replace("%", r"\%") + "\n"


def launchd(words: list[str], env: dict[str, str], minutes: int, logs: Path) -> str:
    """Return a property list for a launch agent, with its log in a folder."""
    made = plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": words,
            "EnvironmentVariables": env,
            "StartInterval": 60 * minutes,
            "RunAtLoad": True,
            # Else the worker, which runs on, would be killed with the tick that started it.
            "AbandonProcessGroup": True,
            "ProcessType": "Background",
            "Umask": 0o077,
            "StandardOutPath": str(logs / "claw-tick.log"),
            "StandardErrorPath": str(logs / "claw-tick.log"),
        },
        sort_keys=False,
    )
    return made.decode()


def openclaw(words: list[str], env: dict[str, str], minutes: int) -> str:
    """Return a command that makes a job of the gateway's scheduler: one that runs no model, and tells nobody."""
    argv = json.dumps(["/usr/bin/env", *(f"{name}={value}" for name, value in env.items()), *words])
    every = "* * * * *" if minutes == 1 else f"*/{minutes} * * * *"
    command = ["openclaw", "cron", "create", every, "--name", "spinal-claw tick", "--command-argv", argv]
    return shlex.join([*command, "--no-deliver"]) + "\n"


HINTS = {
    "crontab": "Add it with: crontab -e",
    "launchd": f"Keep it as ~/Library/LaunchAgents/{LABEL}.plist, make the folder of its logs, then:\n"
    f"launchctl bootstrap gui/$(id -u) ~/Library/LaunchAgents/{LABEL}.plist",
    "openclaw": "It needs the gateway's admin scope. Newer versions also call it: openclaw automations create",
}
