"""Worker mode: all phases, one after the other, in one process."""

from claw.modes.steps import Steps
from claw.outcome import Outcome


def walk(steps: Steps) -> Outcome | None:
    """Run phases until the job ends."""
    while True:
        ended = steps.run_next()
        if ended is not None:
            return ended
