"""Server-sent events: how a stream is paced, pinged, counted and ended."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from falcon.asgi import Response, SSEvent

from contract.errors import RateLimited, Unavailable
from spine.queue.wake import Hub

PING_SECONDS = 15.0
RETRY_MS = 3000
# Commits may come by the thousand a second: a stream looks at most so often.
PACE_SECONDS = 0.02


def open_stream(hub: Hub, resp: Response, events: AsyncIterator[SSEvent]) -> None:
    """Answer with a stream.

    Raises:
        RateLimited
    """
    if hub.streams >= hub.most_streams:
        raise RateLimited("too many streams are open")
    resp.set_header("Cache-Control", "no-store")
    resp.set_header("X-Accel-Buffering", "no")
    resp.sse = _counted(hub, events)


async def _counted(hub: Hub, events: AsyncIterator[SSEvent]) -> AsyncIterator[SSEvent]:
    hub.streams += 1
    try:
        yield SSEvent(comment="spine", retry=RETRY_MS)
        async for event in events:
            yield event
    finally:
        hub.streams -= 1


async def follow(
    hub: Hub, news: Callable[[], asyncio.Event], read: Callable[[], Awaitable[tuple[list[SSEvent], bool]]]
) -> AsyncIterator[SSEvent]:
    """Yield what `read` finds, again after each news, with a ping in silence, until it says that it is the end.

    A stream that ends without a word has been cut short: whoever reads it goes on by cursor.
    """
    while True:
        changed = news()
        try:
            found, over = await read()
        except Unavailable:
            return  # the store is away, or closed by now: a client that is still there asks again, from where it was
        for event in found:
            yield event
        if over or hub.draining:
            return
        if found:
            await asyncio.sleep(PACE_SECONDS)
            continue
        try:
            async with asyncio.timeout(PING_SECONDS):
                await changed.wait()
        except TimeoutError:
            yield SSEvent(comment="ping")
