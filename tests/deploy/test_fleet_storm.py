"""A fleet upgraded, put back, given other tokens, killed and restarted, over and over; a strict count of it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.deploy.controller import Controller
from tests.deploy.fleet import Fleet
from tests.deploy.work import Work
from tests.support import soak
from tests.support.reckoning import Count, table
from tests.support.systemd_host import Hosts

pytestmark = [pytest.mark.soak, pytest.mark.docker]

SECONDS = 900.0
TITLE = "A fleet upgraded, restarted, its tokens changed"
TEXT = """Three machines that Ansible has deployed. In each round a job runs on a claw all the while. During upgrades,
the way back and changes of a token, clients call without trying anything again, and submit short jobs too; *lost* is
also a call that was refused. It goes on for {minutes:.0f} minutes at most.

{said}. {calls} calls were made while releases and tokens were changed; none was refused.
"""


class FleetStorm:
    """One fleet, kept over many rounds."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.calls, self._rounds = fleet, 0, 0
        self._blows: dict[str, Callable[[], object]] = {
            "upgraded": self._upgrade,
            "put back": lambda: fleet.play("rollback"),
            "a claw's token changed": lambda: fleet.play("rotate", "--extra-vars", "rotate_name=left-claw"),
            "every service killed": lambda: fleet.until_all_run(but=fleet.kill_all()),
            "a claw's machine restarted": lambda: self._up(fleet.left.reboot),
            "the spine's machine without power": lambda: self._up(fleet.box.crash),
            "all machines without power": lambda: self._up(fleet.crash_all),
        }

    @property
    def due(self) -> dict[str, int]:
        """How often each blow is to come about."""
        return dict.fromkeys(self._blows, 4)

    def round(self, blow: str) -> Count:
        """Strike once while work goes on, and count."""
        begun, count, work = time.monotonic(), Count(blow), Work(self.fleet)
        self._rounds += 1
        if blow in ("upgraded", "put back", "a claw's token changed"):
            with work.going_on():
                self._blows[blow]()
            self.calls += work.load.calls
        else:
            self._blows[blow]()
        work.reckon(count)
        count.seconds = time.monotonic() - begun
        return count

    def _upgrade(self) -> None:
        self.fleet.controller.bump(f"9.1.{self._rounds}")
        self.fleet.play("site")

    def _up(self, blow: Callable[[], object]) -> None:
        blow()
        self.fleet.until_all_run()


@pytest.fixture
def fleet(hosts: Hosts, wheelhouse: Path, tmp_path: Path) -> Iterator[Fleet]:
    controller = Controller(tmp_path / "checkout", wheelhouse)
    try:
        controller.release()
        made = Fleet(hosts, controller, tmp_path / "inventory")
        made.play("site")
        yield made
    finally:
        controller.close()


def test_storm_over_a_fleet(fleet: Fleet) -> None:
    storm = FleetStorm(fleet)
    rounds = soak.run(storm.due, storm.round, SECONDS)
    text = TEXT.format(minutes=SECONDS / 60, said=rounds.said(), calls=storm.calls)
    soak.record(TITLE, text + "\n" + "\n".join(table("what befell", list(storm.due), rounds.counts)))
    assert rounds.faults() == []
