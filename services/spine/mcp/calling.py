"""A tool's call as a request to the API in this process, under the caller's own token.

So nothing is written twice: idempotency keys, limits, roles, records and the words of refusals are those of the API.
What it costs is a pass through the router and one JSON text more, which is little beside a durable write.
"""

import asyncio
import json
import re
from codecs import getincrementaldecoder
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
from falcon.asgi import Request

from contract.errors import BadJson, InvalidField
from contract.requestid import HEADER
from spine.api import body
from spine.api.asked import of as request_of
from spine.mcp.fitting import shallow
from spine.mcp.tools import HEADERS, Form

WORKER = "mcp"
"""The worker that a claw's calls are made as when none is named: a job that another process holds is not ended here."""
_CARRIED = (
    "authorization",
    "host",
    "x-spine-lease",
    "x-spine-for",
    "traceparent",
    "tracestate",
    "x-forwarded-for",
    "x-forwarded-proto",
)


class Answer(NamedTuple):
    """What the API answered: the status, headers by name in small letters, and the body."""

    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def refused(self) -> bool:
        """Whether it is a problem."""
        return self.status >= 400


class Asked(NamedTuple):
    """A request to the API."""

    method: str
    path: str
    query: dict[str, Any]
    headers: dict[str, str]
    data: bytes


def receiving(data: bytes) -> Any:
    """Return how a body that is here is received; who asks for more waits until it is cancelled."""
    pieces = [{"type": "http.request", "body": data, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not pieces:
            await asyncio.Event().wait()
        return pieces.pop()

    return receive


async def ask(app: Any, scope: dict[str, Any], receive: Any) -> Answer:
    """Make a request to an ASGI application; return its answer, which is one that ends."""
    begun: dict[str, Any] = {}
    pieces = []

    async def send(event: dict[str, Any]) -> None:
        if event["type"] == "http.response.start":
            begun.update(event)
        elif event["type"] == "http.response.body":
            pieces.append(event.get("body", b""))

    await app(scope, receive, send)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in begun.get("headers", ())}
    return Answer(begun["status"], headers, b"".join(pieces))


async def call(app: Any, req: Request, asked: Asked) -> Answer:
    """Make a request to the API as whoever makes `req`, from where that comes."""
    headers = {name: value for name in _CARRIED if (value := req.get_header(name)) is not None} | asked.headers
    headers[HEADER] = request_of(req.scope).id  # what is logged of either is found by one id
    if asked.data:
        headers |= {"content-type": "application/json", "content-length": str(len(asked.data))}
    kept = ("type", "asgi", "http_version", "scheme", "client", "server")
    scope: dict[str, Any] = {name: value for name, value in req.scope.items() if name in kept}
    scope |= {
        "method": asked.method,
        "path": asked.path,
        "raw_path": quote(asked.path).encode(),
        "root_path": "",
        "query_string": urlencode(asked.query, doseq=True).encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
    return await ask(app, scope, receiving(asked.data))


def asked_by(form: Form, given: Mapping[str, Any], claw: bool) -> Asked:
    """Return the request that a tool's call with these arguments is.

    Raises:
        BadJson: they are nested too deeply.
        InvalidField: one that is not known, or that cannot stand where the API has it. The rest the API checks.
    """
    given = {name: value for name, value in given.items() if value is not None or name in form.names("body")}
    body.unknown(given, set(form.arguments), lenient=False)
    path = form.path
    for name in form.names("path"):
        argument = form.arguments[name]
        path = path.replace("{" + argument.name + "}", _matching(name, given.get(name), argument.schema))
    query = {name: _plain(name, given[name]) for name in form.names("query") if name in given}
    for name, value in query.items():
        if isinstance(value, list) and form.arguments[name].schema.get("type") != "array":
            raise InvalidField(f"{name}: expected one value, not a list", name)
    if form.tool.most and "limit" in form.arguments:
        limit = query.setdefault("limit", str(form.tool.most))
        if isinstance(limit, str) and limit.isdecimal() and int(limit[:20]) > form.tool.most:
            raise InvalidField(f"limit: {limit[:20]} is out of range; from 1 to {form.tool.most}", "limit")
    headers = {
        form.arguments[name].name: _printable(name, given[name]) for name in form.names("header") if name in given
    }
    if claw and "workerId" in form.arguments:
        headers.setdefault(form.arguments["workerId"].name, WORKER)
    members = {name: given[name] for name in form.names("body") if name in given}
    try:
        data = json.dumps(members).encode() if members else b""
    except RecursionError as e:
        raise BadJson("nested too deeply") from e
    for name in form.names("bytes"):
        if not isinstance(given.get(name), str):
            raise InvalidField(f"{name}: expected a text", name)
        data = given[name].encode("utf-8", "replace")
    return Asked(form.method, path, query, headers, data)


def _matching(name: str, value: Any, schema: dict[str, Any]) -> str:
    if value is None:
        raise InvalidField(f"{name}: missing", name)
    if not isinstance(value, str) or len(value) > schema["maxLength"] or not re.fullmatch(schema["pattern"], value):
        told = f"{name}: expected 1 to {schema['maxLength']} characters that match {schema['pattern']}"
        raise InvalidField(told, name)
    return value


def _plain(name: str, value: Any) -> Any:
    """Return a value as it stands in a query string."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [_plain(name, item) for item in value]
    if isinstance(value, (dict, list, float, bool)):
        raise InvalidField(f"{name}: expected a text or a whole number", name)
    text = str(value)
    if body.BAD_TEXT.search(text):
        raise InvalidField(f"{name}: holds a character that cannot be kept", name)
    return text


def _printable(name: str, value: Any) -> str:
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isprintable() and text):
        raise InvalidField(f"{name}: expected printable characters of ASCII", name)
    return text


def problem(answer: Answer) -> dict[str, Any]:
    """Return a refusal as the API tells it, under the names of arguments where that has those of headers."""
    found: dict[str, Any] = msgspec.json.decode(answer.data)
    for header, name in HEADERS.items():
        if found.get("field") == header:
            found["field"] = name
            found["detail"] = str(found["detail"]).replace(header, name)
    return found


def record(answer: Answer) -> dict[str, Any]:
    """Return an answer that is a record; nothing that came is an empty list of jobs."""
    if not answer.data:
        return {"jobs": []}
    try:
        found = shallow(msgspec.json.decode(answer.data))
    except (
        msgspec.DecodeError,
        RecursionError,
    ):  # a result may hold what few can read: long numbers, a thousand levels
        return {"json": answer.data.decode("utf-8", "replace")}
    return found if isinstance(found, dict) else {"items": found}


def log_piece(answer: Answer, offset: int, most: int) -> dict[str, Any]:
    """Return a piece of a log as text of at most `most` bytes of JSON, with where the next one begins."""
    data = answer.data
    text, used = _text(data)
    while len(json.dumps(text)) > most:
        data = data[: len(data) // 2]
        text, used = _text(data)
    return {
        "text": text,
        "offset": offset,
        "nextOffset": offset + used,
        "size": int(answer.headers["spine-log-size"]),
        "fence": int(answer.headers["spine-log-fence"]),
        "open": answer.headers["spine-log-open"] == "1",
    }


def _text(data: bytes) -> tuple[str, int]:
    """Decode bytes; a character that is begun at the end is left for the next piece, unless it is all there is."""
    decoder = getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    rest = len(decoder.getstate()[0])
    return (text, len(data) - rest) if text else (decoder.decode(b"", final=True), len(data))
