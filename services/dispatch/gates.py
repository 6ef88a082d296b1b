"""The gates of a done signal, as far as they need neither gateway nor git (contract: scheduler, 2.4)."""

import re

import msgspec

from contract.clock import parse_iso
from dispatch.faults import Rejected
from dispatch.ledger import Entry

SUMMARY_MOST = 300
LEAST_SECONDS, LEAST_SECONDS_LONG, LONG_SECONDS = 60, 120, 600
MESSAGES_LEAST = 3
_BOOLEANS = ("work_complete", "tests_passed", "pushed")
_PUSH = re.compile(r"\bgit\s+(?:push|rebase|cherry-pick)\b|--force-with-lease\b|--force-push\b", re.IGNORECASE)
_NOT = re.compile(
    r"\b(?:do not|don't|don’t|never)\s+(?:use|run|call|invoke)?|\bavoid(?:\s+using)?|\bwithout(?:\s+using)?",
    re.IGNORECASE,
)
_BEFORE = 40
_SHA = re.compile(r"[0-9a-f]{7,40}\Z", re.IGNORECASE)


def checklist(text: str | None) -> None:
    """Let a checklist through that says with booleans that all is done.

    Raises:
        Rejected: naming the member.
    """
    if text is None:
        raise Rejected("--checklist is required, such as '{\"work_complete\": true}'", "checklist")
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError) as e:
        raise Rejected(f"--checklist is not JSON ({e}); give such as '{{\"work_complete\": true}}'", "checklist") from e
    if not isinstance(found, dict):
        raise Rejected("--checklist: is no object; give such as '{\"work_complete\": true}'", "checklist")
    for name in _BOOLEANS:
        if name in found and not isinstance(found[name], bool):
            raise Rejected(f"--checklist: {name} is neither true nor false; give a boolean", "checklist")
    if found.get("work_complete") is not True:
        raise Rejected("--checklist: work_complete is not true; finish the work first", "checklist")
    for name in _BOOLEANS[1:]:
        if found.get(name) is False:
            raise Rejected(
                f"--checklist: {name} is false; see to it first, or leave it out if there is none", "checklist"
            )


def runtime(entry: Entry, now: int) -> None:
    """Hold back a signal that comes sooner than work can be done: 60 s, 120 s for a timeout above 600 s.

    Raises:
        Rejected: naming the seconds that are left.
    """
    try:
        began = parse_iso(entry.get("spawnedAt") or "")
    except ValueError:
        return
    long = int(entry.get("timeoutSeconds") or entry.get("timeout") or 0) > LONG_SECONDS
    least = LEAST_SECONDS_LONG if long else LEAST_SECONDS
    age = (now - began) / 1000
    if age < least:
        raise Rejected(
            f"the label is {age:.0f} s old, and work takes {least} s at least; check it again and signal in "
            f"{least - age:.0f} s (--force-done --reason TEXT overrides)",
            "too_soon",
        )


def needs_sha(prompt: str) -> bool:
    """Return whether a task tells to push or rewrite commits; a mention that forbids it does not count."""
    return any(not _NOT.search(prompt[max(0, hit.start() - _BEFORE) : hit.start()]) for hit in _PUSH.finditer(prompt))


def sha_form(sha: str) -> None:
    """Let a commit's id through: 7 to 40 hexadecimal digits.

    Raises:
        Rejected: it is none.
    """
    if not _SHA.match(sha):
        raise Rejected("--sha: is no commit's id; give 7 to 40 hexadecimal digits", "sha")
