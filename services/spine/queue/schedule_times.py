"""When a schedule is due: arithmetic on times alone, without a store and without a clock. All times in ms, UTC.

The rule for a zone that puts its clock forward and back:

- A cron expression that names hours (`30 2 * * *`, `0 */2 * * *`) goes by the clock on the wall. A time that does not
  exist is due once, right after the gap, together with all others of that gap; one that happens twice is due the
  first time alone.
- One that takes every hour (`*/15 * * * *`) goes by real time: it is due whenever the clock on the wall shows a time
  that it matches, and so in both hours when one happens twice, and not at all for times that do not exist.
- `every` and `at` know no zone: they count what has really passed.
"""

import difflib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from contract.errors import InvalidField

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
CRON_MOST = 200  # characters
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_YEAR = 9990  # some years before the last that can be written: a zone's clock may be ahead
LAST_MS = (datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1) - 1
_ANY_WALL = datetime(2024, 1, 1)  # noqa: DTZ001 — what a clock on the wall shows has no zone
_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# In the zone database, but no place: what they mean depends on the machine, or they count leap seconds.
_NO_PLACES = ("posix/", "right/", "posixrules", "localtime", "Factory")


class Plan(NamedTuple):
    """When something is due. One of `cron` (five fields), `every_ms` or `at` is set; none of them: never by time.

    `anchor`: the first time of `every_ms`. `start`, `end`: nothing is due before and after them.
    """

    cron: str | None = None
    zone: str = "UTC"
    every_ms: int | None = None
    anchor: int = 0
    at: int | None = None
    start: int | None = None
    end: int | None = None


def zone_of(name: str) -> ZoneInfo:
    """Return an IANA time zone.

    Raises:
        InvalidField: `timezone`; there is none of this name.
    """
    try:
        if name.startswith(_NO_PLACES):
            raise ValueError(name)
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as e:
        near = _like(name)
        fix = f"did you mean {near}?" if near else "expected a name such as Europe/Berlin or UTC"
        raise InvalidField(f"timezone: there is no zone {name[:64]!r}; {fix}", "timezone") from e


def _like(name: str) -> str | None:
    known = {zone.lower(): zone for zone in available_timezones() if not zone.startswith(_NO_PLACES)}
    wanted = name[:64].lower().replace(" ", "_")
    found = known.get(wanted) or next((zone for zone in known.values() if zone.lower().endswith("/" + wanted)), None)
    if found is None:
        near = difflib.get_close_matches(wanted, known, 1, 0.75)
        found = known[near[0]] if near else None
    return found


@lru_cache(maxsize=1024)
def five_fields(text: str) -> str:
    """Return a cron expression as five fields in capitals, its nickname (`@daily`) written out.

    Sunday is 0 and 7. Besides names, lists, ranges and steps, `L` (the last day) and `5#2` (the second Friday) are
    taken. Where neither day field begins with `*`, a day that fits one of them is enough (as cron has it).

    Raises:
        InvalidField: `cron`; what it names does not exist, or never comes, or it has seconds.
    """
    if len(text) > CRON_MOST:
        raise InvalidField(f"cron: at most {CRON_MOST} characters", "cron")
    if text.strip().startswith("@"):
        nickname = _NICKNAMES.get(text.strip().lower())
        if nickname is None:
            known = ", ".join(_NICKNAMES)
            raise InvalidField(f"cron: {text.strip()[:40]!r} is none of {known}; or give five fields", "cron")
        return nickname
    parts = text.upper().split()
    if len(parts) != len(_FIELDS):
        hint = "; for seconds use everySeconds" if len(parts) == len(_FIELDS) + 1 else ""
        told = f"cron: {len(parts)} fields, expected five ({' '.join(_FIELDS)}), such as '0 9 * * MON-FRI'{hint}"
        raise InvalidField(told, "cron")
    fields = " ".join(parts)
    try:
        next(CronSim(fields, _ANY_WALL))
    except CronSimError as e:
        raise InvalidField(f"cron: {_why(str(e), parts)}", "cron") from e
    except (StopIteration, RuntimeError) as e:
        raise InvalidField(f"cron: {text[:64]!r} never comes; check day-of-month, month and day-of-week", "cron") from e
    except Exception as e:  # its parser falls over some expressions that it does not expect, such as a step of `5L`
        raise InvalidField(f"cron: {text[:64]!r} cannot be read; check day-of-month and day-of-week", "cron") from e
    return fields


def _why(told: str, parts: list[str]) -> str:
    name = told.removeprefix("Bad ")
    if name not in _FIELDS:
        return told
    part = parts[_FIELDS.index(name)][:40]
    if name == "day-of-month" and part.replace(",", "").isdigit() and all(0 < int(n) < 32 for n in part.split(",")):
        return f"day-of-month: there is no day {part} in month {parts[3][:40]}, so it would never come"
    ranges = {"minute": "0-59", "hour": "0-23", "day-of-month": "1-31", "month": "1-12 or JAN-DEC"}
    return f"{name}: {part!r} cannot be read; expected {ranges.get(name, '0-7 or SUN-SAT')}, in ascending ranges"


def next_due(plan: Plan, after: int) -> int | None:
    """Return the first time later than `after` at which it is due; None when there is none."""
    if plan.start is not None:
        after = max(after, plan.start - 1)
    found: int | None
    if plan.cron is not None:
        found = _next_cron(plan.cron, zone_of(plan.zone), after)
    elif plan.every_ms is not None:
        steps = max(0, (after - plan.anchor) // plan.every_ms + 1)
        found = plan.anchor + steps * plan.every_ms
    else:
        found = plan.at if plan.at is not None and plan.at > after else None
    last = LAST_MS if plan.end is None else min(plan.end, LAST_MS)
    return found if found is not None and found <= last else None


def following(plan: Plan, after: int, most: int) -> Iterator[int]:
    """Iterate over the next times, `most` of them at most."""
    for _ in range(most):
        found = next_due(plan, after)
        if found is None:
            return
        yield found
        after = found


def last_due(plan: Plan, after: int, until: int, most: int) -> list[int]:
    """Return the last `most` times in (after, until], in order.

    Looks back over longer and longer stretches, so that a year without a server costs no walk through its minutes.
    """
    reach = HOUR_MS
    while True:
        start = max(after, until - reach)
        found = _between(plan, start, until)
        if len(found) >= most or start == after:
            return found[-most:]
        reach *= 4


def _between(plan: Plan, after: int, until: int) -> list[int]:
    if plan.every_ms is not None and plan.cron is None:  # seconds are many: only the last ones of the stretch count
        after = max(after, until - 1000 * plan.every_ms)
    found: list[int] = []
    while (due := next_due(plan, after)) is not None and due <= until:
        found.append(due)
        after = due
    return found


# --- cron ------------------------------------------------------------------------------------------------------------


def _next_cron(fields: str, zone: ZoneInfo, after: int) -> int | None:
    try:
        if _takes_every_hour(fields):
            return _by_real_time(fields, zone, after)
        return _by_the_wall(fields, zone, after)
    except (StopIteration, RuntimeError, OverflowError):
        return None


@lru_cache(maxsize=1024)
def _takes_every_hour(fields: str) -> bool:
    return CronSim(fields, _ANY_WALL).hours == set(range(24))


def _walls(fields: str, after: datetime) -> Iterator[datetime]:
    """Iterate over the matching times that a clock without zone shows after `after`."""
    for wall in CronSim(fields, after):
        if wall.year > LAST_YEAR:
            return
        yield wall


def _by_the_wall(fields: str, zone: tzinfo, after: int) -> int | None:
    # Later on the wall is never earlier in time, by this rule: so what the wall shows at `after` is where to begin.
    for wall in _walls(fields, _wall(after, zone)):
        due = _moment(wall, zone)
        if due > after:
            return due
    return None


def _by_real_time(fields: str, zone: tzinfo, after: int) -> int | None:
    # Between two changes of the clock it runs evenly: so from change to change.
    while True:
        wall = next(_walls(fields, _wall(after, zone)), None)
        if wall is None:
            return None
        due = _ms(wall.replace(tzinfo=UTC)) - _offset(after, zone)
        change = _first_change(zone, after, due)
        if change is None:
            return due
        shown = _wall(change, zone)
        if next(_walls(fields, shown - timedelta(seconds=1)), None) == shown:
            return change
        after = change


def _wall(moment: int, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(milliseconds=moment)).astimezone(zone).replace(tzinfo=None)


def _moment(wall: datetime, zone: tzinfo) -> int:
    """Return when the wall shows this: the first time, or right after the gap that it falls into."""
    first = wall.replace(tzinfo=zone, fold=0)
    due = _ms(first)
    if _wall(due, zone) == wall:
        return due
    # In the gap the zone counts with the offset before it (fold 0) or after it: the change lies between both readings.
    before = _ms(wall.replace(tzinfo=zone, fold=1))
    change = _first_change(zone, before - 1, due)
    return due if change is None else change


def _ms(moment: datetime) -> int:
    delta = moment.astimezone(UTC) - _EPOCH
    return delta.days * DAY_MS + delta.seconds * 1000 + delta.microseconds // 1000


def _offset(moment: int, zone: tzinfo) -> int:
    found = (_EPOCH + timedelta(milliseconds=moment)).astimezone(zone).utcoffset() or timedelta()
    return found.days * DAY_MS + found.seconds * 1000


def _first_change(zone: tzinfo, after: int, until: int) -> int | None:
    """Return the first moment in (after, until] at which the zone's offset is another; None when it stays."""
    offset = _offset(after, zone)
    low = after
    while low < until:
        high = min(low + DAY_MS, until)
        if _offset(high, zone) != offset:
            while high - low > 1:
                middle = (low + high) // 2
                if _offset(middle, zone) == offset:
                    low = middle
                else:
                    high = middle
            return high
        low = high
    return None
