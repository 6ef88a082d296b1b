"""The verbs against a gateway, the fake and the real one: dispatched, watched to the end, and begun again when lost."""

from pathlib import Path

from tests.integration.dispatch.conftest import World
from tests.support.dispatching import Dispatching
from tests.support.eventually import eventually
from tests.support.mock_model import ANSWER

from dispatch import leases
from dispatch.patience import Timings
from dispatch.watch import Watcher


def test_enqueue_watch_and_result(world: World, tmp_path: Path) -> None:
    desk = Dispatching(tmp_path / "home", world.url)
    ran = desk.run("enqueue", "--label", "whole", "--message", "say it", "--model", "mock/answers", "--timeout", "60")
    assert ran.code == 0, ran.err
    watched = desk.run("watch", "--label", "whole", "--poll-interval", "1")
    assert watched.code == 0, watched
    assert ANSWER in watched.out
    assert desk.run("result", "--label", "whole").answer["lastReply"] == ANSWER
    status = desk.run("status", "--label", "whole").answer
    assert (status["status"], status["liveness"]["active"]) == ("done", False)
    again = desk.run("enqueue", "--label", "whole", "--message", "once more", "--mode", "reuse", "--timeout", "60")
    assert again.answer["sessionKey"] == ran.answer["sessionKey"]
    assert desk.run("watch", "--label", "whole", "--poll-interval", "1").code == 0


def test_a_gateway_killed_in_the_run_loses_nothing(world: World, tmp_path: Path) -> None:
    desk = Dispatching(tmp_path / "home", world.url)
    task = "keep-this-task-whole"
    ran = desk.run("enqueue", "--label", "lost", "--message", task, "--model", "mock/sleeps", "--timeout", "90")
    assert ran.code == 0, ran.err
    world.await_prompt(task)
    before = world.asked(task)
    world.kill()
    world.start()
    with desk.process("watch", "--label", "lost", "--poll-interval", "1") as child:
        eventually(lambda: world.asked(task) > before, 60, what="the prompt, once more")
        world.wake()
        out, err = child.communicate(timeout=60)
    assert (child.returncode, ANSWER in out) == (0, True), err


def test_silence_is_nudged_twice_and_ended_whatever_the_gateway_tells_of_the_nudges(
    world: World, tmp_path: Path
) -> None:
    desk = Dispatching(tmp_path / "home", world.url)
    ran = desk.run("enqueue", "--label", "still", "--message", "stay", "--model", "mock/sleeps", "--timeout", "900")
    assert ran.code == 0, ran.err
    world.await_prompt("stay")
    told: list[str] = []
    timings = Timings(poll=0.5, slack=-899.0, flat=3.0, nudge=2.0, last_nudge=2.0)
    with desk.desk() as made:
        watcher = Watcher(
            made, "still", leases.new_owner(), timings=timings, tell=lambda event, **_: told.append(event)
        )
        ending = watcher.watch()
    assert (ending.status, ending.kind, told) == ("error", "timeout", ["nudged", "nudged"])
