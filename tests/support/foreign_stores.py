"""Databases of a Skyclaw coordinator and of an OpenClaw Broker, with the tables that those programs make."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any


class SkyclawFile:
    """A coordinator's database: a record in JSON a row, in WAL mode."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.open() as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE hosts (id TEXT PRIMARY KEY, json TEXT NOT NULL)")
            db.execute("CREATE TABLE jobs (id TEXT PRIMARY KEY, created_at TEXT NOT NULL, json TEXT NOT NULL)")
            db.execute("CREATE INDEX idx_jobs_created_at ON jobs(created_at)")

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Open it as its program does; what was written is committed."""
        with closing(sqlite3.connect(self.path)) as db, db:
            yield db

    def host(self, host_id: str, **fields: Any) -> None:
        """Add a host; a field of None is left out."""
        record = {
            "id": host_id,
            "name": "gpu box",
            "capabilities": ["automaton", "shell"],
            "maxParallel": 2,
            "activeLeases": 1,
            "lastSeenAt": "2026-01-01T11:00:00.000Z",
            "registeredAt": "2026-01-01T09:00:00.000Z",
            "updatedBy": "node-1",
            "version": 7,
        } | fields
        self.put("hosts", host_id, json.dumps({k: v for k, v in record.items() if v is not None}))

    def job(self, job_id: str, status: str = "queued", **fields: Any) -> None:
        """Add a job; a field of None is left out."""
        record = {
            "id": job_id,
            "createdAt": "2026-01-01T10:00:00.000Z",
            "updatedAt": "2026-01-01T10:00:00.000Z",
            "updatedBy": "node-1",
            "version": 8,
            "status": status,
            "attempts": 0,
            "requirement": {"requiredCapabilities": ["shell"]},
            "payload": {"kind": "shell", "command": "true"},
        } | fields
        self.put("jobs", job_id, json.dumps({k: v for k, v in record.items() if v is not None}))

    def put(self, table: str, row_id: str, text: Any) -> None:
        """Put a row."""
        with self.open() as db:
            if table == "jobs":
                db.execute("INSERT INTO jobs VALUES (?, '', ?)", (row_id, text))
            else:
                db.execute("INSERT INTO hosts VALUES (?, ?)", (row_id, text))


class BrokerFile:
    """A broker's database: a row a job."""

    def __init__(self, path: Path, columns: tuple[str, ...] = ("error TEXT", "started_at INTEGER",
                 "lease_until INTEGER", "worker_id TEXT", "requires TEXT")) -> None:  # fmt: skip
        self.path = path
        with self.open() as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute(
                "CREATE TABLE jobs (id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, status TEXT NOT NULL, "
                "command TEXT NOT NULL, payload TEXT NOT NULL, result TEXT, finished_at INTEGER)"
            )
            for column in columns:  # added by later releases, one by one
                db.execute(f"ALTER TABLE jobs ADD COLUMN {column}")

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Open it as its program does; what was written is committed."""
        with closing(sqlite3.connect(self.path)) as db, db:
            yield db

    def job(self, job_id: Any, status: Any = "queued", **fields: Any) -> None:
        """Add a job."""
        row = {"id": job_id, "created_at": 1_767_261_600, "status": status, "command": "ping", "payload": "hi"} | fields
        with self.open() as db:
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            db.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", tuple(row.values()))
