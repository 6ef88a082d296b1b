"""The calls that take more than a line to describe; the table of routes puts them in their place."""

from typing import Annotated

from msgspec import Meta

from contract import errors, wire
from spine.api.calls import (
    ALL,
    ANYONE,
    BYTES,
    CLAWS,
    CURSOR,
    FILTER,
    FOLLOW,
    FORM,
    HEADS,
    HOLD,
    HOLDER,
    IF_NONE_MATCH,
    JOB,
    KEY,
    LAST_EVENT_ID,
    OFFSET_MOST,
    OVERSEERS,
    RANGE,
    READERS,
    REPLAYED,
    STEERERS,
    STREAM,
    TALKERS,
    TEXT,
    WORKER,
    WORKERS,
    Call,
    number,
    query,
)

_SUBMITS = wire.Submit | Annotated[list[wire.Submit], Meta(min_length=1, max_length=1000)]
_READ_MOST = 4 * 1024 * 1024

LIST = Call(
    "GET",
    "listJobs",
    READERS,
    "List the jobs that the caller may see, oldest first unless told.",
    {200: (wire.JobList,)},
    params=(
        *FILTER,
        query("order", {"type": "string", "enum": ["oldest", "newest"], "default": "oldest"}, "Which come first."),
        query("limit", number(1, 10_000), "At most so many. Without it all, up to 10,000 jobs or 32 MiB."),
        CURSOR,
    ),
)
SUBMIT = Call(
    "POST",
    "submitJob",
    STEERERS,
    "Submit one job, or (heads) a list of up to 1,000 that is taken whole or not at all.",
    {201: (wire.Job, wire.JobList), 200: (wire.Job, wire.JobList)},
    _SUBMITS,
    params=(KEY,),
    headers=("Location", REPLAYED, "Spine-Ignored"),
)
CLAIM_NEXT = Call(
    "POST",
    "claimNextJobs",
    CLAWS,
    "Take the next fitting jobs, or wait for one; 204 when none came. A short lease until the first heartbeat.",
    {200: (wire.Claimed,), 204: ()},
    wire.ClaimNext,
    (errors.StaleFence, errors.Conflict, *FOLLOW),
    (WORKER._replace(required=True), KEY),
    (REPLAYED,),
)
CLAIM = Call(
    "POST",
    "claimJob",
    CLAWS,
    "Claim one job, with a full lease at once.",
    {200: (wire.Job,)},
    wire.ClaimOne,
    (
        *JOB,
        errors.AlreadyClaimed,
        errors.TerminalStatus,
        errors.NotClaimable,
        errors.MaxAttemptsReached,
        errors.StaleFence,
        errors.Conflict,
    ),
    (WORKER, KEY),
    (REPLAYED, "Spine-Ignored"),
)
HEARTBEAT = Call(
    "POST",
    "heartbeat",
    WORKERS,
    "Extend the lease to a full one from now; the answer carries `newComments`.",
    {200: (wire.Job,)},
    wire.Heartbeat,
    HOLD,
    HOLDER,
    ("Spine-Ignored",),
)
COMMENT = Call(
    "POST",
    "commentJob",
    TALKERS,
    "Add a comment; whoever holds the job gets it with the next heartbeat.",
    {200: (wire.Job,)},
    wire.Comment,
    (*JOB, errors.Conflict),
    (KEY,),
    (REPLAYED, "Spine-Ignored"),
)
READ_JOB = Call(
    "GET",
    "readJob",
    READERS,
    "Read one job; its version is the ETag.",
    {200: (wire.Job,), 304: ()},
    None,
    JOB,
    (IF_NONE_MATCH,),
    ("ETag",),
)
_PAGE = (CURSOR, query("limit", number(1, 1000, 100), "Events in a page."), LAST_EVENT_ID)
EVENTS = Call(
    "GET",
    "readEvents",
    READERS,
    "Events of all jobs that the caller may see, oldest first: a page, or a stream with Accept: text/event-stream.",
    {200: (wire.EventPage, STREAM)},
    errors=FOLLOW,
    params=_PAGE,
)
APPEND_LOG = Call(
    "POST",
    "appendLog",
    WORKERS,
    "Append bytes to the log of the newest attempt.",
    {200: (wire.LogState,)},
    BYTES,
    (*HOLD, errors.LogConflict, errors.LogGap),
    (query("offset", number(0, OFFSET_MOST), "Where they belong; without it at the end."), *HOLDER),
)
READ_LOG = Call(
    "GET",
    "readLog",
    READERS,
    "Read a range of an attempt's log, or follow it.",
    {200: (TEXT, STREAM)},
    None,
    (*JOB, *FOLLOW),
    (
        query("offset", number(0, OFFSET_MOST, 0), "First byte."),
        query("limit", number(1, _READ_MOST, _READ_MOST), "At most so many bytes."),
        query("fence", number(0, 2**53 - 1), "Whose log; without it the newest attempt's that has one."),
        query("follow", {"type": "string", "enum": ["0", "1"], "default": "0"}, "1 answers a stream."),
    ),
    ("Spine-Log-Size", "Spine-Log-Fence", "Spine-Log-Open"),
)
UPLOAD = Call(
    "POST",
    "upload",
    WORKERS,
    "Store a file: a form with a part named `file`.",
    {200: (wire.Blob,)},
    FORM,
    (errors.MissingFile,),
)
DOWNLOAD = Call(
    "GET",
    "download",
    READERS,
    "Read a file, or a part of it; always as an attachment.",
    {200: ("*/*",), 206: ("*/*",)},
    None,
    (*JOB, errors.BadRange),
    (RANGE,),
    ("ETag", "Content-Range"),
)
SEND_MESSAGE = Call(
    "POST",
    "sendMessage",
    WORKERS,
    "Send a message: a head to a claw, to all or to head; a claw to head.",
    {201: (wire.Message,)},
    wire.SendMessage,
    JOB,
    (KEY,),
    (REPLAYED,),
)
LIST_MESSAGES = Call(
    "GET",
    "listMessages",
    ALL,
    "A page of the caller's inbox, of what it sent, or (heads, viewers) of all. Nothing is acknowledged by it.",
    {200: (wire.MessageList,)},
    errors=(errors.Forbidden,),
    params=(
        query("box", {"type": "string", "enum": ["inbox", "sent", "all"]}, "Which; `inbox`, of a viewer `all`."),
        query("unread", {"type": "string", "enum": ["0", "1"], "default": "0"}, "1: of an inbox what is unread."),
        query("thread", None, "Only this thread."),
        query("limit", number(1, 200, 100), "Messages in a page."),
        CURSOR,
    ),
)
READ_MESSAGE = Call(
    "POST",
    "acknowledgeMessage",
    WORKERS,
    "Say that one has a message: it is not offered again. Twice is once.",
    {200: (wire.Message,)},
    wire.Nothing,
    (errors.NotFound, errors.Forbidden),
)
NEW_GROUP = Call(
    "POST",
    "newGroup",
    HEADS,
    "Watch a set of jobs: one summary when all have ended, one when they are overdue.",
    {201: (wire.Group,)},
    wire.NewGroup,
    params=(KEY,),
    headers=(REPLAYED,),
)
LIST_GROUPS = Call(
    "GET",
    "listGroups",
    HEADS | {"viewer"},
    "A page of groups, the newest first.",
    {200: (wire.GroupList,)},
    params=(query("limit", number(1, 200, 50), "Groups in a page."), CURSOR),
)
READ_GROUP = Call(
    "GET",
    "readGroup",
    HEADS | {"viewer"},
    "Read a group and how its jobs stand.",
    {200: (wire.Group,)},
    errors=(errors.NotFound,),
)
CLOSE_GROUP = Call(
    "POST",
    "closeGroup",
    HEADS,
    "Watch a group no more; nothing is told of it.",
    {200: (wire.Group,)},
    wire.Nothing,
    (errors.NotFound,),
)
ROTATE_MACHINE = Call(
    "POST",
    "rotateMachine",
    WORKERS,
    "Give the machine a new token; those before it end after the grace. A claw may do it for itself.",
    {201: (wire.Joined,)},
    wire.Rotate,
    (errors.Forbidden, errors.NotFound),
    verb="rotate",
)
TELL_FACTS = Call(
    "POST",
    "tellFacts",
    CLAWS,
    "Say what this machine is and can do.",
    {200: (wire.Machine,)},
    wire.Facts,
    (errors.Forbidden,),
    verb="facts",
)
JOIN_CODE = Call(
    "POST",
    "newJoinCode",
    HEADS,
    "Make a one-time code with which a machine joins; it is shown this once.",
    {201: (wire.JoinCode,)},
    wire.NewJoinCode,
)
JOIN = Call(
    "POST",
    "join",
    ANYONE,
    "Trade a join code for a token of the machine's own; it is shown this once.",
    {201: (wire.Joined,)},
    wire.Join,
    (errors.NotFound, errors.RateLimited),
)

LIST_NOTICES = Call(
    "GET",
    "listNotices",
    OVERSEERS,
    "List notices, the newest first.",
    {200: (wire.NoticeList,)},
    params=(
        query("status", {"type": "string", "enum": ["waiting", "sending", "sent", "given_up"]}, "Exactly this state."),
        query("alias", None, "Exactly this alias."),
        query("jobId", None, "About this job."),
        query("limit", number(1, 500, 100), "At most so many."),
        CURSOR,
    ),
)
SEND_NOTICE = Call(
    "POST",
    "sendNotice",
    HEADS,
    "Send a text to whom an alias stands for; it goes through the outbox like every notice.",
    {201: (wire.Notice,)},
    wire.SendNotice,
    params=(KEY,),
    headers=(REPLAYED,),
)
