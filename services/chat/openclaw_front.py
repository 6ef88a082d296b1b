"""The chats of an OpenClaw gateway: what is written there comes by its hook, and its `message` tool says the replies.

It has no buttons: they are said as the words that do the same. Nothing of Discord here.
"""

import asyncio
import hmac
from collections import OrderedDict
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

import aiohttp
import msgspec
import structlog

from chat.settings import OpenClaw
from chat.transport import ACCEPT, APPROVE, CANCEL, REJECT, REWORK, Asked, Button, CannotSay, Front, Reply, key_of
from contract import __version__
from contract.disarm import disarm
from contract.outcall import trust
from contract.retry import RetryPolicy

NAME = "openclaw"
BODY_MOST = 64 * 1024
SAY_SECONDS = 25.0
"""For all tries together: the spine waits 30 s for the answer to a notice."""
RETRIES = RetryPolicy(attempts=3, base_seconds=0.5, cap_seconds=4.0)
_ANSWER_MOST = 64 * 1024
_REMEMBERED = 2000
_AT_ONCE = 64
# A 500 is its tool's: the channel behind it may be back in a moment.
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_NEVER = frozenset({400, 413})
_WRITTEN = {
    ACCEPT: "review accept {job_id}",
    REWORK: "review rework {job_id} <text>",
    APPROVE: "approve {job_id}",
    REJECT: "reject {job_id}",
    CANCEL: "cancel {job_id}",
}
_MEANT = {
    401: "the gateway refuses its token: check OPENCLAW_GATEWAY_TOKEN",
    403: "the gateway does not let its message tool be used: check its policy for tools",
    404: "the gateway does not offer its message tool: check its policy for tools",
    500: "the gateway's message tool failed: its log says why",
}

_log = structlog.get_logger()
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f|]+\Z")]
_To = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the hook tells it; the word before the command is taken off. `direct`: nobody else reads it."""

    id: _To
    channel: _Word
    to: _To
    sender: _Word
    text: Annotated[str, msgspec.Meta(max_length=16_384)]
    account: _Word | None = None
    thread: _Word | None = None
    name: str | None = None
    direct: bool = False


class Chat(NamedTuple):
    """Where a reply goes: a gateway's channel, its account there, the thread, and the chat as that channel names it."""

    channel: str
    to: str
    account: str | None = None
    thread: str | None = None

    def __str__(self) -> str:
        return "|".join((self.channel, self.account or "", self.thread or "", self.to))

    @classmethod
    def of(cls, text: str) -> "Chat":
        """Read what `str` wrote, or `channel:to` as in the settings.

        Raises:
            ValueError
        """
        if "|" not in text:
            channel, _, to = text.partition(":")
            return cls(channel, to)
        channel, account, thread, to = text.split("|", 3)
        return cls(channel, to, account or None, thread or None)


class OpenClawFront:
    """The transport. `seconds`: for all tries of one reply together."""

    name = NAME

    def __init__(self, settings: OpenClaw, retries: RetryPolicy = RETRIES, seconds: float = SAY_SECONDS) -> None:
        self._settings, self._retries, self._seconds = settings, retries, seconds
        self._front: Front | None = None
        self._client: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._said: OrderedDict[str, str] = OrderedDict()

    @property
    def ready(self) -> bool:
        """Whether messages are heard now."""
        return self._front is not None

    @property
    def announces(self) -> bool:
        """Whether it has a place for announcements."""
        return self._settings.announce is not None

    async def run(self, front: Front) -> None:
        """Take what the hook brings, until cancelled."""
        # No proxy of the environment, and no cookies: the token is for the gateway alone.
        connector = aiohttp.TCPConnector(ssl=trust(), limit=8)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, trust_env=False) as self._client:
            self._front = front
            try:
                await asyncio.Event().wait()
            finally:
                self._front = None
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def take(self, authorization: str, body: bytes) -> tuple[int, str]:
        """Take a request of the hook; return a status and, for one that is refused, why.

        202: it is listened to, once for each id; 204: nobody whom we listen to. It waits for nothing.
        """
        status, why = self._take(authorization, body)
        if status >= HTTPStatus.BAD_REQUEST:
            _log.warning("chat.hook_refused", status=int(status), why=why)
        return status, why

    def _take(self, authorization: str, body: bytes) -> tuple[int, str]:
        given, wanted = authorization.encode("utf-8", "surrogateescape"), f"Bearer {self._settings.hook_token}".encode()
        if not hmac.compare_digest(given, wanted):
            return HTTPStatus.UNAUTHORIZED, "the token is not CHAT_HOOK_TOKEN"
        if len(body) > BODY_MOST:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a message has {BODY_MOST} bytes at most"
        try:
            heard = msgspec.json.decode(body, type=Heard)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            return HTTPStatus.BAD_REQUEST, f"not a message of the hook: {e}"
        front = self._front
        if front is None or len(self._tasks) >= _AT_ONCE:
            return HTTPStatus.SERVICE_UNAVAILABLE, "not now"
        if not front.may_press(NAME, f"{heard.channel}:{heard.sender}"):
            return HTTPStatus.NO_CONTENT, ""
        known = (heard.channel, heard.account or "", heard.to, heard.id)
        if known not in self._heard:
            _remember(self._heard, known, None)
            task = asyncio.create_task(front.asked(_asked(heard), self))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return HTTPStatus.ACCEPTED, ""

    async def say(self, channel_id: str, reply: Reply, key: str, answers: str | None = None) -> str:
        """Say a reply in the chat that `channel_id` stands for; return the new message's id.

        Under a key that was said it is not said again. The gateway knows no key: where its answer was lost, the same
        may be said twice.

        Raises:
            CannotSay
        """
        if key in self._said:
            return self._said[key]
        text = disarm(reply.text) + "".join(f"\n{line}" for line in in_words(reply.buttons, self._settings.prefix))
        said = await self._send(Chat.of(channel_id), text, key)
        _remember(self._said, key, said)
        return said

    async def announce(self, reply: Reply, key: str) -> None:
        """Say it in the chat for announcements.

        Raises:
            CannotSay
        """
        if self._settings.announce is None:
            raise CannotSay("OPENCLAW_ANNOUNCE is not set", for_good=True)
        await self.say(self._settings.announce, reply, key)

    async def _send(self, chat: Chat, text: str, key: str) -> str:
        args = {"action": "send", "channel": chat.channel, "target": chat.to, "message": text}
        args |= {} if chat.account is None else {"accountId": chat.account}
        args |= {} if chat.thread is None else {"threadId": chat.thread}
        body = msgspec.json.encode({"tool": "message", "args": args, "idempotencyKey": key})
        waits, why = self._retries.waits(), "the gateway did not answer in time"
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    status, after, answer = await self._call(body, key)
                    if status == HTTPStatus.OK:
                        return _message_id(answer)
                    why = meaning(status) if status else str(answer)
                    wait = next(waits, None)
                    if wait is None or (status and status not in _AGAIN):
                        raise CannotSay(why, for_good=status in _NEVER)
                    _log.info("chat.say_again", transport=NAME, why=why)
                    await asyncio.sleep(max(wait, after))
        except TimeoutError as e:
            raise CannotSay(why) from e

    async def _call(self, body: bytes, key: str) -> tuple[int, float, Any]:
        """Call the tool; return status, what Retry-After asks for (s), and the answer. Status 0: none came, and why."""
        if self._client is None:
            raise CannotSay("the chats of the gateway are not up yet")
        headers = {
            "Authorization": f"Bearer {self._settings.token}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
            "User-Agent": f"spinal-cord/{__version__}",
        }
        url = f"{self._settings.url}/tools/invoke"
        try:
            async with self._client.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                wait = answer.headers.get("Retry-After", "")
                found = b""
                while len(found) < _ANSWER_MOST and (piece := await answer.content.readany()):
                    found += piece
                return answer.status, float(wait) if wait.isdecimal() else 0.0, found
        except aiohttp.ClientError as e:
            return 0, 0.0, f"the gateway cannot be reached: {type(e).__name__}"


def meaning(status: int) -> str:
    """Say what an answer of the message tool means that is no success."""
    return _MEANT.get(status, f"the gateway answered {status}")


def in_words(buttons: tuple[Button, ...], prefix: str) -> list[str]:
    """Return a line for each button: its label, and what is written instead of pressing it."""
    return [f"{b.label}: `{prefix} {_WRITTEN[b.verb].format(job_id=b.job_id)}`" for b in buttons]


def _asked(heard: Heard) -> Asked:
    chat = str(Chat(heard.channel, heard.to, heard.account, heard.thread))
    user, name = f"{heard.channel}:{heard.sender}", (heard.name or heard.sender)[:200]
    # A chat service may count its messages anew in each chat.
    return Asked(NAME, user, name, chat, key_of(chat, heard.id), heard.text, heard.direct)


def _message_id(answer: bytes) -> str:
    """Return the id of what was said; empty where the channel gives none.

    Raises:
        CannotSay: the gateway can answer 200 and not have done it.
    """
    try:
        found = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict) or found.get("ok") is not True:
        raise CannotSay("the gateway answered 200 without ok: true; is OPENCLAW_GATEWAY_URL a gateway's?")
    result = found.get("result")
    details = result.get("details") if isinstance(result, dict) else None
    said = details.get("messageId") if isinstance(details, dict) else None
    return said if isinstance(said, str) else ""


def _remember(known: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    known[key] = value
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
