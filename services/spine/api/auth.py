"""From a bearer token to a principal, by digest; guesses are throttled, a valid token never is."""

import re
import time
from collections import OrderedDict
from collections.abc import Mapping

import falcon.asgi

from contract.clock import Clock
from contract.errors import InvalidField, RateLimited, Unauthorized
from contract.ids import token_digest
from spine.api import asked
from spine.api.calls import ALL, CLAWS, HEADS, OVERSEERS, PERSON, STEERERS, TALKERS, WORKERS
from spine.digests import Mistaken
from spine.queue.access import ONCE_FREE, Caller, Principal, Role
from spine.store import machines, sessions, tokens
from spine.store.engine import Tx

_ROLES: dict[str, Role] = {"head": "head", "claw": "claw", "viewer": "viewer"}  # of tokens in the store
_WORKER_ID_MOST = 128
_PERSON = re.compile(PERSON.schema["pattern"])
_LOOKS_ON = "a viewer changes nothing"
_GUESSES = 100
_WINDOW_SECONDS = 60.0
_ADDRESSES_MOST = 10_000
SESSION_COOKIE = "spine_session"
PAGE_HEADER = "X-Spine-Page"


class Auth:
    """Knows tokens only as SHA-256 digests; a look-up by digest tells an attacker nothing by its timing.

    Tokens of the environment are fixed; those of the file of digests are handed over by `list_anew`, those of machines
    are read from the store by `load`, both again after each change.
    """

    def __init__(self, principals: Mapping[str, Principal], clock: Clock) -> None:
        self._fixed, self._clock = dict(principals), clock
        self._listed: Mapping[str, Principal] = {}
        self._stored: dict[str, tuple[Principal, int | None]] = {}
        self._revoked: frozenset[str] = frozenset()
        self._old_claws: frozenset[str] = frozenset()
        self._sessions: dict[str, tuple[str, int]] = {}
        self._guesses: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def list_anew(self, principals: Mapping[str, Principal]) -> None:
        """Take what the file of digests says now, in the place of what it said before. From any thread.

        Raises:
            Mistaken: it gives a role's name to what is a claw here.
        """
        mistaken = self._old_claws & {principal.name for principal in principals.values() if not principal.is_claw}
        if mistaken:
            raise Mistaken(sorted(mistaken))
        self._listed = dict(principals)

    def load(self, tx: Tx) -> None:
        """Read machines' tokens, which machines are revoked, and who is signed in at the dashboard."""
        stored = {}
        for row in tokens.all_of(tx):
            stored[row.digest] = (Principal(row.name, _ROLES[row.role]), row.expires_at)
        self._stored = stored
        self._sessions = {row.digest: (row.token, row.expires_at) for row in sessions.all_of(tx)}
        known = machines.all_of(tx)
        self._revoked = frozenset(machine.name for machine in known if machine.revoked_at is not None)
        # Of a time when these names were free. Their lines in the file of digests may be, too: such a token would be
        # let see more than it was made for.
        self._old_claws = frozenset(machine.name for machine in known) & ONCE_FREE - self._revoked

    def names(self) -> set[str]:
        """Return the names of all claws that have a token."""
        known = [*self._fixed.values(), *self._listed.values(), *(principal for principal, _ in self._stored.values())]
        return {principal.name for principal in known if principal.is_claw}

    def reader(self, req: falcon.asgi.Request) -> Caller:
        """Return who calls, with whatever role: all may read jobs.

        Raises:
            Unauthorized: no token, more than one, an unknown or a revoked one. RateLimited: too many wrong ones.
            InvalidField: a worker id, or a person for whom a chat front speaks, of wrong form.
        """
        header = req.get_header("Authorization")
        principal = self._signed_in(req) if header is None else self._bearer(req, header)
        worker_id = req.get_header("X-Worker-Id")
        if worker_id is not None and not (0 < len(worker_id) <= _WORKER_ID_MOST and worker_id.isprintable()):
            raise InvalidField(f"X-Worker-Id: 1 to {_WORKER_ID_MOST} printable characters", "X-Worker-Id")
        caller = Caller(principal, worker_id, _person(req) if principal.role == "chat" else None)
        asked.of(req.scope).caller = caller.name
        return caller

    def _bearer(self, req: falcon.asgi.Request, header: str) -> Principal:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("send Authorization: Bearer <token>")
        return self.holder(req, token_digest(token.strip()))

    def holder(self, req: falcon.asgi.Request, digest: str) -> Principal:
        """Return whose token this is, by its digest.

        Raises:
            Unauthorized, RateLimited
        """
        principal = self._principal(digest)
        if principal is None:
            self.guessed(req)
            raise Unauthorized("this token is not known")
        if principal.is_claw and principal.name in self._revoked:
            raise Unauthorized(f"the machine {principal.name} is revoked")
        return principal

    def knows_session(self, req: falcon.asgi.Request) -> bool:
        """Tell whether the session that a request names is among those that were read from the store."""
        held = req.get_cookie_values(SESSION_COOKIE)
        return held is not None and token_digest(held[0]) in self._sessions

    def _signed_in(self, req: falcon.asgi.Request) -> Principal:
        """Return who is signed in at the dashboard. A session is for our own pages alone.

        A browser sends the cookie along with whatever another page on this host makes it ask (other ports are the same
        site to it). Such a page cannot set a header of ours: without CORS the browser asks us first, and hears no.

        Raises:
            Unauthorized, RateLimited
        """
        held = req.get_cookie_values(SESSION_COOKIE)
        if not held:
            raise Unauthorized("send Authorization: Bearer <token>")
        if req.method not in ("GET", "HEAD") and req.get_header(PAGE_HEADER) is None:
            raise Unauthorized(f"a session changes things from the dashboard alone: it sends {PAGE_HEADER}")
        if (req.get_header("Sec-Fetch-Site") or "same-origin") not in ("same-origin", "none"):
            raise Unauthorized("a session is for the dashboard's own pages")
        token, expires_at = self._sessions.get(token_digest(held[0]), ("", 0))
        if expires_at <= self._clock.now():
            if not token:
                self.guessed(req)
            raise Unauthorized("this session is over; sign in again at /ui")
        return self.holder(req, token)

    def _principal(self, digest: str) -> Principal | None:
        given = self._fixed.get(digest) or self._listed.get(digest)
        if given is not None:
            return given
        principal, expires_at = self._stored.get(digest, (None, None))
        return None if expires_at is not None and expires_at <= self._clock.now() else principal

    def guessed(self, req: falcon.asgi.Request) -> None:
        """Count a wrong token or code against the address it came from.

        Raises:
            RateLimited: more than 100 in a minute.
        """
        address = req.remote_addr
        now = time.monotonic()
        since, count = self._guesses.pop(address, (now, 0))
        if now - since > _WINDOW_SECONDS:
            since, count = now, 0
        self._guesses[address] = (since, count + 1)
        while len(self._guesses) > _ADDRESSES_MOST:
            self._guesses.popitem(last=False)
        if count >= _GUESSES:
            raise RateLimited("too many wrong tokens from this address; wait a minute")

    def caller(self, req: falcon.asgi.Request) -> Caller:
        """Return who calls, when it is a head, a claw or a viewer. The chat front has only what is on its list.

        Raises:
            As reader; so do all below.
        """
        return _among(ALL, self.reader(req), "the chat front may not do this")

    def steerer(self, req: falcon.asgi.Request) -> Caller:
        """Return who calls, when it is a head or the chat front, which speaks for people."""
        return _among(STEERERS, self.reader(req), "only a head may do this")

    def talker(self, req: falcon.asgi.Request) -> Caller:
        """Return who calls, when it may say something about a job: all but a viewer."""
        return _among(TALKERS, self.reader(req), _LOOKS_ON)

    def head(self, req: falcon.asgi.Request) -> Caller:
        """Return who calls, when it is a head."""
        return _among(HEADS, self.reader(req), "only a head may do this")

    def claw(self, req: falcon.asgi.Request) -> Caller:
        """Return who calls, when it is a claw."""
        return _among(CLAWS, self.reader(req), "only a claw may do this")

    def worker(self, req: falcon.asgi.Request) -> Caller:
        """Return who calls, when it is a head or a claw: a viewer changes nothing."""
        return _among(WORKERS, self.caller(req), _LOOKS_ON)

    def overseer(self, req: falcon.asgi.Request) -> Caller:
        """Return who calls, when it is a head or a viewer."""
        return _among(OVERSEERS, self.caller(req), "only a head or a viewer may see this")


def _among(roles: frozenset[str], caller: Caller, otherwise: str) -> Caller:
    if caller.principal.role not in roles:
        raise Unauthorized(otherwise)
    return caller


def _person(req: falcon.asgi.Request) -> str | None:
    person = req.get_header(PERSON.name)
    if person is not None and not _PERSON.fullmatch(person):
        raise InvalidField(f"{PERSON.name}: expected up to 128 characters such as discord:123", PERSON.name)
    return person
