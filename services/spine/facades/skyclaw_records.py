"""Records of the Skyclaw dialect, in both directions (contract: Skyclaw, section 2)."""

from functools import lru_cache
from typing import Any

import msgspec

from contract.clock import iso
from contract.states import Status
from spine.facades import mapping
from spine.facades.mapping import SKYCLAW
from spine.queue.view import raw
from spine.store.jobs import JobRow
from spine.store.machines import MachineRow

OUTPUTS = ("durationMs", "exitCode", "stdout", "stderr")


class Facts(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """What only Skyclaw knows of a machine, kept among the machine's facts under `skyclaw`.

    `entered_at` (ms): when it registered last. What it claimed before that, a process before this one claimed.
    `idle_since` (ms, 0: not): since when it asks for work although it has as much as it may hold.
    """

    name: str
    capabilities: tuple[str, ...] = ()
    max_parallel: float = 1
    registered_at: str
    entered_at: int = 0
    idle_since: int = 0
    version: int = 1


class _Kept(msgspec.Struct):
    skyclaw: Facts | None = None


@lru_cache(maxsize=1024)
def _facts(kept: str) -> Facts | None:
    return msgspec.json.decode(kept, type=_Kept).skyclaw


def facts(row: MachineRow) -> Facts | None:
    """Return what Skyclaw knows of a machine; None when it never registered."""
    return _facts(row.facts)


def with_facts(row: MachineRow, known: Facts) -> str:
    """Return a machine's facts with these in their place, as the store keeps them."""
    return mapping.as_json(msgspec.json.decode(row.facts) | {SKYCLAW: msgspec.to_builtins(known)})


def host(host_id: str, known: Facts, seen_at: int, held: int, node: str) -> dict[str, Any]:
    """Return a Host. `held` is how many leases it really has."""
    most = known.max_parallel
    return {
        "id": host_id,
        "name": known.name,
        "capabilities": known.capabilities,
        "maxParallel": int(most) if most == int(most) else most,
        "activeLeases": held,
        "lastSeenAt": iso(seen_at),
        "registeredAt": known.registered_at,
        "updatedBy": node,
        "version": known.version,
    }


def job(row: JobRow, node: str) -> dict[str, Any]:
    """Return a Job: absent members are left out."""
    status = mapping.STATUS[Status(row.status)].skyclaw
    found: dict[str, Any] = {
        "id": row.id,
        "createdAt": iso(row.created_at),
        "updatedAt": iso(row.updated_at),
        "updatedBy": node,
        "version": row.version,
        "status": status,
        "attempts": row.attempts,
        "requirement": {"requiredCapabilities": [name for name in mapping.asked(row) if name != SKYCLAW]},
        "payload": raw(row.spec) if row.spec.lstrip().startswith("{") else {"kind": "", "spec": raw(row.spec)},
    }
    if row.lease_until is not None:
        found["leaseExpiresAt"] = iso(row.lease_until)
    if row.claimed_by is not None:
        found["assignedHostId"] = mapping.worker(SKYCLAW, row.claimed_by)
    if status in ("completed", "failed") and row.result is not None:
        found["result"] = {"finishedAt": iso(row.finished_at or row.updated_at)} | _outputs(row.result)
    error = mapping.error(row)
    if error is not None:
        found["error"] = error
    return found


def _outputs(result: str) -> dict[str, Any]:
    """Return the outputs of a result; one in another form, from a claw that knows no better, is told as its stdout."""
    if result.startswith("{"):
        given = msgspec.json.decode(result, type=dict[str, msgspec.Raw])
        if not given or given.keys() & set(OUTPUTS):
            return {name: given[name] for name in OUTPUTS if name in given}
    return {"stdout": result}
