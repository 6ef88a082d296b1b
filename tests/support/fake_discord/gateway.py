"""The gateway: sessions that outlive their sockets, events with sequence numbers, and what breaks on the way."""

import asyncio
import contextlib
import json
import uuid
import zlib
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web
from tests.support.fake_discord.world import GUILDS, MESSAGE_CONTENT, World

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, VOICE = range(5)
RESUME, RECONNECT, MEMBERS, INVALID, HELLO, ACK = range(6, 12)


class Session:
    """What a client identified for. `log` holds each event since then, for a RESUME."""

    def __init__(self, intents: int) -> None:
        self.id = uuid.uuid4().hex
        self.intents = intents
        self.log: list[dict[str, Any]] = []
        self.socket: Socket | None = None

    def dispatch(self, name: str, data: dict[str, Any]) -> None:
        frame = {"op": DISPATCH, "t": name, "s": len(self.log) + 1, "d": data}
        self.log.append(frame)
        if self.socket is not None:
            self.socket.send(frame)


class Socket:
    """One connection. `mute`: it acknowledges nothing and tells nothing, as one whose peer is gone."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request) -> None:
        self.ws, self.request = ws, request
        self.session: Session | None = None
        self.mute = False
        self.heard = 0
        """The last sequence number that the client said it has."""
        self.beats = 0
        self._packer = zlib.compressobj() if request.query.get("compress") == "zlib-stream" else None
        self._frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def send(self, frame: dict[str, Any]) -> None:
        if not self.mute:
            self._frames.put_nowait(frame)

    async def write(self) -> None:
        """Send what is queued, in its order, until cancelled or cut."""
        with contextlib.suppress(ConnectionError):
            while True:
                text = json.dumps(await self._frames.get())
                if self._packer is None:
                    await self.ws.send_str(text)
                else:
                    packed = self._packer.compress(text.encode()) + self._packer.flush(zlib.Z_SYNC_FLUSH)
                    await self.ws.send_bytes(packed)

    def abort(self) -> None:
        """Cut it, without a word."""
        if self.request.transport is not None:
            self.request.transport.abort()


class Gateway:
    """Serves clients of one bot.

    Attributes:
        token: what IDENTIFY and RESUME have to show; else they are closed with 4004.
        heartbeat_ms: how often clients shall send their heartbeats.
        privileged: intents that the application was granted of those that need it; others are closed with 4014.
        identifies, resumes: frames of that kind that came, refused ones too.
        joined: how many of them were taken.
        closed: close codes that clients gave.
    """

    def __init__(self, world: World, token: str) -> None:
        self.world, self.token = world, token
        self.heartbeat_ms = 41_250
        self.privileged = MESSAGE_CONTENT
        self.url = ""
        self.sessions: dict[str, Session] = {}
        self.sockets: list[Socket] = []
        self.identifies: list[dict[str, Any]] = []
        self.resumes: list[dict[str, Any]] = []
        self.joined = 0
        self.closed: list[int | None] = []
        self.open = asyncio.Event()
        """While it is not set, new connections wait before HELLO."""
        world.emit = self.emit

    def emit(self, name: str, data: dict[str, Any], intent: int, hidden: dict[str, Any] | None = None) -> None:
        for session in self.sessions.values():
            if session.intents & intent or not intent:
                session.dispatch(name, data if hidden is None or session.intents & MESSAGE_CONTENT else hidden)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(timeout=1.0, max_msg_size=4096)
        await ws.prepare(request)
        socket = Socket(ws, request)
        with self.world.changed:
            self.sockets.append(socket)
            self.world.changed.notify_all()
        await self.open.wait()
        writer = asyncio.create_task(socket.write())
        try:
            socket.send({"op": HELLO, "s": None, "t": None, "d": {"heartbeat_interval": self.heartbeat_ms}})
            async for message in ws:
                if message.type is not WSMsgType.TEXT:
                    break
                if code := self._take(socket, message.data):
                    await ws.close(code=code)
        finally:
            writer.cancel()
            if socket.session is not None and socket.session.socket is socket:
                socket.session.socket = None
            with self.world.changed:
                self.sockets.remove(socket)
                self.closed.append(ws.close_code)
                self.world.changed.notify_all()
        return ws

    def _take(self, socket: Socket, text: str) -> int:
        """Act on a frame; return the code to close with, or 0."""
        try:
            frame = json.loads(text)
            op, data = frame["op"], frame.get("d")
        except (ValueError, KeyError):
            return 4002
        if op == HEARTBEAT:
            with self.world.changed:
                socket.heard = data or 0
                socket.beats += 1
                self.world.changed.notify_all()
            socket.send({"op": ACK, "s": None, "t": None, "d": None})
            return 0
        if op in (IDENTIFY, RESUME):
            if socket.session is not None:
                return 4005
            with self.world.changed:
                (self.identifies if op == IDENTIFY else self.resumes).append(data)
                self.world.changed.notify_all()
            if data.get("token", "").removeprefix("Bot ") != self.token:
                return 4004
            return self._identify(socket, data) if op == IDENTIFY else self._resume(socket, data)
        if socket.session is None:
            return 4003
        return 0 if op in (PRESENCE, VOICE, MEMBERS) else 4001

    def _identify(self, socket: Socket, data: dict[str, Any]) -> int:
        intents = data.get("intents")
        if intents is None:
            return 4013
        granted_on_request = 1 << 1 | 1 << 8 | MESSAGE_CONTENT
        if intents & granted_on_request & ~self.privileged:
            return 4014
        session = Session(intents)
        self._join(socket, session)
        guild = {"id": self.world.guild_id, "unavailable": True}
        session.dispatch(
            "READY",
            {
                "v": 10,
                "user": self.world.bot.payload() | {"verified": True, "mfa_enabled": True, "email": None},
                "guilds": [guild] if intents & GUILDS else [],
                "session_id": session.id,
                "resume_gateway_url": self.url,
                "shard": data.get("shard", [0, 1]),
                "application": {"id": self.world.bot.id, "flags": 0},
            },
        )
        if intents & GUILDS:
            session.dispatch("GUILD_CREATE", self._guild())
        return 0

    def _resume(self, socket: Socket, data: dict[str, Any]) -> int:
        session = self.sessions.get(data.get("session_id") or "")
        seq = data.get("seq") or 0
        if session is None:
            socket.send({"op": INVALID, "s": None, "t": None, "d": False})
            return 0
        if seq > len(session.log):
            return 4007
        if session.socket is not None:
            session.socket.abort()
        missed = session.log[seq:]
        self._join(socket, session)
        for frame in missed:
            socket.send(frame)
        session.dispatch("RESUMED", {"_trace": []})
        socket.send({"op": HEARTBEAT, "s": None, "t": None, "d": None})  # a test may wait for what it says
        return 0

    def _join(self, socket: Socket, session: Session) -> None:
        with self.world.changed:
            self.sessions[session.id] = session
            session.socket, socket.session = socket, session
            self.joined += 1
            self.world.changed.notify_all()

    def _guild(self) -> dict[str, Any]:
        world = self.world
        everyone = {
            "id": world.guild_id, "name": "@everyone", "color": 0, "hoist": False, "position": 0, "permissions": "0",
            "managed": False, "mentionable": False, "flags": 0,
        }  # fmt: skip
        return {
            "id": world.guild_id,
            "name": "Fleet",
            "icon": None,
            "owner_id": world.bot.id,
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw_level": 0,
            "premium_tier": 0,
            "system_channel_flags": 0,
            "preferred_locale": "en-US",
            "afk_timeout": 300,
            "features": [],
            "roles": [everyone],
            "emojis": [],
            "stickers": [],
            "channels": [room.payload() for room in world.rooms.values() if room.guild_id and room.access],
            "threads": [],
            "members": [world.bot.member() | {"user": world.bot.payload()}],
            "presences": [],
            "voice_states": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "member_count": len(world.people),
            "large": False,
            "unavailable": False,
            "joined_at": "2024-01-01T00:00:00+00:00",
        }

    def order(self, op: int, data: Any = None) -> None:
        """Send a frame that is no event to each connection."""
        for socket in list(self.sockets):
            socket.send({"op": op, "s": None, "t": None, "d": data})

    def cut(self, forget: bool) -> None:
        """Drop each connection; `forget`: the sessions too, so that a RESUME is refused."""
        if forget:
            self.sessions.clear()
        for socket in list(self.sockets):
            if socket.session is not None:
                socket.session.socket = None
            socket.abort()

    async def close(self) -> None:
        self.open.set()
        for socket in list(self.sockets):
            await socket.ws.close(code=WSCloseCode.GOING_AWAY)
