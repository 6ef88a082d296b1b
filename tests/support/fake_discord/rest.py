"""The REST routes of users, channels and messages. Each has a name, by which tests order faults and read the ledger."""

import json
from typing import Any

from aiohttp import web
from tests.support.fake_discord.faults import answered
from tests.support.fake_discord.forms import Refusal, unknown
from tests.support.fake_discord.shapes import Person, Room
from tests.support.fake_discord.world import World

BASE = "/api/v10"


class Rest:
    """Answers for one bot, known by its token."""

    def __init__(self, world: World, token: str) -> None:
        self.world, self.token = world, token
        self.gateway_url = ""

    def routes(self) -> list[web.RouteDef]:
        channel, message = f"{BASE}/channels/{{channel}}", f"{BASE}/channels/{{channel}}/messages/{{message}}"
        return [
            web.get(f"{BASE}/gateway", self.gateway, name="gateway"),
            web.get(f"{BASE}/gateway/bot", self.gateway_bot, name="gateway_bot"),
            web.get(f"{BASE}/users/@me", self.me, name="me"),
            web.get(f"{BASE}/oauth2/applications/@me", self.application, name="application"),
            web.get(f"{BASE}/applications/@me", self.application, name="application_own"),
            web.post(f"{BASE}/users/@me/channels", self.direct, name="direct"),
            web.get(f"{BASE}/users/{{user}}", self.user, name="user"),
            web.get(channel, self.channel, name="channel"),
            web.post(f"{channel}/typing", self.typing, name="typing"),
            web.post(f"{channel}/messages", self.send, name="send"),
            web.get(f"{channel}/messages", self.history, name="history"),
            web.get(message, self.read, name="read"),
            web.patch(message, self.edit, name="edit"),
            web.delete(message, self.delete, name="delete"),
        ]

    def known(self, request: web.Request) -> Person:
        """Return whose token it is.

        Raises:
            Refusal: nobody's.
        """
        if request.headers.get("Authorization") != f"Bot {self.token}":
            raise Refusal(401, 0, "401: Unauthorized")
        return self.world.bot

    def _room(self, request: web.Request) -> Room:
        self.known(request)
        return self.world.room(request.match_info["channel"])

    async def gateway(self, request: web.Request) -> web.Response:
        return answered({"url": self.gateway_url})

    async def gateway_bot(self, request: web.Request) -> web.Response:
        self.known(request)
        limit = {"total": 1000, "remaining": 999, "reset_after": 14_400_000, "max_concurrency": 1}
        return answered({"url": self.gateway_url, "shards": 1, "session_start_limit": limit})

    async def me(self, request: web.Request) -> web.Response:
        return answered(self.known(request).payload() | {"verified": True, "email": None, "flags": 0})

    async def application(self, request: web.Request) -> web.Response:
        bot = self.known(request)
        owner = next((person for person in self.world.people.values() if not person.bot), bot)
        return answered(
            {
                "id": bot.id, "name": bot.name, "icon": None, "description": "", "summary": "", "bot_public": False,
                "bot_require_code_grant": False, "verify_key": "0" * 64, "owner": owner.payload(), "flags": 1 << 19,
            }
        )  # fmt: skip

    async def user(self, request: web.Request) -> web.Response:
        self.known(request)
        person = self.world.people.get(request.match_info["user"])
        if person is None:
            raise unknown("User")
        return answered(person.payload())

    async def direct(self, request: web.Request) -> web.Response:
        self.known(request)
        person = self.world.people.get(str((await request.json()).get("recipient_id")))
        if person is None or person.bot:
            raise Refusal(400, 50033, "Invalid Recipient(s)")
        return answered(self.world.direct(person).payload())

    async def channel(self, request: web.Request) -> web.Response:
        return answered(self._room(request).payload())

    async def typing(self, request: web.Request) -> web.Response:
        room = self._room(request)
        with self.world.changed:
            room.typed += 1
            self.world.changed.notify_all()
        return web.Response(status=204)

    async def send(self, request: web.Request) -> web.Response:
        room = self._room(request)
        return answered(self.world.post(room, self.world.bot, await body(request)).payload())

    async def history(self, request: web.Request) -> web.Response:
        room = self._room(request)
        limit = int(request.query.get("limit", "50"))
        before, after = request.query.get("before"), request.query.get("after")
        posts = [
            post
            for post in room.posts.values()
            if not post.deleted
            and not post.ephemeral
            and (before is None or int(post.id) < int(before))
            and (after is None or int(post.id) > int(after))
        ]
        chosen = posts[:limit] if after is not None else posts[-limit:]
        return answered([post.payload() for post in reversed(chosen)])

    async def read(self, request: web.Request) -> web.Response:
        return answered(self.world.find(self._room(request), request.match_info["message"]).payload())

    async def edit(self, request: web.Request) -> web.Response:
        post = self.world.find(self._room(request), request.match_info["message"])
        if post.author is not self.world.bot:
            raise Refusal(403, 50005, "Cannot edit a message authored by another user")
        return answered(self.world.edit(post, await body(request)).payload())

    async def delete(self, request: web.Request) -> web.Response:
        post = self.world.find(self._room(request), request.match_info["message"])
        if post.author is not self.world.bot and post.room.recipient:
            raise Refusal(403, 50003, "Cannot execute action on a DM channel")
        self.world.delete(post)
        return web.Response(status=204)


async def body(request: web.Request) -> dict[str, Any]:
    """Return what was sent, with the files of a form as attachments (their bytes under `read`, as text)."""
    if request.content_type != "multipart/form-data":
        sent: dict[str, Any] = await request.json()
        return sent
    form = await request.post()
    sent = json.loads(str(form.get("payload_json", "{}")))
    files = [part for part in form.values() if isinstance(part, web.FileField)]
    attachments = []
    for number, part in enumerate(files):
        text = part.file.read().decode(errors="replace")
        where = f"https://cdn.invalid/{number}/{part.filename}"
        about = {"id": str(number), "filename": part.filename, "size": len(text), "url": where, "proxy_url": where}
        attachments.append(about | {"read": text})
    target = sent.get("data", sent)  # of an interaction's answer, the message is under `data`
    target["attachments"] = attachments
    return sent
