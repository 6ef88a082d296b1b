"""Claims that wait: a job comes to the oldest fitting one within a moment; none is lost, none stampede."""

import random
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.eventually import eventually
from tests.support.figures import figure, until_waiting
from tests.support.raw_http import Api, Poll
from tests.support.server import Server, StartSpine

MOMENT = 10.0  # half of what they wait at most: a busy machine must not make these fail


@contextmanager
def polls(*made: Poll) -> Iterator[tuple[Poll, ...]]:
    try:
        yield made
    finally:
        for poll in made:
            poll.close()


def ready(made: tuple[Poll, ...], seconds: float = 0.0) -> list[int]:
    """Return which polls have their answer, waiting for the first up to so long."""
    found = select.select(list(made), [], [], seconds)[0]
    return [n for n, poll in enumerate(made) if poll in found]


@pytest.fixture(autouse=True)
def _nobody_waits(server: Server) -> Iterator[None]:
    yield
    # Vanished clients are noticed after a few seconds; whoever waits after a test is that test's fault.
    until_waiting(server.head, 0)


def test_a_wait_ends_with_204_when_its_time_is_over(claw: Api) -> None:
    begun = time.monotonic()
    answer = claw.post("/jobs/claim", {"wait": 0.5})
    assert (answer.status, answer.body) == (204, b"")
    assert 0.45 <= time.monotonic() - begun < 0.5 + MOMENT


def test_a_job_that_is_there_comes_at_once(head: Api, claw: Api, name: str) -> None:
    head.submit(target=name)
    begun = time.monotonic()
    assert len(claw.claim_next(wait=20)) == 1
    assert time.monotonic() - begun < MOMENT


def test_a_submitted_job_comes_within_a_moment(head: Api, claw: Api, name: str) -> None:
    with polls(claw.poll(wait=20)) as (poll,):
        until_waiting(head, 1)
        begun = time.monotonic()
        job = head.submit(target=name)
        assert [j["id"] for j in poll.jobs(MOMENT)] == [job["id"]]
        assert time.monotonic() - begun < MOMENT


@pytest.mark.parametrize("verb", ["release", "fail"])
def test_a_job_that_comes_back_wakes_too(head: Api, claw: Api, name: str, verb: str) -> None:
    job_id = head.submit(target=name)["id"]
    claw.claim(job_id)
    with polls(claw.by("w2").poll(wait=20)) as (poll,):
        until_waiting(head, 1)
        claw.post(f"/jobs/{job_id}/{verb}")
        assert [j["id"] for j in poll.jobs(MOMENT)] == [job_id]


def test_an_expired_job_wakes_too(start_spine: StartSpine) -> None:
    server = start_spine(LEASE_SECONDS="1", REAPER_INTERVAL_MS="60")
    job_id = server.head.submit(target="c1")["id"]
    server.claw("c1").claim(job_id)
    assert [job["id"] for job in server.claw("c1", "w2").claim_next(wait=15)] == [job_id]


def test_the_oldest_waiter_is_served_first(server: Server, head: Api, name: str) -> None:
    made = []
    for n in range(6):
        made.append(server.claw(name, f"w{n}").poll(wait=20))
        until_waiting(head, n + 1)
    with polls(*made):
        for n in range(6):
            job = head.submit(target=name)
            assert [j["id"] for j in made[n].jobs(MOMENT)] == [job["id"]]
            assert ready(tuple(made[n + 1 :])) == []


def test_one_job_wakes_one_waiter_and_the_others_go_on_waiting(server: Server, head: Api, name: str) -> None:
    with polls(*(server.claw(name, f"w{n}").poll(wait=30) for n in range(50))) as made:
        until_waiting(head, 50)
        writes, jobs = figure(head, "spine_store_operations_total"), 10
        for _ in range(jobs):
            head.submit(target=name)
        eventually(lambda: len(ready(made)) == jobs)
        until_waiting(head, 40)
        # No herd: a submit and one try each, and not fifty tries. Some more for the reaper and what races.
        assert figure(head, "spine_store_operations_total") - writes <= 4 * jobs
        for _ in range(40):
            head.submit(target=name)
        assert sorted(j["workerId"] for p in made for j in p.jobs()) == sorted(f"w{n}" for n in range(50))


def test_classes_mix_and_each_job_finds_one_that_may_do_it(server: Server, head: Api, name: str) -> None:
    plain = server.claw(name, "plain").poll(wait=20)
    until_waiting(head, 1)
    gpu = server.claw(name, "gpu").poll(wait=20, capabilities=["gpu"])
    until_waiting(head, 2)
    both = server.claw(name, "both").poll(wait=20, capabilities=["gpu", "git"])
    until_waiting(head, 3)
    with polls(plain, gpu, both) as made:
        git = head.submit(target=name, requires=["git"])["id"]
        assert [j["id"] for j in both.jobs(MOMENT)] == [git]
        need = head.submit(target=name, requires=["gpu"])["id"]
        assert [j["id"] for j in gpu.jobs(MOMENT)] == [need]
        assert ready(made[:1]) == []
        free = head.submit(target=name)["id"]
        assert [j["id"] for j in plain.jobs(MOMENT)] == [free]


def test_a_job_for_any_goes_to_the_oldest_of_all_claws(server: Server, head: Api) -> None:
    marker = "class-any"
    first = server.claw("c395").poll(wait=20, capabilities=[marker])
    until_waiting(head, 1)
    second = server.claw("c396").poll(wait=20, capabilities=[marker])
    until_waiting(head, 2)
    with polls(first, second):
        job = head.submit(target="any", requires=[marker])["id"]
        assert [j["id"] for j in first.jobs(MOMENT)] == [job]
        job = head.submit(target="any", requires=[marker])["id"]
        assert [j["id"] for j in second.jobs(MOMENT)] == [job]


def test_a_turn_that_is_not_needed_goes_to_another_class(server: Server, head: Api, name: str) -> None:
    # The older waiter takes a job of another lane than the one it was woken for; that one must find its claw too.
    old = server.claw(name, "old").poll(wait=20, capabilities=["a", "b"])
    until_waiting(head, 1)
    young = server.claw(name, "young").poll(wait=20, capabilities=["a"])
    until_waiting(head, 2)
    with polls(old, young):
        a = head.submit(target=name, requires=["a"])["id"]
        b = head.submit(target=name, requires=["b"], priority=9)["id"]
        (got,) = old.jobs(MOMENT)
        if got["id"] == b:
            assert [j["id"] for j in young.jobs(MOMENT)] == [a]
        else:  # it was quicker than the second submit
            assert got["id"] == a
            assert [j["id"] for j in server.claw(name, "third").claim_next(capabilities=["b"])] == [b]


def test_no_wake_up_is_lost_over_many_rounds(server: Server, head: Api, name: str) -> None:
    claw, seen = server.claw(name), []
    for n in range(150):
        poll = claw.poll(wait=20)
        if n % 3 == 0:
            time.sleep(random.uniform(0, 0.004))  # land before, in and after the waiter's first try
        job = head.submit(target=name)
        got = poll.jobs(MOMENT * 2)
        poll.close()
        assert [j["id"] for j in got] == [job["id"]], f"round {n}"
        seen.append(job["id"])
    assert len(set(seen)) == 150


def test_many_waiters_and_many_jobs_pair_up_exactly(server: Server, head: Api, name: str) -> None:
    with polls(*(server.claw(name, f"w{n}").poll(wait=20, max=1) for n in range(100))) as made:
        ids = {head.submit(target=name)["id"] for _ in range(100)}
        got = [job["id"] for poll in made for job in poll.jobs()]
        assert len(got) == 100
        assert set(got) == ids


def test_a_waiter_with_a_greater_max_takes_what_is_there(head: Api, claw: Api, name: str) -> None:
    with polls(claw.poll(wait=20, max=10)) as (poll,):
        until_waiting(head, 1)
        job = head.submit(target=name)
        assert [j["id"] for j in poll.jobs(MOMENT)] == [job["id"]]


def test_a_vanished_waiter_is_noticed_and_takes_no_further_job(server: Server, head: Api, name: str) -> None:
    gone = server.claw(name, "gone").poll(wait=30)
    until_waiting(head, 1)
    gone.close()
    until_waiting(head, 0)
    job = head.submit(target=name)
    assert head.job(job["id"]) == job


def test_a_job_handed_to_a_vanished_waiter_comes_back_with_its_attempt(start_spine: StartSpine) -> None:
    server = start_spine(SPINE_ACCEPT_LEASE_SECONDS="1", REAPER_INTERVAL_MS="60")
    head = server.head
    gone = server.claw("c1", "gone").poll(wait=30)
    until_waiting(head, 1)
    gone.close()
    job_id = head.submit(target="c1")["id"]  # at once: the server has not noticed yet
    (job,) = server.claw("c1", "next").claim_next(wait=15)
    assert (job["id"], job["attempts"], job["workerId"]) == (job_id, 1, "next")
    assert [(a["outcome"], a["workerId"]) for a in head.attempts(job_id)] == [
        ("unaccepted", "gone"),
        ("running", "next"),
    ]
