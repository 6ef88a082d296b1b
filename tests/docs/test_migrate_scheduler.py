"""The page on openclaw-scheduler has a row for each of its files and each of its verbs, and for nothing else."""

import re

import pytest
from tests.docs.pages import REPO, table

from contract.seed_schedule import CARRIED, DROPPED, SILENT

PAGE = (REPO / "docs/howto/migrate-from-openclaw-scheduler.md").read_text(encoding="utf-8")
FILES = [
    "AGENTS.md",
    "BEST-PRACTICES.md",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE",
    "CONTEXT.md",
    "IMPLEMENTATION_SPEC.md",
    "INSTALL.md",
    "INSTALL-LINUX.md",
    "INSTALL-WINDOWS.md",
    "INSTALL-ADDITIONAL-HOST.md",
    "JOB-QUICK-REF.md",
    "QUICK-START.md",
    "README.md",
    "UNINSTALL.md",
    "UPGRADING.md",
    "agents.js",
    "approval.js",
    "backup.js",
    "bin/openclaw-scheduler.js",
    "cli.js",
    "db.js",
    "dispatch/529-recovery.mjs",
    "dispatch/README.md",
    "dispatch/config.example.json",
    "dispatch/deliver-watcher.sh",
    "dispatch/hooks.mjs",
    "dispatch/index.mjs",
    "dispatch/watcher.mjs",
    "dispatch-queue.js",
    "dispatcher-approvals.js",
    "dispatcher-delivery.js",
    "dispatcher-maintenance.js",
    "dispatcher-shell.js",
    "dispatcher-strategies.js",
    "dispatcher-utils.js",
    "dispatcher.js",
    "docs/adr-schedule-ownership.md",
    "docs/gateway-contract.md",
    "docs/plans",
    "docs/trust-architecture.md",
    "gateway.js",
    "idempotency.js",
    "index.js",
    "index.d.ts",
    "jobs.js",
    "messages.js",
    "migrate.js",
    "migrate-consolidate.js",
    "package.json",
    "paths.js",
    "prompt-context.js",
    "retrieval.js",
    "runs.js",
    "scheduler-schema.js",
    "schema.sql",
    "scripts/dispatch-cli-utils.mjs",
    "scripts/inbox-consumer.mjs",
    "scripts/stuck-detector.sh",
    "scripts/stuck-run-detector.mjs",
    "scripts/telegram-webhook-check.mjs",
    "setup.mjs",
    "shell-result.js",
    "task-tracker.js",
    "team-adapter.js",
    "v02-runtime.js",
    "provider-registry.js",
]
VERBS = {
    "jobs": "list tree get add validate enable disable delete cancel update run approve reject",
    "runs": "list get output running stale",
    "queue": "list clear prune",
    "msg": "send inbox team-inbox outbox thread ack receipts read readall unread",
    "messages": "send",
    "team": "map tasks events gate check-gates ack",
    "agents": "list get register",
    "tasks": "list status create history heartbeat register-session",
    "approvals": "list",
    "idem": "status check release prune",
    "alias": "list add remove",
    "backup": "snapshot rollup restore status prune",
}
SINGLE = ["status", "schema", "capabilities"]


@pytest.mark.parametrize(
    ("heading", "column", "wanted"),
    [
        ("Its files", "file", FILES),
        (
            "Its commands",
            "verb",
            [f"{noun} {verb}" for noun, verbs in VERBS.items() for verb in verbs.split()] + SINGLE,
        ),
    ],
)
def test_each_has_its_row(heading: str, column: str, wanted: list[str]) -> None:
    rows = table(PAGE, heading)
    assert sorted(row[column].strip("`") for row in rows) == sorted(wanted)
    assert [row[column] for row in rows if not row["ours"]] == []
    for row in rows:  # what is dropped says why
        assert not row["ours"].startswith("dropped") or re.match(r"dropped: \w+", row["ours"]), row


def test_each_field_of_a_job_is_known_once() -> None:
    assert frozenset() == CARRIED & SILENT
    assert (CARRIED | SILENT) & DROPPED.keys() == frozenset()
