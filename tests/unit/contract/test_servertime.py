"""The server's time, from the dates of its answers."""

import time
from email.utils import formatdate

from contract.servertime import ServerTime


def test_a_clock_that_is_hours_off_is_corrected() -> None:
    clock = ServerTime()
    clock.hear(formatdate(time.time() - 3 * 3600, usegmt=True))
    assert abs(clock.now() / 1000 - (time.time() - 3 * 3600)) < 60


def test_within_a_second_our_own_clock_is_believed() -> None:
    clock = ServerTime()
    before = time.time_ns() // 1_000_000
    clock.hear(formatdate(int(before / 1000), usegmt=True))
    assert before <= clock.now() <= time.time_ns() // 1_000_000


def test_what_is_no_date_changes_nothing() -> None:
    clock = ServerTime()
    for date in (None, "", "yesterday", "Sun, 99 Mar 2026 12:00:00 GMT"):
        clock.hear(date)
    assert abs(clock.now() / 1000 - time.time()) < 60
