"""Phases mode: each tick runs the next phase."""

from claw.modes.steps import Steps
from claw.outcome import Outcome


def walk(steps: Steps) -> Outcome | None:
    """Run one phase; None when others are left for the ticks to come."""
    return steps.run_next()
