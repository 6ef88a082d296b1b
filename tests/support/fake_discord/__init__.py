"""A small Discord on a socket, of the loopback unless told: REST interface and gateway, as discord.py needs them.

It runs in a thread of its own. A test speaks to it as users do (`hands`), orders what goes wrong (`faults`), and waits
by conditions, never by time. What the real one limits or refuses, this one does too (`forms`).
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from aiohttp import web
from tests.support.fake_discord.faults import Bucket, Call, Fault, Held, Weather
from tests.support.fake_discord.gateway import HEARTBEAT, INVALID, RECONNECT, Gateway, Session
from tests.support.fake_discord.hands import Channel, Press, User
from tests.support.fake_discord.interactions import Interactions
from tests.support.fake_discord.rest import BASE, Rest
from tests.support.fake_discord.shapes import Post
from tests.support.fake_discord.world import World

__all__ = ["TOKEN", "Channel", "FakeDiscord", "Post", "Press", "User"]

P = ParamSpec("P")
T = TypeVar("T")
TOKEN = "fake-discord-token-0001"


class FakeDiscord:
    """Serves within a `with`. `url` is what DISCORD_API_URL takes; `gateway` has what a client did there.

    The names of the routes, for faults and for `calls`: gateway, gateway_bot, me, application, direct, user, channel,
    typing, send, history, read, edit, delete, callback, followup, original, original_read, original_delete; and socket,
    the handshake of the gateway, which can fail.
    """

    def __init__(self, token: str = TOKEN, host: str = "127.0.0.1") -> None:
        self.token, self.host = token, host
        self.world = World()
        self.weather = Weather(self.world)
        self.interactions = Interactions(self.world)
        self.bot = User(self, self.world.bot)
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-discord", daemon=True)
        self._rest = Rest(self.world, token)
        self._runner: web.AppRunner | None = None
        self.gateway = Gateway(self.world, token)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}{BASE}"

    def __enter__(self) -> "FakeDiscord":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(self, *_: object) -> None:
        for held in self.weather.holds.values():
            held.release()
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(middlewares=[self.weather.middleware], client_max_size=2**24)
        app.add_routes([*self._rest.routes(), *self.interactions.routes()])
        app.router.add_get("/gateway/", self.gateway.serve, name="socket")
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.gateway.url = self._rest.gateway_url = f"ws://{self.host}:{self.port}/gateway/"
        self.gateway.open.set()

    async def _stop(self) -> None:
        assert self._runner is not None
        self.gateway.cut(forget=False)
        self.gateway.open.set()
        await self._runner.cleanup()

    def do(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something on the server's loop, and return what it returns."""

        async def run() -> T:
            return act(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    # --- people and channels ---------------------------------------------------------------------------------------

    def user(self, name: str, bot: bool = False) -> User:
        """Return the user of this name, new or not; `bot`: another bot than ours."""
        return User(self, self.do(self.world.person, name, bot))

    def channel(self, name: str) -> Channel:
        """Return the guild's text channel of this name, new or not."""
        return Channel(self, self.do(self.world.text_channel, name))

    def messages(self, channel: Channel) -> list[Post]:
        return channel.messages()

    def press(self, post: Post, verb: str, by: User | None = None) -> Press:
        """Press a button, named by its label or by a part of its custom_id, as `by` or as whose direct channel it is.

        Raises:
            AssertionError: there is no such button, or it cannot be pressed.
        """
        found = [b for b in post.buttons if verb in (b.get("label"), *b.get("custom_id", "").split(":"))]
        assert len(found) == 1, f"{verb!r} among {post.labels}"
        assert not found[0].get("disabled"), f"{verb!r} cannot be pressed"
        return self.press_as_was(post, found[0]["custom_id"], by)

    def press_as_was(self, post: Post, custom_id: str, by: User | None = None) -> Press:
        """Press a button that a user's screen may still show, whether the message has it or not."""
        person = by.person if by else post.room.recipient
        assert person is not None, "who presses? by=…"
        return Press(self, self.do(self.interactions.press, person, post, custom_id))

    def repeat(self, post: Post) -> None:
        """Tell of a message once more, as a gateway may after trouble."""
        self.do(self.world.tell, "MESSAGE_CREATE", post)

    # --- the gateway -----------------------------------------------------------------------------------------------

    def await_connected(self, times: int = 1, seconds: float = 60.0) -> None:
        """Wait until clients have identified or resumed so often, and taken all events of it."""
        self.world.wait(lambda: self.gateway.joined >= times, seconds, f"connection {times}")
        self.heard(seconds)

    def heard(self, seconds: float = 60.0) -> None:
        """Wait until a connected client has taken each event so far, and begun to handle it.

        It is asked for heartbeats, which tell what came last. The first may be sent before the handlers of what came
        with it are begun, but not the second, for which the client had to wait.
        """
        last = {session: len(session.log) for session in self.gateway.sessions.values() if session.socket}
        for _ in range(2):
            self._beat(last, seconds)

    def _beat(self, last: dict[Session, int], seconds: float) -> None:
        before = {session.socket: session.socket.beats for session in last if session.socket}

        def told() -> bool:
            now = [(session.socket, seq) for session, seq in last.items() if session.socket]
            return all(socket.heard >= seq and socket.beats > before.get(socket, 0) for socket, seq in now)

        self.do(self.gateway.order, HEARTBEAT)
        self.world.wait(told, seconds, "a heartbeat")

    def drop(self, resumable: bool = True) -> None:
        """Cut each connection without a word; `resumable` sessions can be taken up again."""
        self.do(self.gateway.cut, not resumable)

    @contextmanager
    def away(self, resumable: bool = True) -> Iterator[None]:
        """Cut each connection, and greet nobody until the end of the block."""
        self.do(self.gateway.open.clear)
        self.drop(resumable)
        try:
            yield
        finally:
            self.do(self.gateway.open.set)

    def reconnect(self) -> None:
        """Ask clients to connect anew and to resume (op 7)."""
        self.do(self.gateway.order, RECONNECT)

    def invalidate(self, resumable: bool = False) -> None:
        """Tell clients that their session is invalid (op 9)."""
        if not resumable:
            self.do(self.gateway.sessions.clear)
        self.do(self.gateway.order, INVALID, resumable)

    def fall_silent(self) -> None:
        """Acknowledge and tell nothing more on the connections that there are; new ones are served."""

        def mute() -> None:
            for socket in self.gateway.sockets:
                socket.mute = True

        self.do(mute)

    # --- what goes wrong -------------------------------------------------------------------------------------------

    def calls(self, route: str) -> list[Call]:
        """Return the requests for a route, oldest first."""
        with self.world.changed:
            return [call for call in self.weather.calls if call.route == route]

    def await_calls(self, route: str, count: int = 1, seconds: float = 60.0) -> list[Call]:
        """Wait until so many requests for a route have come and been answered, or cut; return them."""

        def look() -> list[Call] | None:
            ended = [call for call in self.calls(route) if call.status is not None]
            return ended if len(ended) >= count else None

        return self.world.wait(look, seconds, f"{count} calls of {route}")

    def limit_next(self, route: str, times: int = 1, retry_after: float = 0.05, scope: str = "user") -> None:
        """Answer the next requests 429; `scope`: user, shared or global."""
        self.weather.order(route, Fault(retry_after=retry_after, scope=scope), times)

    def limit(self, route: str, requests: int, seconds: float) -> None:
        """Take so many requests in so many seconds from now on, for each channel."""
        self.weather.buckets[route] = Bucket(requests, seconds)

    def fail_next(self, route: str, status: int = 502, times: int = 1) -> None:
        """Answer the next requests with a page that is none of Discord's own; nothing happens. A 429 is a ban then."""
        self.weather.order(route, Fault(status=status), times)

    def lose_next(self, route: str, times: int = 1, made: bool = True) -> None:
        """Do what the next requests ask (`made`), and cut the connection in place of an answer."""
        self.weather.order(route, Fault(cut="after" if made else "before"), times)

    def slow_next(self, route: str, seconds: float, times: int = 1) -> None:
        """Take so long before the next requests are acted on."""
        self.weather.order(route, Fault(wait=seconds), times)

    def hold(self, route: str, before: bool = True) -> Held:
        """Answer no request for a route until it is released; `before`: nothing is done either until then."""
        held = self.weather.holds[route] = Held(self.world, before)
        return held

    def forget_nonces(self) -> None:
        """Let the minutes pass within which the same nonce gives the same message."""
        self.do(self.world.nonces.clear)
