"""What every resource is given: settings, rules, store, hub, blobs, auth; and how a verb becomes an answer."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import falcon.asgi

from contract.errors import InvalidField
from contract.wire import Request
from spine.api import body, problems
from spine.api.auth import Auth
from spine.api.metrics import Metrics
from spine.blobs.base import Blobs
from spine.queue import named
from spine.queue.access import Caller, Principal
from spine.queue.once import Answer, Key, key_of, once
from spine.queue.rules import Rules
from spine.queue.wake import Hub, Waiter
from spine.settings import Settings
from spine.store.engine import Engine, Operation, Refusal, Tx

T = TypeVar("T")
R = TypeVar("R", bound=Request)
Verb = Callable[[Tx], Answer | Refusal]
_KEY_MOST = 255


@dataclass
class Core:
    """The parts of one server process."""

    settings: Settings
    rules: Rules
    store: Engine
    hub: Hub
    blobs: Blobs
    auth: Auth
    metrics: Metrics
    store_id: str
    # Threads of their own: where an object store hangs, nothing else waits for one. A file may take minutes to be sent
    # and holds some parts in memory; readers do not wait for that.
    _keepers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "keep-blob"))
    _readers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16, "read-blob"))

    async def keep_blob(self, call: Callable[[], T]) -> T:
        """Make a call that brings a file to the blobs' place."""
        return await asyncio.get_running_loop().run_in_executor(self._keepers, call)

    async def read_blob(self, call: Callable[[], T]) -> T:
        """Make a call that reads from it."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, call)

    async def write(self, operation: Operation[T], beside: bool = False) -> T:
        """Run an operation; return after its commit. `beside`: others may write meanwhile (see `Engine.write`)."""
        return await self.store.ask(operation, beside)

    async def read(self, operation: Operation[T]) -> T:
        """Run a reading operation."""
        return await asyncio.wrap_future(self.store.read(operation))

    async def reload_tokens(self) -> None:
        """Read machines' tokens again, after a change."""
        await self.read(self.auth.load)
        self.name_targets()

    def list_tokens(self, principals: dict[str, Principal]) -> None:
        """Take what the file of digests says now. From any thread."""
        self.auth.list_anew(principals)
        self.name_targets()

    def name_targets(self) -> None:
        """Let jobs be for every claw that has a token."""
        self.rules.targets.update(self.auth.names())

    async def body(self, req: falcon.asgi.Request) -> bytes:
        """Read a JSON body within the limits of the settings."""
        return await body.read(req, self.settings.body_max_bytes, self.settings.body_seconds)

    def decode(
        self,
        resp: falcon.asgi.Response,
        data: bytes,
        kind: type[R],
        limits: dict[str, int] | None = None,
        v0: bool = True,
    ) -> R:
        """Decode a body; on v0's routes unknown members are ignored and listed in Spine-Ignored."""
        record, ignored = body.decode(data, kind, lenient=v0)
        if ignored:
            listed = ", ".join(name.encode("ascii", "replace").decode() for name in ignored)[:500]
            resp.set_header("Spine-Ignored", "".join(c if c.isprintable() else "?" for c in listed))
        body.limited(record, limits or {})
        return record

    def key(self, req: falcon.asgi.Request, caller: Caller, data: bytes) -> Key | None:
        """Return the request's idempotency key, None when it has none.

        Raises:
            InvalidField
        """
        text = req.get_header("Idempotency-Key")
        if text is None:
            return None
        if not (0 < len(text) <= _KEY_MOST and text.isprintable()):
            raise InvalidField(f"Idempotency-Key: 1 to {_KEY_MOST} printable characters", "Idempotency-Key")
        fence = (req.get_header("X-Spine-Fence") or "").encode()
        return key_of(caller.name, req.method, req.path, text, fence + b"\n" + data)

    def under_lease(self, req: falcon.asgi.Request, operation: Operation[T]) -> Operation[T]:
        """Return an operation that is refused, in its own transaction, when the lease of X-Spine-Lease is over.

        A repeat under an idempotency key is refused too: its first answer is for whoever holds the lease now.

        Raises:
            InvalidField
        """
        token = body.lease_of(req)
        if token is None:
            return operation

        def checked(tx: Tx) -> T:
            named.require(tx, token)
            return operation(tx)

        return checked

    async def carry_out(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, key: Key | None, verb: Verb, beside: bool = False
    ) -> None:
        """Run a verb under its named lease and its idempotency key, if it has them; answer with what it returns."""
        self.reply(resp, await self.write(self.under_lease(req, lambda tx: once(tx, key, verb)), beside))

    def reply(self, resp: falcon.asgi.Response, answer: Answer | Refusal) -> None:
        """Answer with what a verb returned."""
        if isinstance(answer, Refusal):
            self.metrics.refused(answer.error)
            problems.answer(resp, answer.error)
            return
        resp.status = answer.status
        resp.data = answer.body
        resp.content_type = "application/json"
        if answer.replayed:
            resp.set_header("Idempotency-Replayed", "true")


class Pending:
    """Waiting claims by their idempotency key: a repeat takes over the wait of the first."""

    def __init__(self) -> None:
        self._waiting: dict[Key, Waiter] = {}

    def take_over(self, key: Key | None, waiter: Waiter) -> None:
        """Register a waiting claim; the one before it with the same key is told to stop."""
        if key is None:
            return
        before = self._waiting.get(key)
        if before is not None:
            before.supersede()
        self._waiting[key] = waiter

    def done(self, key: Key | None, waiter: Waiter) -> None:
        """Forget a waiting claim."""
        if key is not None and self._waiting.get(key) is waiter:
            del self._waiting[key]
