"""Accepting a plan and going on with what follows it."""

from tests.integration.head.conftest import Claw, Head


def finished(head: Head, claw: Claw, result: object) -> str:
    """Return a job of this result whose review is pending."""
    found = head.submit("plan it", "--needs-review")
    claw.complete(found, claw.take(found).fence, result)
    return found


def test_going_on_submits_what_follows(head: Head, claw: Claw) -> None:
    plan = finished(head, claw, {"plan": "first this", "next": {"run": "true"}})
    following = head.json("review", plan, "accept", "--go-on")
    assert (following["status"], following["parentId"], following["spec"]) == ("queued", plan, {"run": "true"})
    reviewed = claw.job(plan).review
    assert reviewed is not None
    assert reviewed.state == "accepted"
    assert head.json("review", plan, "accept", "--go-on")["id"] == following["id"]


def test_without_a_plan_nothing_is_accepted(head: Head, claw: Claw) -> None:
    job = finished(head, claw, {"notes": "done"})
    refused = head.run("review", job, "accept", "--go-on", code=2)
    assert "--go-on needs accept, and a result with a member `next`, as a plan has" in refused.stderr
    reviewed = claw.job(job).review
    assert reviewed is not None
    assert reviewed.state == "pending"
