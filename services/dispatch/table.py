"""Every subcommand with its flags: what the help, the reference page and the dispatcher go by."""

from collections.abc import Callable
from typing import NamedTuple

from dispatch.arguments import Arguments
from dispatch.desk import Desk
from dispatch.verbs import run


class Flag(NamedTuple):
    """A flag; `value` is "" for a yes or no."""

    name: str
    value: str
    meaning: str


class Verb(NamedTuple):
    """A subcommand."""

    name: str
    summary: str
    flags: tuple[Flag, ...]
    run: Callable[[Desk, Arguments], int]


LABEL = Flag("label", "LABEL", "the session's label: 1 to 200 printable characters")
MESSAGE = (
    Flag("message", "TEXT", "what the agent is told"),
    Flag("message-file", "PATH", "a file with it; instead of --message"),
)
SESSION = (
    Flag("mode", "MODE", "fresh (when not given): a session of its own; reuse: the label's last one"),
    Flag("session-key", "KEY", "this session, whatever the ledger says"),
    Flag("agent", "ID", "the gateway's agent; main when not given"),
    Flag("model", "MODEL", "of a fresh session"),
    Flag("thinking", "LEVEL", "of a fresh session, such as low, high or xhigh; one it does not have is only noted"),
    Flag("timeout", "SECONDS", "of the run; 300 when not given"),
)
VERIFY = Flag("verify-cmd", "COMMAND", "decides before the label is done: words, no shell, 60 s, no token around it")

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "run",
            "Dispatch and watch in one process, for programs.",
            (
                LABEL,
                *MESSAGE,
                *SESSION,
                VERIFY,
                Flag("json-events", "", "events as JSON lines on standard output, steering on standard input"),
            ),
            run.run,
        ),
    )
}
