"""Machines as they are heard of, and targets that are paused."""

from typing import NamedTuple

from spine.store.engine import Tx
from spine.store.models import Machine, PausedTarget
from spine.store.statement import Statement, bind

SEEN_MS = 30_000  # how exact `seen_at` is: an idle claw shall not cost a commit a call
SILENT_MS = 120_000


class MachineRow(NamedTuple):
    """A row of `machines`; times in ms, capabilities and facts as JSON text."""

    name: str
    state: str
    capabilities: str
    facts: str
    first_seen: int
    seen_at: int
    revoked_at: int | None


_COLUMNS = [getattr(Machine, name) for name in MachineRow._fields]
_ALL = Statement(Machine.select(*_COLUMNS).order_by(Machine.name))
_FIND = Statement(Machine.select(*_COLUMNS).where(Machine.name == bind("name")))
_ADD = Statement(
    Machine.insert(
        {getattr(Machine, n): bind(n) for n in ("name", "state", "capabilities", "facts", "first_seen", "seen_at")}
    ).on_conflict_ignore(),
    beside=True,
)
_CONTACTS = Statement(Machine.select(Machine.name, Machine.state, Machine.seen_at, Machine.revoked_at))
_SEEN = Statement(
    Machine.update({Machine.seen_at: bind("now"), Machine.capabilities: bind("capabilities")}).where(
        (Machine.name == bind("name"))
        & ((Machine.seen_at < bind("before")) | (Machine.capabilities != bind("capabilities")))
    ),
    beside=True,
)
_FACTS = Statement(Machine.update({Machine.facts: bind("facts")}).where(Machine.name == bind("name")))
_STATE = Statement(Machine.update({Machine.state: bind("state")}).where(Machine.name == bind("name")))
_REVOKED = Statement(Machine.update({Machine.revoked_at: bind("at")}).where(Machine.name == bind("name")))
_PAUSE = Statement(
    PausedTarget.insert({PausedTarget.name: bind("name"), PausedTarget.paused_at: bind("now")}).on_conflict_ignore()
)
_RESUME = Statement(PausedTarget.delete().where(PausedTarget.name == bind("name")))
_PAUSED = Statement(PausedTarget.select(PausedTarget.name).order_by(PausedTarget.name))


def all_of(tx: Tx) -> list[MachineRow]:
    """Return every machine, by name."""
    return [MachineRow._make(row) for row in tx.rows(_ALL)]


def contacts(tx: Tx) -> list[tuple[str, str, int, int | None]]:
    """Return of every machine its name, its state, when it was heard of and since when it is revoked (ms)."""
    return [(row[0], row[1], row[2], row[3]) for row in tx.rows(_CONTACTS)]


def find(tx: Tx, name: str) -> MachineRow | None:
    """Return a machine, or None."""
    row = tx.one(_FIND, name=name)
    return None if row is None else MachineRow._make(row)


def find_once(tx: Tx, name: str) -> MachineRow | None:
    """The same, asked of the store once for all claims of a transaction beside others."""
    known: dict[str, MachineRow | None] = tx.memo.setdefault(MachineRow, {})
    if name not in known:
        known[name] = find(tx, name)
    return known[name]


def seen(tx: Tx, name: str, capabilities: str | None) -> None:
    """Note that a machine was heard of (to about 30 s), and what it can do when it said so."""
    note_seen(tx, find(tx, name), name, capabilities)


def meet(tx: Tx, name: str, capabilities: str) -> MachineRow:
    """Note a machine that tells of itself, the first time or again; return it."""
    seen(tx, name, capabilities)
    row = tx.one(_FIND, name=name)
    if row is None:
        raise LookupError(name)  # it was added in this transaction
    return MachineRow._make(row)


def note_seen(tx: Tx, known: MachineRow | None, name: str, capabilities: str | None) -> None:
    """The same, of a machine that has been looked up."""
    if known is None:
        tx.memo.pop(MachineRow, None)
        tx.run(
            _ADD,
            name=name,
            state="active",
            capabilities=capabilities or "[]",
            facts="{}",
            first_seen=tx.now,
            seen_at=tx.now,
        )
        return
    said = known.capabilities if capabilities is None else capabilities
    if known.seen_at < tx.now - SEEN_MS or said != known.capabilities:
        tx.memo.pop(MachineRow, None)
        tx.run(_SEEN, name=name, now=tx.now, before=tx.now - SEEN_MS, capabilities=said)


def set_facts(tx: Tx, name: str, facts: str) -> None:
    """Keep what a machine says of itself."""
    tx.run(_FACTS, name=name, facts=facts)


def set_state(tx: Tx, name: str, state: str) -> None:
    """Set a machine to active, draining or paused."""
    tx.run(_STATE, name=name, state=state)


def set_revoked(tx: Tx, name: str, at: int | None) -> None:
    """Revoke a machine (ms), or take it back (None)."""
    tx.signals.tokens = True
    tx.run(_REVOKED, name=name, at=at)


def pause_target(tx: Tx, name: str) -> None:
    """Pause a target."""
    tx.memo.pop(PausedTarget, None)
    tx.run(_PAUSE, name=name, now=tx.now)


def resume_target(tx: Tx, name: str) -> None:
    """Resume a target."""
    tx.memo.pop(PausedTarget, None)
    tx.run(_RESUME, name=name)


def paused_targets(tx: Tx) -> frozenset[str]:
    """Return the targets that are paused, asked of the store once a transaction: only what runs alone changes them."""
    found: frozenset[str] | None = tx.memo.get(PausedTarget, tx.paused)
    if found is None:
        found = tx.memo[PausedTarget] = frozenset(row[0] for row in tx.rows(_PAUSED))
    return found


def is_target_paused(tx: Tx, name: str) -> bool:
    """Tell whether a target is paused."""
    return name in paused_targets(tx)
