"""Errors as problem documents (RFC 9457): the only place that knows which HTTP status an error has."""

from collections.abc import Callable
from typing import Any

import falcon
import falcon.asgi
import msgspec
import structlog

from contract import errors
from contract.errors import SpineError
from spine.api import asked
from spine.api.body import pass_over

_log = structlog.get_logger()

STATUS: dict[type[SpineError], int] = {
    errors.BadJson: 400,
    errors.MissingFile: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotOwner: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.RequestTimeout: 408,
    errors.NotRunning: 409,
    errors.AlreadyClaimed: 409,
    errors.TerminalStatus: 409,
    errors.MaxAttemptsReached: 409,
    errors.NotClaimable: 409,
    errors.NotAwaiting: 409,
    errors.SpecChanged: 409,
    errors.DedupeConflict: 409,
    errors.NoLateResult: 409,
    errors.LeaseHeld: 409,
    errors.StaleFence: 409,
    errors.Conflict: 409,
    errors.LogConflict: 409,
    errors.LogGap: 409,
    errors.IdempotencyBusy: 409,
    errors.Gone: 410,
    errors.TooLarge: 413,
    errors.BadRange: 416,
    errors.InvalidField: 422,
    errors.IdempotencyMismatch: 422,
    errors.RateLimited: 429,
    errors.Internal: 500,
    errors.Draining: 503,
    errors.Unavailable: 503,
    errors.OutcomeUnknown: 503,
    errors.StorageFull: 507,
}
RETRY_AFTER = {429: "1", 503: "1", 507: "5"}
_encode = msgspec.json.Encoder().encode


def document(error: SpineError) -> tuple[int, bytes]:
    """Return the status and the body of an error."""
    status = STATUS[type(error)]
    title = (type(error).__doc__ or "").strip().splitlines()[0]
    body: dict[str, Any] = {
        "error": error.code,
        "type": f"/problems/{error.code}",
        "title": title,
        "status": status,
        "detail": error.detail,
        "retryable": error.retryable,
    }
    for name, value in error.members.items():
        body.setdefault(name, value)
    # v0's terminal refusals carry the job's status under the same name as the HTTP one; theirs is the older promise.
    if "status" in error.members:
        body["status"] = error.members["status"]
        body["httpStatus"] = status
    if status >= 500 and (request_id := asked.current_id()) is not None:
        body["requestId"] = request_id  # what to look for in the server's log
    return status, _encode(body)


def answer(resp: falcon.asgi.Response, error: SpineError) -> None:
    """Make a response of an error."""
    status, body = document(error)
    resp.status = status
    resp.data = body
    resp.content_type = "application/problem+json"
    if status in RETRY_AFTER:
        resp.set_header("Retry-After", RETRY_AFTER[status])
    if status == 401:
        resp.set_header("WWW-Authenticate", "Bearer")
    if status == 416 and "size" in error.members:
        resp.set_header("Content-Range", f"bytes */{error.members['size']}")


async def on_http_error(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError, params: dict[str, Any], **_: Any
) -> None:
    """Answer an error that Falcon raised, in our words."""
    await pass_over(req)
    code = error.status_code
    if code == 404:
        answer(resp, errors.NotFound(f"there is no route {req.path[:100]}"))
    elif code == 405:
        answer(resp, errors.MethodNotAllowed(f"{req.method} is not taken here"))
        headers = error.headers
        for name, value in headers.items() if isinstance(headers, dict) else list(headers or ()):
            resp.set_header(name, value)
    elif code == 413:
        answer(resp, errors.TooLarge())
    else:
        answer(resp, errors.InvalidField(error.description or error.title or "the request cannot be read", "request"))


def log_fault(req: falcon.asgi.Request, error: Exception) -> None:
    """Log a fault of the server with where it came from."""
    _log.error("http.failed", path=req.path, method=req.method, kind=type(error).__name__, exc_info=error)


async def on_exception(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any], **_: Any
) -> None:
    """Answer a fault of the server without a word of its inside."""
    log_fault(req, error)
    answer(resp, errors.Internal())


def install(app: "falcon.asgi.App[Any, Any]", refused: Callable[[SpineError], None]) -> None:
    """Route every error through this module; `refused` is told of ours."""

    async def on_spine_error(
        req: falcon.asgi.Request, resp: falcon.asgi.Response, error: SpineError, params: dict[str, Any], **_: Any
    ) -> None:
        refused(error)
        if not isinstance(error, errors.RequestTimeout):
            await pass_over(req)
        answer(resp, error)

    app.add_error_handler(Exception, on_exception)
    app.add_error_handler(falcon.HTTPError, on_http_error)
    app.add_error_handler(SpineError, on_spine_error)
