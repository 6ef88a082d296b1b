"""Every subcommand with its flags: what the help, the reference page and the dispatcher go by."""

from collections.abc import Callable
from typing import NamedTuple

from dispatch.arguments import Arguments
from dispatch.desk import Desk
from dispatch.ledger import STATUSES
from dispatch.verbs import enqueue, looking, overdue, run, scheduling, signals, talking, watching


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
TURN = Flag("timeout", "SECONDS", "of the turn; 300 when not given")
VERIFY = Flag("verify-cmd", "COMMAND", "decides before the label is done: words, no shell, 60 s, no token around it")

KEY = Flag("session-key", "KEY", "a session, in place of a label")
TOKEN = Flag("token-file", "PATH", "the file with the label's token, which the prompt names")

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "enqueue",
            "Start an agent's session, or go on in one.",
            (
                LABEL,
                *MESSAGE,
                *SESSION,
                Flag("deliver-to", "TARGET", "whom the answer goes to: a chat's id, or @alias"),
                Flag("deliver-channel", "CHANNEL", "by which channel; else the origin's, else telegram"),
                Flag("delivery-mode", "MODE", "announce (when not given), announce-always or none"),
                Flag("origin", "CHANNEL:ID", "where the wish came from; the answer goes there"),
                Flag("no-monitor", "REASON", "no watcher; the reason is kept"),
                Flag(
                    "monitor-interval", "CRON", "kept, and shown; the stuck detector's schedule is one for all labels"
                ),
                Flag(
                    "monitor-timeout", "MINUTES", "silence after which it is stuck; else the detector's own threshold"
                ),
                Flag("repo", "URL", "the repository on whose remote a done signal's commit is looked up"),
                VERIFY,
            ),
            enqueue.enqueue,
        ),
        Verb("status", "Say where a label stands.", (LABEL,), looking.status),
        Verb("result", "Print the answer of a label's run.", (LABEL,), looking.result),
        Verb("send", "Give a message to a session, as a turn of its own.", (LABEL, KEY, *MESSAGE, TURN), talking.send),
        Verb(
            "steer",
            "Send a message into a session at work: into the turn under way, or as the next one.",
            (LABEL, KEY, *MESSAGE),
            talking.steer,
        ),
        Verb("heartbeat", "Say whether a session is alive.", (LABEL, KEY), looking.heartbeat),
        Verb(
            "list",
            "List labels, the one changed last first.",
            (
                Flag("status", "STATUS", "only those: " + ", ".join(STATUSES)),
                Flag("limit", "N", "how many; 20 when not given"),
            ),
            looking.listing,
        ),
        Verb(
            "stuck",
            "Find labels that are under way for too long and silent, and nudge each once first.",
            (
                Flag("threshold-min", "MINUTES", "of silence; 15 when not given"),
                Flag("label", "LABEL", "only this one"),
                Flag("json", "", "the answer as JSON, also when nothing is stuck"),
            ),
            overdue.stuck,
        ),
        Verb(
            "sync",
            "Bring the ledger in line with the gateway: what is over, what has vanished, what is not known here.",
            (Flag("dry-run", "", "only say what would be done"),),
            overdue.sync,
        ),
        Verb(
            "done",
            "Give the done signal of a label: an agent's last action.",
            (
                LABEL,
                TOKEN,
                Flag("checklist", "JSON", "booleans: work_complete, and tests_passed and pushed where there are any"),
                Flag("summary", "TEXT", "what was done; cut to 300 characters"),
                Flag("sha", "SHA", "the last commit that was pushed"),
                Flag("skip-activity-check", "", "take a session with hardly a message, too"),
                Flag("force-done", "", "override the least run time and the activity; needs --reason"),
                Flag("reason", "TEXT", "why it is forced"),
            ),
            signals.done,
        ),
        Verb(
            "progress",
            "Check in: say what a label's agent is doing.",
            (LABEL, TOKEN, Flag("message", "TEXT", "what it is doing")),
            signals.progress,
        ),
        Verb(
            "watch",
            "Wait for the end of a label's run, and print what is to be delivered.",
            (
                LABEL,
                Flag("poll-interval", "SECONDS", "how often the gateway is asked; 20 when not given"),
                Flag("slice", "SECONDS", "for a job of the spine: only so long, then the next job goes on"),
                Flag("part", "N", "for a job of the spine: which one this is"),
                Flag("key", "KEY", "for a job of the spine: which dispatch it watches"),
            ),
            watching.watch,
        ),
        Verb("recover", "Begin again what an overload ended or a gateway lost.", (), watching.recover),
        Verb(
            "schedules",
            "With install: have this machine's claw run recover and stuck by schedules of the spine.",
            (
                Flag("threshold-min", "MINUTES", "of the stuck detector; 60 when not given"),
                Flag("interval", "CRON", "of the stuck detector; every 15 minutes when not given"),
                Flag("deliver-to", "TARGET", "whom alerts go to: a chat's id, or @alias"),
                Flag("deliver-channel", "CHANNEL", "by which channel"),
            ),
            scheduling.schedules,
        ),
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
