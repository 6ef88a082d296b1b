"""The cluster over HTTP: who is there, who leads, events and the broadcast. Leadership itself is taken at /leases."""

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec
from falcon.asgi import Request, Response

from contract import wire
from contract.errors import InvalidField, RateLimited
from spine.api.body import query_number
from spine.api.core import Core
from spine.queue import cluster
from spine.queue.access import Caller
from spine.queue.once import Answer
from spine.store.engine import Tx

R = TypeVar("R", bound=wire.Request)
F = TypeVar("F", wire.ClusterEvents, wire.ClusterMessages)
_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PAGE = 100
# A commit of another spine on the same store may come without a word: a waiting call looks again by itself.
LOOK_SECONDS = 1.0
# Commits may come by the thousand a second: a waiting call looks at most so often.
_PACE_SECONDS = 0.02


class Cluster:
    """GET /cluster, and what is below it."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def on_get(self, req: Request, resp: Response) -> None:
        """GET /cluster."""
        self._core.auth.caller(req)
        nodes = query_number(req, "nodes", 0, 1) != 0
        self._answer(resp, await self._core.read(lambda tx: cluster.state(tx, nodes)))

    async def on_post_join(self, req: Request, resp: Response, node_id: str) -> None:
        """POST /cluster/nodes/:id/join."""

        def verb(tx: Tx, caller: Caller, asked: wire.JoinCluster) -> wire.Record:
            cluster.join(tx, caller, node_id, asked)
            return cluster.state_of(tx, node_id)

        await self._carry_out(req, resp, wire.JoinCluster, verb, node_id)

    async def on_post_beat(self, req: Request, resp: Response, node_id: str) -> None:
        """POST /cluster/nodes/:id/beat."""

        def verb(tx: Tx, caller: Caller, asked: wire.BeatCluster) -> wire.Record:
            cluster.beat(tx, caller, node_id, asked)
            return cluster.state_of(tx, node_id)

        await self._carry_out(req, resp, wire.BeatCluster, verb, node_id)

    async def on_post_leave(self, req: Request, resp: Response, node_id: str) -> None:
        """POST /cluster/nodes/:id/leave."""

        def verb(tx: Tx, caller: Caller, asked: wire.LeaveCluster) -> wire.Record:
            cluster.leave(tx, caller, node_id, asked.instance)
            return cluster.state_of(tx, node_id)

        await self._carry_out(req, resp, wire.LeaveCluster, verb, node_id)

    async def on_post_ack(self, req: Request, resp: Response, node_id: str) -> None:
        """POST /cluster/nodes/:id/ack."""

        def verb(tx: Tx, caller: Caller, asked: wire.AckCluster) -> wire.Record:
            cluster.acknowledge(tx, caller, node_id, asked.cursor)
            return cluster.state_of(tx, node_id)

        await self._carry_out(req, resp, wire.AckCluster, verb, node_id)

    async def on_get_inbox(self, req: Request, resp: Response, node_id: str) -> None:
        """GET /cluster/nodes/:id/messages."""
        self._core.auth.caller(req)
        node_id, limit = _named(node_id), _limit(req)
        await self._wait(
            req, resp, lambda tx: cluster.receive(tx, node_id, limit), lambda page: bool(page.messages or page.gap)
        )

    async def on_post_sweep(self, req: Request, resp: Response) -> None:
        """POST /cluster/sweep."""
        await self._carry_out(
            req,
            resp,
            wire.SweepCluster,
            lambda tx, _caller, asked: wire.ClusterSwept(node_ids=cluster.sweep(tx, asked.fence)),
        )

    async def on_get_events(self, req: Request, resp: Response) -> None:
        """GET /cluster/events."""
        core = self._core
        core.auth.caller(req)
        cursor, limit = req.get_param("cursor") or None, _limit(req)
        if cursor is None:  # the cursor of now, at once
            self._answer(resp, await core.read(lambda tx: cluster.page(tx, core.store_id, None, limit)))
            return
        await self._wait(
            req,
            resp,
            lambda tx: cluster.page(tx, core.store_id, cursor, limit),
            lambda page: bool(page.events or page.gap),
        )

    async def on_post_events(self, req: Request, resp: Response) -> None:
        """POST /cluster/events."""
        store_id = self._core.store_id

        def verb(tx: Tx, caller: Caller, asked: wire.EmitCluster) -> wire.Record:
            cursor = cluster.emit(tx, caller, store_id, asked)
            return wire.ClusterEvent(cursor=cursor, at_ms=tx.now, type=asked.type, payload=asked.payload)

        await self._carry_out(req, resp, wire.EmitCluster, verb, status=201)

    async def on_post_messages(self, req: Request, resp: Response) -> None:
        """POST /cluster/messages."""
        await self._carry_out(
            req,
            resp,
            wire.SendCluster,
            lambda tx, caller, asked: wire.ClusterSent(cursors=cluster.send(tx, caller, asked)),
            status=201,
        )

    async def on_get_history(self, req: Request, resp: Response) -> None:
        """GET /cluster/history."""
        self._core.auth.caller(req)
        node_id = req.get_param("node") or None
        limit = query_number(req, "limit", 1, wire.CLUSTER_HISTORY_MOST) or PAGE
        if node_id is not None:
            _named(node_id, "node")
        self._answer(resp, await self._core.read(lambda tx: cluster.history(tx, limit, node_id)))

    async def on_post_forget(self, req: Request, resp: Response) -> None:
        """POST /cluster/history/forget."""
        await self._carry_out(
            req,
            resp,
            wire.ForgetCluster,
            lambda tx, _caller, asked: wire.ClusterForgotten(beats=cluster.forget(tx, asked)),
        )

    # --- how a call becomes an answer ------------------------------------------------------------------------------

    async def _carry_out(
        self,
        req: Request,
        resp: Response,
        kind: type[R],
        verb: Callable[[Tx, Caller, R], wire.Record],
        node_id: str = "-",
        status: int = 200,
    ) -> None:
        core = self._core
        caller = core.auth.worker(req)
        if node_id != "-":
            _named(node_id)
        data = await core.body(req)
        asked = core.decode(resp, data, kind, v0=False)

        def run(tx: Tx) -> Answer:
            return Answer(status, msgspec.json.encode(verb(tx, caller, asked)))

        await core.carry_out(req, resp, core.key(req, caller, data) if status == 201 else None, run)

    async def _wait(self, req: Request, resp: Response, look: Callable[[Tx], F], has: Callable[[F], bool]) -> None:
        """Answer with what there is, or wait for it as long as the caller asks. No connection is held meanwhile."""
        core, hub = self._core, self._core.hub
        seconds = query_number(req, "wait", 0, wire.CLUSTER_WAIT_MOST) or 0
        if seconds and hub.streams >= hub.most_streams:
            raise RateLimited("too many streams are open")
        hub.streams += 1
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        try:
            while True:
                news = hub.news()
                found = await core.read(look)
                left = until - loop.time()
                if has(found) or left <= 0 or hub.draining:
                    break
                try:
                    async with asyncio.timeout(min(left, LOOK_SECONDS)):
                        await news.wait()
                    await asyncio.sleep(_PACE_SECONDS)
                except TimeoutError:
                    pass
        finally:
            hub.streams -= 1
        self._answer(resp, found)

    @staticmethod
    def _answer(resp: Response, found: wire.Record) -> None:
        resp.data = msgspec.json.encode(found)
        resp.content_type = "application/json"


def _limit(req: Request) -> int:
    return query_number(req, "limit", 1, wire.CLUSTER_PAGE_MOST) or wire.CLUSTER_PAGE_MOST


def _named(node_id: str, field: str = "nodeId") -> str:
    if not _NODE_ID.fullmatch(node_id):
        raise InvalidField(f"{field}: 1 to 64 letters, digits, '.', '_' or '-', a letter or digit first", field)
    return node_id
