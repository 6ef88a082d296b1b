"""Machines and targets: what they can do, what they hold, when they were last heard of."""

from typing import Any, NamedTuple

import msgspec

from contract.states import Status
from spine.store import listing, machines
from spine.store.engine import Tx
from spine.store.listing import Filter
from spine.web import shown, words

HELD_MOST = 20
_LOAD = ("load", "load1", "loadAverage")


class MachineCard(NamedTuple):
    """A machine; moments in ms. `silent`: not heard of for longer than an idle claw is silent."""

    name: str
    state: str
    capabilities: list[str]
    version: str
    system: str
    load: str
    facts: str
    first_seen: int
    seen_at: int
    silent: bool
    running: list[shown.JobLine]


def look(tx: Tx, targets: set[str]) -> dict[str, Any]:
    """Return what the template shows."""
    fleet = shown.fleet(tx)
    held: dict[str, list[shown.JobLine]] = {}
    for job in listing.matching(tx, Filter((Status.RUNNING.value,)), None, 0, 1000):
        held.setdefault(job.machine or job.claimed_by or "", []).append(shown.job_line(job, fleet))
    cards = []
    for row in fleet.values():
        facts = msgspec.json.decode(row.facts)
        cards.append(
            MachineCard(
                name=row.name,
                state="revoked" if row.revoked_at is not None else row.state,
                capabilities=[words.line(name) for name in msgspec.json.decode(row.capabilities)],
                version=_fact(facts, "version", "clawVersion"),
                system=" ".join(
                    filter(None, (_fact(facts, "os", "platform", "system"), _fact(facts, "arch", "machine")))
                ),
                load=_fact(facts, *_LOAD),
                facts=words.pretty(facts) if facts else "",
                first_seen=row.first_seen,
                seen_at=row.seen_at,
                silent=tx.now - row.seen_at > machines.SILENT_MS,
                running=held.get(row.name, [])[:HELD_MOST],
            )
        )
    paused = machines.paused_targets(tx)
    names = sorted({*targets, *(card.name for card in cards if card.state != "revoked")})
    return {"cards": cards, "targets": [(name, name in paused) for name in ["any", *names]]}


def _fact(facts: Any, *names: str) -> str:
    found = (
        next((facts[name] for name in names if facts.get(name) is not None), None) if isinstance(facts, dict) else None
    )
    return "" if found is None else words.line(found, 60)
