"""What is said into a session while its run goes on: whether the agent has read it, and what came of it.

A gateway puts such a message into the turn under way, or makes a turn of its own of it, which begins when the run is
over: so v4 does with every run that `agent` began. The end of the run is then not the end of the work.
"""

from collections.abc import Iterable, Sequence

import msgspec

from dispatch.attempts import began
from dispatch.desk import Desk
from dispatch.gateway import judge
from dispatch.gateway.rows import Final, Message, Usage, View
from dispatch.gateway.verdict import Verdict
from dispatch.ledger import Entry, stamp

FIELD = "steered"
"""The member of a label's entry that holds what was said: a list of `{runId, text}`."""
KEPT_CHARS = 200
"""So much of a text is kept, to know it again where a gateway names no runs (v3)."""


def keep(desk: Desk, label: str, run_id: str, text: str) -> None:
    """Note what is about to be said, so that also a watcher after this one waits for it."""

    def alter(entry: Entry) -> None:
        entry[FIELD] = [*(entry.get(FIELD) or []), {"runId": run_id, "text": text[:KEPT_CHARS]}]
        entry["updatedAt"] = stamp()

    desk.ledger.alter(label, alter)


def forget(desk: Desk, label: str, run_id: str) -> None:
    """Take a note back: the gateway did not take the message."""

    def alter(entry: Entry) -> None:
        entry[FIELD] = [said for said in entry.get(FIELD) or [] if said.get("runId") != run_id]

    desk.ledger.alter(label, alter)


def heeded(entry: Entry, view: View) -> bool:
    """Return whether the agent has read all that was said, and has written something since."""
    said = entry.get(FIELD) or []
    places = [_place(found, view.messages) for found in said]
    if None in places:
        return False
    last = max((place for place in places if place is not None), default=-1)
    after = view.messages[last + 1 :]
    return bool(after) and any(message.role == "assistant" and not message.tools for message in after)


def follow(desk: Desk, entry: Entry, found: Verdict) -> Verdict:
    """Return what became of the work: the run answered, and so did the turns after it, or the last of them failed."""
    run_id, view = str(entry.get("runId") or ""), found.view
    last = view.row.last_run_id if view.row is not None else None
    if last is None or last == run_id:
        return found
    after = judge.outcome(
        view.row,
        view.messages,
        run_id=last,
        dispatched_at=began(entry),
        now=desk.now(),
        reason=desk.gateway().events.reason(last),
    )
    if after.state not in (judge.OK, judge.RUNNING, judge.LOST):
        return Verdict(outcome=after, view=view)
    texts = [judge.answer(view.messages, each, began(entry)) for each in _runs(view.messages, run_id)]
    text = "\n\n".join(text for text in texts if text) or found.outcome.text
    return Verdict(outcome=msgspec.structs.replace(found.outcome, text=text), view=view)


def answer_to(messages: Sequence[Message], run_id: str) -> str | None:
    """Return the answer to what was said under an id, whatever run it came from; None when there is none yet."""
    place = _place({"runId": run_id}, messages) if any(m.run_id is not None for m in messages) else None
    if place is None:
        return None
    until = next((at for at in range(place + 1, len(messages)) if messages[at].role == "user"), len(messages))
    return judge.last_answer(messages[place + 1 : until])


def used(entry: Entry, view: View, final: Final | None) -> Usage | None:
    """Return the tokens of a run and of the turns after it; None when nobody tells.

    Args:
        final: the run's final frame, which tells of all its calls; a history tells of the last ones.
    """
    run_id = str(entry.get("runId") or "")
    whole = final.usage if final is not None else None
    later = judge.of_run(view.messages, run_id, began(entry)) if whole is None else []
    runs = set(_runs(view.messages, run_id)) - {run_id}
    later += [message for message in view.messages if message.run_id in runs]
    return _sum([whole, *(message.usage for message in later if message.role == "assistant")])


def _place(said: dict[str, str], messages: Sequence[Message]) -> int | None:
    """Return where in a history a message stands that was read; None when it was not."""
    named = any(message.run_id is not None for message in messages)
    for place in reversed(range(len(messages))):
        message = messages[place]
        if message.role != "user" or message.pending:
            continue
        if message.run_id == said.get("runId") if named else said.get("text", "") in message.text:
            return place
    return None


def _runs(messages: Sequence[Message], run_id: str) -> list[str]:
    """Return the ids of a run and of those whose messages came after it, in their order."""
    found = [message.run_id for message in messages if message.run_id is not None and not message.pending]
    return list(dict.fromkeys(found[found.index(run_id) :])) if run_id in found else []


def _sum(parts: Iterable[Usage | None]) -> Usage | None:
    found = [part for part in parts if part is not None]
    return sum(found[1:], found[0]) if found else None
