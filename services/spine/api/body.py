"""Reading what a client sends: bodies within limits, strict records, clear refusals that name the field."""

import asyncio
import difflib
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeVar

import falcon.asgi
import msgspec

from contract.clock import parse_iso
from contract.errors import BadJson, InvalidField, RequestTimeout, SpineError, TooLarge
from contract.wire import Request
from spine.api import asked
from spine.api.intake import intake_of, within
from spine.queue.named import Token

T = TypeVar("T", bound=Request)
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_UNKNOWN = "Object contains unknown field "
_UNKNOWN_MOST = 100
BAD_TEXT = re.compile("[\x00\ud800-\udfff]")
_NUL = b"\\u0000"
_FENCE_MOST = 2**53 - 1
LEASE_NAME_MOST = 128
_PASSED_OVER = 8 * 1024 * 1024
_PASSED_OVER_SECONDS = 2.0


@lru_cache(maxsize=64)
def _members(kind: type[Request]) -> tuple[tuple[str, str], ...]:
    """Return (attribute, name on the wire) of a record's members."""
    return tuple((field.name, field.encode_name) for field in msgspec.structs.fields(kind))


async def read(req: falcon.asgi.Request, most: int, seconds: float) -> bytes:
    """Return the body.

    Raises:
        TooLarge, RequestTimeout
        BadJson: it stopped before its end.
    """
    announced = req.content_length
    if announced is not None and announced > most:
        raise TooLarge(f"the body may have {most} bytes", limit=most)
    coming = intake_of(req.scope)
    if coming is None:
        return b""
    try:
        data = await within(seconds, coming.read(most))
    except TimeoutError as e:
        raise RequestTimeout(f"the body did not arrive within {seconds:g} s") from e
    if len(data) > most:
        raise TooLarge(f"the body may have {most} bytes", limit=most)
    return data


async def pass_over(req: falcon.asgi.Request) -> None:
    """Read the rest of a body that is refused, as far as it comes soon and is not very long.

    Most clients read no answer before they have sent all: closing under them would show them a broken connection.
    """
    left = _PASSED_OVER
    try:
        async with asyncio.timeout(_PASSED_OVER_SECONDS):
            while left > 0 and (piece := await req.stream.read(min(left, 64 * 1024))):
                left -= len(piece)
    except (TimeoutError, SpineError):
        pass


def decode(data: bytes, kind: type[T], lenient: bool) -> tuple[T, list[str]]:
    """Decode a body into a record; an empty one is an empty object. Return it with the unknown members ignored.

    `lenient` (v0's routes): an unknown member is ignored, unless it nearly matches a known one. Else it is refused.

    Raises:
        BadJson, InvalidField
    """
    data = data.strip() or b"{}"
    ignored: list[str] = []
    if not data.isascii():  # the decoder does not look into members that it passes over
        try:
            data.decode()
        except UnicodeDecodeError as e:
            raise BadJson("the body is not UTF-8") from e
    try:
        try:
            record = msgspec.json.decode(data, type=kind)
        except msgspec.ValidationError as e:
            if not str(e).startswith(_UNKNOWN):
                raise
            members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
            ignored = unknown(members, {shown for _name, shown in _members(kind)}, lenient)
            left = {name: members[name] for name in members.keys() - ignored}
            record = msgspec.json.decode(msgspec.json.encode(left), type=kind)
        return _checked(record, _NUL in data), ignored
    except RecursionError as e:
        raise BadJson("nested too deeply") from e
    except msgspec.ValidationError as e:
        raise _invalid(e) from e
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise _malformed(data, e) from e


def unknown(members: Iterable[str], known: set[str], lenient: bool) -> list[str]:
    """Return the unknown members of an object; `lenient`: those that resemble no known one are not refused.

    Raises:
        InvalidField: one nearly matches a known name, or unknown ones are not taken here, or they are too many.
    """
    found = [name for name in members if name not in known]
    if len(found) > _UNKNOWN_MOST:  # each is compared with every known name, on the event loop
        raise InvalidField(f"body: {len(found)} members that are not known, at most {_UNKNOWN_MOST}", "body")
    folded = {_fold(name): name for name in known}
    for name in found:
        near = folded.get(_fold(name)) or next(iter(difflib.get_close_matches(name[:64], known, 1, 0.8)), None)
        if near is not None:
            raise InvalidField(f"{_shown(name)}: not a known member; did you mean {near}?", _shown(name))
        if not lenient:
            listed = ", ".join(sorted(known)) or "none"
            raise InvalidField(f"{_shown(name)}: not a known member; known: {listed}", _shown(name))
    return found


def _fold(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _shown(name: str) -> str:
    return name[:64].encode("utf-8", "replace").decode()


def _invalid(error: msgspec.ValidationError) -> InvalidField:
    path = _PATH.search(str(error))
    field = path.group(1) if path else "body"
    return InvalidField(f"{field}: {_PATH.sub('', str(error))}", field)


def _malformed(data: bytes, error: Exception) -> BadJson | InvalidField:
    """Tell a body that is no JSON from one that holds a text which no store can keep."""
    try:
        value = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        return BadJson("the body is not UTF-8")
    except (ValueError, RecursionError):
        return BadJson(f"the body is not JSON: {error}")
    field = _bad_text(value, "")
    if field is None:  # Python reads more than JSON has, such as NaN
        return BadJson(f"the body is not JSON: {error}")
    return InvalidField(f"{field}: holds a lone surrogate, which is no character", field)


def _bad_text(value: Any, path: str) -> str | None:
    """Return the path of the first text with a NUL or a lone surrogate; None when there is none."""
    stack = [(path, value)]
    while stack:
        where, item = stack.pop()
        if isinstance(item, str) and BAD_TEXT.search(item):
            return where or "body"
        if isinstance(item, dict):
            for key, member in item.items():
                stack.append((f"{where}.{key}" if where else key, member))
                if BAD_TEXT.search(key):
                    return where or "body"
        elif isinstance(item, list):
            stack += [(f"{where}[{n}]", member) for n, member in enumerate(item)]
    return None


def _checked(record: T, has_nul: bool, path: str = "") -> T:
    """Refuse texts that not every engine can keep, and JSON values that not every client can read back."""
    for name, shown in _members(type(record)):
        value, where = getattr(record, name), path + shown
        if isinstance(value, msgspec.Raw):
            _check_raw(bytes(value), where)
        elif isinstance(value, Request):
            _checked(value, has_nul, f"{where}.")
        elif has_nul:  # JSON takes it as an escape alone
            bad = _bad_text(value, where)
            if bad is not None:
                raise InvalidField(f"{bad}: holds a NUL character", bad)
    return record


def _check_raw(data: bytes, name: str) -> None:
    try:
        value = msgspec.json.decode(data)
    except msgspec.ValidationError as e:
        raise InvalidField(f"{name}: {e}", name) from e
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise _malformed(data, e) from e
    except RecursionError as e:
        raise InvalidField(f"{name}: nested too deeply", name) from e
    if _NUL in data:
        bad = _bad_text(value, name)
        if bad is not None:
            raise InvalidField(f"{bad}: holds a NUL character", bad)


def items(data: bytes, most: int) -> list[bytes]:
    """Cut a JSON list into the texts of its items.

    Raises:
        BadJson, TooLarge, InvalidField: an empty list.
    """
    try:
        found = msgspec.json.decode(data, type=list[msgspec.Raw])
    except RecursionError as e:
        raise BadJson("nested too deeply") from e
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise _malformed(data, e) from e
    if not found:
        raise InvalidField("body: an empty list", "body")
    if len(found) > most:
        raise TooLarge(f"a list may have {most} items", limit=most)
    return [bytes(item) for item in found]


def moment(text: str, name: str) -> int:
    """Read a time into ms.

    Raises:
        InvalidField
    """
    try:
        return parse_iso(text)
    except (ValueError, OverflowError) as e:
        raise InvalidField(f"{name}: expected a time such as 2030-01-31T08:00:00Z", name) from e


def limited(record: Request, limits: dict[str, int]) -> None:
    """Refuse members over their limits in bytes.

    Raises:
        TooLarge
    """
    for name, most in limits.items():
        value = getattr(record, name, None)
        if value is None or value is msgspec.UNSET:
            continue
        size = len(value.encode()) if isinstance(value, str) else len(bytes(value))
        if size > most:
            shown = dict(_members(type(record)))[name]
            raise TooLarge(f"{shown}: {size} bytes, at most {most}", field=shown, limit=most)


def text_of(value: Any) -> str | None:
    """Return a JSON member as the text that came; None when it was not sent."""
    return None if isinstance(value, msgspec.UnsetType) else bytes(value).decode()


def fence_of(req: falcon.asgi.Request, in_body: int | None) -> int | None:
    """Return the fence from the body or from X-Spine-Fence.

    Raises:
        InvalidField: the header is no fence, or the two differ.
    """
    header = req.get_header("X-Spine-Fence")
    if header is None:
        if in_body is not None:
            asked.of(req.scope).note(fence=in_body)
        return in_body
    if not (header.isascii() and header.isdigit() and int(header[:20]) <= _FENCE_MOST and len(header) <= 20):
        raise InvalidField("X-Spine-Fence: expected the whole number that the claim returned", "X-Spine-Fence")
    if in_body is not None and in_body != int(header):
        raise InvalidField("fence: the body and X-Spine-Fence differ", "fence")
    asked.of(req.scope).note(fence=int(header))
    return int(header)


def lease_of(req: falcon.asgi.Request) -> Token | None:
    """Return the named lease under which a request is made, from X-Spine-Lease; None when it names none.

    Raises:
        InvalidField
    """
    header = req.get_header("X-Spine-Lease")
    if header is None:
        return None
    name, _, fence = header.rpartition(";")
    if not (0 < len(name) <= LEASE_NAME_MOST and fence.isascii() and fence.isdigit() and len(fence) <= 16):
        told = "X-Spine-Lease: expected NAME;FENCE, the lease's name and the fence that taking it gave"
        raise InvalidField(told, "X-Spine-Lease")
    return Token(name, int(fence))


def query_number(req: falcon.asgi.Request, name: str, least: int, most: int) -> int | None:
    """Return a whole number of the query string; None when it is not there.

    Raises:
        InvalidField
    """
    values = req.params.get(name)
    if values is None:
        return None
    if isinstance(values, list) or not (values.isascii() and values.isdigit() and len(values) <= 20):
        raise InvalidField(f"{name}: expected one whole number from {least} to {most}", name)
    number = int(values)
    if not least <= number <= most:
        raise InvalidField(f"{name}: {number} is out of range; from {least} to {most}", name)
    return number


def known_query(req: falcon.asgi.Request, *known: str) -> None:
    """Refuse a query string with other names than these (new routes only).

    Raises:
        InvalidField
    """
    for name in req.params:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise InvalidField(f"{_shown(name)}: not a parameter of this route; known: {listed}", _shown(name))
