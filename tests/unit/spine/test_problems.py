"""Errors as problem documents, and back into the same class."""

import json

import msgspec
import pytest

from contract import errors
from contract.errors import BY_CODE, SpineError, from_problem
from spine.api.problems import STATUS, document

HTTP = {
    "not_awaiting": 409,
    "spec_changed": 409,
    "dedupe_conflict": 409,
    "no_late_result": 409,
    "lease_held": 409,
    "bad_json": 400,
    "missing_file": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_owner": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "not_running": 409,
    "already_claimed": 409,
    "terminal_status": 409,
    "max_attempts_reached": 409,
    "not_claimable": 409,
    "stale_fence": 409,
    "conflict": 409,
    "log_conflict": 409,
    "log_gap": 409,
    "idempotency_busy": 409,
    "gone": 410,
    "too_large": 413,
    "bad_range": 416,
    "invalid_field": 422,
    "idempotency_mismatch": 422,
    "rate_limited": 429,
    "internal": 500,
    "draining": 503,
    "unavailable": 503,
    "outcome_unknown": 503,
    "storage_full": 507,
}


def test_every_class_has_a_status() -> None:
    assert {cls.code: status for cls, status in STATUS.items()} == HTTP
    assert set(STATUS) == set(BY_CODE.values())


@pytest.mark.parametrize("code", HTTP)
def test_there_and_back(code: str) -> None:
    sent = BY_CODE[code]("in these words", jobId="j1", fence=3, field="f")
    status, body = document(sent)
    assert status == HTTP[code]
    assert json.loads(body) == {
        "error": code,
        "type": f"/problems/{code}",
        "title": (BY_CODE[code].__doc__ or "").splitlines()[0],
        "status": HTTP[code],
        "detail": "in these words",
        "retryable": BY_CODE[code].retryable,
        "jobId": "j1",
        "fence": 3,
        "field": "f",
    }
    members = msgspec.json.decode(body, type=dict[str, object])
    known = {name: members[name] for name in ("jobId", "fence", "field")}
    back = from_problem(str(members["error"]), str(members["detail"]), known)
    assert type(back) is type(sent)
    assert (back.detail, back.members) == (sent.detail, sent.members)


@pytest.mark.parametrize(
    "error",
    [
        errors.TerminalStatus("the job is done", status="done", jobId="j"),
        errors.NotRunning("the job is dead", status="dead", jobId="j"),
        errors.StaleFence("old", status="running", fence=2, jobId="j"),
    ],
)
def test_the_job_s_status_keeps_v0_s_name(error: SpineError) -> None:
    status, body = document(error)
    told = json.loads(body)
    assert (status, told["httpStatus"], told["status"]) == (409, 409, error.members["status"])


def test_a_member_cannot_take_the_place_of_what_every_problem_has() -> None:
    status, body = document(errors.Conflict("why", error="forged", title="forged", retryable=False))
    told = json.loads(body)
    assert (status, told["error"], told["retryable"]) == (409, "conflict", True)
    assert told["title"] == "The job was changed by someone else at the same moment."
