"""What an answer of the spine holds: a record, a refusal as its error class, or how long to wait."""

from typing import Any, TypeVar

import msgspec
import requests

from contract.errors import SpineError, Unavailable, from_problem

T = TypeVar("T")


def read(answer: requests.Response, kind: type[T]) -> T:
    """Read an answer's body.

    Raises:
        Unavailable: it is not what a spine answers (a captive portal's page with status 200).
    """
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise Unavailable(f"HTTP {answer.status_code} from {answer.url}, and not the answer of a spine") from e


def fault_of(answer: requests.Response) -> SpineError:
    """Read a problem document; anything else (a proxy's page) becomes Unavailable with the status."""
    try:
        members = msgspec.json.decode(answer.content, type=dict[str, Any])
        code = members.pop("error")
    except (msgspec.DecodeError, KeyError, UnicodeDecodeError):
        return Unavailable(f"HTTP {answer.status_code} from {answer.url}, and not a problem document")
    detail = str(members.pop("detail", members.pop("title", "")))
    for name in ("type", "title", "retryable"):
        members.pop(name, None)
    return from_problem(str(code), detail, members)


def retry_after(answer: requests.Response) -> float | None:
    value = answer.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None
