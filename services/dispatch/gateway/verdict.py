"""Ask a gateway what became of a run: one look at its session, and a second one before it is lost or had no words."""

import time
from collections.abc import Callable

import msgspec

from dispatch.gateway import judge
from dispatch.gateway.client import Gateway
from dispatch.gateway.judge import LOST, OK, Outcome
from dispatch.gateway.rows import Final, View

SECOND_LOOK_SECONDS = 3.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement, and the session that it was made of."""

    outcome: Outcome
    view: View


def verdict(
    gateway: Gateway,
    key: str,
    run_id: str,
    dispatched_at: int,
    *,
    now: Callable[[], int],
    final: Final | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> Verdict:
    """Return what became of the run `run_id`, dispatched at `dispatched_at` (epoch ms) into the session `key`.

    Args:
        now: tells the time, epoch ms.
        final: as in `judge.outcome`.
        sleep: how to wait for the second look.

    Raises:
        GatewayError: the gateway could not be asked; nothing is known then.
    """
    found = glance(gateway, key, run_id, dispatched_at, now=now, final=final)
    # A busy gateway says that a run is over a moment before the session's messages have its answer.
    silent = found.outcome.state == OK and not found.outcome.text
    if found.outcome.state != LOST and not silent:
        return found
    sleep(SECOND_LOOK_SECONDS)
    return glance(gateway, key, run_id, dispatched_at, now=now, final=final)


def glance(
    gateway: Gateway, key: str, run_id: str, dispatched_at: int, *, now: Callable[[], int], final: Final | None = None
) -> Verdict:
    """Return what one look says, as `verdict`; a run that seems lost is so after a second one alone.

    Raises:
        GatewayError: as `verdict`.
    """
    at = now()
    wait = None if final is not None else gateway.wait(run_id, 0.0)
    view = gateway.look(key)
    outcome = judge.outcome(
        view.row,
        view.messages,
        run_id=run_id,
        dispatched_at=dispatched_at,
        now=at,
        final=final,
        wait=wait,
        reason=gateway.events.reason(run_id),
        started_at=gateway.granted.started_at,
    )
    return Verdict(outcome=outcome, view=view)
