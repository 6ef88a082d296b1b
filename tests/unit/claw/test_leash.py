"""One flag that ends a job: the claw's pulls its jobs' along, a job's leaves the others alone."""

from claw.leash import Leash


def test_the_first_reason_stays() -> None:
    leash = Leash()
    leash.pull("lost", "one")
    leash.pull("drain", "two")
    assert (leash.pulled(), leash.why, leash.detail) == (True, "lost", "one")


def test_a_job_that_is_lost_ends_no_other() -> None:
    claws = Leash()
    with claws.branch() as first:
        first.pull("lost", "cancelled")
    with claws.branch() as second:
        assert (claws.pulled(), second.pulled()) == (False, False)


def test_a_claw_that_stops_ends_its_job_and_those_to_come() -> None:
    claws = Leash()
    with claws.branch() as under_way:
        claws.pull("drain", "the claw is stopping")
        assert (under_way.wait(0), under_way.why, under_way.detail) == (True, "drain", "the claw is stopping")
    with claws.branch() as later:
        assert (later.wait(0), later.why) == (True, "drain")
