"""Times at which a quota is reset, in the words of errors: only plain ones are believed."""

import pytest

from dispatch.gateway.retryat import retry_at

NOW = 1_784_635_200_000  # 2026-07-21T12:00:00Z
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

TEXTS: dict[str, int | None] = {
    "Try again in 20 minutes": NOW + 20 * MINUTE,
    "Rate limit reached. Please try again in 6m0s.": NOW + 6 * MINUTE,
    "try again in 1h 30m": NOW + 90 * MINUTE,
    "try again in 1 hour and 5 minutes.": NOW + 65 * MINUTE,
    "Please retry after 12 seconds": NOW + 12_000,
    "retry-after: 30s": NOW + 30_000,
    "Please try again in 7.66s": NOW + 7_660,
    "retry after 250ms": NOW + 250,
    "usage limit reached; resets in 2 days": NOW + 2 * DAY,
    "quota resets at 2026-07-21T15:00:00Z": NOW + 3 * HOUR,
    "quota resets at 2026-07-21 15:00 UTC": NOW + 3 * HOUR,
    "resets 2026-07-21T15:00:00+02:00": NOW + 1 * HOUR,
    "Your limit resets at 1784638800": NOW + HOUR,
    "limit reached, reset 5": None,
    "resets at 1784638800000": NOW + HOUR,
    # not plain, past, or beyond belief
    "": None,
    "overloaded": None,
    "try again later": None,
    "try again in a moment": None,
    "resets at 3pm": None,
    "resets at 2026-07-21T15:00:00": None,
    "resets at 2026-07-21T11:00:00Z": None,
    "resets at 2036-07-21T11:00:00Z": None,
    "try again in 400 days": None,
    "retry attempt 3 of 8 failed after 20 minutes": None,
    "resets at 2026-13-45T25:00:00Z": None,
    "try again in 0 seconds": None,
}


@pytest.mark.parametrize("text", TEXTS)
def test_retry_at(text: str) -> None:
    assert retry_at(text, NOW) == TEXTS[text]
