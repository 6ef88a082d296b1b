"""How a request's body comes in, below the framework: in time, and whole or not at all."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from contract.errors import BadJson, RequestTimeout

Receive = Callable[[], Awaitable[dict[str, Any]]]


def watched(scope: dict[str, Any], receive: Receive, seconds: float) -> Receive:
    """Wrap the channel on which a request's body comes.

    The framework takes a client that has gone for the end of the body, which makes half a request of it; here that
    raises. It also waits for the first piece before it calls anyone; here it gets an empty one at once, so that a
    body is refused for its announced length, or for not coming, as any other.

    The channel raises:
        BadJson: the client went before the body had ended. RequestTimeout: nothing came for so many seconds.
    """
    if not any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    ):
        return receive
    begun = whole = False

    async def pieces() -> dict[str, Any]:
        nonlocal begun, whole
        if not begun:
            begun = True
            return {"type": "http.request", "body": b"", "more_body": True}
        if whole:
            return await receive()  # who asks now waits for the client to go
        try:
            async with asyncio.timeout(seconds):
                event = await receive()
        except TimeoutError as e:
            raise RequestTimeout(f"nothing of the body came for {seconds:g} s") from e
        if event["type"] == "http.disconnect":
            raise BadJson("the body stopped before its end")
        whole = not event.get("more_body", False)
        return event

    return pieces
