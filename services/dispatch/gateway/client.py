"""The client of an OpenClaw gateway: typed calls over one WebSocket, each with a deadline (contract: gateway, 5).

What may be done twice (reading, waiting, patching, aborting) is repeated when the link breaks, within the call's
deadline. A message to an agent never is: `Unreachable.sent` says that it may have arrived, and the row and the history
tell whether it did.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from dispatch.gateway.connection import Connection
from dispatch.gateway.errors import ProtocolFault, Refused, UnknownAgent, Unsupported
from dispatch.gateway.frames import AGENT_FIX
from dispatch.gateway.handshake import ADMIN, Granted
from dispatch.gateway.rows import Message, Row, View, Wait, view_from
from dispatch.gateway.runs import Accepted, Events, final_of
from dispatch.settings import Settings

T = TypeVar("T")

PATIENCE_SECONDS = 20.0
"""How long a gateway that says that it starts or stops is waited for."""
ACCEPT_SECONDS = 60.0
PAGE = 200
PAGES_MOST = 500
TEXT_MOST = 500_000
"""Characters of one message in a history; the most that a gateway takes."""
STEER_MODES = ("steer", "followup", "collect", "interrupt")
_WAIT_SLACK_SECONDS = 10.0
_WAIT_MOST_SECONDS = 3600.0


class Gateway:
    """Made by `connect`; use it as a context manager. Any thread may call it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ask, self._once = connection.ask, connection.once

    @classmethod
    def connect(cls, settings: Settings, *, patience: float = PATIENCE_SECONDS) -> "Gateway":
        """Connect, shake hands, and see that this connection may do what dispatch needs.

        Args:
            settings: `settings.gateway` says where and with what, `settings.home` holds the device's identity.
            patience: seconds for which a gateway that is starting or stopping is waited for.

        Raises:
            SettingsError: the address, the token or the identity's folder cannot be used.
            GatewayError: any of the family.
        """
        connection = Connection(settings, patience)
        connection.open()
        return cls(connection)

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; runs go on."""
        self._connection.close()

    @property
    def events(self) -> Events:
        """What the gateway tells unasked: reasons to look earlier."""
        return self._connection.events

    @property
    def granted(self) -> Granted:
        """What the gateway said in the handshake: protocol, version, boot id, scopes, methods."""
        return self._connection.granted

    @property
    def device_id(self) -> str:
        """This device, as `openclaw devices list` shows it."""
        return self._connection.device_id

    # --- sessions --------------------------------------------------------------------------------------------------

    def patch(self, key: str, **fields: Any) -> dict[str, Any]:
        """Set fields of a session, made if absent: `model`, `thinkingLevel`, `label` and others, in camelCase.

        Several fields fail as a whole: send optional ones by themselves. `spawnDepth` is left out where the gateway
        does not take it (protocol 4).

        Raises:
            Refused: a value that the gateway does not take; its text lists the allowed ones.
                UnknownAgent: the key names an agent that the gateway does not have.
            NeedsPairing, MissingScope: a v3 gateway takes this from an admin alone.
        """
        if self.granted.protocol > 3:
            fields.pop("spawnDepth", None)
        elif ADMIN not in self.granted.scopes:
            self._connection.ask_for(ADMIN)
        if self.granted.protocol <= 3:
            self._check_agent(key)  # v3 would make the session all the same
        try:
            return self._ask("sessions.patch", {"key": key, **fields})
        except Refused as e:
            if e.gateway_code == "UNAVAILABLE":
                self._check_agent(key)  # v4 says no more than "failed unexpectedly"
            raise

    def look(self, key: str, limit: int = 200) -> View:
        """Return a session's row and its last messages, of one moment where the gateway gives both at once (v4).

        The row comes with the history, not by `sessions.describe`: that one leaves out whether a run is under way, and
        while a run begins its status too.
        """
        asked: dict[str, Any] = {"sessionKey": key, "limit": limit}
        if self.granted.protocol > 3:
            asked["maxChars"] = TEXT_MOST  # else a long answer comes cut off
        answer = self._ask("chat.history", asked)
        view = view_from(answer)
        if view is None:
            raise ProtocolFault("chat.history: the answer has no messages, or its row has another shape than we know")
        if self.granted.protocol > 3:
            return view
        # v3 gives no row here, and does not describe a single session.
        row = next((row for row in self.sessions() if row.key == key), None)
        return View(row=row, messages=view.messages)

    def describe(self, key: str) -> Row | None:
        """Return a session's row, or None when the gateway has none."""
        return self.look(key, limit=1).row

    def sessions(
        self,
        *,
        agent_id: str | None = None,
        label: str | None = None,
        active_minutes: int | None = None,
    ) -> list[Row]:
        """List sessions, all pages."""
        asked = _given(agentId=agent_id, label=label, activeMinutes=active_minutes)
        if self.granted.protocol <= 3:  # one answer, no pages
            return _rows(self._ask("sessions.list", {**asked, "limit": PAGE * PAGES_MOST}))
        found: dict[str, Row] = {}
        offset = 0
        for _ in range(PAGES_MOST):
            page = self._ask("sessions.list", {**asked, "limit": PAGE, "offset": offset})
            # By key: a session that moved to the front between two pages comes twice.
            found.update((row.key, row) for row in _rows(page))
            following = page.get("nextOffset")
            if not page.get("hasMore") or not isinstance(following, int) or following <= offset:
                break
            offset = following
        return list(found.values())

    def history(self, key: str, limit: int = 200) -> list[Message]:
        """Return a session's last messages, oldest first, then what waits for its turn; an unknown session has none."""
        return list(self.look(key, limit).messages)

    def abort(self, key: str) -> bool:
        """Stop the run of a session; False when the gateway knows of none (v3 knows of none that `agent` began)."""
        answer = self._ask("sessions.abort", {"key": key})
        return bool(answer.get("abortedRunId"))

    def _check_agent(self, key: str) -> None:
        """Refuse a key that names an agent which the gateway does not have, as far as it tells."""
        if not key.startswith("agent:") or key.count(":") < 2 or "agents.list" not in self.granted.methods:
            return
        named, found = key.split(":")[1], self._ask("agents.list", {}).get("agents")
        if isinstance(found, list) and named not in {agent.get("id") for agent in found if isinstance(agent, dict)}:
            raise UnknownAgent(f"{named}: no such agent; {AGENT_FIX}")

    # --- runs ------------------------------------------------------------------------------------------------------

    def agent(
        self,
        key: str,
        agent_id: str,
        message: str,
        idempotency_key: str,
        timeout_seconds: int,
        *,
        lane: str | None = None,
        label: str | None = None,
        channel: str | None = None,
        reply_to: str | None = None,
        seconds: float = ACCEPT_SECONDS,
    ) -> Accepted:
        """Give a message to a session's agent; returns only after the gateway said "accepted", which is not durable.

        Args:
            reply_to: whom the gateway delivers the answer to, by `channel`; None delivers nothing.
            idempotency_key: becomes the run's id. Use a fresh one for each attempt, and keep it before this call.
            timeout_seconds: of the run.
            seconds: how long the acceptance may take.

        Raises:
            UnknownAgent, Overloaded, Refused, MissingScope: nothing was begun.
            Unreachable: with `sent`, it may have been taken all the same.
        """
        place = {"deliver": True, "channel": channel, "replyTo": reply_to} if reply_to else {}
        params = {
            "sessionKey": key,
            "agentId": agent_id,
            "message": message,
            "idempotencyKey": idempotency_key,
            "timeout": timeout_seconds,
            **_given(lane=lane, label=label, **place),
        }
        link, call, answer = self._once("agent", params, seconds)
        said = answer.members
        status = said.get("status")
        run_id = said.get("runId")
        if not isinstance(status, str) or (run_id is not None and run_id != idempotency_key):
            link.forget(call)
            raise ProtocolFault(f"agent: the gateway answered {status!r} for the run {run_id!r}, not accepted for ours")
        final = None if status in ("accepted", "in_flight") else final_of(idempotency_key, answer)
        session_key = said.get("sessionKey")
        return Accepted(
            idempotency_key, session_key if isinstance(session_key, str) else key, status, link, call, final
        )

    def wait(self, run_id: str, seconds: float) -> Wait:
        """Wait for the end of a run at the gateway; only `Wait.ended` means that it is over."""
        asked = min(max(seconds, 0.0), _WAIT_MOST_SECONDS)
        params = {"runId": run_id, "timeoutMs": int(asked * 1000)}
        return _convert({"runId": run_id, **self._ask("agent.wait", params, asked + _WAIT_SLACK_SECONDS)}, Wait)

    def steer(self, key: str, message: str, idempotency_key: str, mode: str = "steer") -> str:
        """Send a message into a session; returns the id of its run.

        Args:
            mode: `steer` and `followup` wait for their turn, `collect` gathers, `interrupt` cuts the running turn.
                v3 knows none of them: there a message waits for its turn.

        Raises:
            Unsupported: v3 is asked for another mode.
            Unreachable: with `sent`, it may have been taken all the same.
        """
        if mode not in STEER_MODES:
            raise ValueError(f"mode: {mode!r} is not one of {', '.join(STEER_MODES)}")
        params = {"sessionKey": key, "message": message, "idempotencyKey": idempotency_key}
        if self.granted.protocol > 3:
            link, call, answer = self._once("chat.send", {**params, "queueMode": mode}, ACCEPT_SECONDS)
        elif mode in ("steer", "followup"):
            # What v3 takes by chat.send while a run of `agent` goes on, it never gives to the agent.
            link, call, answer = self._once("agent", {**params, "lane": "nested"}, ACCEPT_SECONDS)
        else:
            raise Unsupported(f"this gateway (OpenClaw {self.granted.version}) cannot {mode}; use 2026.9 or newer")
        link.forget(call)
        run_id = answer.members.get("runId")
        return run_id if isinstance(run_id, str) else idempotency_key


def _rows(page: Mapping[str, Any]) -> list[Row]:
    found = page.get("sessions")
    if not isinstance(found, list):
        raise ProtocolFault("sessions.list: the answer has no sessions")
    return [_convert({n: v for n, v in row.items() if v is not None}, Row) for row in found if isinstance(row, dict)]


def _convert(found: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as e:
        raise ProtocolFault(f"the gateway's answer has another shape than its version tells: {e}") from e


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
