"""What enqueue and run share: which session, which prompt, and what the ledger gets."""

import shlex
import uuid
from pathlib import Path

from dispatch import starting, steering
from dispatch.arguments import MESSAGE_MOST, Arguments
from dispatch.desk import Desk
from dispatch.faults import Fault, Usage
from dispatch.gateway.runs import Accepted
from dispatch.hooks import STARTED
from dispatch.keeping import digest
from dispatch.ledger import Entry, stamp

MODES = ("fresh", "reuse")
TASK_MOST = 2000


def message(arguments: Arguments) -> str:
    """Return `--message`, or what `--message-file` holds.

    Raises:
        Usage: neither, or both, or a file that cannot be read.
    """
    file = arguments.text("message-file")
    if file is None:
        return arguments.needed("message")
    if arguments.given("message"):
        raise Usage("--message: give it or --message-file, not both")
    try:
        with Path(file).open("rb") as found:
            raw = found.read(MESSAGE_MOST + 1)
    except OSError as e:
        raise Usage(f"--message-file: {file} cannot be read ({e.strerror})") from e
    if len(raw) > MESSAGE_MOST:
        raise Usage(f"--message-file: {file} is longer than {MESSAGE_MOST} bytes; the gateway takes no more")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Usage(f"--message-file: {file} is not UTF-8") from None
    if not text.strip():
        raise Usage(f"--message-file: {file} is empty; put the message in it")
    return text


def session(arguments: Arguments, entry: Entry | None, agent: str, strict: bool) -> tuple[str, str]:
    """Return the session's key, and the mode: fresh or reuse.

    Args:
        strict: reusing what is not there is refused, else a fresh session is taken.

    Raises:
        Usage: an argument is wrong.
        Fault: there is no session to reuse.
    """
    mode = arguments.choice("mode", "fresh", MODES)
    given = arguments.session_key()
    if given is not None:
        return given, "reuse"
    known = (entry or {}).get("sessionKey")
    if mode == "reuse" and known:
        return str(known), "reuse"
    if mode == "reuse" and strict:
        raise Fault("--mode reuse: the label has no session here; leave --mode out for a fresh one", "no_session")
    return starting.new_key(agent), "fresh"


def agent_of(arguments: Arguments, key: str | None = None) -> str:
    """Return the agent's id: `--agent`, else the one in a session's key, else main.

    Raises:
        Usage: it is no id.
    """
    given = arguments.text("agent")
    if given is None:
        parts = (key or "").split(":")
        return parts[1] if len(parts) > 2 and parts[0] == "agent" and parts[1] else "main"
    if ":" in given or not given.isprintable() or " " in given:
        raise Usage(f"--agent: {given[:40]!r} is no agent's id; see openclaw agents list")
    return given


def verifying(arguments: Arguments) -> list[str]:
    """Return the words of `--verify-cmd`; none when it was not given.

    Raises:
        Usage: it cannot be split into words.
    """
    try:
        return shlex.split(arguments.text("verify-cmd") or "")
    except ValueError as e:
        raise Usage(f"--verify-cmd: {e}; give a command as a shell would take it, without its operators") from e


def begin(
    desk: Desk,
    label: str,
    fields: Entry,
    task: str,
    prompt: str,
    verify: list[str],
    owner: str | None = None,
) -> Accepted:
    """Set up a fresh session, keep all that a restart needs, give the run to the gateway, and tell that it began.

    Raises:
        SettingsError: no gateway is set up; nothing was changed.
        Fault: the disk does not take it; nothing was begun.
        GatewayError: as `starting.dispatch`.
    """
    desk.settings.gateway.checked()
    if fields["mode"] == "fresh":
        starting.prepare(desk, fields["sessionKey"], fields.get("model"), fields.get("thinking"))
    desk.keeping(label).keep(prompt, verify)
    fresh: Entry = {
        "spawnedAt": stamp(),
        "dispatchKey": str(uuid.uuid4()),
        "summary": None,
        "sha": None,
        "progress": None,
        steering.FIELD: None,
        "attempt": 0,
        "retryCount": 0,
        "gwRestartRetryCount": 0,
        "taskPrompt": task[:TASK_MOST],
        "promptDigest": digest(prompt),
        "verifyCmd": shlex.join(verify) or None,
        "forgetAt": None,
        "watcherOwed": None,
        "watchdogJobId": None,
        **fields,
    }
    if owner is None:
        fresh |= {"owner": None, "ownerUntil": None}  # whoever watched the run before leaves it
    accepted = starting.dispatch(desk, label, fresh, prompt, owner=owner)
    desk.hooks.emit(
        STARTED,
        label=label,
        job_id=accepted.run_id,
        run_id=accepted.run_id,
        agent=fields["agent"],
        mode=fields["mode"],
        session_key=fields["sessionKey"],
    )
    return accepted
