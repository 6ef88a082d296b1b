"""Claims beside other writers, on PostgreSQL: which jobs, and many of them started at once."""

from functools import lru_cache
from typing import Any

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
    WHERE EXISTS (SELECT 1 FROM jobs WHERE jobs.lane = asked.lane AND status = 'queued' AND ready = 1) LIMIT 1
    """,
    ("lanes",),
)


def pick(tx: Tx, lanes: list[int], most: int) -> list[JobRow]:
    """Hold the next jobs of some lanes beside other writers, up to `most`, without those that others hold."""
    return [JobRow._make(row) for row in tx.rows(_PICK, lanes=lanes, most=most, limit=most)]


def is_any_ready(tx: Tx, lanes: list[int]) -> bool:
    """Tell, beside other writers, whether a lane has a claimable job, be it one that somebody holds."""
    return tx.one(_ANY_READY, lanes=lanes) is not None


def start_all(tx: Tx, claims: list[tuple[JobRow, dict[str, Any], dict[str, Any]]], by: str) -> list[JobRow]:
    """Move held jobs to `running` at once: each with its event's data and its changes, of the same columns for all.

    Raises:
        Conflict: one of them was not queued under its fence any more.
    """
    names = tuple(claims[0][2])
    given: dict[str, list[Any]] = {name: [changes[name] for _, _, changes in claims] for name in names}
    places = {"guard_seq": [job.seq for job, _, _ in claims], "guard_fence": [job.fence for job, _, _ in claims]}
    if tx.run(_start_statement(names), now=tx.now, none=None, **places, **given) != len(claims):
        raise Conflict("a job that was picked is another's already")
    moved = [moved_row(tx, Action.CLAIM, job, changes) for job, _, changes in claims]
    attempts.start_all(tx, moved)
    told = [(job.id, job.target, data) for job, data, _ in claims]
    events.append_all(tx, TRANSITIONS[Action.CLAIM].event, by, told)
    return moved


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
