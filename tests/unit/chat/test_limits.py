"""How often and how many: what the spine is asked, and what two messages at once make of it."""

import asyncio

from chat.limits import Limits, label_of


class Jobs:
    """A spine that counts what was created; each look takes a turn of the loop, as a real one does."""

    def __init__(self, recent: bool = False) -> None:
        self.running, self.recent = 0, recent

    async def in_progress(self, label: str, most: int) -> int:
        await asyncio.sleep(0)
        return min(self.running, most)

    async def started_within(self, label: str, seconds: int) -> bool:
        await asyncio.sleep(0)
        return self.recent


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


COOLDOWN = "Please wait a few seconds between commands."
FULL = "You have the maximum number of jobs in progress (1). Wait for one to finish or use `status <id>`."


async def ask(limits: Limits, jobs: Jobs, label: str = "discord:7") -> str | None:
    async with limits.turn(label) as refusal:
        if refusal is None:
            await asyncio.sleep(0)
            jobs.running += 1
            limits.started(label)
    return refusal


def test_of_two_messages_at_once_one_is_refused() -> None:
    async def both() -> list[str | None]:
        jobs = Jobs()
        limits = Limits(jobs, 0, 1)
        return await asyncio.gather(ask(limits, jobs), ask(limits, jobs))

    assert asyncio.run(both()) == [None, FULL]


def test_each_user_has_a_turn_of_his_own() -> None:
    async def both() -> list[str | None]:
        jobs, others = Jobs(), Jobs()
        limits = Limits(jobs, 3, 2)
        return await asyncio.gather(ask(limits, jobs, "discord:7"), ask(limits, others, "discord:8"))

    assert asyncio.run(both()) == [None, None]


def test_a_user_waits_three_seconds_from_the_start_of_his_job_to_the_next_one() -> None:
    async def story() -> list[str | None]:
        jobs, clock = Jobs(), Clock()
        limits = Limits(jobs, 3, 10, clock)
        said = [await ask(limits, jobs)]
        clock.now += 2.9
        said.append(await ask(limits, jobs))  # a refusal starts nothing
        clock.now += 0.1
        said.append(await ask(limits, jobs))
        return said

    assert asyncio.run(story()) == [None, COOLDOWN, None]


def test_after_a_restart_the_spine_remembers_the_last_start() -> None:
    async def story() -> list[str | None]:
        jobs = Jobs(recent=True)
        limits = Limits(jobs, 3, 10)
        said = [await ask(limits, jobs)]
        jobs.recent = False
        said.append(await ask(limits, jobs))
        return said

    assert asyncio.run(story()) == [COOLDOWN, None]


def test_a_job_that_runs_counts_whoever_started_it_and_whenever() -> None:
    async def story() -> str | None:
        jobs = Jobs()
        jobs.running = 1
        return await ask(Limits(jobs, 0, 1), jobs)

    assert asyncio.run(story()) == FULL


def test_a_label_names_the_transport_and_the_user_and_is_no_longer_than_one_may_be() -> None:
    assert label_of("discord", "123") == "discord:123"
    assert len(label_of("openclaw", "x" * 300)) == 200
