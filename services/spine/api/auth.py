"""From a bearer token to a principal, by digest."""

from collections.abc import Mapping

import falcon.asgi

from contract.errors import InvalidField, Unauthorized
from contract.ids import token_digest
from spine.queue.access import Caller, Principal

_WORKER_ID_MOST = 128


class Auth:
    """Knows tokens only as SHA-256 digests; a look-up by digest tells an attacker nothing by its timing."""

    def __init__(self, principals: Mapping[str, Principal]) -> None:
        self._principals = principals

    def caller(self, req: falcon.asgi.Request) -> Caller:
        """Return who calls.

        Raises:
            Unauthorized: no token, more than one, or an unknown one. InvalidField: a worker id of wrong form.
        """
        header = req.get_header("Authorization") or ""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("send Authorization: Bearer <token>")
        principal = self._principals.get(token_digest(token.strip()))
        if principal is None:
            raise Unauthorized("this token is not known")
        worker_id = req.get_header("X-Worker-Id")
        if worker_id is not None and not (0 < len(worker_id) <= _WORKER_ID_MOST and worker_id.isprintable()):
            raise InvalidField(f"X-Worker-Id: 1 to {_WORKER_ID_MOST} printable characters", "X-Worker-Id")
        return Caller(principal, worker_id)

    def head(self, req: falcon.asgi.Request) -> Caller:
        """Return who calls, when it is a head.

        Raises:
            Unauthorized
        """
        caller = self.caller(req)
        if not caller.principal.is_head:
            raise Unauthorized("only a head may do this")
        return caller

    def claw(self, req: falcon.asgi.Request) -> Caller:
        """Return who calls, when it is a claw.

        Raises:
            Unauthorized
        """
        caller = self.caller(req)
        if caller.principal.is_head:
            raise Unauthorized("only a claw may do this")
        return caller
