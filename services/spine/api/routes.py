"""Every route: where it leads, who may call it, what goes in and what comes out. The application is built from it."""

from contract import errors, wire
from spine.api import described
from spine.api.calls import (
    ALL,
    ANYONE,
    FIGURES,
    FOLLOW,
    HEADS,
    JOB,
    MARKDOWN,
    OVERSEERS,
    READERS,
    STEERERS,
    TEXT,
    Health,
    Ready,
    Route,
    bulk,
    decide,
    document,
    lease_verb,
    look,
    machine_verb,
    notice_verb,
    settle,
    target_verb,
)
from spine.api.described_cluster import CLUSTER
from spine.api.described_schedules import SCHEDULES

_JSON = "application/json"

_SERVER = (
    Route("/health", "ops", "health", "anyone", look("health", ANYONE, "The process answers.", Health)),
    Route("/healthz", "ops", "health", "anyone", look("healthz", ANYONE, "The same as /health.", Health)),
    Route(
        "/ready",
        "ops",
        "ready",
        "anyone",
        look("ready", ANYONE, "The store takes writes.", Ready, errors.Draining, errors.StorageFull),
    ),
    Route("/metrics", "ops", "metrics", "any token", look("metrics", ALL, "Figures for Prometheus.", FIGURES)),
    Route(
        "/skill.md",
        "documents",
        "skill",
        "anyone",
        document(
            "skill",
            "How to use this server with curl. With a token, also what that token may do and what it holds.",
            MARKDOWN,
            errors.RateLimited,
        ),
    ),
    Route("/openapi.json", "documents", "openapi", "anyone", document("openapi", "This description.", _JSON)),
    Route("/llms.txt", "documents", "llms", "anyone", document("llms", "What there is to read here.", TEXT)),
)

_JOBS = (
    Route("/jobs", "jobs", "", "GET: heads, claws; POST: heads", (described.LIST, described.SUBMIT)),
    Route("/jobs/claim", "leases", "next", "claws", (described.CLAIM_NEXT,)),
    Route("/jobs/{job_id}", "jobs", "one", "heads, claws", (described.READ_JOB,)),
    Route("/jobs/{job_id}/claim", "leases", "claim", "claws", (described.CLAIM,)),
    Route("/jobs/{job_id}/heartbeat", "leases", "heartbeat", "owner, heads", (described.HEARTBEAT,)),
    Route(
        "/jobs/{job_id}/complete",
        "leases",
        "complete",
        "owner, heads",
        settle("completeJob", "End the job with its result.", wire.Complete),
    ),
    Route(
        "/jobs/{job_id}/fail",
        "leases",
        "fail",
        "owner, heads",
        settle("failJob", "End the attempt with an error: another try while attempts last, or the end.", wire.Fail),
    ),
    Route(
        "/jobs/{job_id}/release",
        "leases",
        "release",
        "owner, heads",
        settle("releaseJob", "Give the job back to the queue.", wire.Release),
    ),
    Route("/jobs/{job_id}/comment", "jobs", "comment", "heads, claws", (described.COMMENT,)),
    Route(
        "/jobs/{job_id}/cancel",
        "reviews",
        "cancel",
        "heads",
        decide("cancelJob", STEERERS, "Cancel a job that has not ended.", wire.Cancel, errors.TerminalStatus),
    ),
    Route(
        "/jobs/{job_id}/approve",
        "reviews",
        "approve",
        "heads",
        decide(
            "approveJob", STEERERS, "Let a waiting job go on.", wire.Approve, errors.NotAwaiting, errors.SpecChanged
        ),
    ),
    Route(
        "/jobs/{job_id}/reject",
        "reviews",
        "reject",
        "heads",
        decide("rejectJob", STEERERS, "Refuse approval: the job is cancelled.", wire.Cancel, errors.NotAwaiting),
    ),
    Route(
        "/jobs/{job_id}/review",
        "reviews",
        "review",
        "heads",
        decide(
            "reviewJob",
            STEERERS,
            "Accept a finished job, or send it back for another round.",
            wire.Review,
            errors.NotAwaiting,
            errors.StaleFence,
            errors.DedupeConflict,
        ),
    ),
    Route(
        "/jobs/{job_id}/retry",
        "reviews",
        "retry",
        "heads",
        decide(
            "retryJob",
            HEADS,
            "Queue a job again that has ended badly.",
            wire.Nothing,
            errors.TerminalStatus,
            errors.NotAwaiting,
            errors.DedupeConflict,
        ),
    ),
    Route(
        "/jobs/{job_id}/adopt",
        "reviews",
        "adopt",
        "heads",
        decide(
            "adoptResult",
            HEADS,
            "Make a late result the job's result.",
            wire.Adopt,
            errors.TerminalStatus,
            errors.NoLateResult,
        ),
    ),
    Route(
        "/jobs/bulk/{verb}",
        "reviews",
        "bulk",
        "heads",
        (
            bulk("cancel", "Cancel all jobs that match a filter, 500 a call."),
            bulk("retry", "Queue all jobs again that match a filter and have ended badly, 500 a call."),
            bulk("release", "Give all running jobs back that match a filter, 500 a call."),
        ),
    ),
    Route(
        "/jobs/{job_id}/why",
        "jobs",
        "why",
        "heads, claws",
        look("whyNotRunning", READERS, "Why the job does not run now; what would unblock it first.", wire.Why, *JOB),
    ),
    Route(
        "/jobs/{job_id}/attempts",
        "jobs",
        "attempts",
        "heads, claws",
        look("listAttempts", READERS, "Every claim of the job and how it ended.", wire.AttemptList, *JOB),
    ),
    Route(
        "/jobs/{job_id}/earlier",
        "jobs",
        "earlier",
        "heads, the claw that holds it",
        look(
            "listEarlier",
            ALL,
            "What earlier jobs of the schedule came to, as its `context` asks; for the prompt of an agent.",
            wire.EarlierRuns,
            *JOB,
            errors.NotOwner,
            errors.NotRunning,
        ),
    ),
    Route(
        "/jobs/{job_id}/events",
        "events",
        "job",
        "heads, claws",
        (described.EVENTS._replace(name="readJobEvents", text="As GET /events, for one job.", errors=(*JOB, *FOLLOW)),),
    ),
    Route(
        "/jobs/{job_id}/log",
        "logs",
        "",
        "GET: heads, claws; POST: owner, heads",
        (described.READ_LOG, described.APPEND_LOG),
    ),
)

_FLEET = (
    Route("/events", "events", "", "heads all, claws of jobs they see", (described.EVENTS,)),
    Route(
        "/machines",
        "machines",
        "",
        "heads all, a claw itself",
        look("listMachines", READERS, "Machines as they were last heard of.", wire.MachineList),
    ),
    Route("/machines/join-codes", "machines", "codes", "heads", (described.JOIN_CODE,)),
    Route(
        "/machines/{name}/{verb}",
        "machines",
        "verb",
        "heads, the claw itself for rotate and facts",
        (
            machine_verb("drain", "Give the machine no more work; it stops when it has none."),
            machine_verb("pause", "Give the machine no more work for now."),
            machine_verb("resume", "Give the machine work again."),
            machine_verb("revoke", "End its tokens at once; the jobs that it runs go back to the queue."),
            described.ROTATE_MACHINE,
            described.TELL_FACTS,
        ),
    ),
    Route(
        "/targets/{name}/{verb}",
        "machines",
        "target",
        "heads",
        (target_verb("pause", "Hold back the queued jobs of a target."), target_verb("resume", "Give them out again.")),
    ),
    Route("/groups", "groups", "", "GET: heads, viewers; POST: heads", (described.LIST_GROUPS, described.NEW_GROUP)),
    Route("/groups/{group_id}", "groups", "one", "heads, viewers", (described.READ_GROUP,)),
    Route("/groups/{group_id}/close", "groups", "close", "heads", (described.CLOSE_GROUP,)),
    Route("/messages", "messages", "", "heads, claws", (described.LIST_MESSAGES, described.SEND_MESSAGE)),
    Route(
        "/messages/{message_id}",
        "messages",
        "one",
        "heads, a claw what is for it or from it",
        look("readMessage", ALL, "Read a message and its receipts.", wire.Message, errors.NotFound, errors.Forbidden),
    ),
    Route("/messages/{message_id}/read", "messages", "read", "its readers", (described.READ_MESSAGE,)),
    Route("/join", "machines", "join", "anyone with a code", (described.JOIN,)),
    Route(
        "/leases/{name}",
        "named",
        "",
        "heads, claws",
        look("readLease", ALL, "Read a named lease.", wire.NamedLease, errors.NotFound),
    ),
    Route(
        "/leases/{name}/take",
        "named",
        "take",
        "heads, claws",
        lease_verb("takeLease", "Take a free lease, with the next fence.", wire.TakeLease, errors.LeaseHeld),
    ),
    Route(
        "/leases/{name}/renew",
        "named",
        "renew",
        "heads, claws",
        lease_verb("renewLease", "Extend a lease.", wire.RenewLease, errors.NotFound, errors.StaleFence),
    ),
    Route(
        "/leases/{name}/release",
        "named",
        "release",
        "heads, claws",
        lease_verb("releaseLease", "Give a lease up.", wire.ReleaseLease, errors.NotFound, errors.StaleFence),
    ),
    Route("/blobs", "blobs", "", "heads, claws", (described.UPLOAD,)),
    Route(
        "/blobs/{blob_id}",
        "blobs",
        "one",
        "heads, uploader, claws that see a job naming it",
        (
            described.DOWNLOAD,
            described.DOWNLOAD._replace(method="HEAD", name="inspect", text="The same headers without the bytes."),
        ),
    ),
)

_NOTICES = (
    Route(
        "/notices", "notices", "", "GET: heads, viewers; POST: heads", (described.LIST_NOTICES, described.SEND_NOTICE)
    ),
    Route(
        "/notices/aliases",
        "notices",
        "aliases",
        "heads, viewers",
        look("listAliases", OVERSEERS, "Whom notices may be for, without address or secret.", wire.AliasList),
    ),
    Route(
        "/notices/{notice_id}",
        "notices",
        "one",
        "heads, viewers",
        look("readNotice", OVERSEERS, "A notice and every attempt to send it.", wire.Notice, errors.NotFound),
    ),
    Route(
        "/notices/{notice_id}/{verb}",
        "notices",
        "verb",
        "heads",
        (
            notice_verb("replay", "replayNotice", "Send it (again), at once and under the same id."),
            notice_verb("give-up", "giveUpNotice", "Send it no more.", errors.NotAwaiting),
        ),
    ),
)

ROUTES: tuple[Route, ...] = (*_SERVER, *_JOBS, *SCHEDULES, *_FLEET, *CLUSTER, *_NOTICES)

# v0's routes, probes and documents: names in the query string that mean nothing are ignored there.
_LOOSE = frozenset(
    {
        *("/health", "/healthz", "/ready", "/metrics", "/skill.md", "/openapi.json", "/llms.txt"),
        *("/jobs", "/jobs/{job_id}", "/jobs/{job_id}/claim", "/jobs/{job_id}/heartbeat", "/jobs/{job_id}/complete"),
        *("/jobs/{job_id}/fail", "/jobs/{job_id}/release", "/jobs/{job_id}/comment", "/blobs", "/blobs/{blob_id}"),
    }
)

# What the query string may hold, by path and method; all other names are refused.
QUERIES: dict[tuple[str, str], tuple[str, ...]] = {
    (route.path, call.method): tuple(param.name for param in call.params if param.place == "query")
    for route in ROUTES
    for call in route.calls
    if route.path not in _LOOSE
}
