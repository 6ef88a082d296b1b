"""Signing in by pasting a token, and out. A browser holds the name of a session, never the token."""

import secrets
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from falcon.asgi import Request, Response

from contract import __version__
from contract.errors import Forbidden, InvalidField, Unauthorized
from contract.ids import token_digest
from spine.api import body
from spine.api.auth import SESSION_COOKIE
from spine.api.core import Core
from spine.queue.access import Principal
from spine.store import sessions
from spine.web.page import Page, render

PATH = "/ui/sign-in"
HOME = "/ui"
_FORM_MOST = 8192
_TOKEN_MOST = 1024
_SESSION_BYTES = 32


async def signed_in(core: Core, req: Request) -> Principal:
    """Return who is signed in. A session that is not known here may have begun at another server a moment ago.

    Raises:
        Unauthorized, RateLimited
    """
    if req.get_cookie_values(SESSION_COOKIE) and not core.auth.knows_session(req):
        core.auth.guessed(req)  # whoever makes names up does not have the store read each time
        await core.read(core.auth.load)
    return core.auth.caller(req).principal


class Door:
    """/ui/sign-in and /ui/sign-out."""

    def __init__(self, core: Core, send: Callable[[Request, Response, bytes], None]) -> None:
        self._core, self._send = core, send

    async def on_get(self, req: Request, resp: Response) -> None:
        """Ask for a token; who is signed in is led on."""
        following = _next(req.get_param("next"))
        if req.get_cookie_values(SESSION_COOKIE):
            try:
                await signed_in(self._core, req)
            except Unauthorized:
                pass
            else:
                resp.status, resp.location = 303, following
                return
        self._ask(req, resp, following)

    def _ask(self, req: Request, resp: Response, following: str, fault: str = "", status: int = 200) -> None:
        resp.status = status
        self._send(req, resp, render("sign-in.html", Page(version=__version__), {"next": following, "fault": fault}))

    async def on_post(self, req: Request, resp: Response) -> None:
        """Take a token; begin a session."""
        core = self._core
        _same_origin(req)
        form = parse_qs((await body.read(req, _FORM_MOST, core.settings.body_seconds)).decode("utf-8", "replace"))
        token, following = form.get("token", [""])[0].strip(), _next(form.get("next", [""])[0])
        if not 0 < len(token) <= _TOKEN_MOST:
            self._ask(req, resp, following, "Paste a token: it stands where the spine was set up.", 422)
            return
        digest = token_digest(token)
        try:
            principal = core.auth.holder(req, digest)
        except Unauthorized:
            self._ask(req, resp, following, "This token is not known. It may have been rotated.", 401)
            return
        if not principal.oversees:
            whose = f"the claw {principal.name}" if principal.is_claw else "a chat front"
            told = f"This is the token of {whose}. Sign in with a head's or a viewer's."
            self._ask(req, resp, following, told, 403)
            return
        name, hours = secrets.token_urlsafe(_SESSION_BYTES), core.settings.session_hours
        await core.write(lambda tx: sessions.add(tx, token_digest(name), digest, tx.now + hours * 3_600_000))
        await core.read(core.auth.load)
        secure = req.forwarded_scheme == "https" or (core.settings.public_url or "").startswith("https:")
        resp.set_cookie(
            SESSION_COOKIE, name, max_age=hours * 3600, path="/", secure=secure, http_only=True, same_site="Strict"
        )
        resp.status, resp.location = 303, following

    async def on_post_out(self, req: Request, resp: Response) -> None:
        """End the session."""
        _same_origin(req)
        held = req.get_cookie_values(SESSION_COOKIE)
        if held and self._core.auth.knows_session(req):
            await self._core.write(lambda tx: sessions.drop(tx, token_digest(held[0])))
            await self._core.read(self._core.auth.load)
        resp.unset_cookie(SESSION_COOKIE, path="/", same_site="Strict")
        resp.status, resp.location = 303, PATH


def _same_origin(req: Request) -> None:
    """Take forms from our own pages alone.

    Raises:
        Forbidden
    """
    site, origin = req.get_header("Sec-Fetch-Site"), req.get_header("Origin")
    # Cut off by hand: what a stranger sends may be no address at all.
    foreign = origin is not None and origin.partition("://")[2] not in (req.netloc, req.forwarded_host)
    if (site is not None and site not in ("same-origin", "none")) or (site is None and foreign):
        raise Forbidden("this form was sent by another page; open the dashboard and try there")


def _next(path: str | None) -> str:
    """Return the page of ours that somebody wants to be led to; anything else is the first page.

    Raises:
        InvalidField: it cannot be read.
    """
    if not path or "\\" in path or any(ord(c) < 0x21 for c in path):
        return HOME
    try:
        parts = urlsplit(path)
    except ValueError as e:
        raise InvalidField("next: no address", "next") from e
    ours = not parts.scheme and not parts.netloc and (parts.path == HOME or parts.path.startswith(HOME + "/"))
    return path if ours and parts.path != PATH else HOME
