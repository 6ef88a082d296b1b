"""Schedules of openclaw-scheduler and of OpenClaw, brought into a store: whole, once, and each fault by field."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.queue_store import SetClock

from spine.cli import cli
from spine.notices import aliases
from spine.operations.refusal import Refused
from spine.operations.schedule_import import Report, bring_in
from spine.queue import schedules as verbs
from spine.store.lock import DataDirBusy
from spine.store.sqlite import SqliteEngine

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
# The columns that its releases have had from the beginning; later ones have added those of MORE.
BASE = """id TEXT PRIMARY KEY, name TEXT, enabled INTEGER DEFAULT 1, schedule_cron TEXT, schedule_tz TEXT DEFAULT 'UTC',
    session_target TEXT, agent_id TEXT, payload_kind TEXT, payload_message TEXT, payload_model TEXT,
    overlap_policy TEXT DEFAULT 'skip', run_timeout_ms INTEGER DEFAULT 300000, delivery_mode TEXT,
    delivery_channel TEXT, delivery_to TEXT, delete_after_run INTEGER DEFAULT 0, next_run_at TEXT"""
MORE = """, schedule_kind TEXT DEFAULT 'cron', schedule_at TEXT, parent_id TEXT, trigger_on TEXT,
    trigger_condition TEXT, max_retries INTEGER DEFAULT 0, approval_required INTEGER DEFAULT 0, resource_pool TEXT,
    identity_principal TEXT, job_type TEXT DEFAULT 'standard', ttl_hours INTEGER"""
SHELL = {"session_target": "shell", "payload_kind": "shellCommand", "payload_message": "true", "delivery_mode": "none"}
Seed = Callable[..., Path]


@pytest.fixture
def seed(tmp_path: Path) -> Seed:
    """Write a scheduler.db with some jobs."""

    def write(*jobs: dict[str, Any], columns: str = BASE + MORE) -> Path:
        path = tmp_path / "scheduler.db"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute(f"CREATE TABLE jobs ({columns})")
            for job in jobs:
                names = ", ".join(job)
                db.execute(f"INSERT INTO jobs ({names}) VALUES ({', '.join('?' * len(job))})", list(job.values()))
            db.commit()
        return path

    return write


def openclaw(tmp_path: Path, *jobs: Any) -> Path:
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps({"version": 1, "jobs": list(jobs)}))
    return path


def run(path: Path, tmp_path: Path, apply: bool = True) -> Report:
    return bring_in(path, tmp_path / "data", apply, SetClock(NOW))


def kept(tmp_path: Path) -> list[dict[str, Any]]:
    """Return what the store's schedules are: columns, and the definition's members."""
    with closing(sqlite3.connect(tmp_path / "data" / "spine.db")) as db:
        rows = db.execute("SELECT id, kind, paused, parent_id, definition FROM schedules ORDER BY seq").fetchall()
    return [{"id": r[0], "kind": r[1], "paused": r[2], "parent": r[3], **json.loads(r[4])} for r in rows]


def states(report: Report) -> list[tuple[str, str]]:
    return [(row.source.id, row.state) for row in report.rows]


def faults(report: Report) -> dict[str, list[str]]:
    return {row.source.id: [note.field for note in row.notes] for row in report.rows if row.state == "refused"}


# --- openclaw-scheduler ----------------------------------------------------------------------------------------------


def test_what_an_agent_was_shown_of_earlier_runs_comes_over(seed: Seed, tmp_path: Path) -> None:
    agents = {"session_target": "isolated", "payload_message": "Look.", "delivery_mode": "none"}
    daily = {"name": "look", "schedule_cron": "@daily"}
    path = seed(
        {"id": "r", **daily, **agents, "context_retrieval": "recent", "context_retrieval_limit": 4},
        {"id": "h", **daily, **agents, "context_retrieval": "hybrid"},
        {"id": "n", **daily, **agents},
        columns=BASE + MORE + ", context_retrieval TEXT DEFAULT 'none', context_retrieval_limit INTEGER DEFAULT 5",
    )
    assert [state for _, state in states(run(path, tmp_path))] == ["imported"] * 3
    found = sorted((one.get("context") for one in kept(tmp_path)), key=str)
    assert found == [None, {"last": 4}, {"last": 5, "like": "Look."}]


def test_each_kind_comes_over_and_again_changes_nothing(seed: Seed, tmp_path: Path) -> None:
    path = seed(
        {"id": "c", "name": "Child", "schedule_cron": "0 0 31 2 *", "parent_id": "p", "trigger_on": "failure", **SHELL},
        {"id": "p", "name": "Parent", "schedule_cron": "0 3 * * *", "schedule_tz": "Europe/Berlin", **SHELL},
        {"id": "o", "name": "Once", "schedule_cron": "0 0 31 2 *", "schedule_kind": "at",
         "schedule_at": "2026-06-01 08:00:00", "enabled": 0, **SHELL},
    )  # fmt: skip
    before = path.read_bytes()
    first = run(path, tmp_path)
    assert sorted(states(first)) == [("c", "imported"), ("o", "imported"), ("p", "imported")]
    found = {one["name"]: one for one in kept(tmp_path)}
    parent = found["Parent"]
    assert (parent["kind"], parent["cron"], parent["timezone"]) == ("cron", "0 3 * * *", "Europe/Berlin")
    assert (found["Once"]["kind"], found["Once"]["at"], found["Once"]["paused"]) == ("at", "2026-06-01T08:00:00Z", 1)
    assert (found["Child"]["kind"], found["Child"]["on"], found["Child"]["parent"]) == (
        "chain",
        "failure",
        parent["id"],
    )
    whole = kept(tmp_path)
    assert {state for _, state in states(run(path, tmp_path))} == {"known"}
    assert kept(tmp_path) == whole
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "scheduler.db"], "nothing is made beside the source"


def test_a_schema_from_the_beginning(seed: Seed, tmp_path: Path) -> None:
    job = {"id": "a", "name": "Old", "schedule_cron": "*/5 * * * *", **SHELL}
    assert states(run(seed(job, columns=BASE), tmp_path)) == [("a", "imported")]


def test_what_was_deleted_here_does_not_come_again(seed: Seed, tmp_path: Path) -> None:
    path = seed({"id": "a", "name": "A", "schedule_cron": "0 3 * * *", **SHELL})
    run(path, tmp_path)
    with closing(sqlite3.connect(tmp_path / "data" / "spine.db")) as db:
        db.execute("DELETE FROM schedules")
        db.commit()
    assert states(run(path, tmp_path)) == [("a", "known")]
    assert kept(tmp_path) == []


def test_what_cannot_come_is_named_by_field_and_the_rest_comes(seed: Seed, tmp_path: Path) -> None:
    path = seed(
        {"id": "w", "name": "Watch", "schedule_cron": "0 3 * * *", "job_type": "watchdog", **SHELL},
        {"id": "v", "name": "Never", "schedule_cron": "0 0 30 2 *", **SHELL},
        {"id": "z", "name": "Zone", "schedule_cron": "0 3 * * *", "schedule_tz": "Mars/Base", **SHELL},
        {"id": "k", "name": "Kid of watch", "schedule_cron": "0 0 31 2 *", "parent_id": "w", **SHELL},
        {"id": "g", "name": "Orphan", "schedule_cron": "0 0 31 2 *", "parent_id": "nowhere", **SHELL},
        {"id": "x", "name": "X", "schedule_cron": "0 0 31 2 *", "parent_id": "y", **SHELL},
        {"id": "y", "name": "Y", "schedule_cron": "0 0 31 2 *", "parent_id": "x", **SHELL},
        {"id": "past", "name": "Past", "schedule_cron": "", "schedule_kind": "at", "schedule_at": "2025-01-01 00:00:00",
         **SHELL},
        {"id": "b", "name": b"\xff\xfe", "schedule_cron": "0 3 * * *", **SHELL},
        {"id": "ok", "name": "Fine", "schedule_cron": "0 3 * * *", "resource_pool": "gpu", "identity_principal": "me",
         **SHELL},
    )  # fmt: skip
    report = run(path, tmp_path)
    assert faults(report) == {
        "w": ["job_type"], "v": ["cron"], "z": ["timezone"], "k": ["parent_id"], "g": ["parent_id"], "x": ["parent_id"],
        "y": ["parent_id"], "past": ["at"], "b": ["name"],
    }  # fmt: skip
    fine = next(row for row in report.rows if row.source.id == "ok")
    assert sorted(note.field for note in fine.notes) == ["identity_principal", "resource_pool"]
    assert [one["name"] for one in kept(tmp_path)] == ["Fine"]


def with_aliases(path: Path, *rows: tuple[Any, Any, Any]) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "CREATE TABLE delivery_aliases (alias TEXT PRIMARY KEY, channel TEXT, target TEXT, description TEXT)"
        )
        db.executemany("INSERT INTO delivery_aliases (alias, channel, target) VALUES (?, ?, ?)", rows)
        db.commit()
    return path


def test_its_aliases_are_lines_for_the_file_of_ours_and_its_jobs_name_them_as_we_do(seed: Seed, tmp_path: Path) -> None:
    told = {**SHELL, "schedule_cron": "0 3 * * *", "delivery_mode": "announce", "delivery_channel": "telegram"}
    path = with_aliases(
        seed(
            {"id": "a", "name": "A", **told, "delivery_to": "team_room"},
            {"id": "b", "name": "B", **told, "delivery_to": "@team_room", "delivery_channel": None},
            {"id": "c", "name": "C", **told, "delivery_to": "@Team Room"},
            {"id": "d", "name": "D", **told, "delivery_to": "-100"},
        ),
        ("team_room", "telegram", "-1001"),
        ("Team Room", "discord", "77"),
        ("empty", "telegram", ""),
        ("torn", "telegram", b"\xff"),
    )
    env = {"SPINE_DATA_DIR": str(tmp_path / "data")}
    done = CliRunner().invoke(cli, ["import-schedules", str(path), "--apply"], env=env)
    assert done.exit_code == 0, done.output
    assert [one["job"]["delivery"] for one in kept(tmp_path)] == [
        {"mode": "announce", "to": "@team_room"},
        {"mode": "announce", "to": "@team_room"},
        {"mode": "announce", "channel": "discord", "to": "77"},
        {"mode": "announce", "channel": "telegram", "to": "-100"},
    ]
    assert "            delivery_to: the alias 'Team Room' cannot be one here, so the job names its chat itself" in (
        done.output.splitlines()
    )
    assert [line[:30] for line in done.output.splitlines() if line.startswith("alias ")] == [
        "alias     'Team Room': a name ",
        "alias     'empty': its chat ca",
        "alias     'torn': its name or ",
    ]
    file = tmp_path / "notices.json"
    file.touch(mode=0o600)
    file.write_text(done.output[done.output.index("{\n") : done.output.index("\n}\n") + 2])
    (entry,) = aliases.read(file).values()
    assert (entry.name, entry.problem) == ("team_room", None)
    assert isinstance(entry.alias, aliases.Message)
    assert (entry.alias.via, entry.alias.to) == ("telegram", "-1001")
    told_json = CliRunner().invoke(cli, ["import-schedules", str(path), "--json"], env=env)
    assert list(json.loads(told_json.stdout)["aliasEntries"]) == ["team_room"]


def test_a_dry_run_writes_nothing_and_says_the_same(seed: Seed, tmp_path: Path) -> None:
    path = seed(
        {"id": "c", "name": "Child", "schedule_cron": "0 0 31 2 *", "parent_id": "p", **SHELL},
        {"id": "p", "name": "Parent", "schedule_cron": "0 3 * * *", **SHELL},
        {"id": "v", "name": "Never", "schedule_cron": "0 0 30 2 *", **SHELL},
    )
    dry = run(path, tmp_path, apply=False)
    assert not (tmp_path / "data").exists()
    assert states(dry) == states(run(path, tmp_path))
    before = (tmp_path / "data" / "spine.db").read_bytes()
    assert sorted(set(states(run(path, tmp_path, apply=False)))) == [("c", "known"), ("p", "known"), ("v", "refused")]
    assert (tmp_path / "data" / "spine.db").read_bytes() == before


def test_all_or_nothing(seed: Seed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in the midst of it leaves none of them."""
    path = seed(*({"id": f"j{n}", "name": f"J{n}", "schedule_cron": "0 3 * * *", **SHELL} for n in range(5)))
    real = verbs.make

    def fails(tx: Any, caller: Any, made: verbs.Definition) -> Any:
        if made.request.name == "J3":
            raise OSError(28, "No space left on device")
        return real(tx, caller, made)

    monkeypatch.setattr("spine.queue.schedules.make", fails)
    with pytest.raises(Exception, match="the operation failed"):
        run(path, tmp_path)
    assert kept(tmp_path) == []
    monkeypatch.undo()
    assert {state for _, state in states(run(path, tmp_path))} == {"imported"}
    assert len(kept(tmp_path)) == 5


# --- OpenClaw's own cron ---------------------------------------------------------------------------------------------


def test_openclaws_three_kinds_and_its_payloads(tmp_path: Path) -> None:
    path = openclaw(
        tmp_path,
        {"id": "1", "name": "Brief", "enabled": True, "agentId": "ops", "sessionTarget": "isolated", "wakeMode": "now",
         "schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "America/New_York", "staggerMs": 90_500},
         "payload": {"kind": "agentTurn", "message": "Sum up.", "model": "opus", "timeoutSeconds": 600},
         "delivery": {"mode": "none"}, "state": {"nextRunAtMs": NOW}, "createdAtMs": NOW, "updatedAtMs": NOW},
        {"id": "2", "name": "Ping", "schedule": {"kind": "every", "everyMs": 2_700_000, "anchorMs": NOW - 60_000},
         "sessionTarget": "main", "payload": {"kind": "systemEvent", "text": "Look at the mail."}},
        {"id": "3", "name": "Disk", "enabled": False, "schedule": {"kind": "cron", "expr": "0 * * * *", "tz": "UTC"},
         "sessionTarget": "main", "payload": {"kind": "systemEvent", "text": "EXEC: df -h"}},
        {"id": "4", "name": "Once", "schedule": {"kind": "at", "atMs": NOW + 86_400_000}, "deleteAfterRun": True,
         "sessionTarget": "session:agent:main:chat", "payload": {"kind": "agentTurn", "message": "Remind."}},
    )  # fmt: skip
    report = run(path, tmp_path)
    assert {state for _, state in states(report)} == {"imported"}
    found = {one["name"]: one for one in kept(tmp_path)}
    brief = found["Brief"]
    assert (brief["cron"], brief["timezone"], brief["jitterSeconds"]) == ("0 7 * * *", "America/New_York", 91)
    assert (brief["job"]["spec"], brief["job"]["requires"], brief["job"]["timeoutSeconds"]) == (
        "Sum up.",
        ["agent"],
        600,
    )
    assert brief["job"]["meta"] == {"agent": {"id": "ops", "session": "isolated", "model": "opus"}}
    # W48: 45 minutes stay 45 minutes, in the rhythm that they had.
    assert (found["Ping"]["kind"], found["Ping"]["everySeconds"]) == ("every", 2700)
    assert found["Ping"]["startAt"] == "2025-12-31T23:59:00.000Z"
    assert (found["Disk"]["paused"], found["Disk"]["job"]["spec"]) == (1, {"run": "df -h"})
    assert found["Disk"]["job"]["requires"] == ["shell"]
    # W48: what is due once is due once.
    assert (found["Once"]["kind"], found["Once"]["at"]) == ("at", "2026-01-02T00:00:00Z")
    assert found["Once"]["deleteAfterRun"] is True
    assert found["Once"]["job"]["meta"]["agent"]["sessionKey"] == "agent:main:chat"
    assert {state for _, state in states(run(path, tmp_path))} == {"known"}


def test_openclaws_deliveries(tmp_path: Path) -> None:
    job = {"schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "UTC"},
           "payload": {"kind": "agentTurn", "message": "Go."}}  # fmt: skip
    report = run(
        openclaw(
            tmp_path,
            {**job, "id": "1", "name": "A", "delivery": {"mode": "announce", "channel": "telegram", "to": "-100"}},
            {**job, "id": "2", "name": "B", "delivery": {"mode": "announce", "channel": "last"}},
            {**job, "id": "3", "name": "C", "delivery": {"mode": "webhook", "to": "https://example.org/x?key=secret"}},
        ),
        tmp_path,
    )
    assert report.refused == 0
    assert report.aliases == ["openclaw"]
    found = {one["name"]: one["job"].get("delivery") for one in kept(tmp_path)}
    assert found == {"A": {"mode": "announce-always", "channel": "telegram", "to": "-100"}, "B": None, "C": None}
    notes = {row.source.name: [note.field for note in row.notes] for row in report.rows}
    assert notes == {"A": [], "B": ["delivery.to"], "C": ["delivery.mode"]}
    assert "secret" not in str(report)


TURN = {"id": "1", "name": "A", "schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "UTC"},
        "payload": {"kind": "agentTurn", "message": "Go."}}  # fmt: skip


@pytest.mark.parametrize(
    ("job", "fields"),
    [
        ("text", ["job"]),
        ({"id": "1", "name": "A", "schedule": 5, "payload": {}}, ["schedule"]),
        ({"id": "1", "name": "A", "schedule": {"kind": "moon"}, "payload": {}}, ["schedule.kind"]),
        ({"id": "1", "name": "A", "schedule": {"kind": "every", "everyMs": 10}, "payload": {"kind": "systemEvent",
          "text": "x"}}, ["schedule_every_ms"]),
        ({"id": "1", "name": "A", "schedule": {"kind": "at"}, "payload": {"kind": "command"}}, ["payload.kind"]),
        (TURN | {"agentId": {"a": 1}}, ["agent_id"]),
        (TURN | {"id": "\ud800", "payload": {"kind": "agentTurn", "message": "a\ud800b"}}, ["job.spec"]),
        (TURN | {"payload": {"kind": "agentTurn", "message": "a\x00b"}}, ["job.spec"]),
        (TURN | {"schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "Mo\ud800on"}}, ["timezone"]),
        (TURN | {"delivery": {"mode": "announce", "channel": "A chat", "to": "1"}}, ["job.delivery.channel"]),
    ],
)  # fmt: skip
def test_jobs_of_openclaw_that_cannot_come(tmp_path: Path, job: Any, fields: list[str]) -> None:
    report = run(openclaw(tmp_path, job, TURN | {"id": "2"}), tmp_path)
    assert [[note.field for note in row.notes] for row in report.rows if row.state == "refused"] == [fields]
    assert all(not note.reason.startswith(note.field) for row in report.rows for note in row.notes)
    assert (report.refused, [one["name"] for one in kept(tmp_path)]) == (1, ["A"])
    assert str(report).encode()


# --- files and the command -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"{}", b"[1", b'{"jobs": 5}', b"SQLite format 3\0 and no more", b"[" * 100_000])
def test_files_that_are_neither(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(Refused):
        run(tmp_path / "file", tmp_path)
    assert not (tmp_path / "data").exists()


def test_another_database(seed: Seed, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no database of openclaw-scheduler"):
        run(seed(columns="id TEXT, spec TEXT"), tmp_path)


def test_a_store_that_is_served_is_refused(seed: Seed, tmp_path: Path) -> None:
    path = seed({"id": "a", "name": "A", "schedule_cron": "0 3 * * *", **SHELL})
    store = SqliteEngine(tmp_path / "data", SetClock(NOW), readers=1)
    try:
        with pytest.raises(DataDirBusy):
            run(path, tmp_path)
        assert states(run(path, tmp_path, apply=False)) == [("a", "imported")], "a dry run only reads"
    finally:
        store.close()


def test_the_command_tells_and_does_nothing_unless_it_is_told_to(seed: Seed, tmp_path: Path) -> None:
    path = seed(
        {"id": "a", "name": "A", "schedule_cron": "0 3 * * *", "resource_pool": "gpu", **SHELL},
        {"id": "v", "name": "Never", "schedule_cron": "0 0 30 2 *", **SHELL},
    )
    env = {"SPINE_DATA_DIR": str(tmp_path / "data")}
    dry = CliRunner().invoke(cli, ["import-schedules", str(path)], env=env)
    assert dry.exit_code == 3
    assert dry.output.splitlines()[0] == "1 to be imported, 0 imported before, 1 refused"
    assert "            resource_pool: a run waits for its turn in the pool, and is not left out" in dry.output
    assert dry.output.splitlines()[-1] == "Nothing was written. Stop the server and give --apply."
    assert not (tmp_path / "data").exists()
    done = CliRunner().invoke(cli, ["import-schedules", str(path), "--apply", "--json"], env=env)
    told = json.loads(done.stdout)
    assert (told["applied"], [job["state"] for job in told["jobs"]]) == (True, ["imported", "refused"])
    assert told["jobs"][0]["scheduleId"] == kept(tmp_path)[0]["id"]
    both = CliRunner().invoke(cli, ["import-schedules", str(path), "--apply", "--dry-run"], env=env)
    assert both.exit_code == 2
