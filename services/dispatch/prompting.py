"""What is said to an agent: the prompt of a dispatch, and the words of watchers. It never holds the gateway's token."""

import shlex

from dispatch.keeping import Keeping

CONTINUE = "The model was overloaded and your last turn ended. Continue your task where you left off, to its end."
NUDGE = "You have been silent for some minutes. Say where you stand, then go on with your task."
LAST_NUDGE = "You have been silent for long. Finish now: say what is done and what is not; else this session is ended."


def prompt(task: str, label: str, keeping: Keeping, agent: str, checkins: bool) -> str:
    """Return the whole prompt of a dispatched session."""
    own = f"--label {shlex.quote(label)} --token-file {shlex.quote(str(keeping.token_file))}"
    if label.startswith("--"):
        own = own.replace("--label ", "--label=", 1)
    parts = [
        f"You are {agent}, in a session of your own that was dispatched under the label {label!r}. Nobody reads along.",
        task,
    ]
    if checkins:
        parts.append(
            "Check in about every 5 minutes while you work, and at each milestone, by this command:\n"
            f"  spine-dispatch progress {own} --message 'what you are doing'"
        )
    parts.append(
        "When all of it is done, and as your last action, give the done signal:\n"
        f"  spine-dispatch done {own} --summary 'what was done' \\\n"
        '    --checklist \'{"work_complete": true, "tests_passed": true, "pushed": true}\'\n'
        "Leave tests_passed or pushed out where there was nothing to test or to push; never say true of what is not. "
        "If you have pushed commits, add --sha with the full id of the last one: it is looked up on the remote. "
        "A rejected signal says what is missing: see to it and signal again."
    )
    parts.append("Do not message people directly: your last message is delivered to whoever asked.")
    return "\n\n".join(parts)
