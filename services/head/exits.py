"""Every exit code of `spine-head`; nothing else in the head chooses one. Those above 63 are sysexits.h's."""

from contract import errors
from contract.errors import SpineError
from contract.exits import Exit
from contract.states import Status

OK = 0
ERROR = 1
USAGE = 2
FAILED = 3
DEAD = 4
CANCELLED = 5
REFUSED_DATA = 65
NOT_FOUND = 66
UNREACHABLE = 69
TEMPORARY = 75
NO_PERMISSION = 77
CONFIG = 78
INTERRUPTED = 130

EXITS: tuple[Exit, ...] = (
    Exit(OK, "done; with --wait or watch: the job is done"),
    Exit(ERROR, "any other fault, or a state of the job that does not allow it"),
    Exit(USAGE, "wrong arguments"),
    Exit(FAILED, "with --wait or watch: the job failed"),
    Exit(DEAD, "with --wait or watch: the job is dead, no attempt is left"),
    Exit(CANCELLED, "with --wait or watch: the job was cancelled"),
    Exit(REFUSED_DATA, "the spine does not take the data (the message names the field)"),
    Exit(NOT_FOUND, "there is no such job, or it has been deleted; or a file cannot be read"),
    Exit(UNREACHABLE, "the spine cannot be reached"),
    Exit(TEMPORARY, "the spine cannot do it now (busy, full, too many requests), or another loop runs; try again"),
    Exit(NO_PERMISSION, "the token is not known, or may not do this"),
    Exit(CONFIG, "a setting cannot be used, or the policy of loop"),
    Exit(INTERRUPTED, "interrupted (Ctrl-C); a job that was waited for goes on"),
)

_BY_STATUS = {Status.DONE: OK, Status.FAILED: FAILED, Status.DEAD: DEAD, Status.CANCELLED: CANCELLED}
_BY_ERROR: tuple[tuple[type[SpineError], int], ...] = (
    (errors.Unauthorized, NO_PERMISSION),
    (errors.Forbidden, NO_PERMISSION),
    (errors.NotFound, NOT_FOUND),
    (errors.Gone, NOT_FOUND),
    (errors.BadJson, REFUSED_DATA),
    (errors.InvalidField, REFUSED_DATA),
    (errors.TooLarge, REFUSED_DATA),
    (errors.IdempotencyMismatch, REFUSED_DATA),
    (errors.Unavailable, UNREACHABLE),
    (errors.Draining, UNREACHABLE),
)


def of_status(status: str) -> int:
    """Return the code for a job that has ended."""
    return _BY_STATUS[Status(status)]


def of_error(error: SpineError) -> int:
    """Return the code for what the spine answered."""
    for kind, code in _BY_ERROR:
        if isinstance(error, kind):
            return code
    return TEMPORARY if error.retryable else ERROR
