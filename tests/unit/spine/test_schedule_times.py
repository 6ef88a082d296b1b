"""When schedules are due: literal times, a year of each zone, and what is refused."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from contract.clock import iso, parse_iso
from contract.errors import InvalidField
from spine.queue.schedule_times import Plan, five_fields, following, last_due, next_due, zone_of


def due(cron: str, zone: str, after: str, most: int) -> list[str]:
    """Return the next due times in UTC, to the minute."""
    plan = Plan(cron=five_fields(cron), zone=zone)
    return [iso(moment)[:16] for moment in following(plan, parse_iso(after), most)]


# --- cron's own rules ------------------------------------------------------------------------------------------------

RULES = [
    ("0 9 * * 0", "2026-03-02T00:00Z", ["2026-03-08T09:00", "2026-03-15T09:00"]),  # Sunday
    ("0 9 * * 7", "2026-03-02T00:00Z", ["2026-03-08T09:00", "2026-03-15T09:00"]),
    ("0 9 * * sun", "2026-03-02T00:00Z", ["2026-03-08T09:00", "2026-03-15T09:00"]),
    ("0 9 * * 1-5", "2026-03-05T10:00Z", ["2026-03-06T09:00", "2026-03-09T09:00"]),  # no Saturday
    ("0 9 * * 5-7", "2026-03-05T10:00Z", ["2026-03-06T09:00", "2026-03-07T09:00", "2026-03-08T09:00"]),
    ("0 0 13 * 5", "2026-02-14T00:00Z", ["2026-02-20T00:00", "2026-02-27T00:00", "2026-03-06T00:00"]),  # either day
    ("0 0 */13 * 5", "2026-02-14T00:00Z", ["2026-02-27T00:00", "2026-03-27T00:00"]),  # both, behind a star
    ("*/20 8,10 1 JAN,jul *", "2026-01-01T08:30Z", ["2026-01-01T08:40", "2026-01-01T10:00", "2026-01-01T10:20"]),
    ("0 0 29 2 *", "2026-01-01T00:00Z", ["2028-02-29T00:00", "2032-02-29T00:00"]),
    ("0 0 L * *", "2026-02-01T00:00Z", ["2026-02-28T00:00", "2026-03-31T00:00"]),
    ("0 0 * * 5#2", "2026-03-01T00:00Z", ["2026-03-13T00:00", "2026-04-10T00:00"]),
    ("@daily", "2026-03-01T00:00Z", ["2026-03-02T00:00", "2026-03-03T00:00"]),
    ("@hourly", "2026-03-01T00:30Z", ["2026-03-01T01:00", "2026-03-01T02:00"]),
    ("@weekly", "2026-03-02T00:00Z", ["2026-03-08T00:00", "2026-03-15T00:00"]),
    ("@monthly", "2026-03-02T00:00Z", ["2026-04-01T00:00", "2026-05-01T00:00"]),
    ("@yearly", "2026-03-02T00:00Z", ["2027-01-01T00:00", "2028-01-01T00:00"]),
    ("  0   9 * * * ", "2026-03-02T00:00Z", ["2026-03-02T09:00", "2026-03-03T09:00"]),
]


@pytest.mark.parametrize(("cron", "after", "expected"), RULES)
def test_an_expression_is_cron_s(cron: str, after: str, expected: list[str]) -> None:
    assert due(cron, "UTC", after, len(expected)) == expected


REFUSED = [
    ("0 0 30 2 *", "cron: day-of-month: there is no day 30 in month 2, so it would never come"),
    ("0 0 31 4,6 *", "cron: day-of-month: there is no day 31 in month 4,6, so it would never come"),
    ("* * * * * *", "cron: 6 fields, expected five"),
    ("*/5 * * *", "cron: 4 fields, expected five"),
    ("", "cron: 0 fields, expected five"),
    ("60 * * * *", "cron: minute: '60' cannot be read; expected 0-59"),
    ("* 24 * * *", "cron: hour: '24' cannot be read; expected 0-23"),
    ("* * 0 * *", "cron: day-of-month: '0' cannot be read; expected 1-31"),
    ("* * * 13 *", "cron: month: '13' cannot be read; expected 1-12 or JAN-DEC"),
    ("* * * * 8", "cron: day-of-week: '8' cannot be read; expected 0-7 or SUN-SAT"),
    ("* * * * FRI-SUN", "cron: day-of-week: 'FRI-SUN' cannot be read"),
    ("*/0 * * * *", "cron: minute: '*/0' cannot be read"),
    ("-1 * * * *", "cron: minute: '-1' cannot be read"),
    ("1,,2 * * * *", "cron: minute: '1,,2' cannot be read"),
    ("0 0 * * 5L/2", "cron: "),
    ("0 0 ? * *", "cron: day-of-month: '?' cannot be read"),
    ("@reboot", "cron: '@reboot' is none of @yearly"),
    ("٣ * * * *", "cron: minute: '٣' cannot be read"),
    ("1-99999999999999999999 * * * *", "cron: minute: "),
    ("x" * 201, "cron: at most 200 characters"),
]


@pytest.mark.parametrize(("cron", "told"), REFUSED, ids=[cron[:30] for cron, _ in REFUSED])
def test_what_is_no_expression_or_never_comes_is_refused(cron: str, told: str) -> None:
    with pytest.raises(InvalidField) as refused:
        five_fields(cron)
    assert refused.value.members["field"] == "cron"
    assert refused.value.detail.startswith(told)


ZONES = [
    ("europe/berlin", "did you mean Europe/Berlin?"),
    ("Berlin", "did you mean Europe/Berlin?"),
    ("New York", "did you mean America/New_York?"),
    ("Mars/Base", "expected a name such as Europe/Berlin or UTC"),
    ("", "expected a name"),
    ("Europe", "expected a name"),
    ("../../etc/passwd", "expected a name"),
    ("/etc/localtime", "expected a name"),
    ("localtime", "expected a name"),
    ("right/UTC", "expected a name"),
    ("Europe/Berlin\x00", "did you mean Europe/Berlin?"),
]


@pytest.mark.parametrize(("name", "fix"), ZONES)
def test_a_zone_that_does_not_exist_is_refused_with_one_that_does(name: str, fix: str) -> None:
    with pytest.raises(InvalidField) as refused:
        zone_of(name)
    assert refused.value.members["field"] == "timezone"
    assert fix in refused.value.detail


# --- when the clock is put forward and back --------------------------------------------------------------------------

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
CHANGES = [
    # Berlin, 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC.
    ("30 2 * * *", BERLIN, "2026-03-28T12:00Z", ["2026-03-29T01:00", "2026-03-30T00:30"]),
    ("*/20 2 * * *", BERLIN, "2026-03-28T12:00Z", ["2026-03-29T01:00", "2026-03-30T00:00"]),
    ("0 2,3 * * *", BERLIN, "2026-03-28T12:00Z", ["2026-03-29T01:00", "2026-03-30T00:00"]),
    ("30 * * * *", BERLIN, "2026-03-29T00:00Z", ["2026-03-29T00:30", "2026-03-29T01:30", "2026-03-29T02:30"]),
    ("0 */2 * * *", BERLIN, "2026-03-28T23:30Z", ["2026-03-29T01:00", "2026-03-29T02:00", "2026-03-29T04:00"]),
    # Berlin, 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC.
    ("30 2 * * *", BERLIN, "2026-10-24T12:00Z", ["2026-10-25T00:30", "2026-10-26T01:30"]),
    ("30 2 * * *", BERLIN, "2026-10-25T00:45Z", ["2026-10-26T01:30"]),
    ("*/30 2 * * *", BERLIN, "2026-10-24T12:00Z", ["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-26T01:00"]),
    ("0 3 * * *", BERLIN, "2026-10-24T12:00Z", ["2026-10-25T02:00", "2026-10-26T02:00"]),
    ("30 * * * *", BERLIN, "2026-10-25T00:00Z", ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]),
    # New York, 8 March and 1 November 2026: at 07:00 and 06:00 UTC.
    ("15 2 * * *", NEW_YORK, "2026-03-07T12:00Z", ["2026-03-08T07:00", "2026-03-09T06:15"]),
    ("30 1 * * *", NEW_YORK, "2026-10-31T12:00Z", ["2026-11-01T05:30", "2026-11-02T06:30"]),
    # Lord Howe, half an hour: 4 October 2026, 02:00 becomes 02:30 at 15:30 UTC; 5 April 2026, 02:00 becomes 01:30.
    ("15 2 * * *", LORD_HOWE, "2026-10-03T00:00Z", ["2026-10-03T15:30", "2026-10-04T15:15"]),
    ("45 2 * * *", LORD_HOWE, "2026-10-03T00:00Z", ["2026-10-03T15:45", "2026-10-04T15:45"]),
    ("45 1 * * *", LORD_HOWE, "2026-04-04T00:00Z", ["2026-04-04T14:45", "2026-04-05T15:15"]),
    ("*/15 * * * *", LORD_HOWE, "2026-04-04T14:30Z", ["2026-04-04T14:45", "2026-04-04T15:00", "2026-04-04T15:15"]),
    # Samoa went without the 30th of December 2011.
    ("0 9 * * *", "Pacific/Apia", "2011-12-29T18:00Z", ["2011-12-29T19:00", "2011-12-30T10:00", "2011-12-30T19:00"]),
]


@pytest.mark.parametrize(("cron", "zone", "after", "expected"), CHANGES)
def test_a_change_of_the_clock(cron: str, zone: str, after: str, expected: list[str]) -> None:
    assert due(cron, zone, after, len(expected)) == expected


# Each zone's two changes of 2026 in UTC: into summer, out of it. In the south the year begins in summer.
TURNS = {
    BERLIN: ("2026-03-29T01:00Z", "2026-10-25T01:00Z"),
    NEW_YORK: ("2026-03-08T07:00Z", "2026-11-01T06:00Z"),
    LORD_HOWE: ("2026-10-03T15:30Z", "2026-04-04T15:00Z"),
}
# How often in the year 2026 of the zone's own clock: 365 days, 8760 hours, what the rule says of the changed ones.
YEAR: list[tuple[str, str, int]] = [
    ("30 2 * * *", BERLIN, 365),
    ("30 1 * * *", NEW_YORK, 365),
    ("30 2 * * *", NEW_YORK, 365),
    ("45 1 * * *", LORD_HOWE, 365),
    ("15 2 * * *", LORD_HOWE, 365),
    ("0 */2 * * *", BERLIN, 4380),
    ("*/20 2 * * *", BERLIN, 365 * 3 - 2),  # three fall into one gap
    ("*/20 2 * * *", NEW_YORK, 365 * 3 - 2),
    ("*/10 2 * * *", LORD_HOWE, 365 * 6 - 3),  # 02:00, 02:10 and 02:20 at 02:30, which is due itself
    ("30 * * * *", BERLIN, 8760),
    ("30 * * * *", NEW_YORK, 8760),
    ("15 * * * *", LORD_HOWE, 8759),  # 02:15 does not exist, and no 01:15 comes twice
    ("45 * * * *", LORD_HOWE, 8761),  # 01:45 comes twice
    ("*/30 * * * *", LORD_HOWE, 17520),
    ("0 9 * * MON", BERLIN, 52),
]


def year_of(zone: str) -> tuple[int, int]:
    first = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    last = datetime(2027, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return int(first.timestamp() * 1000), int(last.timestamp() * 1000)


@pytest.mark.parametrize(("cron", "zone", "count"), YEAR)
def test_a_year_with_a_restart_at_every_change(cron: str, zone: str, count: int) -> None:
    """After a restart nothing is known but the last due time; it comes at each change, a moment before and after."""
    plan = Plan(cron=five_fields(cron), zone=zone)
    first, last = year_of(zone)
    restarts = sorted(parse_iso(turn) + shift for turn in TURNS[zone] for shift in (-1, 0, 1, 1_800_000))
    fired: list[int] = []
    known = first - 1
    for stop in (*restarts, last - 1):
        while (moment := next_due(plan, known)) is not None and moment <= stop:
            fired.append(moment)
            known = moment
        known = max(known, stop)  # planned anew from what the clock says
    assert len(fired) == len(set(fired)) == count
    assert fired == sorted(fired)


@pytest.mark.parametrize("zone", TURNS)
def test_a_year_of_an_interval_knows_no_zone(zone: str) -> None:
    first, last = year_of(zone)
    plan = Plan(every_ms=3_600_000, anchor=first, zone=zone)
    assert sum(1 for moment in following(plan, first - 1, 10_000) if moment < last) == 8760


# --- other plans -----------------------------------------------------------------------------------------------------


def test_an_interval_is_anchored_and_bounded() -> None:
    plan = Plan(every_ms=10_000, anchor=5_000, start=5_000, end=30_000)
    assert list(following(plan, 0, 10)) == [5_000, 15_000, 25_000]
    assert next_due(plan, 15_000) == 25_000
    assert next_due(plan, 14_999) == 15_000


def test_at_is_due_once() -> None:
    assert list(following(Plan(at=7_000), 0, 10)) == [7_000]
    assert next_due(Plan(at=7_000), 7_000) is None


def test_the_last_times_of_a_stretch() -> None:
    hourly = Plan(cron=five_fields("@hourly"))
    noon = parse_iso("2026-03-02T12:00Z")
    assert [iso(m)[11:16] for m in last_due(hourly, noon - 86_400_000, noon, 3)] == ["10:00", "11:00", "12:00"]
    assert last_due(hourly, noon - 1000, noon - 1, 3) == []
    yearly = Plan(cron=five_fields("@yearly"))
    assert [iso(m)[:10] for m in last_due(yearly, 0, noon, 2)] == ["2025-01-01", "2026-01-01"]
    assert last_due(Plan(every_ms=1000), 0, noon, 2) == [noon - 1000, noon]


def test_the_end_of_all_times_is_an_end() -> None:
    assert next_due(Plan(cron=five_fields("0 0 29 2 MON#5")), parse_iso("9989-01-01T00:00Z")) is None
    assert next_due(Plan(cron=five_fields("* * * * *"), zone="Europe/Berlin"), parse_iso("9999-12-31T23:59Z")) is None
    every = Plan(every_ms=10 * 365 * 86_400_000, anchor=parse_iso("9990-01-01T00:00Z"))
    assert [iso(moment)[:10] for moment in following(every, 0, 5)] == ["9990-01-01"]
