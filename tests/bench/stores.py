"""Stores with many jobs, filled by SQL in the project's own schema: a million submits would take minutes."""

import os
import sqlite3
import time
from pathlib import Path

from spine.store.migrations import migrate

_JOBS = """
INSERT INTO jobs (id, lane, target, status, created_at, updated_at, created_by, max_attempts, spec, meta, requires,
                  claimed_by, worker_id, machine, lease_until, attempts, fence, started_at,
                  ready, concurrency_key, concurrency_limit)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
SELECT printf('%08d', i) || lower(hex(randomblob(6))), :lane, 'left-claw', :status, :now, :now, 'head', 5,
       '{"run":"make test"}', '{}', :requires, :holder, :worker, :holder, :until, :fence, :fence, :started,
       :ready, :key, :limit
FROM n
"""
_END = """
UPDATE jobs SET status = CASE WHEN seq % 100 = 1 THEN 'dead' ELSE 'done' END, ready = 0, attempts = 1, fence = 1,
       claimed_by = 'left-claw', machine = 'left-claw', started_at = :now - seq * 80 % 86400000 - 5000,
       finished_at = :now - seq * 80 % 86400000,
       error = CASE WHEN seq % 100 = 1 THEN 'exit 2' END,
       result = CASE WHEN seq % 100 = 1 THEN NULL ELSE '{"notes":"ok"}' END
WHERE seq <= (SELECT max(seq) FROM jobs) * 19 / 20
"""
_EVENTS = """
INSERT INTO events (job_id, target, at, type, author, data)
SELECT id, target, created_at, 'job.submitted', 'head', '{"target":"left-claw"}' FROM jobs ORDER BY seq
"""
_ATTEMPTS = """
INSERT INTO attempts (job_id, fence, round, attempt, outcome, claimed_by, worker_id, machine, started_at)
SELECT id, fence, 1, 1, 'running', claimed_by, worker_id, machine, started_at FROM jobs WHERE status = 'running'
"""


class Filling:
    """A store file that is being filled; `close` makes it durable and whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = off")
        self._db.execute("PRAGMA synchronous = off")
        self._now = int(time.time() * 1000)
        migrate(self._db, "sqlite", self._now)
        # Built at the end, in one go each, from sorted rows.
        self._indices = self._db.execute(
            "SELECT name, sql FROM sqlite_master"
            " WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('jobs', 'events')"
        ).fetchall()
        for name, _ in self._indices:
            self._db.execute(f"DROP INDEX {name}")
        self._db.execute("BEGIN")

    def queued(self, count: int, requires: str = "[]", key: str | None = None) -> None:
        """Add queued jobs; those with a concurrency key stand parked behind it, and one more with it runs."""
        lane = self._lane(requires)
        if key is not None:
            self._jobs(1, lane, requires, "running", ready=1, key=key)
        self._jobs(count, lane, requires, "queued", ready=int(key is None), key=key)

    def end_most(self) -> None:
        """Let 19 of 20 of the jobs have ended within the last day, one in a hundred badly."""
        self._db.execute(_END, {"now": self._now})

    def _lane(self, requires: str) -> int:
        self._db.execute("INSERT OR IGNORE INTO lanes (target, requires) VALUES ('left-claw', ?)", (requires,))
        found = self._db.execute("SELECT id FROM lanes WHERE target = 'left-claw' AND requires = ?", (requires,))
        return int(found.fetchone()[0])

    def _jobs(self, count: int, lane: int, requires: str, status: str, ready: int, key: str | None) -> None:
        runs = status == "running"
        self._db.execute(
            _JOBS,
            {
                "count": count,
                "lane": lane,
                "status": status,
                "now": self._now,
                "requires": requires,
                "holder": "left-claw" if runs else None,
                "worker": "w0" if runs else None,
                "until": self._now + 86_400_000 if runs else None,
                "fence": int(runs),
                "started": self._now if runs else None,
                "ready": ready,
                "key": key,
                "limit": None if key is None else 1,
            },
        )

    def close(self) -> None:
        """Add the events and attempts, build the indices, and write the file out."""
        self._db.execute(_EVENTS)
        self._db.execute(_ATTEMPTS)
        for _, sql in self._indices:
            self._db.execute(sql)
        self._db.execute("COMMIT")
        self._db.close()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())


def filled(path: Path, few: int, many: int, requires: str = "[]", key: str | None = None) -> Path:
    """Make a store with `few` jobs that a plain claw can take, behind `many` others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    filling = Filling(path)
    if many:
        filling.queued(many, requires, key)
    if few:
        filling.queued(few)
    filling.close()
    return path
