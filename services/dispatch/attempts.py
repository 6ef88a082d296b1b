"""One attempt at a label's run: asking the gateway for it, beginning it again, telling of its end."""

import contextlib
import time
from collections.abc import Iterator

import msgspec

from contract.clock import parse_iso
from dispatch import prompting, starting
from dispatch.desk import Desk
from dispatch.gateway import judge
from dispatch.gateway import verdict as looks
from dispatch.gateway.rows import Event, Final
from dispatch.gateway.runs import Accepted
from dispatch.gateway.verdict import Verdict
from dispatch.hooks import FINISHED
from dispatch.ledger import DONE, Entries, Entry


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a watch ended.

    Attributes:
        status: the label's status in the ledger: done, interrupted or error.
        text: the answer, when there is one; `message` says why there is none.
        kind: of an error: overload, transient or permanent; `aborted` and `timeout` besides.
        not_before: for an overload, when the quota is reset (epoch ms), where that is known.
    """

    status: str
    text: str = ""
    message: str = ""
    kind: str | None = None
    not_before: int | None = None
    verdict: Verdict | None = None


def look(desk: Desk, entry: Entry, final: Final | None = None) -> Verdict:
    """Ask the gateway what became of an entry's run.

    Raises:
        GatewayError: it cannot be asked.
    """
    return looks.verdict(desk.gateway(), *_run(entry), now=desk.now, final=final)


def glance(desk: Desk, entry: Entry) -> Verdict:
    """Look once at an entry's run: when it seems lost, wait as `second_look` does, and look again.

    Raises:
        GatewayError: as `look`.
    """
    return looks.glance(desk.gateway(), *_run(entry), now=desk.now)


def second_look() -> None:
    """Wait before the second look at runs that seem lost."""
    time.sleep(looks.SECOND_LOOK_SECONDS)


def look_all(desk: Desk, entries: Entries) -> Iterator[tuple[str, Verdict]]:
    """Give what became of each label's run; those that seem lost come last, after one wait for all of them.

    Raises:
        GatewayError: as `look`.
    """
    lost = []
    for label, entry in entries.items():
        found = glance(desk, entry)
        if found.outcome.state == judge.LOST:
            lost.append(label)
        else:
            yield label, found
    if lost:
        second_look()
    for label in lost:
        yield label, glance(desk, entries[label])


def _run(entry: Entry) -> tuple[str, str, int]:
    return entry.get("sessionKey") or "", entry.get("runId") or "", began(entry)


def restart(
    desk: Desk,
    label: str,
    entry: Entry,
    found: Verdict,
    prompt: str,
    changes: Entry,
    owner: str,
    original: bool,
) -> Accepted:
    """Begin a label's run again: in its session while that is there, else in a new one of the same model.

    Args:
        original: the prompt is said again; else the agent is told to go on, where its session still knows the prompt.

    Raises:
        Superseded, GatewayError: as `starting.dispatch`.
    """
    agent = entry.get("agent") or "main"
    key, message = entry.get("sessionKey") or "", prompt
    if found.view.row is None:
        key = starting.new_key(agent)
    if found.view.row is None or original:  # a gateway that lost a run may have lost the session's model too
        starting.prepare(desk, key, entry.get("model"), entry.get("thinking"))
    elif any(prompt in said.text for said in found.view.messages if said.role == "user"):
        message = prompting.CONTINUE
    return starting.dispatch(desk, label, {**changes, "sessionKey": key, "agent": agent}, message, owner=owner)


def finished(desk: Desk, label: str, entry: Entry, status: str, error: str | None) -> None:
    """Tell of a run's end, also of one that failed."""
    desk.hooks.emit(
        FINISHED,
        label=label,
        job_id=entry.get("idempotencyKey"),
        run_id=entry.get("runId"),
        agent=entry.get("agent"),
        status=status,
        duration_ms=max(0, desk.now() - began(entry)),
        error=error,
        session_key=entry.get("sessionKey"),
    )


def began(entry: Entry) -> int:
    """Return when an entry's run was dispatched, epoch ms; 0 when nobody knows."""
    for name in ("dispatchedAt", "spawnedAt", "updatedAt"):
        with contextlib.suppress(ValueError):
            if entry.get(name):
                return parse_iso(entry[name])
    return 0


def ends(event: Event) -> bool:
    """Return whether an event tells that a run is over, or that the gateway goes away: a reason to look."""
    if event.name in ("link", "shutdown"):
        return True
    if event.name == "chat":
        return event.payload.get("state") in ("final", "error", "aborted")
    data = event.payload.get("data")
    phase = data.get("phase") if isinstance(data, dict) else None
    return event.name == "agent" and event.payload.get("stream") == "lifecycle" and phase in ("end", "error")


def delivery(name: str, label: str, ending: Ending) -> str:
    """Return the text that is delivered to whoever asked: a header, and the answer cut at 3500 characters."""
    if ending.status == DONE:
        return f"[{name}] {label}: done\n\n{_cut(ending.text or 'It ended without a text.')}"
    return f"[{name}] {label}: {ending.status}\n\n{_cut(ending.message)}"


def _cut(text: str, most: int = 3500) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
