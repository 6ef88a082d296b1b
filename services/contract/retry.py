"""When to repeat an outside call, and how long to wait: bounded exponential backoff with full jitter."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """`attempts` calls at most, within `total_seconds`; waits grow from `base_seconds` to `cap_seconds`."""

    attempts: int = 5
    base_seconds: float = 0.2
    cap_seconds: float = 5.0
    total_seconds: float = 60.0

    def waits(self, rng: random.Random | None = None) -> Iterator[float]:
        """Yield the wait (s) before each repeat: uniform in (0, min(cap, base·2ⁿ)], the "full jitter" rule."""
        pick = rng or random
        for n in range(self.attempts - 1):
            ceiling = min(self.cap_seconds, self.base_seconds * 2**n)
            yield ceiling * (1.0 - pick.random())


PATIENT = RetryPolicy()
ONCE = RetryPolicy(attempts=1)
