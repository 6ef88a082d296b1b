"""Waiting claims: who is woken, who is not, and that no job is left lying beside one who waits."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from spine.queue.wake import Hub, Waiter
from spine.store.engine import Signals
from spine.store.lanes import LaneRow

LEFT = frozenset({"left-claw", "any"})
RIGHT = frozenset({"right-claw", "any"})
NONE: frozenset[str] = frozenset()
GIT = frozenset({"git"})
LANES = {
    1: LaneRow(1, "left-claw", NONE),
    2: LaneRow(2, "right-claw", NONE),
    3: LaneRow(3, "any", NONE),
    4: LaneRow(4, "left-claw", GIT),
}
UNKNOWN = 9


def new_hub() -> Hub:
    return Hub(LANES.get, 100, 100)


def idle(hub: Hub, targets: frozenset[str] = LEFT, capabilities: frozenset[str] = NONE) -> Waiter:
    """Return a waiter that has tried once and found nothing."""
    waiter = hub.enter(targets, capabilities)
    waiter.take_turn()
    hub.nothing(waiter)
    return waiter


def commit(hub: Hub, **lanes: int) -> None:
    hub.committed(Signals(lanes={int(name[1:]): count for name, count in lanes.items()}))


def woken(*waiters: Waiter) -> list[bool]:
    return [waiter.turn.is_set() for waiter in waiters]


# --- who is woken ----------------------------------------------------------------------------------------------------


def test_the_oldest_fitting_waiter_comes_first() -> None:
    hub = new_hub()
    right, first, second = idle(hub, RIGHT), idle(hub), idle(hub)
    commit(hub, l1=1)
    assert woken(right, first, second) == [False, True, False]
    commit(hub, l1=1)
    assert woken(right, first, second) == [False, True, True]
    commit(hub, l1=1)
    assert woken(right, first, second) == [False, True, True]


def test_as_many_as_there_are_jobs_and_no_herd() -> None:
    hub = new_hub()
    waiters = [idle(hub) for _ in range(50)]
    commit(hub, l1=3)
    assert woken(*waiters) == [True] * 3 + [False] * 47


def test_the_oldest_of_all_classes_that_fit() -> None:
    hub = new_hub()
    plain, right, git = idle(hub), idle(hub, RIGHT), idle(hub, LEFT, GIT)
    commit(hub, l3=2)
    assert woken(plain, right, git) == [True, True, False]
    commit(hub, l4=1)
    assert woken(git) == [True]


def test_a_lane_that_needs_more_wakes_only_who_has_it() -> None:
    hub = new_hub()
    plain, git = idle(hub), idle(hub, LEFT, GIT)
    commit(hub, l4=5)
    assert woken(plain, git) == [False, True]


def test_nobody_fits() -> None:
    hub = new_hub()
    waiter = idle(hub)
    commit(hub, l2=1)
    assert woken(waiter) == [False]


def test_one_that_tries_again_keeps_its_place() -> None:
    hub = new_hub()
    first, second = idle(hub), idle(hub)
    commit(hub, l1=1)
    first.take_turn()
    hub.nothing(first)
    commit(hub, l1=1)
    assert woken(first, second) == [True, False]


def test_a_commit_during_a_try_asks_for_another() -> None:
    hub = new_hub()
    waiter = hub.enter(LEFT, NONE)
    waiter.take_turn()
    commit(hub, l1=1)
    hub.nothing(waiter)
    assert woken(waiter) == [True]


# --- turns that are not used -----------------------------------------------------------------------------------------


def test_one_that_leaves_hands_its_turn_on() -> None:
    hub = new_hub()
    first, second, right = idle(hub), idle(hub), idle(hub, RIGHT)
    commit(hub, l1=1)
    hub.leave(first)
    assert woken(second, right) == [True, False]


def test_one_that_goes_during_its_try_hands_its_turn_on() -> None:
    hub = new_hub()
    first, second = idle(hub), idle(hub)
    commit(hub, l1=1)
    first.take_turn()
    hub.leave(first)
    assert woken(second) == [True]


def test_both_turns_of_one_that_goes() -> None:
    hub = new_hub()
    first, second, right = idle(hub), idle(hub), idle(hub, RIGHT)
    commit(hub, l1=1)
    first.take_turn()
    commit(hub, l3=1)
    hub.leave(first)
    assert woken(second, right) == [True, True]


def test_one_that_took_from_another_lane_hands_its_turn_on() -> None:
    hub = new_hub()
    first, second = idle(hub), idle(hub)
    commit(hub, l1=1)
    first.take_turn()
    hub.found(first, {3})
    hub.leave(first)
    assert woken(second) == [True]


def test_one_that_took_what_it_was_woken_for_hands_nothing_on() -> None:
    hub = new_hub()
    first, second = idle(hub), idle(hub)
    commit(hub, l1=1)
    first.take_turn()
    hub.found(first, {1})
    hub.leave(first)
    assert woken(second) == [False]


def test_one_that_fits_and_found_nothing_ends_the_turn() -> None:
    hub = new_hub()
    left, right, another = idle(hub), idle(hub, RIGHT), idle(hub)
    commit(hub, l3=1)
    left.take_turn()
    hub.nothing(left)
    assert woken(left, right, another) == [False, False, False]


def test_a_turn_for_an_unknown_lane_goes_once_to_each_class() -> None:
    hub = new_hub()
    classes = [idle(hub, LEFT), idle(hub, RIGHT), idle(hub, LEFT, GIT)]
    herd = [idle(hub, LEFT) for _ in range(5)]
    hub.committed(Signals(lanes={UNKNOWN: 1}))
    order = []
    for _ in range(20):
        now = next((n for n, waiter in enumerate(classes) if waiter.turn.is_set()), None)
        if now is None:
            break
        order.append(now)
        classes[now].take_turn()
        hub.nothing(classes[now])
    assert order == [0, 1, 2]
    assert woken(*herd) == [False] * 5


def test_a_turn_for_a_lane_that_became_known_goes_to_who_fits() -> None:
    known: dict[int, LaneRow] = {}
    hub = Hub(known.get, 100, 100)
    left, right = idle(hub, LEFT), idle(hub, RIGHT)
    commit(hub, l2=1)
    assert woken(left, right) == [True, False]
    known.update(LANES)
    left.take_turn()
    hub.nothing(left)
    assert woken(left, right) == [False, True]


# --- coming and going ------------------------------------------------------------------------------------------------


def test_the_count_of_those_who_wait() -> None:
    hub = new_hub()
    first, second = idle(hub), idle(hub, RIGHT)
    assert hub.waiting == 2
    hub.leave(first)
    hub.leave(first)
    assert hub.waiting == 1
    hub.leave(second)
    assert hub.waiting == 0
    commit(hub, l3=1)
    assert woken(first, second) == [False, False]


def test_waiters_that_left_are_forgotten_even_when_nothing_is_ever_woken() -> None:
    hub = new_hub()
    stays = idle(hub)
    for _ in range(5000):
        waiter = idle(hub)
        hub.leave(waiter)
    assert [len(queue._heap) < 200 for queue in stays.queues] == [True, True]
    assert [queue.waiters for queue in stays.queues] == [{stays}, {stays}]
    commit(hub, l1=1)
    assert woken(stays) == [True]


def test_nothing_is_left_of_a_machine_that_went() -> None:
    hub = new_hub()
    hub.leave(idle(hub, LEFT, GIT))
    assert hub._queues == {}


def test_a_thousand_machines_with_names_of_their_own_are_as_many_queues_as_capabilities() -> None:
    hub = new_hub()
    waiters = [idle(hub, frozenset({f"c{n}", "any"}), GIT if n % 2 else NONE) for n in range(1000)]
    assert len(hub._queues["any"]) == 2
    commit(hub, l3=3)
    assert woken(*waiters[:4]) == [True, True, True, False]


def test_drain_wakes_all() -> None:
    hub = new_hub()
    waiters = [idle(hub), idle(hub, RIGHT), idle(hub, LEFT, GIT)]
    news, log = hub.news(), hub.watch_log("j")
    hub.drain()
    assert woken(*waiters) == [True, True, True]
    assert news.is_set()
    assert log.is_set()
    assert hub.draining
    assert hub.enter(LEFT, NONE).turn.is_set()


# --- what else a commit tells ----------------------------------------------------------------------------------------


def test_news_deadlines_and_logs() -> None:
    hub = new_hub()
    deadlines: list[int] = []
    hub.deadlines = deadlines.append
    news, log, other = hub.news(), hub.watch_log("j"), hub.watch_log("k")
    hub.committed(Signals())
    assert (news.is_set(), log.is_set(), deadlines) == (False, False, [])
    hub.committed(Signals(deadline=5, events=True, logs={"j"}))
    assert (news.is_set(), log.is_set(), other.is_set(), deadlines) == (True, True, False, [5])
    assert not hub.news().is_set()
    hub.unwatch_log("j", log)
    hub.unwatch_log("j", log)
    hub.unwatch_log("k", other)
    assert hub._log_news == {}


def test_signals_merge() -> None:
    one = Signals({1: 2}, None, False, logs={"a"})
    one.merge(Signals({1: 1, 3: 1}, 9, True, logs={"b"}))
    one.merge(Signals({}, 12, False, everything=True))
    one.merge(Signals({}, 7, False))
    assert one == Signals({1: 3, 3: 1}, 7, True, everything=True, logs={"a", "b"})


# --- any order of things ---------------------------------------------------------------------------------------------


class Play:
    """A spine in small: jobs in lanes, claims that wait for them, everything in a random order."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.known = dict(LANES) if self.chance.random() < 0.7 else {}
        self.hub = Hub(self.known.get, 1000, 10)
        self.jobs = dict.fromkeys(LANES, 0)
        self.tries = self.commits = 0
        self.got: list[int] = []

    async def pause(self) -> None:
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)

    def take(self, targets: frozenset[str], capabilities: frozenset[str]) -> int | None:
        """Claim as the store would, from the first lane that fits."""
        if self.chance.random() < 0.3:
            self.known.update(LANES)
        lanes = [i for i, lane in LANES.items() if lane.target in targets and lane.requires <= capabilities]
        self.chance.shuffle(lanes)
        for lane in lanes:
            if self.jobs[lane]:
                self.jobs[lane] -= 1
                return lane
        return None

    async def claim(self, targets: frozenset[str], capabilities: frozenset[str]) -> None:
        """Claim as the API does."""
        waiter = self.hub.enter(targets, capabilities)
        try:
            while True:
                waiter.take_turn()
                self.tries += 1
                await self.pause()
                if self.chance.random() < 0.05:
                    return  # the store was full
                lane = self.take(targets, capabilities)
                await self.pause()
                if lane is not None:
                    self.got.append(lane)
                    self.hub.found(waiter, {lane})
                    return
                self.hub.nothing(waiter)
                await waiter.turn.wait()
        finally:
            self.hub.leave(waiter)

    async def submit(self) -> None:
        await self.pause()
        lane, count = self.chance.choice(list(LANES)), self.chance.choice([1, 1, 1, 2, 3])
        self.jobs[lane] += count
        self.commits += count
        await self.pause()  # the loop hears of a commit a little later
        self.hub.committed(Signals(lanes={lane: count}))

    async def steal(self) -> None:
        """Claim without waiting."""
        await self.pause()
        self.take(LEFT | RIGHT, GIT)

    async def leave(self, tasks: list["asyncio.Task[None]"]) -> None:
        await self.pause()
        claims = [task for task in tasks if task.get_name() == "claim"]
        if claims:
            self.chance.choice(claims).cancel()

    async def run(self) -> list["asyncio.Task[None]"]:
        """Let all happen; return the claims that still wait."""
        tasks: list[asyncio.Task[None]] = []
        for _ in range(self.chance.randrange(4, 30)):
            kind = self.chance.choice(["claim", "claim", "submit", "submit", "steal", "leave"])
            acts: dict[str, Callable[[], Awaitable[None]]] = {
                "claim": lambda: self.claim(self.chance.choice([LEFT, RIGHT]), self.chance.choice([NONE, GIT])),
                "submit": self.submit,
                "steal": self.steal,
                "leave": lambda: self.leave(tasks),
            }
            tasks.append(asyncio.ensure_future(acts[kind]()))
            tasks[-1].set_name(kind)
            await self.pause()
        for _ in range(500):
            await asyncio.sleep(0)
        return [task for task in tasks if not task.done()]


@pytest.mark.parametrize("part", range(4))
def test_no_job_lies_beside_one_who_waits_for_it(part: int) -> None:
    async def play(seed: int) -> None:
        game = Play(seed)
        waiting = await game.run()
        try:
            for kind in {waiter.kind for waiter in game.hub._waiters}:
                left = [
                    lane
                    for lane, row in LANES.items()
                    if game.jobs[lane] and row.target in kind[0] and row.requires <= kind[1]
                ]
                assert not left, f"seed {seed}: jobs in {left} while {kind} waits"
            assert game.hub.waiting == len(waiting)
            # Each turn is used once by a class, and each claim tries once by itself.
            assert game.tries <= 30 + 4 * game.commits + 30, f"seed {seed}: {game.tries} tries"
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def all_of_them() -> None:
        for seed in range(part * 150, part * 150 + 150):
            await play(seed)

    asyncio.run(all_of_them())
