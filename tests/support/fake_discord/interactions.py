"""Presses of buttons and submitted modals: how they reach a client, and the ways in which it may answer them."""

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from tests.support.fake_discord.faults import answered
from tests.support.fake_discord.forms import (
    BUTTON,
    EPHEMERAL,
    LOADING,
    Refusal,
    check_message,
    check_modal,
    invalid,
    unknown,
)
from tests.support.fake_discord.rest import BASE, body
from tests.support.fake_discord.shapes import Person, Post, Room
from tests.support.fake_discord.world import World

PRESSED, SUBMITTED = 3, 5
"""Types of interactions."""
SAY, THINK, KEEP, UPDATE, ASK = 4, 5, 6, 7, 9
"""Types of answers: a message; one later; an update later; an update of the message; a modal."""
ANSWERS_WITHIN = 15 * 60.0
"""How long an interaction's token is good, in seconds."""


@dataclass(eq=False)
class Interaction:
    """One press or submit. `answers`: types of the callbacks that were taken; `refused`: codes of the others."""

    world: World = field(repr=False)
    id: str
    kind: int
    person: Person
    room: Room
    post: Post | None
    data: dict[str, Any]
    token: str = field(default_factory=lambda: uuid.uuid4().hex, repr=False)
    born: float = field(default_factory=time.monotonic)
    answers: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    answered_after: float = 0.0
    """Seconds until the first answer."""
    modal: dict[str, Any] | None = None
    original: Post | None = None
    """The message that answers it: a new one, or the one whose button was pressed where that is updated."""
    followups: list[Post] = field(default_factory=list)

    def payload(self) -> dict[str, Any]:
        room = self.room
        whole: dict[str, Any] = {
            "id": self.id,
            "application_id": self.world.bot.id,
            "type": self.kind,
            "token": self.token,
            "version": 1,
            "data": self.data,
            "channel": room.payload(),
            "channel_id": room.id,
            "locale": "en-US",
            "app_permissions": "2147483647",
            "entitlements": [],
            "entitlement_sku_ids": [],
            "authorizing_integration_owners": {"0": room.guild_id or "0"},
            "context": 0 if room.guild_id else 1,
            "attachment_size_limit": 10_485_760,
        }
        if self.post is not None:
            whole["message"] = self.post.payload()
        if room.guild_id is None:
            return whole | {"user": self.person.payload()}
        member = self.person.member() | {"user": self.person.payload(), "permissions": "2147483647"}
        guild = {"id": room.guild_id, "locale": "en-US", "features": []}
        return whole | {"guild_id": room.guild_id, "guild": guild, "guild_locale": "en-US", "member": member}


class Interactions:
    """Keeps them, and answers their routes. `patience`: seconds within which the first answer has to come."""

    def __init__(self, world: World) -> None:
        self.world = world
        # The real one waits for 3 s. Tests on a busy machine shall not fail by that: those about it set it.
        self.patience = 60.0
        self.all: dict[str, Interaction] = {}

    def press(self, person: Person, post: Post, custom_id: str) -> Interaction:
        data = {"custom_id": custom_id, "component_type": BUTTON, "id": 1}
        return self._tell(Interaction(self.world, self.world.snowflake(), PRESSED, person, post.room, post, data))

    def submit(self, asked: Interaction, components: list[dict[str, Any]]) -> Interaction:
        assert asked.modal is not None
        data = {"custom_id": asked.modal["custom_id"], "components": components}
        key = self.world.snowflake()
        return self._tell(Interaction(self.world, key, SUBMITTED, asked.person, asked.room, asked.post, data))

    def _tell(self, one: Interaction) -> Interaction:
        with self.world.changed:
            self.all[one.token] = one
            self.world.changed.notify_all()
        self.world.emit("INTERACTION_CREATE", one.payload(), 0)
        return one

    def routes(self) -> list[web.RouteDef]:
        hook = f"{BASE}/webhooks/{{application}}/{{token}}"
        return [
            web.post(f"{BASE}/interactions/{{interaction}}/{{token}}/callback", self.callback, name="callback"),
            web.post(hook, self.follow_up, name="followup"),
            web.get(f"{hook}/messages/{{message}}", self.read, name="original_read"),
            web.patch(f"{hook}/messages/{{message}}", self.edit, name="original"),
            web.delete(f"{hook}/messages/{{message}}", self.delete, name="original_delete"),
        ]

    async def callback(self, request: web.Request) -> web.Response:
        one = self.all.get(request.match_info["token"])
        if one is None or one.id != request.match_info["interaction"]:
            raise unknown("Interaction")
        sent = await body(request)
        try:
            if one.answers:
                raise Refusal(400, 40060, "Interaction has already been acknowledged.")
            if time.monotonic() - one.born > self.patience:
                raise unknown("Interaction")
            self._answer(one, sent)
        except Refusal as e:
            with self.world.changed:
                one.refused.append(e.code)
                self.world.changed.notify_all()
            raise
        if request.query.get("with_response") not in ("1", "true"):
            return web.Response(status=204)
        return answered(self._response(one))

    def _response(self, one: Interaction) -> dict[str, Any]:
        about: dict[str, Any] = {"id": one.id, "type": one.kind}
        resource: dict[str, Any] = {"type": one.answers[0]}
        if one.original is not None:
            about |= {
                "response_message_id": one.original.id,
                "response_message_loading": one.original.loading,
                "response_message_ephemeral": one.original.ephemeral,
            }
            resource["message"] = one.original.payload()
        return {"interaction": about, "resource": resource}

    def _answer(self, one: Interaction, sent: dict[str, Any]) -> None:
        kind, data = sent.get("type"), sent.get("data") or {}
        flags = data.get("flags", 0) & EPHEMERAL
        if kind == SAY:
            one.original = self.world.post(one.room, self.world.bot, data, flags)
        elif kind == THINK:
            one.original = self.world.post(one.room, self.world.bot, {}, flags | LOADING)
        elif kind in (KEEP, UPDATE) and one.post is not None:
            one.original = one.post
            if kind == UPDATE:
                check_message(data, editing=True)
                self.world.edit(one.post, data)
        elif kind == ASK and one.kind == PRESSED:
            check_modal(data)
            one.modal = data
        else:
            raise invalid("type", "BASE_TYPE_CHOICES", "This answer does not fit the interaction.")
        with self.world.changed:
            one.answers.append(kind)
            one.answered_after = time.monotonic() - one.born
            self.world.changed.notify_all()

    def _live(self, request: web.Request) -> Interaction:
        one = self.all.get(request.match_info["token"])
        if one is None or not one.answers or request.match_info["application"] != self.world.bot.id:
            raise unknown("Webhook")
        if time.monotonic() - one.born > ANSWERS_WITHIN:
            raise Refusal(401, 50027, "Invalid Webhook Token")
        return one

    def _post(self, one: Interaction, message: str) -> Post:
        if message == "@original":
            if one.original is None:
                raise unknown("Message")
            return one.original
        found = next((post for post in [one.original, *one.followups] if post is not None and post.id == message), None)
        if found is None or found.deleted:
            raise unknown("Message")
        return found

    async def follow_up(self, request: web.Request) -> web.Response:
        one = self._live(request)
        sent = await body(request)
        if one.original is not None and one.original.loading:
            return answered(self.world.edit(one.original, sent).payload())
        post = self.world.post(one.room, self.world.bot, sent, sent.get("flags", 0) & EPHEMERAL)
        with self.world.changed:
            one.followups.append(post)
            self.world.changed.notify_all()
        return answered(post.payload())

    async def read(self, request: web.Request) -> web.Response:
        return answered(self._post(self._live(request), request.match_info["message"]).payload())

    async def edit(self, request: web.Request) -> web.Response:
        post = self._post(self._live(request), request.match_info["message"])
        return answered(self.world.edit(post, await body(request)).payload())

    async def delete(self, request: web.Request) -> web.Response:
        self.world.delete(self._post(self._live(request), request.match_info["message"]))
        return web.Response(status=204)
