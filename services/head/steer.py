"""The commands that decide about one job: approve, reject, review, cancel, retry, adopt, why."""

import sys

import click
from msgspec import UNSET

from contract.head_client import HeadClient
from contract.wire import Attempt, Job
from head import clean, exits, specs, tables
from head.desk import Desk, as_json, complain, job_id, pass_desk
from head.words import Line

_reason = click.option("--reason", metavar="TEXT", help="Why; it is kept with the job.")


@click.command()
@job_id
@click.option("--digest", metavar="HEX", help="Only if the spec still has this digest (approval.specDigest).")
@as_json
@pass_desk
def approve(desk: Desk, job_id: str, digest: str | None, json: bool) -> None:
    """Approve the spec of a job that waits for it."""
    _tell(desk, json, desk.client().approve(job_id, digest), "approved")


@click.command()
@job_id
@_reason
@as_json
@pass_desk
def reject(desk: Desk, job_id: str, reason: str | None, json: bool) -> None:
    """Refuse approval; the job is cancelled."""
    _tell(desk, json, desk.client().reject(job_id, reason), "rejected")


@click.command()
@job_id
@click.argument("decision", metavar="DECISION", type=click.Choice(["accept", "rework"]))
@click.option("--text", metavar="TEXT", help="What to say with it; for rework, what to do differently; `-` reads it.")
@click.option("--fence", metavar="FENCE", type=click.IntRange(0), help="Only if this is the result's attempt still.")
@click.option("--go-on", is_flag=True, help="With accept, of a plan: submit what follows it (result.next).")
@as_json
@pass_desk
def review(
    desk: Desk, job_id: str, decision: str, text: str | None, fence: int | None, go_on: bool, json: bool
) -> None:
    """Accept a finished job, or send it back to be done again. DECISION is accept or rework."""
    said = specs.read_text("-", sys.stdin).rstrip("\n") if text == "-" else text
    client = desk.client()
    if go_on:
        looked_at = client.job(job_id)
        following, fence = looked_at.result, looked_at.fence if fence is None else fence
        if decision != "accept" or not isinstance(following, dict) or "next" not in following:
            raise click.UsageError("--go-on needs accept, and a result with a member `next`, as a plan has")
    job = client.review(job_id, decision, said or None, fence)
    if not (json and go_on):  # one JSON document: that of the new job
        _tell(desk, json, job, "accepted" if decision == "accept" else f"sent back for round {job.round}:")
    if go_on:
        _tell(desk, json, _follow_up(client, job), "submitted what follows:")


def _follow_up(client: HeadClient, job: Job) -> Job:
    """Submit what follows an accepted plan; once a round, however often it is asked for."""
    key = f"next-of-{job.id}-{job.round}"
    fields = {"spec": job.result["next"], "target": job.target, "parentId": job.id, "label": job.label}
    return client.submit(fields, idempotency_key=key)


@click.command()
@job_id
@_reason
@as_json
@pass_desk
def cancel(desk: Desk, job_id: str, reason: str | None, json: bool) -> None:
    """Cancel a job that has not ended; who runs it stops with the next heartbeat."""
    _tell(desk, json, desk.client().cancel(job_id, reason), "cancelled")


@click.command()
@job_id
@as_json
@pass_desk
def retry(desk: Desk, job_id: str, json: bool) -> None:
    """Queue a job again that is failed, dead or cancelled, with all its attempts."""
    _tell(desk, json, desk.client().retry(job_id), "queued again:")


@click.command()
@job_id
@click.argument("fence", metavar="FENCE", type=click.IntRange(0), required=False)
@as_json
@pass_desk
def adopt(desk: Desk, job_id: str, fence: int | None, json: bool) -> None:
    """Make the late result of an attempt the job's result. Without FENCE, show which attempts left one."""
    client = desk.client()
    if fence is not None:
        _tell(desk, json, client.adopt(job_id, fence), f"took the late result of fence {fence} for")
        return
    found = candidates(client.attempts(job_id))
    if json:
        desk.screen.json({"candidates": found})
    elif found:
        desk.screen.show(tables.late(found, client.time.now(), desk.screen.live))
        desk.screen.notice(f"take one: spine-head adopt {clean.line(job_id)} FENCE")
    if not found:
        complain("no attempt of this job left a late result")
        sys.exit(exits.ERROR)


@click.command()
@job_id
@as_json
@pass_desk
def why(desk: Desk, job_id: str, json: bool) -> None:
    """Say why a job does not run: what would unblock it first stands first."""
    found = desk.client().why(job_id)
    if json:
        desk.screen.json(found)
        return
    desk.screen.say(Line(f"{clean.line(job_id)} is {found.status}"))
    for reason in found.reasons:
        desk.screen.say(Line(f"  {clean.line(reason.code)}: {clean.line(reason.message)}"))


def candidates(attempts: list[Attempt]) -> list[Attempt]:
    """Return the attempts whose late result can be adopted."""
    return [found for found in attempts if found.late_result is not UNSET and found.late_error in (UNSET, None)]


def _tell(desk: Desk, json: bool, job: Job, done: str) -> None:
    if json:
        desk.screen.json(job)
    else:
        desk.screen.say(Line(f"{done} {job.id} ({job.status})"))
