"""Claims beside other writers, on PostgreSQL: which jobs, and many of them started at once."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import peewee as pw

from contract.errors import Conflict
from contract.states import TRANSITIONS, Action, Status
from spine.store import attempts
from spine.store.engine import Tx
from spine.store.jobs import JobRow, moved_row, moved_values
from spine.store.models import Event, Job
from spine.store.statement import Statement, Written, text

_encode = msgspec.json.Encoder().encode
STOCK_MOST = 64
"""How many jobs may be held at first for the claims that may come in one transaction."""
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
    of them: at first for as many as those before it took at most, of late and within reason, and no more than all its
    operations would take; later for as many again as have been given out already. What is held and not taken is hidden
    from others until the commit.
    """
    held, key = _held(tx), tuple(lanes)
    first = min(tx.lasting.get(_start_all, 0), most * tx.batch, STOCK_MOST)
    stock = [job for job in held.stock.get(key, ()) if job.seq not in held.out]
    if len(stock) < most:
        limit = len(held.out) + max(most, first, len(held.out))  # what this transaction holds itself comes up again
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
    tx.lasting[_start_all] = max(len(claims), tx.lasting.get(_start_all, 0) * 7 // 8)
    names = tuple(claims[0].changes)
    given: dict[str, list[Any]] = {name: [claim.changes[name] for claim in claims] for name in names}
    given["guard_seq"] = [claim.job.seq for claim in claims]
    given["guard_fence"] = [claim.job.fence for claim in claims]
    given["job_id"] = [claim.job.id for claim in claims]
    given["round"] = [claim.job.round for claim in claims]
    given["target"] = [claim.job.target for claim in claims]
    given["author"] = [claim.by for claim in claims]
    given["data"] = [_encode(claim.data).decode() for claim in claims]
    moved = tx.one(_start_statement(names), now=tx.now, none=None, **given)
    if moved is None or moved[0] != len(claims):
        raise Conflict("a job that was picked is another's already")


@lru_cache(maxsize=8)
def _start_statement(names: tuple[str, ...]) -> Statement:
    """Return what moves jobs, records their attempts and appends their events in one turn; it answers how many moved.

    Each job is found by its place, whatever the statistics say: those of a queue that was empty when they were made
    would have all that is queued read through for each claim. So its status, of which there are indices, is compared as
    what no index knows.
    """
    columns: dict[str, Any] = {"guard_seq": Job.seq, "guard_fence": Job.fence}
    columns |= {name: getattr(Job, name) for name in names}
    columns |= {"job_id": Job.id, "round": Job.round, "target": Job.target}
    columns |= {"author": Event.author, "data": Event.data}
    kinds = ["text" if isinstance(column, pw.TextField) else "bigint" for column in columns.values()]
    arrays = ", ".join(f"%s::{kind}[]" for kind in kinds)
    listed = ", ".join(f"given_{name}" for name in columns)
    values, _ = moved_values(Action.CLAIM, {name: pw.SQL(f"given_{name}") for name in names})
    guard = (Job.seq == pw.SQL("given_guard_seq")) & (Job.fence == pw.SQL("given_guard_fence"))
    still = pw.fn.CONCAT(Job.status) == text(Status.QUEUED)
    move, bound = Statement(Job.update(values).from_(pw.SQL("given")).where(guard & still)).compiled("postgres")
    attempt = ", ".join(f"given_{of}" for of in attempts.OF_CLAIM.values())
    return Written(
        "postgres",
        f"""
        WITH given AS MATERIALIZED (SELECT * FROM unnest({arrays}) AS given ({listed})),
        moved AS ({move} RETURNING 1),
        tried AS (
            INSERT INTO attempts (job_id, round, {", ".join(attempts.OF_CLAIM)}, started_at, outcome)
            SELECT given_job_id, given_round, {attempt}, given_started_at, 'running' FROM given
        ),
        told AS (
            INSERT INTO events (at, type, author, job_id, target, data)
            SELECT %s, '{TRANSITIONS[Action.CLAIM].event}', given_author, given_job_id, given_target, given_data
            FROM given
        )
        SELECT count(*) FROM moved
        """,
        (*columns, *bound, "now"),
        beside=True,
    )
