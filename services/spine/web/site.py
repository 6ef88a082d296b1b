"""The dashboard's application: which page is where, who may look, how it is sent."""

import gzip
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

import falcon.asgi
from falcon.asgi import Request, Response

from contract import __version__
from contract.errors import InvalidField, NotFound, SpineError, Unauthorized
from spine.api import problems
from spine.api.auth import PAGE_HEADER, SESSION_COOKIE
from spine.api.core import Core
from spine.queue import history
from spine.queue.access import Principal
from spine.store.engine import Tx
from spine.web import board, door, job, jobs, machines, notices, schedules
from spine.web.asked import Asked
from spine.web.figures import Figures
from spine.web.page import Page, render
from spine.web.static import Static

App = falcon.asgi.App[Any, Any]
HTML = "text/html; charset=utf-8"
# Below this a compressed page is hardly smaller.
COMPRESSED_FROM = 1_000
# Nothing from elsewhere, nothing inline; forms go to us, and nobody frames us.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; "
    "trusted-types spine"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # without one a form says that it comes from nowhere
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class _View(NamedTuple):
    """A page: its template, its name in the navigation, and what makes it from the store."""

    template: str
    nav: str
    look: Callable[[Tx, Principal, Asked], dict[str, Any]]


class Site:
    """The pages behind the sign-in."""

    def __init__(self, core: Core) -> None:
        self._core = core
        figures = Figures(core.store)
        self._views = {
            "board": _View("board.html", "board", lambda tx, who, _: board.look(tx, who, figures)),
            "jobs": _View("jobs.html", "jobs", lambda tx, _, asked: jobs.look(tx, core.store_id, asked)),
            "job": _View("job.html", "jobs", lambda tx, who, asked: job.look(tx, who, asked.one("job_id"))),
            "machines": _View("machines.html", "machines", lambda tx, _, __: machines.look(tx, core.rules.targets)),
            "schedules": _View(
                "schedules.html", "schedules", lambda tx, _, asked: schedules.look(tx, core.store_id, asked)
            ),
            "notices": _View("notices.html", "notices", lambda tx, _, asked: notices.look(tx, core.store_id, asked)),
            "dead": _View("dead.html", "dead", lambda tx, _, asked: jobs.look_at_dead(tx, core.store_id, asked)),
        }

    async def on_get_board(self, req: Request, resp: Response) -> None:
        """GET /ui."""
        await self._show("board", req, resp)

    async def on_get_jobs(self, req: Request, resp: Response) -> None:
        """GET /ui/jobs."""
        await self._show("jobs", req, resp)

    async def on_get_job(self, req: Request, resp: Response, job_id: str) -> None:
        """GET /ui/jobs/:id."""
        await self._show("job", req, resp, job_id=job_id)

    async def on_get_machines(self, req: Request, resp: Response) -> None:
        """GET /ui/machines."""
        await self._show("machines", req, resp)

    async def on_get_schedules(self, req: Request, resp: Response) -> None:
        """GET /ui/schedules."""
        await self._show("schedules", req, resp)

    async def on_get_notices(self, req: Request, resp: Response) -> None:
        """GET /ui/notices."""
        await self._show("notices", req, resp)

    async def on_get_dead(self, req: Request, resp: Response) -> None:
        """GET /ui/dead."""
        await self._show("dead", req, resp)

    async def _show(self, name: str, req: Request, resp: Response, **parts: str) -> None:
        core = self._core
        principal = await door.signed_in(core, req)
        if not principal.oversees:
            raise Unauthorized("the dashboard is for heads and viewers")
        view = self._views[name]
        asked = Asked(dict(req.params) | parts)

        def make(tx: Tx) -> bytes:
            page = Page(
                nav=view.nav,
                principal=principal,
                now=tx.now,
                cursor=history.newest(tx, core.store_id),
                base=base_of(core, req),
                path=req.relative_uri,
                version=__version__,
            )
            return render(view.template, page, view.look(tx, principal, asked))

        send(req, resp, await core.read(make))


def base_of(core: Core, req: Request) -> str:
    """Return the server's address as people reach it. A proxy's word is enough for what only the asker is shown."""
    if core.settings.public_url:
        return core.settings.public_url.rstrip("/")
    return f"{'https' if req.forwarded_scheme == 'https' else req.scheme}://{req.netloc}"


def send(req: Request, resp: Response, body: bytes) -> None:
    """Answer with a page."""
    resp.content_type = HTML
    resp.set_header("Cache-Control", "no-store")
    resp.set_header("Vary", "Accept-Encoding")
    if len(body) >= COMPRESSED_FROM and "gzip" in (req.get_header("Accept-Encoding") or ""):
        body = gzip.compress(body, 5)
        resp.set_header("Content-Encoding", "gzip")
    resp.data = body


class _Headers:
    """Middleware: what every answer carries."""

    async def process_response(self, req: Request, resp: Response, resource: object, req_succeeded: bool) -> None:
        resp.set_headers(HEADERS)


def _plain(template: str, **values: Any) -> bytes:
    return render(template, Page(version=__version__), values)


def build(core: Core) -> App:
    """Build the application; its paths begin with /ui."""
    app: App = falcon.asgi.App(middleware=[_Headers()])
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.keep_blank_qs_values = False
    app.req_options.auto_parse_qs_csv = False

    async def refuse(req: Request, resp: Response, error: SpineError, params: dict[str, Any], **_: Any) -> None:
        core.metrics.refused(error)
        if req.get_header(PAGE_HEADER) is not None:  # one of our programs asks, not a person
            problems.answer(resp, error)
            return
        if isinstance(error, Unauthorized) and req.path != door.PATH:
            if not req.get_cookie_values(SESSION_COOKIE) and req.get_header("Sec-Fetch-Site") == "cross-site":
                # A strict cookie does not come along with a link from elsewhere; with the page's own reload it does.
                send(req, resp, _plain("again.html", path=req.relative_uri))
                return
            resp.status, resp.location = 303, f"{door.PATH}?next={quote(req.relative_uri, safe='')}"
            resp.set_header("Cache-Control", "no-store")
            return
        status, _body = problems.document(error)
        resp.status = status
        title = (type(error).__doc__ or "").strip().splitlines()[0]
        send(req, resp, _plain("error.html", status=status, title=title, detail=error.detail))

    async def unknown(req: Request, resp: Response, error: falcon.HTTPError, params: dict[str, Any], **_: Any) -> None:
        if error.status_code in (404, 405):
            await refuse(req, resp, NotFound(f"there is no page {req.path[:100]}"), params)
            return
        await refuse(req, resp, InvalidField(error.description or error.title or "", "request"), params)

    async def failed(req: Request, resp: Response, error: Exception, params: dict[str, Any], **_: Any) -> None:
        problems.log_fault(req, error)
        resp.status = 500
        send(req, resp, _plain("error.html", status=500, title="The server failed", detail="Its log says why."))

    app.add_error_handler(Exception, failed)
    app.add_error_handler(falcon.HTTPError, unknown)
    app.add_error_handler(SpineError, refuse)
    site, static = Site(core), Static()
    for path, suffix in (
        ("/ui", "board"),
        ("/ui/jobs", "jobs"),
        ("/ui/jobs/{job_id}", "job"),
        ("/ui/machines", "machines"),
        ("/ui/schedules", "schedules"),
        ("/ui/notices", "notices"),
        ("/ui/dead", "dead"),
    ):
        app.add_route(path, site, suffix=suffix)
    app.add_route(door.PATH, door.Door(core, send))
    app.add_route("/ui/sign-out", door.Door(core, send), suffix="out")
    app.add_route("/ui/static/{name}", static)
    return app
