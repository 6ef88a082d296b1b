"""Errors there and back: every code, through the problem document, to its class again."""

import pytest

from contract import errors
from contract.errors import BY_CODE, SpineError, from_problem

RETRYABLE = {
    "conflict",
    "idempotency_busy",
    "request_timeout",
    "rate_limited",
    "draining",
    "unavailable",
    "outcome_unknown",
    "storage_full",
    "internal",
}
CODES = {
    "bad_json",
    "missing_file",
    "unauthorized",
    "forbidden",
    "not_owner",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "not_running",
    "already_claimed",
    "terminal_status",
    "max_attempts_reached",
    "not_claimable",
    "not_awaiting",
    "spec_changed",
    "dedupe_conflict",
    "no_late_result",
    "lease_held",
    "stale_fence",
    "conflict",
    "log_conflict",
    "log_gap",
    "idempotency_busy",
    "gone",
    "too_large",
    "bad_range",
    "invalid_field",
    "idempotency_mismatch",
    "rate_limited",
    "internal",
    "draining",
    "unavailable",
    "outcome_unknown",
    "storage_full",
}


def test_every_code_is_known() -> None:
    assert set(BY_CODE) == CODES
    assert {code for code, cls in BY_CODE.items() if cls.retryable} == RETRYABLE
    assert all(cls.code == code for code, cls in BY_CODE.items())
    assert BY_CODE["internal"] is errors.Internal


@pytest.mark.parametrize("code", BY_CODE)
def test_the_docstring_is_the_detail(code: str) -> None:
    error = BY_CODE[code]()
    assert error.detail == str(error) == (BY_CODE[code].__doc__ or "").strip()
    assert error.detail.endswith(".")
    assert BY_CODE[code]("in other words").detail == "in other words"


@pytest.mark.parametrize("code", BY_CODE)
def test_from_a_problem(code: str) -> None:
    error = from_problem(code, "why", {"jobId": "j", "field": "f"})
    assert type(error) is BY_CODE[code]
    assert (error.detail, error.members) == ("why", {"jobId": "j", "field": "f"})


def test_an_unknown_code_becomes_a_plain_error() -> None:
    error = from_problem("quota_exceeded", "too much", {"limit": 3})
    assert type(error) is SpineError
    assert (error.detail, error.members) == ("too much", {"limit": 3, "error": "quota_exceeded"})
    assert error.retryable is False


def test_members_of_any_name_can_come() -> None:
    members = {"self": 1, "detail": 2, "code": 3, "field": "f"}
    assert from_problem("invalid_field", "d", members).members == members
    assert from_problem("conflict", "d", members).members == members
    assert from_problem("new", "d", members).members == {**members, "error": "new"}


def test_an_invalid_field_names_its_field() -> None:
    assert errors.InvalidField("no", "spec").members == {"field": "spec"}
    assert errors.InvalidField("no", field="spec", jobId="j").members == {"field": "spec", "jobId": "j"}
