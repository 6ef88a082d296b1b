"""The words that the route table is written in: a route, a call to it, its parameters, and groups of errors.

Who may call stands twice: as `roles`, which documents and tests go by, and as a route's `who`, the same for people.
"""

from typing import Any, Literal, NamedTuple

from contract import errors, wire
from contract.errors import SpineError
from contract.states import Status
from spine.store.listing import NEEDS

# Who may call. An empty set: no token is asked for.
ANYONE: frozenset[str] = frozenset()
HEADS = frozenset({"head"})
CLAWS = frozenset({"claw"})
WORKERS = HEADS | CLAWS
ALL = WORKERS | {"viewer"}
OVERSEERS = HEADS | {"viewer"}
# The chat front speaks for people that no token stands for: it has these and nothing else.
READERS = ALL | {"chat"}
TALKERS = WORKERS | {"chat"}
STEERERS = HEADS | {"chat"}
WATCHERS = OVERSEERS | {"chat"}

# What an answer or a body holds when it is no record.
BYTES = "application/octet-stream"
FIGURES = "text/plain; version=0.0.4; charset=utf-8"
FORM = "multipart/form-data"
MARKDOWN = "text/markdown; charset=utf-8"
STREAM = "text/event-stream"
TEXT = "text/plain; charset=utf-8"

Content = type[wire.Record] | str
Gives = dict[int, tuple[Content, ...]]
Errors = tuple[type[SpineError], ...]


class Param(NamedTuple):
    """A parameter of the query string or a header; `schema` as JSON Schema says it."""

    place: Literal["query", "header"]
    name: str
    schema: dict[str, Any]
    text: str
    required: bool = False


class Call(NamedTuple):
    """One method of a route, or one verb of it.

    `gives`: what each success holds, one kind or several. `takes`: the record of the body, or its media type.
    `errors`: what is special to it; `common` adds the rest. `verb`: what stands in the path for `{verb}`.
    """

    method: Literal["GET", "HEAD", "POST", "PATCH", "DELETE"]
    name: str
    roles: frozenset[str]
    text: str
    gives: Gives
    takes: Any = None
    errors: Errors = ()
    params: tuple[Param, ...] = ()
    headers: tuple[str, ...] = ()
    verb: str = ""


class Route(NamedTuple):
    """A path, the resource and suffix that serve it, who may call it (for people), and its calls."""

    path: str
    noun: str
    suffix: str
    who: str
    calls: tuple[Call, ...]


def common(call: Call) -> Errors:
    """Return every error that a call may be answered with."""
    found: tuple[type[SpineError], ...] = (*call.errors, errors.InvalidField, errors.Internal, errors.Unavailable)
    if call.roles:
        found += (errors.Unauthorized, errors.RateLimited)
    if call.takes is not None:
        found += (errors.BadJson, errors.RequestTimeout, errors.TooLarge)
    if call.method not in ("GET", "HEAD"):
        found += (errors.StorageFull, errors.OutcomeUnknown)
    if LEASE in headers_of(call):
        found += (errors.StaleFence,)
    if KEY in call.params:
        found += (errors.IdempotencyMismatch, errors.IdempotencyBusy)
    return tuple(dict.fromkeys(found))


def headers_of(call: Call) -> tuple[Param, ...]:
    """Return what every call of this kind may carry: whatever changes something may be done under a named lease.

    And what a chat front does, it does for somebody.
    """
    if not call.roles or call.method in ("GET", "HEAD"):
        return ()
    return (LEASE, PERSON) if "chat" in call.roles else (LEASE,)


# --- groups of errors ------------------------------------------------------------------------------------------------

GONE: Errors = (errors.NotFound, errors.Gone)
JOB: Errors = (errors.Forbidden, *GONE)
HOLD: Errors = (*JOB, errors.NotOwner, errors.NotRunning, errors.StaleFence, errors.Conflict)
FOLLOW: Errors = (errors.RateLimited,)

# --- parameters and headers ------------------------------------------------------------------------------------------

_FENCE_MOST = 2**53 - 1
_TEXT = {"type": "string"}
_STATUSES = {"type": "array", "items": {"type": "string", "enum": [status.value for status in Status]}}


def number(least: int, most: int, default: int | None = None) -> dict[str, Any]:
    """Return the schema of a whole number in a query string."""
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return schema if default is None else schema | {"default": default}


WORKER = Param(
    "header",
    "X-Worker-Id",
    {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[ -~]+$"},
    "Tells two processes with one token apart; a claim that carried one binds the job to it.",
)
FENCE = Param("header", "X-Spine-Fence", number(0, _FENCE_MOST), "The fence of the claim, if not in the body.")
KEY = Param(
    "header",
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "Fresh for each request; a repeat with the same key and body gets the first answer again.",
)
LEASE = Param(
    "header",
    "X-Spine-Lease",
    {"type": "string", "pattern": "^[ -~]{1,128};[0-9]{1,16}$"},
    "`NAME;FENCE` of a named lease: refused, in the very transaction, unless it is held with this fence.",
)
PERSON = Param(
    "header",
    "X-Spine-For",
    {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9:+@._-]{0,127}$"},
    "For whom a chat front speaks, as `discord:123`: records say `chat/discord:123`. Not looked at from others.",
)
IF_NONE_MATCH = Param("header", "If-None-Match", _TEXT, "An `ETag` that is known already: 304 when it still holds.")
LAST_EVENT_ID = Param("header", "Last-Event-ID", _TEXT, "As `cursor`, and wins over it.")
RANGE = Param("header", "Range", _TEXT, "A part of the bytes, such as `bytes=0-1023`.")
# Every call may carry these, and none is refused for them: what is not valid counts as not sent.
ANY_CALL = {
    "RequestId": Param(
        "header",
        "X-Request-Id",
        _TEXT,
        "What this request is called in its answer and in the logs: 1 to 128 visible ASCII characters, or a fresh id.",
    ),
    "TraceContext": Param(
        "header",
        "traceparent",
        _TEXT,
        "The W3C trace that this request is of: to the logs, and to a job that it submits.",
    ),
}
CURSOR = Param("query", "cursor", _TEXT, "`nextCursor` of the page before; opaque.")
OFFSET_MOST = 2**50


def query(name: str, schema: dict[str, Any] | None, text: str, required: bool = False) -> Param:
    """Return a parameter of the query string; `schema` None: any text."""
    return Param("query", name, _TEXT if schema is None else schema, text, required)


FILTER = (
    query("status", _STATUSES, "One state or several: repeated, or separated by commas."),
    query("target", None, "Exactly this target."),
    query("machine", None, "Claimed last by this machine."),
    query("label", None, "Exactly this label."),
    query("q", None, "A text that stands in id, label, spec or error."),
    query("since", {"type": "string", "format": "date-time"}, "Created at this time or later."),
    query("needs", {"type": "string", "enum": list(NEEDS)}, "A person has to decide about it: this."),
)
HOLDER = (WORKER, FENCE)
SETTLER = (WORKER, FENCE, KEY)

REPLAYED = "Idempotency-Replayed"

# Headers of answers, by name.
ANSWER_HEADERS = {
    "Content-Range": "which bytes these are, of how many",
    "ETag": "what If-None-Match names",
    REPLAYED: "`true`: the first answer to this Idempotency-Key, given again",
    "Location": "path of what was made",
    "Retry-After": "seconds to wait",
    "Spine-Ignored": "members of the body that are not known and were ignored",
    "Spine-Log-Fence": "whose log it is",
    "Spine-Log-Open": "1 while it may grow",
    "Spine-Log-Size": "bytes of the whole log",
    "WWW-Authenticate": "`Bearer`",
}

# v0's bodies: a member that is not known is ignored, and listed in Spine-Ignored.
LENIENT: frozenset[type[wire.Request]] = frozenset(
    {wire.Submit, wire.ClaimOne, wire.Heartbeat, wire.Complete, wire.Fail, wire.Release, wire.Comment}
)


# --- answers that stand for no noun ----------------------------------------------------------------------------------


class Health(wire.Record):
    """Answer of GET /health: the process answers."""

    ok: bool
    time: str
    version: str


class Ready(wire.Record):
    """Answer of GET /ready: the store takes writes."""

    ok: bool
    version: str
    draining: bool


class TargetState(wire.Record):
    """Answer of POST /targets/:name/…: whether its queued jobs are held back."""

    target: str
    paused: bool


# --- the forms of short calls ----------------------------------------------------------------------------------------


def look(name: str, roles: frozenset[str], text: str, gives: Content, *special: type[SpineError]) -> tuple[Call]:
    """Describe a plain GET."""
    return (Call("GET", name, roles, text, {200: (gives,)}, errors=special),)


def document(name: str, text: str, media: str, *special: type[SpineError]) -> tuple[Call]:
    """Describe a document: GET by anyone, with an ETag."""
    gives: Gives = {200: (media,), 304: ()}
    return (Call("GET", name, ANYONE, text, gives, None, special, (IF_NONE_MATCH,), ("ETag",)),)


def decide(
    name: str, roles: frozenset[str], text: str, takes: type[wire.Request], *special: type[SpineError]
) -> tuple[Call]:
    """Describe a verb on one job of who steers it."""
    refusals = (*GONE, *special, errors.Conflict)
    return (Call("POST", name, roles, text, {200: (wire.Job,)}, takes, refusals, (KEY,), (REPLAYED,)),)


def settle(name: str, text: str, takes: type[wire.Request]) -> tuple[Call]:
    """Describe a verb with which a holder ends its attempt."""
    return (Call("POST", name, WORKERS, text, {200: (wire.Job,)}, takes, HOLD, SETTLER, (REPLAYED, "Spine-Ignored")),)


def bulk(verb: str, text: str) -> Call:
    """Describe a verb on all jobs that match a filter."""
    gives: Gives = {200: (wire.BulkResult,)}
    return Call(
        "POST", f"bulk{verb.capitalize()}", HEADS, text, gives, wire.Bulk, (errors.Conflict,), (KEY,), (REPLAYED,), verb
    )


def machine_verb(verb: str, text: str) -> Call:
    """Describe a head's verb on a machine."""
    gives: Gives = {200: (wire.Machine,)}
    return Call("POST", f"{verb}Machine", HEADS, text, gives, wire.Nothing, (errors.NotFound,), verb=verb)


def target_verb(verb: str, text: str) -> Call:
    """Describe a verb on a target."""
    gives: Gives = {200: (TargetState,)}
    return Call("POST", f"{verb}Target", HEADS, text, gives, wire.Nothing, (errors.NotFound,), verb=verb)


def lease_verb(name: str, text: str, takes: type[wire.Request], *special: type[SpineError]) -> tuple[Call]:
    """Describe a verb on a named lease."""
    return (Call("POST", name, WORKERS, text, {200: (wire.NamedLease,)}, takes, special),)


def notice_verb(verb: str, name: str, text: str, *special: type[SpineError]) -> Call:
    """Describe a head's verb on a notice."""
    refusals: Errors = (errors.NotFound, errors.Conflict, *special)
    return Call("POST", name, HEADS, text, {200: (wire.Notice,)}, wire.Nothing, refusals, (KEY,), (REPLAYED,), verb)
