"""What the channels that speak HTTP share: one call, and what its answer means for the notice."""

import email.utils
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from contract.outcall import Answer, NoAnswer, post

AFTER_MOST_SECONDS = 24 * 3600.0


class Failed(Exception):
    """A piece did not go out. `gone`: nor will it ever; `after`: the receiver asks to be left alone for so long (s)."""

    def __init__(self, reason: str, gone: bool = False, after: float = 0.0) -> None:
        super().__init__(reason)
        self.gone, self.after = gone, after


def at(url: str, path: str) -> str:
    """Return an address below a base URL."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + path, parts.query, ""))


def bearer(token: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def send_json(url: str, body: Any, headers: Mapping[str, str], seconds: float) -> Answer:
    """Send JSON; return the answer of a success.

    Raises:
        Failed
    """
    return send(url, msgspec.json.encode(body), {"Content-Type": "application/json", **headers}, seconds)


def send(url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
    """Send a body; return the answer of a success (2xx). What a receiver says is not repeated: it may be anything.

    Raises:
        Failed: 410 for good; a redirect like any other fault, since its goal was never named by the alias.
    """
    try:
        answer = post(url, body, headers, seconds)
    except NoAnswer as e:
        raise Failed(str(e)) from e
    if 200 <= answer.status < 300:
        return answer
    told = f"the receiver answered {answer.status}"
    if answer.status == 410:
        raise Failed(f"{told}: it takes no more", gone=True)
    if 300 <= answer.status < 400:
        told += ", which sends elsewhere and is not followed: put the new address into the alias"
    raise Failed(told, after=retry_after(answer.headers))


def retry_after(headers: Mapping[str, str]) -> float:
    """Return for how long (s) a receiver asks to be left alone, a day at most; 0 when it does not say."""
    said = next((value.strip() for name, value in headers.items() if name.lower() == "retry-after"), "")
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, OverflowError):  # the parser converts numbers of any length
            return 0.0
    return min(max(seconds, 0.0), AFTER_MOST_SECONDS) if seconds == seconds else 0.0
