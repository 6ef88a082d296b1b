"""Jobs of openclaw-scheduler as schedules of ours: what becomes of each field, what is told, what is refused."""

from typing import Any

import pytest

from contract.seed_schedule import CannotCarry, translate

SHELL = {
    "name": "Nightly",
    "schedule_kind": "cron",
    "schedule_cron": "0 3 * * *",
    "session_target": "shell",
    "payload_message": "make backup",
    "run_timeout_ms": 90_500,
    "delivery_mode": "none",
}
JOB = {"target": "any", "spec": {"run": "make backup"}, "requires": ["shell"], "maxAttempts": 1, "timeoutSeconds": 91}


def body(**fields: Any) -> dict[str, Any]:
    return translate({**SHELL, **fields}).body


def test_a_shell_job_on_a_cron() -> None:
    found = translate(SHELL)
    assert found.body == {"name": "Nightly", "cron": "0 3 * * *", "timezone": "UTC", "overlap": "skip", "job": JOB}
    assert (found.parent, found.notes) == (None, [])


def test_an_agents_job_with_all_that_an_agent_needs() -> None:
    found = translate(
        {
            "id": "a1", "name": "Brief", "enabled": 1, "schedule_kind": "cron", "schedule_cron": "30 7 * * 1-5",
            "schedule_tz": "Europe/Berlin", "session_target": "isolated", "agent_id": "ops",
            "payload_kind": "agentTurn",
            "payload_message": "Sum up the night.", "payload_model": "opus", "payload_thinking": "high",
            "preferred_session_key": "agent:ops:brief", "run_timeout_ms": 300_000, "delivery_mode": "announce-always",
            "delivery_channel": "telegram", "delivery_to": "-100123", "max_retries": 2, "overlap_policy": "queue",
            "created_at": "2026-01-01 00:00:00", "next_run_at": "2026-03-01 06:30:00", "origin": "system",
        }
    )  # fmt: skip
    assert found.body == {
        "name": "Brief",
        "cron": "30 7 * * 1-5",
        "timezone": "Europe/Berlin",
        "overlap": "queue",
        "job": {
            "target": "any",
            "spec": "Sum up the night.",
            "requires": ["agent"],
            "meta": {
                "agent": {
                    "id": "ops",
                    "session": "isolated",
                    "model": "opus",
                    "thinking": "high",
                    "sessionKey": "agent:ops:brief",
                }
            },
            "maxAttempts": 3,
            "retry": {"backoffSeconds": 30, "factor": 2},
            "timeoutSeconds": 300,
            "delivery": {"mode": "announce-always", "channel": "telegram", "to": "-100123"},
        },
    }
    assert found.notes == []


@pytest.mark.parametrize(
    ("fields", "members"),
    [
        ({"enabled": 0}, {"paused": True}),
        ({"delete_after_run": 1}, {"deleteAfterRun": True}),
        ({"ttl_hours": 48}, {"ttlHours": 48}),
        ({"run_now": True}, {"runNow": True}),
        ({"overlap_policy": "allow"}, {"overlap": "allow"}),
        ({"schedule_cron": "@daily"}, {"cron": "@daily"}),
        ({"approval_required": 1}, {"approvalTimeoutSeconds": 3600, "job": {**JOB, "needsApproval": True}}),
        (
            {"delivery_mode": "announce", "delivery_channel": "telegram", "delivery_to": "@team_room"},
            {"job": {**JOB, "delivery": {"mode": "announce", "to": "@team_room"}}},
        ),
    ],
)
def test_what_becomes_of_a_field(fields: dict[str, Any], members: dict[str, Any]) -> None:
    assert body(**fields) == {**body(), **members}


@pytest.mark.parametrize(
    ("fields", "context"),
    [
        ({"context_retrieval": "recent"}, {"last": 5}),
        ({"context_retrieval": "recent", "context_retrieval_limit": 2}, {"last": 2}),
        ({"context_retrieval": "recent", "context_retrieval_limit": 20}, {"last": 10}),
        ({"context_retrieval": "hybrid"}, {"last": 5, "like": "Sum up the night."}),
        ({"context_retrieval": "hybrid", "payload_message": "ab" * 1500}, {"last": 5, "like": "ab" * 1000}),
        ({"context_retrieval": "recent", "context_retrieval_limit": 0}, None),
        ({"context_retrieval": "recent", "payload_message": "EXEC: df -h"}, None),
        ({"context_retrieval": "recent", "session_target": "shell"}, None),
        ({"context_retrieval": "none", "context_retrieval_limit": 5}, None),
    ],
)
def test_what_an_agent_is_shown_of_earlier_runs(fields: dict[str, Any], context: Any) -> None:
    agent = {"session_target": "isolated", "payload_message": "Sum up the night."}
    assert body(**(agent | fields)).get("context") == context


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        ("2026-03-01 08:00:00", "2026-03-01T08:00:00Z"),  # SQLite's form: UTC
        ("2026-03-01T08:00:00.000Z", "2026-03-01T08:00:00Z"),
        ("2026-03-01T10:00:00+02:00", "2026-03-01T08:00:00Z"),
        (1_772_352_000_000, "2026-03-01T08:00:00Z"),
    ],
)
def test_a_one_shot_stays_one(moment: Any, written: str) -> None:
    found = body(schedule_kind="at", schedule_at=moment, schedule_cron="0 0 31 2 *")
    assert found["at"] == written
    assert "cron" not in found


def test_a_chain_has_no_plan_of_its_own() -> None:
    found = translate(
        {**SHELL, "schedule_cron": "0 0 31 2 *", "parent_id": "p1", "trigger_on": "complete", "trigger_delay_s": 60,
         "trigger_condition": "contains:ALERT"}
    )  # fmt: skip
    assert found.parent == "p1"
    wanted = {"on": "both", "delaySeconds": 60, "condition": {"contains": "ALERT"}}
    assert found.body == {"name": "Nightly", **wanted, "overlap": "skip", "job": JOB}


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"delivery_guarantee": "at-most-once"}, "delivery_guarantee"),
        ({"context_retrieval": "recent"}, "context_retrieval"),
        ({"session_target": "isolated", "context_retrieval": "hybrid"}, "context_retrieval"),
        ({"session_target": "isolated", "context_retrieval": "vectors"}, "context_retrieval"),
        (
            {"session_target": "isolated", "context_retrieval": "recent", "context_retrieval_limit": 20},
            "context_retrieval_limit",
        ),
        ({"approval_auto": "approve"}, "approval_auto"),
        ({"identity_principal": "ops@example.org"}, "identity_principal"),
        ({"contract_max_cost_usd": 5}, "contract_max_cost_usd"),
        ({"resource_pool": "gpu"}, "resource_pool"),
        ({"schedule_cron": "0 0 3 * * *"}, "schedule_cron"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_what_is_told(fields: dict[str, Any], note: str) -> None:
    assert [one.field for one in translate({**SHELL, **fields}).notes] == [note]


def test_a_default_is_nothing_to_tell() -> None:
    defaults = {
        "delivery_guarantee": "at-least-once", "payload_timeout_seconds": 120, "context_retrieval": "none",
        "max_queued_dispatches": 25, "execution_intent": "execute", "execution_read_only": 0, "approval_auto": "reject",
        "child_credential_policy": "none", "identity_blob": None, "evidence": "", "contract_audit": 0,
        "job_type": "standard", "job_class": "standard", "watchdog_self_destruct": 1,
    }  # fmt: skip
    assert translate({**SHELL, **defaults}).notes == []


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "a\nb"}, ["name"]),
        ({"schedule_cron": None}, ["schedule_cron"]),
        ({"schedule_cron": "*/10 * * * * *"}, ["schedule_cron"]),
        ({"schedule_kind": "at", "schedule_at": "soon"}, ["schedule_at"]),
        ({"schedule_kind": "whenever"}, ["schedule_kind"]),
        ({"payload_message": " "}, ["payload_message"]),
        ({"session_target": "moon"}, ["session_target"]),
        ({"overlap_policy": "fight"}, ["overlap_policy"]),
        ({"parent_id": "p", "trigger_condition": "regex:(a+)+$"}, ["trigger_condition"]),
        ({"parent_id": "p", "trigger_on": "never"}, ["trigger_on"]),
        ({"parent_id": "p", "trigger_on": ["success"]}, ["trigger_on"]),
        ({"schedule_kind": "at", "schedule_at": "9999-12-31T23:59:59-14:00"}, ["schedule_at"]),
        ({"schedule_kind": "at", "schedule_at": "0001-01-01T00:00:00+14:00"}, ["schedule_at"]),
        ({"delivery_mode": "shout"}, ["delivery_mode"]),
        ({"max_retries": "many"}, ["max_retries"]),
        (
            {"session_target": "main", "context_retrieval": "recent", "context_retrieval_limit": "many"},
            ["context_retrieval_limit"],
        ),
        ({"run_timeout_ms": -1}, ["run_timeout_ms"]),
        ({"job_type": "watchdog"}, ["job_type"]),
        ({"execution_intent": "plan"}, ["execution_intent"]),
        ({"contract_trust_enforcement": "block"}, ["contract_trust_enforcement"]),
        ({"name": "", "payload_message": "", "overlap_policy": "x"}, ["name", "overlap_policy", "payload_message"]),
    ],
)
def test_what_is_refused_names_every_field(fields: dict[str, Any], refused: list[str]) -> None:
    with pytest.raises(CannotCarry) as raised:
        translate({**SHELL, **fields})
    assert [note.field for note in raised.value.notes] == refused


def test_an_event_that_begins_with_exec_is_a_shell_job() -> None:
    found = translate(
        {**SHELL, "session_target": "main", "payload_kind": "systemEvent", "payload_message": "EXEC: df -h"}
    )
    assert found.body["job"]["spec"] == {"run": "df -h"}
    assert found.body["job"]["requires"] == ["shell"]
