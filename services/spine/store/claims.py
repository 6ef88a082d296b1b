"""Claims beside other writers, on PostgreSQL: which jobs, and many of them started at once."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import peewee as pw

from contract.errors import Conflict
from contract.states import TRANSITIONS, Action
from spine.store import attempts, events
from spine.store.engine import Tx
from spine.store.jobs import JobRow, moved_row, moved_values
from spine.store.models import Job
from spine.store.statement import Statement, Written, bind

# The next jobs of several lanes that nobody else takes at this moment. First how many of each lane are among them, then
# just as many are held: what is held and not taken would be hidden from the others. Materialized, or a plan that looks
# more than once would hold more each time.
_CLAIMABLE = "status = 'queued' AND ready = 1 ORDER BY priority DESC, seq"
_NAMES = ", ".join(f'"{name}"' for name in JobRow._fields)
_PICK = Written(
    "postgres",
    f"""
    SELECT {_NAMES} FROM (
        WITH near AS MATERIALIZED (
            SELECT lane, count(*) AS few FROM (
                SELECT seen.lane FROM unnest(%s::bigint[]) AS asked (lane)
                CROSS JOIN LATERAL (
                    SELECT lane, priority, seq FROM jobs WHERE lane = asked.lane AND {_CLAIMABLE} LIMIT %s
                ) AS seen
                ORDER BY seen.priority DESC, seen.seq LIMIT %s
            ) AS first GROUP BY lane
        ), picked AS MATERIALIZED (
            SELECT job.* FROM near
            CROSS JOIN LATERAL (
                SELECT * FROM jobs WHERE lane = near.lane AND {_CLAIMABLE} LIMIT near.few
                FOR NO KEY UPDATE SKIP LOCKED
            ) AS job
        )
        SELECT * FROM picked
    ) AS found ORDER BY priority DESC, seq
    """,
    ("lanes", "most", "limit"),
)
_ANY_READY = Written(
    "postgres",
    """
    SELECT 1 FROM unnest(%s::bigint[]) AS asked (lane)
    WHERE EXISTS (
        SELECT 1 FROM jobs WHERE jobs.lane = asked.lane AND status = 'queued' AND ready = 1 AND seq <> ALL(%s::bigint[])
    ) LIMIT 1
    """,
    ("lanes", "but"),
)


class Claim(NamedTuple):
    """A job that was queued, who takes it, what its event says, and what changes."""

    job: JobRow
    by: str
    data: dict[str, Any]
    changes: dict[str, Any]


@dataclass
class _Held:
    """What the claims of one transaction hold: `out` what some were given, `stock` what comes next, by lanes."""

    out: set[int] = field(default_factory=set)
    stock: dict[tuple[int, ...], list[JobRow]] = field(default_factory=dict)


def _held(tx: Tx) -> _Held:
    found: _Held = tx.memo.setdefault(_Held, _Held())
    return found


def pick(tx: Tx, lanes: list[int], most: int) -> list[JobRow]:
    """Hold the next jobs of some lanes beside other writers, up to `most`, without those that others hold.

    Several claims of one transaction, such as those of many claws at once, ask the database fewer times than there are
    of them: each time for as many again as have been given out already.
    """
    held, key = _held(tx), tuple(lanes)
    stock = [job for job in held.stock.get(key, ()) if job.seq not in held.out]
    if len(stock) < most:
        limit = len(held.out) + max(most, len(held.out))  # what this transaction holds itself comes up again
        rows = tx.rows(_PICK, lanes=lanes, most=limit, limit=limit)
        stock = [job for job in map(JobRow._make, rows) if job.seq not in held.out]
    found, held.stock[key] = stock[:most], stock[most:]
    held.out.update(job.seq for job in found)
    return found


def is_any_ready(tx: Tx, lanes: list[int]) -> bool:
    """Tell, beside other writers, whether a lane has a claimable job that no claim of this transaction takes."""
    started = [claim.job.seq for claim in tx.done.get(_start_all, ())]
    return tx.one(_ANY_READY, lanes=lanes, but=started) is not None


def start(tx: Tx, claims: list[Claim]) -> list[JobRow]:
    """Move held jobs to `running`, at the end of the transaction, together with those of its other claims."""
    for claim in claims:
        tx.at_end(_start_all, claim)
    tx.signals.events = tx.signals.events or bool(claims)
    return [moved_row(tx, Action.CLAIM, claim.job, claim.changes) for claim in claims]


def _start_all(tx: Tx, claims: list[Claim]) -> None:
    names = tuple(claims[0].changes)
    given: dict[str, list[Any]] = {name: [claim.changes[name] for claim in claims] for name in names}
    guards = {"guard_seq": [claim.job.seq for claim in claims], "guard_fence": [claim.job.fence for claim in claims]}
    if tx.run(_start_statement(names), now=tx.now, none=None, **guards, **given) != len(claims):
        raise Conflict("a job that was picked is another's already")
    attempts.start_all(tx, [(claim.job, claim.changes) for claim in claims])
    told = [(claim.by, claim.job.id, claim.job.target, claim.data) for claim in claims]
    events.append_all(tx, TRANSITIONS[Action.CLAIM].event, told)


@lru_cache(maxsize=8)
def _start_statement(names: tuple[str, ...]) -> Statement:
    columns = {"guard_seq": Job.seq, "guard_fence": Job.fence, **{name: getattr(Job, name) for name in names}}
    arrays = [
        pw.NodeList((bind(name), pw.SQL("::text[]" if isinstance(column, pw.TextField) else "::bigint[]")))
        for name, column in columns.items()
    ]
    listed = ", ".join(f"given_{name}" for name in columns)
    given = pw.NodeList((pw.fn.unnest(*arrays), pw.SQL(f"AS given ({listed})")))
    values, allowed = moved_values(Action.CLAIM, {name: pw.SQL(f"given_{name}") for name in names})
    guard = (Job.seq == pw.SQL("given_guard_seq")) & (Job.fence == pw.SQL("given_guard_fence"))
    return Statement(Job.update(values).from_(given).where(guard & allowed), beside=True)
