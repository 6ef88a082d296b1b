"""The application: parts put together, routes, start and stop. Nothing happens at import."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import falcon
import falcon.asgi
import falcon.media
import structlog
from falcon.asgi import Request, Response

from contract.clock import Clock, SystemClock
from spine.api import asked, problems, routes
from spine.api.auth import Auth
from spine.api.blobs import Blobs
from spine.api.body import known_query
from spine.api.cluster import Cluster
from spine.api.core import Core
from spine.api.documents import Documents
from spine.api.events import Events
from spine.api.groups import Groups as GroupResource
from spine.api.intake import intake
from spine.api.jobs import Jobs
from spine.api.leases import Leases
from spine.api.logs import Logs
from spine.api.machines import Machines
from spine.api.messages import Messages
from spine.api.metrics import SHARE_SECONDS, Metrics
from spine.api.named import NamedLeases
from spine.api.notices import Notices
from spine.api.ops import Ops
from spine.api.reviews import Reviews
from spine.api.schedules import Schedules
from spine.blobs.base import Blobs as BlobPlace
from spine.blobs.base import BlobsUnusable
from spine.blobs.disk import DiskBlobs, listed
from spine.digests import Mistaken
from spine.facades import broker, skyclaw
from spine.facades.front import Front, Fronts
from spine.keeper import DigestsFile, Keeper, Reaper, Retention
from spine.lookout import WAIT_SECONDS, Lookout
from spine.notices.book import ALIASES_SECONDS, Book
from spine.notices.sender import PRUNE_SECONDS, Sender, Sending
from spine.operations.manifest import BLOBS
from spine.operations.opening import refuse_left_behind
from spine.operations.regular import Backups
from spine.queue.notices import Patience
from spine.queue.rules import Rules
from spine.queue.wake import Hub
from spine.settings import Settings
from spine.siblings import Siblings
from spine.store import lineage, meta
from spine.store.engine import Engine, Signals
from spine.store.lock import take_lock
from spine.store.sqlite import SqliteEngine
from spine.turns import Firing
from spine.watching import GROUPS_SECONDS, Groups
from spine.web import site

if TYPE_CHECKING:  # an extra brings what it needs
    from spine.store.hints import Hints
    from spine.traces import Traces

_log = structlog.get_logger()
App = falcon.asgi.App[Any, Any]


class Server:
    """One server process: builds the parts, starts the ticks with the event loop, stops them with it.

    `locked`: whoever started this process holds the data directory for it. `worker`: which of those that serve
    together this one is; `siblings`: what these show each other.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        locked: bool = False,
        worker: int = 0,
        siblings: Siblings | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.settings = settings
        self.store = self._open_store(locked)
        rules = Rules(
            lease_ms=settings.lease_seconds * 1000,
            accept_lease_ms=settings.accept_lease_seconds * 1000,
            default_max_attempts=settings.default_max_attempts,
            targets=set(),
            log_max_bytes=settings.log_max_bytes,
        )
        self.store.on_rollback = rules.forget
        self.hub = Hub(rules.lanes.lane, settings.waiters_max, settings.streams_max)
        metrics = Metrics(self.store, self.hub, settings.data_dir, worker, siblings)
        try:
            files = self._open_blobs(metrics)
        except BlobsUnusable:
            self.store.close()
            raise
        self.core = Core(
            settings=settings,
            rules=rules,
            store=self.store,
            hub=self.hub,
            blobs=files,
            auth=Auth(settings.principals, self.clock),
            metrics=metrics,
            store_id=self.store.write(meta.store_id).result(timeout=30),
        )
        self.store.read(self.core.auth.load).result(timeout=30)
        digests = None
        if settings.token_digests is not None:
            digests = DigestsFile(settings.token_digests, self.core.list_tokens)
            try:
                digests.look()
            except Mistaken:
                self.store.close()
                raise
        self.core.name_targets()
        shared = settings.database_url is not None
        interval = settings.reaper_interval_ms
        self.reaper = Reaper(self.store, rules, self.clock, interval, metrics.lease_expired.inc, shared)
        self.firing = Firing(self.store, rules, self.clock)
        old = Retention(self.store, files, settings.data_dir, settings.retention_days)
        self.keeper = Keeper(self.store, files, self.reaper, old, digests, self.firing)
        self.book, self.sender = self._notices(rules, metrics)
        self.hints: Hints | None = None
        self.traces = self._traces(metrics)
        self.keeper.every(GROUPS_SECONDS, Groups(self.store).turn, "groups")
        if siblings is not None:
            self.keeper.every(SHARE_SECONDS, metrics.share, "figures")
        self.backups = None
        if settings.backups is not None:
            self.backups = Backups(settings.backups, settings.data_dir, self.clock, *metrics.backups())

    def _open_store(self, locked: bool) -> Engine:
        """Open the embedded store, or the one in a database, of which the folder keeps the blobs alone."""
        folder, url = self.settings.data_dir, self.settings.database_url
        if url is None:
            return SqliteEngine(folder, self.clock)
        from spine.store.postgres import PostgresEngine  # an extra brings what it needs

        if not locked:
            hold(folder)
        refuse_left_behind(folder, url)
        return PostgresEngine(url, memory=folder / lineage.FILE)

    def _open_blobs(self, metrics: Metrics) -> BlobPlace:
        """Open where blobs are kept: the folder, or an object store, which several servers may share.

        Raises:
            BlobsUnusable
        """
        s = self.settings
        root = s.data_dir / BLOBS
        if s.blob_place is None:
            if s.database_url is not None:
                _log.warning(
                    "blobs.on_disk", hint="for one spine, or several that share the folder; SPINE_BLOB_URL for others"
                )
            return DiskBlobs(root, s.blob_max_bytes)
        from spine.blobs.objects import ObjectBlobs  # an extra brings what it needs

        count = metrics.blobs()

        def failed(what: str) -> None:
            _log.error("blobs.failed", error=what)
            count()

        found = ObjectBlobs(s.blob_place, root, s.blob_max_bytes, failed)
        found.check()
        if next(listed(root), None) is not None:
            _log.warning("blobs.left_on_disk", folder=str(root), hint="not served; `spine blobs copy`, then delete it")
        return found

    def _hints(self, loop: asyncio.AbstractEventLoop) -> "Hints | None":
        """Build what hears of other servers on the same database, and tells them."""
        if self.settings.database_url is None:
            return None
        from spine.store.hints import Hints
        from spine.store.postgres import PostgresEngine

        def heard(signals: Signals) -> None:
            if signals.tokens:
                self.store.read(self.core.auth.load).result(timeout=WAIT_SECONDS)
                self.core.name_targets()
            loop.call_soon_threadsafe(self.hub.committed, signals)

        if not isinstance(self.store, PostgresEngine):
            return None
        return Hints(self.store.servers, heard, Lookout(self.store).look)

    def _traces(self, metrics: Metrics) -> "Traces | None":
        """Build what tells a collector of the jobs' steps."""
        if self.settings.collector is None:
            return None
        from spine.traces import Traces  # an extra brings what it needs

        return Traces(self.settings.collector, metrics.spans())

    def _notices(self, rules: Rules, metrics: Metrics) -> tuple[Book, Sender]:
        """Build what tells the world: the aliases, and the sender of what waits in the outbox."""
        s = self.settings
        sending = Sending(
            timeout_seconds=s.notice_timeout_seconds,
            patience=Patience(s.notice_retry_seconds * 1000, s.notice_give_up_hours * 3_600_000),
            origin=s.public_url or f"urn:spine:{self.core.store_id}",
            base=s.public_url,
            keep_days=s.notice_keep_days,
        )

        def adopted(faults: dict[str, str | None]) -> None:
            rules.aliases.faults = faults
            sender.kick()

        book = Book(s.notices_file, adopted)
        sender = Sender(self.store, lambda: book.entries, sending, metrics.notice)
        book.turn()
        self.keeper.every(ALIASES_SECONDS, book.turn, "aliases")
        self.keeper.every(PRUNE_SECONDS, sender.prune, "notices")
        self.keeper.every(PRUNE_SECONDS, self.firing.prune, "occurrences")
        return book, sender

    # --- middleware (Falcon calls these by name) ---------------------------------------------------------------------

    async def process_startup(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        """Begin: excuse leases that ended while no server ran, then tick."""
        loop = asyncio.get_running_loop()
        self.hints = self._hints(loop)

        def tell(signals: Signals) -> None:
            loop.call_soon_threadsafe(self.hub.committed, signals)
            if signals.notices:
                self.sender.kick()
            if self.hints is not None:
                self.hints.tell(signals)
            self.core.metrics.committed(signals)
            if self.traces is not None:
                self.traces.committed(signals)

        await asyncio.to_thread(self.reaper.begin)
        self.hub.deadlines = self.reaper.hint
        self.hub.firings = self.firing.hint
        self.store.on_commit = tell
        self.keeper.start()
        self.sender.start()
        if self.traces is not None:
            self.traces.start()
        if self.backups is not None:
            self.backups.start()
        if self.hints is not None:
            self.hints.start()
        place = self.settings.blob_place
        where = {} if place is None else {"blobs": place.url}
        _log.info("spine.serving", data_dir=str(self.settings.data_dir), **where)

    async def process_shutdown(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        """End: no ticks, then the store. The sender first, lest its deletion of old notices is waited for."""
        if self.hints is not None:
            await asyncio.to_thread(self.hints.stop)
        await asyncio.to_thread(self.sender.stop)
        await asyncio.to_thread(self.keeper.stop)
        if self.backups is not None:
            await asyncio.to_thread(self.backups.stop)
        self.store.on_commit = lambda _signals: None
        await asyncio.to_thread(self.store.close)
        if self.traces is not None:
            await asyncio.to_thread(self.traces.stop)
        folded = self.store.folded if isinstance(self.store, SqliteEngine) else None
        if folded is not None:
            tell = _log.info if folded.whole else _log.warning  # what is left in the log the next start reads
            tell("store.checkpoint", kind="truncate", **folded._asdict())
        _log.info("spine.stopped")

    async def process_resource(self, req: Request, resp: Response, resource: object, params: dict[str, Any]) -> None:
        """Note the route; refuse names in the query string that the table of routes does not have."""
        about = asked.of(req.scope)
        about.route = req.uri_template
        if "job_id" in params:
            about.note(job_id=params["job_id"])
        known = routes.QUERIES.get((req.uri_template or "", req.method)) if req.query_string else None
        if known is not None:
            known_query(req, *known)


def hold(folder: Path) -> None:
    """Hold the data directory of a server whose store is elsewhere, until this process and those forked from it end.

    Raises:
        DataDirBusy, OSError
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    take_lock(folder)


# The table in short: path, noun, suffix and who may call. In full it stands in `spine.api.routes`.
ROUTES: tuple[tuple[str, str, str, str], ...] = tuple(route[:4] for route in routes.ROUTES)


class _WatchedApp(falcon.asgi.App[Any, Any]):
    """Falcon's application on top of our intake."""

    body_seconds = 30.0
    fronts = Fronts([])
    answered: Callable[[str, str, int, float], None]

    async def __call__(  # type: ignore[override]
        self, scope: dict[str, Any], receive: Any, send: Any
    ) -> None:
        if scope["type"] == "http":
            request = asked.begin(scope)
            send = self._watched(request, scope["method"], send)
            receive = intake(scope, receive, self.body_seconds)
            foreign = self.fronts.of(scope)
            if foreign is not None:
                app, seen, request.route = foreign
                await app(seen, receive, send)
                return
        await super().__call__(scope, receive, send)

    def _watched(self, request: asked.Asked, method: str, send: Any) -> Any:
        """Return `send` that names the request in its answer, and looks at when that begins.

        What is sent of it for hours is no time to answer.
        """
        begun, answered = time.perf_counter(), self.answered

        async def watched(event: dict[str, Any]) -> None:
            if event["type"] == "http.response.start":
                took = time.perf_counter() - begun
                answered(request.route or "none", method, event["status"], took)
                request.tell(method, event["status"], took)
                event["headers"] = [*event["headers"], (asked.NAME, request.id.encode())]
            await send(event)

        return watched


def other_fronts(core: Core, app: App) -> Fronts:
    """Build what is not our API: the dashboard, agents' tools, foreign dialects. Which paths are whose, what is cut."""
    found = [Front(site.build(core), {"/ui": ""}, 0)]
    if core.settings.mcp:
        from spine.mcp import endpoint  # an extra brings what it needs

        tools = endpoint.Endpoint(core, app)
        app.add_middleware(tools)
        found.append(Front(endpoint.build(core, tools), {"/mcp": ""}, 0))
    if core.settings.skyclaw is not None:
        known = {"/skyclaw": "/skyclaw", "/v1": ""}
        found.append(Front(skyclaw.build(core, core.settings.skyclaw), known, core.settings.skyclaw.port))
    if core.settings.broker is not None:
        found.append(Front(broker.build(core, core.settings.broker), {"/broker": "/broker"}, core.settings.broker.port))
    return Fronts(found)


def create_app(server: Server) -> App:
    """Build the ASGI application of a server."""
    core = server.core
    lifespan: Any = server
    app = _WatchedApp(middleware=[lifespan])
    app.body_seconds = server.settings.body_seconds
    app.answered = core.metrics.answered
    app.fronts = other_fronts(core, app)
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.keep_blank_qs_values = True
    form = falcon.media.MultipartFormHandler()
    form.parse_options.max_body_part_buffer_size = 64 * 1024
    form.parse_options.max_body_part_count = 16
    app.req_options.media_handlers = falcon.media.Handlers({falcon.MEDIA_MULTIPART: form})
    problems.install(app, core.metrics.refused)
    resources = {
        "ops": Ops(core, server.clock),
        "documents": Documents(core),
        "jobs": Jobs(core),
        "leases": Leases(core),
        "events": Events(core),
        "logs": Logs(core),
        "blobs": Blobs(core),
        "reviews": Reviews(core),
        "machines": Machines(core),
        "groups": GroupResource(core),
        "messages": Messages(core),
        "named": NamedLeases(core),
        "cluster": Cluster(core),
        "notices": Notices(core, server.book),
        "schedules": Schedules(core),
    }
    for path, noun, suffix, _who in ROUTES:
        app.add_route(path, resources[noun], suffix=suffix or None)
    return app
