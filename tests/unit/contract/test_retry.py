"""How long to wait before a repeat."""

import random

from contract.retry import ONCE, PATIENT, RetryPolicy


class Fixed(random.Random):
    """Says always the same."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def random(self) -> float:
        return self._value


def test_the_ceilings_double_up_to_the_cap() -> None:
    policy = RetryPolicy(attempts=7, base_seconds=0.5, cap_seconds=5)
    assert list(policy.waits(Fixed(0.0))) == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_jitter_is_full_and_never_nothing() -> None:
    policy = RetryPolicy(attempts=3, base_seconds=1, cap_seconds=8)
    assert list(policy.waits(Fixed(0.5))) == [0.5, 1.0]
    assert all(0 < wait <= 2 for _ in range(200) for wait in policy.waits())
    assert all(wait > 0 for wait in policy.waits(Fixed(0.999999)))


def test_two_clients_do_not_march_in_step() -> None:
    assert len({next(PATIENT.waits()) for _ in range(50)}) > 40


def test_the_two_that_are_used() -> None:
    assert (PATIENT.attempts, PATIENT.base_seconds, PATIENT.cap_seconds, PATIENT.total_seconds) == (5, 0.2, 5.0, 60.0)
    assert list(PATIENT.waits(Fixed(0.0))) == [0.2, 0.4, 0.8, 1.6]
    assert list(ONCE.waits()) == []
