"""Every fault has one exit code, and each code is in the table that help prints."""

import pytest

from contract import errors
from contract.errors import BY_CODE, SpineError
from head import exits
from head.desk import explain

CODES = {
    "unauthorized": 77,
    "forbidden": 77,
    "not_found": 66,
    "gone": 66,
    "bad_json": 65,
    "invalid_field": 65,
    "too_large": 65,
    "idempotency_mismatch": 65,
    "unavailable": 69,
    "draining": 69,
    "conflict": 75,
    "idempotency_busy": 75,
    "rate_limited": 75,
    "request_timeout": 75,
    "storage_full": 75,
    "internal": 75,
    "outcome_unknown": 75,
}


@pytest.mark.parametrize("code", BY_CODE)
def test_every_error_has_a_code(code: str) -> None:
    assert exits.of_error(BY_CODE[code]("x")) == CODES.get(code, exits.ERROR)


def test_an_error_of_a_newer_server_is_an_error() -> None:
    assert exits.of_error(SpineError("new")) == exits.ERROR


def test_the_table_has_every_code_once() -> None:
    listed = [row.code for row in exits.EXITS]
    assert listed == sorted(set(listed))
    assert set(listed) == {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.InvalidField("expected a number", "priority"), "priority: expected a number"),
        (errors.InvalidField("priority: expected a number", "priority"), "priority: expected a number"),
        (errors.NotFound("no job \x1b[2J"), "no job \\x1b[2J"),
        (errors.RateLimited("slow down"), "slow down; try again"),
        (errors.Draining("it is stopping"), "it is stopping"),
    ],
)
def test_an_error_in_words(error: SpineError, said: str) -> None:
    assert explain(error) == said
