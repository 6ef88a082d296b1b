"""`send` and `steer`: a message into a session that is there."""

import uuid

from dispatch.arguments import Arguments
from dispatch.desk import Desk
from dispatch.faults import OK
from dispatch.ledger import Entries, stamp
from dispatch.starting import TIMEOUT_SECONDS
from dispatch.verbs import sessions
from dispatch.verbs.looking import session_of

LANE = "nested"


def send(desk: Desk, arguments: Arguments) -> int:
    """Give a message to a session's agent, as a turn of its own: it waits for the one under way."""
    message = sessions.message(arguments)
    key, label = session_of(desk, arguments)
    agent, run_id = sessions.agent_of(arguments, key), str(uuid.uuid4())
    timeout = arguments.whole("timeout", TIMEOUT_SECONDS, 1, 2_592_000)
    desk.gateway().agent(key, agent, message, run_id, timeout, lane=LANE)
    return _sent(desk, key, label, run_id, "it is a turn of its own")


def steer(desk: Desk, arguments: Arguments) -> int:
    """Send a message into a session at work; what v4 does with it, `dispatch.steering` tells."""
    message = sessions.message(arguments)
    key, label = session_of(desk, arguments)
    run_id = desk.gateway().steer(key, message, str(uuid.uuid4()))
    return _sent(desk, key, label, run_id, "it goes into the turn under way, or is the next one")


def _sent(desk: Desk, key: str, label: str | None, run_id: str, message: str) -> int:
    def alter(entries: Entries) -> None:
        if label is not None and label in entries:
            entries[label].update(sentRunId=run_id, sentAt=stamp(), updatedAt=stamp())

    desk.ledger.change(alter) if label is not None else None
    desk.answer(ok=True, label=label, sessionKey=key, runId=run_id, status="sent", message=message)
    return OK
