"""Where a foreign dialect comes in: which request is whose, who calls, what its body holds, how a refusal is told."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import falcon.asgi
import msgspec
from falcon.asgi import Request, Response

from contract.errors import BadJson, InvalidField, RequestTimeout, SpineError, Unauthorized
from contract.ids import token_digest
from spine.api import asked, body, problems
from spine.api.core import Core
from spine.dialect_settings import Dialect
from spine.facades.mapping import clean

App = falcon.asgi.App[Any, Any]
Scope = dict[str, Any]
_SLASHES = re.compile("/{2,}")
_BROKEN_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
WORKER_MOST = 128
# A byte of text is at most this long as JSON; and what may stand around the texts.
ESCAPE_BYTES, MEMBERS_BYTES = 6, 1024


class Front(NamedTuple):
    """A dialect's application: the path prefixes it is found under, what of them is taken off, its own port (or 0)."""

    app: App
    prefixes: Mapping[str, str]
    port: int

    @property
    def name(self) -> str:
        """What it is called among the routes."""
        return next(iter(self.prefixes))


class Fronts:
    """Tells a foreign dialect's requests from ours, by the port that they came to or by the beginning of their path."""

    def __init__(self, fronts: list[Front]) -> None:
        self._by_port = {front.port: front for front in fronts if front.port}
        self._by_prefix = {prefix: (front, taken) for front in fronts for prefix, taken in front.prefixes.items()}
        self._beginnings = (*self._by_prefix, "//") if fronts else ()

    def of(self, scope: Scope) -> tuple[App, Scope, str] | None:
        """Return a request's application, the request as that sees it, and the front's name; None for one of ours."""
        ported = self._by_port.get(scope["server"][1]) if self._by_port else None
        if ported is not None:
            return ported.app, _seen(scope, ""), ported.name
        if not scope["path"].startswith(self._beginnings):
            return None
        path = _SLASHES.sub("/", scope["path"])
        for prefix, (front, taken) in self._by_prefix.items():
            if path == prefix or path.startswith(prefix + "/"):
                return front.app, _seen(scope, taken), front.name
        return None


def _seen(scope: Scope, prefix: str) -> Scope:
    """Return the request under the path that the dialect knows; escapes are left for `decoded`: an id may hold `/`.

    Clients of these dialects join base address and path as they are, so that one slash may have become two.
    """
    raw = scope.get("raw_path") or scope["path"].encode()
    path = _SLASHES.sub("/", raw.decode("latin-1").partition("?")[0])
    return {**scope, "path": path.removeprefix(prefix) or "/", "root_path": prefix}


def decoded(segment: str) -> str:
    """Return a segment of the path with its escapes undone.

    Raises:
        InvalidField: it holds an escape that is none.
    """
    if "%" not in segment:
        return segment
    try:
        if _BROKEN_ESCAPE.search(segment):
            raise ValueError
        return unquote(segment, errors="strict")
    except ValueError as e:
        raise InvalidField("URI malformed", "path") from e


def is_worker_id(text: str) -> bool:
    """Tell whether a worker or a host may call itself this; nothing is something, too."""
    return len(text) <= WORKER_MOST and text.isprintable()


class Door:
    """Knows a dialect's tokens, by digest; wrong ones are throttled with those of our own dialect."""

    def __init__(self, core: Core, tokens: Mapping[str, str]) -> None:
        self.core, self._tokens = core, tokens

    def require(self, req: Request, header: str, whom: str, told: str) -> None:
        """Let nobody pass who is not `whom`.

        Raises:
            Unauthorized: with the words `told`. RateLimited: too many wrong tokens from there.
        """
        token = req.get_header(header)
        if not token:
            raise Unauthorized(told)
        if self._tokens.get(token_digest(token)) != whom:
            self.core.auth.guessed(req)
            raise Unauthorized(told)
        asked.of(req.scope).caller = whom


async def read(core: Core, req: Request, most: int) -> bytes:
    """Return the body.

    Raises:
        TooLarge, RequestTimeout, BadJson
    """
    return await body.read(req, most, core.settings.body_seconds)


def result_body_most(dialect: Dialect) -> int:
    """Return how long a body with a result may be: what can be kept comes in, however many escapes it is sent with."""
    return max(dialect.body_max_bytes, ESCAPE_BYTES * dialect.result_max_bytes + MEMBERS_BYTES)


def members(data: bytes) -> dict[str, msgspec.Raw]:
    """Return the members of a JSON object, each as the text that came; an empty body is an empty object.

    Half a surrogate pair in a text becomes U+FFFD: what programs print may hold one, and must not be lost for it.

    Raises:
        BadJson
    """
    data = data.strip() or b"{}"
    try:
        data.decode()
        return _members(data)
    except msgspec.ValidationError as e:
        raise BadJson("the body must be a JSON object") from e
    except RecursionError as e:
        raise BadJson("the body is nested too deeply") from e
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        try:
            whole = json.dumps(json.loads(data, parse_constant=_no_constant), ensure_ascii=False)
            return _members(clean(whole).encode())  # NUL stands there as an escape, and stays
        except (ValueError, RecursionError):
            raise BadJson(f"the body is not JSON: {e}") from e


def _members(data: bytes) -> dict[str, msgspec.Raw]:
    found: dict[str, msgspec.Raw] = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    return found


def value(given: Mapping[str, msgspec.Raw], name: str) -> Any:
    """Return a member; None when it is null or was not sent.

    Raises:
        BadJson: it is nested too deeply, or holds a number that is too long.
    """
    raw = given.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as e:
        raise BadJson(f"{name}: not JSON that can be kept") from e


def _no_constant(name: str) -> None:
    raise ValueError(name)


def make_app(
    door: Door,
    told: Callable[[Response, int, str], None],
    status: Mapping[type[SpineError], int],
    not_found: str = "not found",
    not_allowed: str | None = None,
) -> App:
    """Build a dialect's application: `door` is its middleware, `told` puts a refusal into the dialect's form.

    Without `not_allowed` a method that a path does not take is as unknown as a path (Skyclaw).
    """
    hooks: Any = door
    app: App = falcon.asgi.App(middleware=[hooks])

    async def refused(req: Request, resp: Response, error: SpineError, params: dict[str, Any], **_: Any) -> None:
        door.core.metrics.refused(error)
        if not isinstance(error, RequestTimeout):
            await body.pass_over(req)
        told(resp, status.get(type(error)) or problems.STATUS[type(error)], error.detail)
        if resp.status_code in problems.RETRY_AFTER:
            resp.set_header("Retry-After", problems.RETRY_AFTER[resp.status_code])

    async def failed(req: Request, resp: Response, error: Exception, params: dict[str, Any], **_: Any) -> None:
        problems.log_fault(req, error)
        told(resp, 500, "internal error")

    async def unrouted(req: Request, resp: Response, error: falcon.HTTPError, params: dict[str, Any], **_: Any) -> None:
        await body.pass_over(req)
        if error.status_code == 405 and not_allowed is not None:
            told(resp, 405, not_allowed)
            allowed = str(dict(error.headers or {}).get("Allow", "")).split(", ")
            resp.set_header("Allow", ", ".join(name for name in allowed if name != "OPTIONS"))
        elif error.status_code in (404, 405):
            told(resp, 404, not_found)
        else:
            told(resp, error.status_code, error.title or "the request cannot be read")

    app.add_error_handler(Exception, failed)
    app.add_error_handler(falcon.HTTPStatus, _as_it_is)
    app.add_error_handler(falcon.HTTPError, unrouted)
    app.add_error_handler(SpineError, refused)
    return app


async def _as_it_is(req: Request, resp: Response, status: falcon.HTTPStatus, params: dict[str, Any], **_: Any) -> None:
    """Answer a redirect."""
    resp.status = status.status
    for name, value_ in dict(status.headers or {}).items():
        resp.set_header(name, value_)
