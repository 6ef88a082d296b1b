"""An embedded store with rows in every table, written by the verbs where there is one that needs no server."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.queue_store import HEAD, QueueStore, SetClock

from spine.store import idempotency, machines, meta, plans, tokens
from spine.store.copying import COPIED
from spine.store.engine import Tx
from spine.store.idempotency import Scope

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z
BLOB = "blob_" + "a" * 24
AWKWARD = "ä€𝄞 \\N\t\n\r\"'%s \x7f"
_ROWS = {
    "schedules": "(4, 'sch_1', 'nightly', 'every', '{}', NULL, 0, 5, 6, NULL, NULL, NULL, 1, 2, 'head', 3)",
    "occurrences": "(9, 'sch_1', 5, 'time', NULL, NULL, 'pending', NULL, NULL, 6, NULL, 7)",
    "schedule_ends": "(2, 'sch_1', 'job', 3, 'failure')",
    "notices": "(3, 'ntc_1', NULL, 'ops', NULL, NULL, 'waiting', '{}', 'head', 1, 1, 2, 0, 0, 0, NULL, NULL)",
    "notice_attempts": "('ntc_1', 1, 1, 2, 'failed', 'no answer')",
    "messages": "(7, 'msg_1', 1, 'head', 'all', 'text', 0, 5, 'hello', 'msg_1', NULL, NULL, NULL)",
    "receipts": "(7, 'left-claw', 5, NULL, 1, NULL, NULL, NULL)",
    "groups": "(2, 'grp_1', 'release', 1, 'head', NULL, NULL, NULL, '[]', NULL, NULL, NULL, NULL)",
    "group_jobs": "('grp_1', 'job')",
    "tombstones": "('gone', 1)",
    "event_prunes": "(5, 2)",
    "sessions": f"('{'d' * 64}', '{'f' * 64}', 1, 2)",
    "dependencies": "('job', 'other', 0)",
    "cluster_nodes": "('n1', 'head', 'i', 'one', '[]', '', 30000, 'online', 1, 2, 0)",
    "cluster_beats": "(3, 1, 'n1', 1, 'n1')",
    "cluster_events": "(4, 1, 'n1', 'cluster.node_joined', '{}')",
    "cluster_messages": "(5, 1, 'n1', 'note', '{}')",
}


class Full(QueueStore):
    """The store; `held`: a job that runs, and its fence."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SetClock(START))
        self.store_id = self.write(meta.store_id)
        self.write(lambda tx: meta.put(tx, meta.LAST_PASS, str(START)))
        self.blob(BLOB, b"hello", hashlib.sha256(b"hello").hexdigest())
        done = self.done(meta={"see": BLOB, "text": AWKWARD}, needsReview=True)
        self.submit(after=[done], concurrencyKey="k", dedupeKey="d", notify=["ops"])
        held = self.submit(spec=AWKWARD, priority=-5)
        self.submit(requires=["gpu", "git"])
        fence = self.claim(held).fence
        self.held = (held, fence)
        self.comment(held, AWKWARD)
        self.log(held, fence, bytes(range(256)) * 300)
        self.take_lease("loop")
        self.write(_people)
        self._engine_rows()

    def _engine_rows(self) -> None:
        connection = self.engine._connection
        for name, row in _ROWS.items():
            if name in {table.name for table in COPIED if not self.read(table.size)}:
                connection.execute(f"INSERT INTO {name} VALUES {row}")
        # The last one of a table is gone: its number must not be given again.
        connection.execute(
            "INSERT INTO messages SELECT 40, 'msg_2', 1, 'a', 'b', 'text', 0, 5, '', 'x', NULL, NULL, NULL"
        )
        connection.execute("DELETE FROM messages WHERE seq = 40")
        assert [table.name for table in COPIED if not self.read(table.size)] == []


def _people(tx: Tx) -> None:
    machines.meet(tx, "left-claw", '["git"]')
    machines.pause_target(tx, "right-claw")
    tokens.add(tx, "f" * 64, "left-claw", "claw")
    tokens.add_code(tx, "e" * 64, "new-claw", HEAD.principal.name, START)
    plans.add(tx, "plan", "job", "digest")
    idempotency.keep(tx, Scope("head", "POST", "/jobs", "k1"), b"\x00\xff", 201, b"{}\x00", "")


def grow(data: Path, jobs: int) -> None:
    """Add so many ended jobs, each with three events, to a store that nobody serves."""
    with closing(sqlite3.connect(data / "spine.db")) as store:
        columns = [row[1] for row in store.execute("PRAGMA table_info(jobs)")]
        own = {"seq": "1000 + n", "id": "'grown' || n", "dedupe_key": "NULL"}
        chosen = ", ".join(own.get(name, name) for name in columns)
        store.execute(
            f"WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {jobs})"
            f" INSERT INTO jobs ({', '.join(columns)}) SELECT {chosen} FROM counted,"
            " (SELECT * FROM jobs WHERE status = 'done' LIMIT 1)"
        )
        store.execute(
            "INSERT INTO events (job_id, target, at, type, author, data) SELECT id, target, created_at, 'job.created',"
            " 'head', '{}' FROM jobs, (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) WHERE seq > 1000"
        )
        store.commit()
