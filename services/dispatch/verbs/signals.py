"""`done` and `progress`: what an agent says of its own label, proven by the label's token."""

from pathlib import Path

from dispatch import gates, remote, verify
from dispatch.arguments import Arguments
from dispatch.attempts import finished
from dispatch.desk import Desk
from dispatch.faults import OK, Rejected, Usage
from dispatch.gateway.errors import GatewayError
from dispatch.ledger import DONE, Entries, Entry, stamp

SUMMARY = "completed (agent signal)"
_TEXT_MOST = 2000


def done(desk: Desk, arguments: Arguments) -> int:
    """Take a done signal through its gates; one for a label that is done already changes nothing and is no fault."""
    label = arguments.label()
    try:
        return _through_gates(desk, arguments, label)
    except Usage as e:  # but for the label, whatever is wrong with a signal is a rejection
        raise Rejected(e.text, e.code) from e


def _through_gates(desk: Desk, arguments: Arguments, label: str) -> int:
    entry = _owned(desk, arguments, label)
    gates.checklist(arguments.text("checklist"))
    summary = _summary(desk, arguments)
    if entry.get("status") == DONE:
        desk.answer(ok=True, label=label, status=DONE, summary=entry.get("summary"), message="it was done already")
        return OK
    forced = _forced(desk, arguments, label)
    if not forced:
        gates.runtime(entry, desk.now())
    sha = _sha(desk, arguments, label, entry)
    if not forced and not arguments.has("skip-activity-check"):
        _activity(desk, entry)
    wrong = verify.fault(desk.keeping(label))
    if wrong is not None:
        raise Rejected(wrong, "verification")
    _write(desk, label, entry, summary, sha)
    finished(desk, label, entry, "ok", None)
    desk.answer(ok=True, label=label, status=DONE, summary=summary, message="the label is done")
    return OK


def progress(desk: Desk, arguments: Arguments) -> int:
    """Keep what an agent says of its progress; it counts as a sign of life."""
    label = arguments.label()
    _owned(desk, arguments, label)
    message = arguments.needed("message")[:_TEXT_MOST]

    def alter(entry: Entry) -> None:
        entry.update(progress=message, progressAt=stamp(), nudgedAt=None)

    desk.ledger.alter(label, alter)
    desk.answer(ok=True, label=label, message="noted")
    return OK


def _owned(desk: Desk, arguments: Arguments, label: str) -> Entry:
    entry = desk.ledger.entry(label)
    if entry is None:
        raise Rejected(f"no label {label!r} is registered here; only what was dispatched can be done", "unknown_label")
    keeping = desk.keeping(label)
    if not keeping.token_file.exists():
        if entry.get("promptDigest"):
            raise Rejected("the label's token is not there; dispatch it anew", "token")
        desk.note(f"{label}: has no token of its own (another program dispatched it)")
        return entry
    file = arguments.text("token-file")
    if file is None:
        raise Rejected("--token-file is required: the file that the prompt names", "token")
    try:
        with Path(file).open(encoding="utf-8") as found:
            token = found.read(1000)
    except (OSError, UnicodeDecodeError) as e:
        raise Rejected(f"--token-file: {file} cannot be read; take the one that the prompt names", "token") from e
    if not keeping.owned(token):
        raise Rejected("--token-file: holds another label's token; take the one that the prompt names", "token")
    return entry


def _summary(desk: Desk, arguments: Arguments) -> str:
    summary = arguments.text("summary") or SUMMARY
    if len(summary) > gates.SUMMARY_MOST:
        desk.note(f"--summary: cut to {gates.SUMMARY_MOST} characters")
    return summary[: gates.SUMMARY_MOST]


def _forced(desk: Desk, arguments: Arguments, label: str) -> bool:
    if not arguments.has("force-done"):
        return False
    reason = arguments.text("reason")
    if reason is None:
        raise Rejected("--force-done needs --reason TEXT", "reason")
    desk.note(f"{label}: forced, because: {reason}")
    return True


def _sha(desk: Desk, arguments: Arguments, label: str, entry: Entry) -> str | None:
    sha = arguments.text("sha")
    prompt = desk.keeping(label).prompt() or entry.get("taskPrompt")
    if not prompt:
        desk.note(f"{label}: no prompt is kept, so that nobody knows whether a commit is wanted")
    elif sha is None and gates.needs_sha(str(prompt)):
        raise Rejected("--sha is required: the task has commits pushed; give the id of the last one", "sha")
    if sha is None:
        return None
    gates.sha_form(sha)
    remote.check(sha, remote.remote_of(entry.get("repository")))
    return sha


def _activity(desk: Desk, entry: Entry) -> None:
    try:
        found = len(desk.gateway().history(str(entry.get("sessionKey")), limit=gates.MESSAGES_LEAST))
    except GatewayError as e:
        # As the contract has it: a gateway that is away holds no finished work up.
        desk.note(f"the session's activity could not be checked: {e.text}")
        return
    if found < gates.MESSAGES_LEAST:
        raise Rejected(
            f"the session has {found} messages, which is no work; --skip-activity-check overrides", "no_activity"
        )


def _write(desk: Desk, label: str, seen: Entry, summary: str, sha: str | None) -> None:
    def alter(entries: Entries) -> None:
        entry = entries.get(label)
        if entry is None or entry.get("sessionKey") != seen.get("sessionKey"):
            raise Rejected(
                "the label was dispatched anew meanwhile; this session is not its own any more", "superseded"
            )
        entry.update(status=DONE, summary=summary, sha=sha, error=None, errorKind=None, updatedAt=stamp(), retryCount=0)

    desk.ledger.change(alter)
