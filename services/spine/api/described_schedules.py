"""The routes of schedules."""

from contract import errors, wire
from contract.wire.schedules import PREVIEW_MOST, PREVIEW_SHOWN
from spine.api.calls import CURSOR, HEADS, KEY, OVERSEERS, REPLAYED, Call, Gives, Route, look, number, query

_MISSING = (errors.NotFound,)
_LIMIT = query("limit", number(1, 1000, 100), "At most so many in a page.")

_LIST = Call(
    "GET",
    "listSchedules",
    OVERSEERS,
    "List schedules, oldest first.",
    {200: (wire.ScheduleList,)},
    params=(query("name", None, "Exactly this name."), _LIMIT, CURSOR),
)
_MAKE = Call(
    "POST",
    "makeSchedule",
    HEADS,
    "Make a schedule; its job is checked as if it were submitted now.",
    {201: (wire.Schedule,)},
    wire.NewSchedule,
    params=(KEY,),
    headers=("Location", REPLAYED),
)
_EDIT = Call(
    "PATCH",
    "editSchedule",
    HEADS,
    "Change members of a schedule; null takes one away.",
    {200: (wire.Schedule,)},
    wire.EditSchedule,
    (*_MISSING, errors.Conflict),
)
_DELETE = Call(
    "DELETE",
    "deleteSchedule",
    HEADS,
    "Delete a schedule and its record of runs; its jobs stay. The answer is the schedule as it was.",
    {200: (wire.Schedule,)},
    errors=_MISSING,
)
_RUNS = Call(
    "GET",
    "listRuns",
    OVERSEERS,
    "What became of each due time, newest first.",
    {200: (wire.OccurrenceList,)},
    errors=_MISSING,
    params=(_LIMIT, CURSOR),
)
_NEXT = Call(
    "GET",
    "nextDueTimes",
    OVERSEERS,
    "The next due times.",
    {200: (wire.DueTimes,)},
    errors=_MISSING,
    params=(query("n", number(1, PREVIEW_MOST, PREVIEW_SHOWN), "How many."),),
)
_PREVIEW = Call(
    "POST",
    "previewSchedule",
    HEADS,
    "The next due times of a schedule that is not made.",
    {200: (wire.DueTimes,)},
    wire.PreviewSchedule,
)


def _pause(verb: str, text: str) -> Call:
    gives: Gives = {200: (wire.Schedule,)}
    return Call("POST", f"{verb}Schedule", HEADS, text, gives, wire.Nothing, _MISSING, verb=verb)


_VERBS = (
    Call(
        "POST",
        "runSchedule",
        HEADS,
        "Submit the schedule's job now, beside its plan; its overlap policy holds.",
        {201: (wire.Occurrence,)},
        wire.Nothing,
        (*_MISSING, errors.Conflict),
        (KEY,),
        (REPLAYED,),
        "run",
    ),
    _pause("pause", "Let nothing be due until it is resumed."),
    _pause("resume", "Let it be due again, from now on."),
)

SCHEDULES = (
    Route("/schedules", "schedules", "", "heads", (_LIST, _MAKE)),
    Route("/schedules/preview", "schedules", "preview", "heads", (_PREVIEW,)),
    Route(
        "/schedules/{schedule_id}",
        "schedules",
        "one",
        "heads",
        (
            *look("readSchedule", OVERSEERS, "Read one schedule.", wire.Schedule, *_MISSING),
            _EDIT,
            _DELETE,
        ),
    ),
    Route("/schedules/{schedule_id}/runs", "schedules", "runs", "heads", (_RUNS,)),
    Route("/schedules/{schedule_id}/next", "schedules", "next", "heads", (_NEXT,)),
    Route("/schedules/{schedule_id}/{verb}", "schedules", "verb", "heads", _VERBS),
)
