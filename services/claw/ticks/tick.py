"""`claw tick`: one pass for cron or launchd."""

import signal

import msgspec
import structlog

from claw import exits
from claw.leash import Leash
from claw.settings import Settings
from claw.state import Journal
from claw.ticks import hand as hands
from contract.errors import SpineError, Unauthorized

log = structlog.get_logger()


def tick(settings: Settings) -> int:
    """Heartbeat and carry on what is held, or claim one job; returns the exit code.

    In worker mode the job runs on in a detached worker. In phases mode one phase is run before the pass ends.
    """
    journal = Journal(settings.state_dir)
    journal.open()
    with journal.lock() as ours:
        if not ours:
            log.info("claw.tick_overlaps")
            return exits.OK
        leash = Leash()
        signal.signal(signal.SIGTERM, lambda *_: leash.pull("drain", "the claw is stopping"))
        hand = hands.make(settings, journal, leash, leash)
        try:
            return _pass(hand)
        except SpineError as e:
            log.warning("claw.tick_failed", code=e.code, why=e.detail)
            return exits.CONFIG if isinstance(e, Unauthorized) else exits.UNREACHABLE


def _pass(hand: hands.Hand) -> int:
    held = hand.held()
    if held is not None and held.job is not None and held.outcome is None and held.mode == "worker":
        hand.look_after()
    turned = hand.turn(wait=0)
    # A delivered result leaves this pass free to claim the next job, once.
    if turned == "again":
        turned = hand.turn(wait=0)
    if turned == "waiting":
        return exits.UNREACHABLE
    hand.tell_facts()
    return exits.OK


def with_mode(settings: Settings, mode: str | None) -> Settings:
    """Return the settings with the mode that the command line asks for."""
    return settings if mode is None else msgspec.structs.replace(settings, mode=mode)
