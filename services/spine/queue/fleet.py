"""Machines: joining with a one-time code, drain, pause, resume, revoke, new tokens."""

import secrets
from typing import Any

import msgspec

from contract import wire
from contract.clock import iso, iso_or_none
from contract.errors import InvalidField, NotFound
from contract.ids import new_token, token_digest
from contract.states import Action, Status
from spine.queue.access import RESERVED, Caller
from spine.queue.moving import move
from spine.store import attempts, events, listing, machines, messages, tokens
from spine.store.engine import Tx
from spine.store.lanes import canonical
from spine.store.listing import Filter
from spine.store.machines import MachineRow

CODE_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
CODE_GROUPS = 4


def record(tx: Tx, row: MachineRow) -> wire.Machine:
    """Return a machine as a record, with what it holds now."""
    held = [job.id for job in listing.matching(tx, Filter(("running",), machine=row.name), None, 0, 100)]
    return wire.Machine(
        id=row.name,
        name=row.name,
        state="revoked" if row.revoked_at is not None else row.state,
        capabilities=msgspec.json.decode(row.capabilities),
        facts=msgspec.json.decode(row.facts),
        first_seen_at=iso(row.first_seen),
        seen_at=iso(row.seen_at),
        revoked_at=iso_or_none(row.revoked_at),
        running=held,
    )


def new_code(tx: Tx, caller: Caller, name: str, ttl_seconds: int) -> tuple[str, int]:
    """Make a one-time join code for a machine's name; return it and when it ends (ms). Only its digest is kept.

    Raises:
        InvalidField: a name that is not free.
    """
    _check_free(name)
    letters = [secrets.choice(CODE_ALPHABET) for _ in range(4 * CODE_GROUPS)]  # 80 bits
    code = "-".join("".join(letters[n : n + 4]) for n in range(0, len(letters), 4))
    ends = tx.now + ttl_seconds * 1000
    tokens.add_code(tx, token_digest(code), name, caller.name, ends)
    events.append(tx, "machine.invited", caller.name, None, None, {"machine": name, "until": iso(ends)})
    return code, ends


def join(tx: Tx, code: str, capabilities: list[str], facts: dict[str, Any]) -> tuple[str, str]:
    """Trade a join code for a token of the machine's own; return the machine's name and the token.

    Raises:
        NotFound: the code is unknown, used or over (which of them is not told).
    """
    digest = token_digest(code.strip().upper())
    known = tokens.code(tx, digest)
    if known is None or known.used_at is not None or known.expires_at <= tx.now or not tokens.use_code(tx, digest):
        raise NotFound("this join code is not valid; ask the head for a new one (spine-head join-code NAME)")
    token = new_token(known.name)
    tokens.add(tx, token_digest(token), known.name, "claw")
    machines.seen(tx, known.name, canonical(capabilities))
    machines.set_facts(tx, known.name, msgspec.json.encode(facts).decode())
    machines.set_revoked(tx, known.name, None)
    machines.set_state(tx, known.name, "active")
    events.append(tx, "machine.joined", known.name, None, None, {"machine": known.name})
    return known.name, token


def set_state(tx: Tx, caller: Caller, name: str, state: str) -> MachineRow:
    """Drain, pause or resume a machine. A revoked one stays revoked until it joins again.

    Raises:
        NotFound
    """
    row = _machine(tx, name)
    if row.state != state:
        machines.set_state(tx, name, state)
        kind = {"active": "machine.resumed", "draining": "machine.draining", "paused": "machine.paused"}[state]
        events.append(tx, kind, caller.name, None, None, {"machine": name})
    if state == "active":
        tx.signals.everything = True
    return _machine(tx, name)


def revoke(tx: Tx, caller: Caller, name: str) -> MachineRow:
    """End a machine's tokens at once; the jobs that it runs go back to the queue, what it has not read expires.

    Raises:
        NotFound
    """
    row = _machine(tx, name)
    if row.revoked_at is None:
        tokens.drop(tx, name)
        machines.set_revoked(tx, name, tx.now)
        messages.abandon(tx, name)
        tx.signals.everything = True  # its claims that wait learn it now
        events.append(tx, "machine.revoked", caller.name, None, None, {"machine": name})
    for job in list(listing.matching(tx, Filter((Status.RUNNING.value,), machine=name), None, 0, 10_000)):
        attempts.end(tx, job.id, job.fence, "released", "the machine was revoked")
        why = {"reason": "the machine was revoked", "fence": job.fence}
        back = {"claimed_by": None, "worker_id": None, "release_reason": "the machine was revoked"}
        move(tx, Action.RELEASE, job, caller.name, why, **back)
    return _machine(tx, name)


def rotate(tx: Tx, caller: Caller, name: str, grace_seconds: int) -> str:
    """Give a machine a new token; its stored others end after the grace. Return the token.

    Raises:
        NotFound: no such machine, or it is revoked.
        InvalidField: a name that is not free: no token of a claw stands for it.
    """
    _check_free(name)
    row = _machine(tx, name)
    if row.revoked_at is not None:
        raise NotFound(f"the machine {name} is revoked; let it join again")
    token = new_token(name)
    digest = token_digest(token)
    tokens.add(tx, digest, name, "claw")
    tokens.expire_others(tx, name, digest, tx.now + grace_seconds * 1000)
    events.append(tx, "machine.rotated", caller.name, None, None, {"machine": name, "graceSeconds": grace_seconds})
    return token


def pause_target(tx: Tx, caller: Caller, name: str, paused: bool) -> None:
    """Pause or resume a target: its queued jobs stay queued."""
    before = machines.is_target_paused(tx, name)
    if paused and not before:
        machines.pause_target(tx, name)
    elif before and not paused:
        machines.resume_target(tx, name)
        tx.signals.everything = True
    if before != paused:
        events.append(tx, "target.paused" if paused else "target.resumed", caller.name, None, None, {"target": name})


def _check_free(name: str) -> None:
    if name in RESERVED:
        raise InvalidField(f"name: {name!r} is not free for a machine", "name")


def _machine(tx: Tx, name: str) -> MachineRow:
    row = machines.find(tx, name)
    if row is None:
        raise NotFound(f"no machine {name[:64]} has been heard of")
    return row
