"""The error tree of the product. Each class has a stable `code` (the wire's `error` member) and says if a retry helps.

HTTP codes are given to these only in `spine.api.problems`; the client turns them back into the same classes.
"""

from typing import Any, ClassVar


class SpineError(Exception):
    """The request could not be carried out."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str | None = None, /, **members: Any) -> None:
        self.detail = detail or (self.__class__.__doc__ or "").strip()
        self.members = members
        super().__init__(self.detail)


class BadJson(SpineError):
    """The body is not JSON."""

    code = "bad_json"


class InvalidField(SpineError):
    """A field has a value that cannot be taken."""

    code = "invalid_field"

    def __init__(self, detail: str | None = None, /, field: str = "", **members: Any) -> None:
        super().__init__(detail, field=field, **members)


class MissingFile(SpineError):
    """The upload has no part named file."""

    code = "missing_file"


class Unauthorized(SpineError):
    """No token, an unknown token, or a role that may not call this route."""

    code = "unauthorized"


class Forbidden(SpineError):
    """This role does not see that job."""

    code = "forbidden"


class NotFound(SpineError):
    """There is no such thing."""

    code = "not_found"


class MethodNotAllowed(SpineError):
    """The route does not take this method."""

    code = "method_not_allowed"


class Gone(SpineError):
    """It was here and has been deleted by retention."""

    code = "gone"


class NotOwner(SpineError):
    """Another claimant holds the lease."""

    code = "not_owner"


class NotRunning(SpineError):
    """The job is not running."""

    code = "not_running"


class AlreadyClaimed(SpineError):
    """Another claimant holds the job."""

    code = "already_claimed"


class TerminalStatus(SpineError):
    """The job has ended."""

    code = "terminal_status"


class MaxAttemptsReached(SpineError):
    """No attempt is left; the job is dead."""

    code = "max_attempts_reached"


class NotClaimable(SpineError):
    """The job may not be claimed now; `reasons` says why."""

    code = "not_claimable"


class NotAwaiting(SpineError):
    """The job does not wait for this decision."""

    code = "not_awaiting"


class SpecChanged(SpineError):
    """The approval is for another spec than the job's."""

    code = "spec_changed"


class DedupeConflict(SpineError):
    """Another unfinished job carries the dedupe key."""

    code = "dedupe_conflict"


class NoLateResult(SpineError):
    """That attempt left no late result to adopt."""

    code = "no_late_result"


class LeaseHeld(SpineError):
    """Another holds this lease."""

    code = "lease_held"


class StaleFence(SpineError):
    """A newer claim has been made, or the lease is over: nothing may be changed under this fence."""

    code = "stale_fence"


class Conflict(SpineError):
    """The job was changed by someone else at the same moment."""

    code = "conflict"
    retryable = True


class LogConflict(SpineError):
    """Other bytes are already stored at this offset."""

    code = "log_conflict"


class LogGap(SpineError):
    """The offset lies beyond the end of the log; go on from `size`."""

    code = "log_gap"


class TooLarge(SpineError):
    """Larger than the limit."""

    code = "too_large"


class BadRange(SpineError):
    """The range lies outside the content."""

    code = "bad_range"


class IdempotencyMismatch(SpineError):
    """This Idempotency-Key was used with another request."""

    code = "idempotency_mismatch"


class IdempotencyBusy(SpineError):
    """The first request with this Idempotency-Key is still being carried out."""

    code = "idempotency_busy"
    retryable = True


class RequestTimeout(SpineError):
    """The body did not arrive in time."""

    code = "request_timeout"
    retryable = True


class RateLimited(SpineError):
    """Too many requests of this kind at once."""

    code = "rate_limited"
    retryable = True


class Draining(SpineError):
    """The server is stopping; try another one, or this one again soon."""

    code = "draining"
    retryable = True


class Unavailable(SpineError):
    """The server cannot do this now."""

    code = "unavailable"
    retryable = True


class OutcomeUnknown(SpineError):
    """The database was lost while it committed: the change was made, or it was not."""

    code = "outcome_unknown"
    retryable = True


class StorageFull(SpineError):
    """The disk is full; nothing was changed."""

    code = "storage_full"
    retryable = True


class Internal(SpineError):
    """The server failed; nothing was changed."""

    code = "internal"
    retryable = True


def _tree(base: type[SpineError]) -> list[type[SpineError]]:
    return [base, *(found for sub in base.__subclasses__() for found in _tree(sub))]


BY_CODE: dict[str, type[SpineError]] = {cls.code: cls for cls in reversed(_tree(SpineError)) if cls is not SpineError}


def from_problem(code: str, detail: str, members: dict[str, Any]) -> SpineError:
    """Build the error that a problem document stands for; an unknown code becomes a plain SpineError with that code."""
    cls = BY_CODE.get(code)
    if cls is None:
        unknown = SpineError(detail, **members)
        unknown.members["error"] = code
        return unknown
    return cls(detail, **members)
