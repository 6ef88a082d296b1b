"""spine-head schedules against a real server: every verb, ours and the seed's JSON, and what is refused."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.head.conftest import Head

from contract.clock import parse_iso
from head import exits

SEED: dict[str, Any] = {
    "name": "Nightly backup",
    "schedule_kind": "cron",
    "schedule_cron": "0 3 * * 1-5",
    "schedule_tz": "Europe/Berlin",
    "session_target": "shell",
    "payload_message": "make backup",
    "run_timeout_ms": 90_500,
    "delivery_mode": "none",
    "overlap_policy": "queue",
    "max_retries": 2,
    "ttl_hours": 48,
    "origin": "system",
    "output_store_limit_bytes": 1000,
}


def test_one_from_its_making_to_its_end(head: Head) -> None:
    made = head.run(
        *("schedules", "add", "--name", "tests", "--cron", "0 3 * * MON-FRI", "--tz", "Europe/Berlin"),
        *("--run", "make test", "--target", "any", "--overlap", "allow", "--missed", "skip"),
    )
    one = made.stdout.strip()
    shown = head.json("schedules", "show", one)
    assert (shown["cron"], shown["timezone"], shown["overlap"], shown["missed"]) == (
        *("0 3 * * MON-FRI", "Europe/Berlin", "allow", "skip"),
    )
    assert shown["job"] == {"spec": {"run": "make test"}, "requires": ["shell"], "target": "any"}
    assert f"next: {shown['nextAt']}" in made.stderr
    assert [line.split()[:2] for line in head.run("schedules", "list").stdout.splitlines()] == [
        ["ID", "STATE"],
        [one, "active"],
    ]
    assert "0 3 * * MON-FRI Europe/Berlin" in head.run("schedules", "show", one).stdout
    assert head.run("schedules", "next", one, "-n", "2").stdout.splitlines()[0].startswith(shown["nextAt"])

    job = head.run("schedules", "run", one).stdout.strip()
    assert head.json("show", job)["scheduleId"] == one
    assert [run["jobId"] for run in head.json("schedules", "runs", one)["runs"]] == [job]
    assert head.run("schedules", "runs", one).stdout.splitlines()[1].split()[1:5] == ["run", "submitted", job, "queued"]

    assert "is paused" in head.run("schedules", "pause", one).stdout
    assert "is active, next at" in head.run("schedules", "resume", one).stdout
    assert head.json("schedules", "edit", one, '{"cron": "@daily", "timezone": null}')["cron"] == "@daily"
    assert "is deleted" in head.run("schedules", "delete", one).stdout
    assert "schedule" in head.run("schedules", "show", one, code=exits.NOT_FOUND).stderr
    assert head.json("schedules", "list") == {"schedules": []}


def test_the_seed_s_json_is_taken_as_it_stands(head: Head) -> None:
    made = head.run("schedules", "add", json.dumps(SEED))
    assert "output_store_limit_bytes: dropped" in made.stderr
    assert "origin" not in made.stderr
    shown = head.json("schedules", "show", made.stdout.strip())
    assert shown["job"] == {
        "spec": {"run": "make backup"},
        "requires": ["shell"],
        "target": "any",
        "maxAttempts": 3,
        "retry": {"backoffSeconds": 30, "factor": 2},
        "timeoutSeconds": 91,
    }
    assert (shown["name"], shown["cron"], shown["overlap"], shown["ttlHours"]) == (
        *("Nightly backup", "0 3 * * 1-5", "queue", 48),
    )


def test_an_agents_schedule_may_ask_for_earlier_runs(head: Head) -> None:
    agents = ("schedules", "add", "--name", "look", "--cron", "@daily", "--text", "Look.", "--target", "any")
    one = head.run(*agents, "--context-like", "slow disks").stdout.strip()
    assert head.json("schedules", "show", one)["context"] == {"last": 3, "like": "slow disks"}
    assert "context 3 earlier runs most like 'slow disks'" in head.run("schedules", "show", one).stdout
    assert head.json("schedules", "edit", one, '{"context": {"last": 9}}')["context"] == {"last": 9, "like": None}
    assert head.json("schedules", "edit", one, '{"context": null}')["context"] is None
    assert "context.last" in head.run(*agents, "--context-last", "11", code=exits.REFUSED_DATA).stderr
    seed = {**SEED, "session_target": "isolated", "context_retrieval": "recent", "context_retrieval_limit": 4}
    carried = head.run("schedules", "add", json.dumps(seed)).stdout.strip()
    assert head.json("schedules", "show", carried)["context"] == {"last": 4, "like": None}


def test_the_seed_s_chain_follows_a_schedule_of_ours(head: Head) -> None:
    parent = head.run("schedules", "add", "-", stdin=json.dumps(SEED | {"run_now": True})).stdout.strip()
    assert [run["cause"] for run in head.json("schedules", "runs", parent)["runs"]] == ["run"]
    child = {"name": "tell", "session_target": "isolated", "payload_message": "Say so", "delivery_mode": "none"}
    child |= {"parent_id": parent, "trigger_on": "failure", "trigger_condition": "contains:disk"}
    made = head.json("schedules", "add", json.dumps(child))
    assert (made["kind"], made["parentId"], made["on"], made["condition"]) == (
        *("chain", parent, "failure", {"contains": "disk"}),
    )
    assert (made["job"]["spec"], made["job"]["requires"]) == ("Say so", ["agent"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"trigger_condition": "regex:(a+)+", "parent_id": "x"}, "trigger_condition"),
        ({"job_type": "watchdog"}, "job_type"),
        ({"execution_intent": "plan"}, "execution_intent"),
        ({"schedule_cron": "0 0 31 2 *"}, "cron"),
    ],
)
def test_what_of_the_seed_s_cannot_be_carried_is_named(head: Head, change: dict[str, Any], field: str) -> None:
    refused = head.run("schedules", "add", json.dumps(SEED | {"name": "bad"} | change), code=exits.REFUSED_DATA)
    assert field in refused.stderr
    assert head.json("schedules", "list", "--name", "bad") == {"schedules": []}


@pytest.mark.parametrize("verb", ["show", "edit", "run", "pause", "resume", "delete", "next", "runs"])
def test_a_schedule_that_is_not_there(head: Head, verb: str) -> None:
    words = ("schedules", verb, "nope", *(["{}"] if verb == "edit" else []))
    assert head.run(*words, code=exits.NOT_FOUND).stderr == "spine-head: there is no schedule nope\n"


def test_in_a_while(head: Head) -> None:
    now = datetime.now(UTC)
    made = head.json("schedules", "add", "--name", "soon", "--in", "5m", "--text", "Ask how it went")
    assert (made["kind"], made["deleteAfterRun"], made["job"]["requires"]) == ("at", True, ["agent"])
    at = datetime.fromtimestamp(parse_iso(made["nextAt"]) / 1000, UTC)
    assert timedelta(minutes=5) <= at - now <= timedelta(minutes=6)


def test_what_a_job_requires_is_said_once_by_the_option_that_names_it(head: Head) -> None:
    words = ("schedules", "add", "--name", "x", "--cron", "@daily", "--run", "true", "--dry-run")
    assert json.loads(head.run(*words).stdout)["job"]["requires"] == ["shell"]
    shown = head.run(*words, "--job", '{"requires": ["gpu"]}').stdout
    assert json.loads(shown)["job"] == {"requires": ["gpu"], "spec": {"run": "true"}}


def test_a_while_beyond_all_calendars_is_refused(head: Head) -> None:
    words = ("schedules", "add", "--name", "x", "--in", "999999999d", "--run", "true")
    assert "at: " in head.run(*words, code=exits.REFUSED_DATA).stderr


def test_a_dry_run_makes_nothing(head: Head) -> None:
    shown = head.run("schedules", "add", json.dumps(SEED), "--name", "dry", "--every", "60", "--dry-run").stdout
    assert json.loads(shown)["everySeconds"] == 60
    assert "cron" not in json.loads(shown)
    assert head.json("schedules", "list", "--name", "dry") == {"schedules": []}


def test_a_preview_of_an_expression(head: Head) -> None:
    found = head.json("schedules", "next", "--cron", "0 9 * * 0", "--tz", "Europe/Berlin", "-n", "2")
    assert [datetime.fromisoformat(due["local"]).strftime("%a %H:%M") for due in found["next"]] == ["Sun 09:00"] * 2


@pytest.mark.parametrize(
    "words",
    [
        ("add", "--cron", "@daily", "--run", "true"),
        ("add", "--name", "x", "--cron", "@daily"),
        ("add", "--name", "x", "--cron", "@daily", "--every", "5", "--run", "true"),
        ("add", "--name", "x", "--in", "soon", "--run", "true"),
        ("add", "--name", "x", "--in", "5m", "--at", "2030-01-31T08:00:00Z", "--run", "true"),
        ("add", '{"name": "x", "cron": "@daily", "job": "make test"}'),
        ("add", '{"name": "x", "cron": "@daily", "job": [1]}', "--run", "true"),
        ("add", "{"),
        ("next",),
        ("edit", "sch_x", "[]"),
    ],
)
def test_wrong_words_are_a_matter_of_usage(head: Head, words: tuple[str, ...]) -> None:
    head.run("schedules", *words, code=exits.USAGE)


def test_a_refusal_names_the_field(head: Head) -> None:
    words = ("--name", "x", "--cron", "0 0 30 2 *", "--run", "true")
    refused = head.run("schedules", "add", *words, code=exits.REFUSED_DATA)
    assert "cron: day-of-month: there is no day 30 in month 2" in refused.stderr
