"""`spine-head submit`: from arguments to a job, and if wanted to its end."""

import sys
from collections.abc import Sequence
from typing import Any, get_args

import click

from contract.wire import DeliveryMode, Job
from head import complete, exits, page, specs, waiting
from head.desk import Desk, as_json, complain, pass_desk
from head.words import Line


@click.command()
@click.argument("text", required=False)
@click.option("--file", "-f", metavar="PATH", help="Read the spec from a file: a JSON object, or a text.")
@click.option("--run", metavar="CMD", help="Make a spec that runs one shell line.")
@click.option("--phase", "phases", metavar="NAME=CMD", multiple=True, help="Add a phase to a spec; several, in order.")
@click.option("--repo", metavar="URL", help="The repository that --run or --phase works in.")
@click.option("--branch", metavar="NAME", help="The branch of --repo to start from.")
@click.option("--artifact", "artifacts", metavar="GLOB", multiple=True, help="Files to upload; several.")
@click.option(
    "--target",
    "-t",
    metavar="NAME",
    shell_complete=complete.targets,
    help="The claw that is to do it, or any.  [default: left-claw]",
)
@click.option("--label", metavar="TEXT", help="A name for people; also the title of the commit.")
@click.option("--priority", type=int, metavar="N", help="-100 to 100, higher goes first.  [default: 0]")
@click.option("--max-attempts", type=int, metavar="N", help="How often it is tried.")
@click.option("--timeout", type=int, metavar="SECONDS", help="Longest run of one attempt.")
@click.option("--requires", metavar="NAME", multiple=True, help="A capability that the claw must have; several.")
@click.option("--not-before", metavar="TIME", help="Not before this time, as in 2030-01-31T08:00:00Z.")
@click.option("--delay", type=int, metavar="SECONDS", help="Not before so many seconds from now.")
@click.option(
    "--after", metavar="ID", shell_complete=complete.jobs, multiple=True, help="A job that must be done first; several."
)
@click.option("--concurrency-key", metavar="KEY", help="Jobs with the same key share slots.")
@click.option("--concurrency-limit", type=int, metavar="N", help="How many slots the key has.  [default: 1]")
@click.option("--retry-backoff", type=float, metavar="SECONDS", help="Wait so long after a failed attempt.")
@click.option("--retry-factor", type=float, metavar="X", help="Each further wait is so much longer.  [default: 2]")
@click.option("--retry-max", type=float, metavar="SECONDS", help="No wait is longer.  [default: 3600]")
@click.option("--dedupe-key", metavar="KEY", help="While a job with the key has not ended, that one is the answer.")
@click.option("--needs-approval", is_flag=True, help="Wait until a person approves exactly this spec.")
@click.option("--needs-review", is_flag=True, help="When done, wait for a review: accept or rework.")
@click.option(
    "--notify", metavar="ALIAS", shell_complete=complete.aliases, multiple=True, help="Who is told of the end; several."
)
@click.option(
    "--delivery",
    metavar="MODE",
    type=click.Choice(get_args(DeliveryMode)),
    help="When: announce, announce-always, none.",
)
@click.option("--channel", metavar="NAME", help="A chat to tell besides, through the alias openclaw; needs --to.")
@click.option("--to", metavar="WHOM", help="Whom on --channel; without it an alias, as in @team_room.")
@click.option("--parent", metavar="ID", shell_complete=complete.jobs, help="The job that this one belongs to.")
@click.option("--meta", metavar="JSON", help="A JSON object that is kept with the job.")
@click.option("--list", "listed", metavar="PATH", help="Submit a JSON list of jobs, all or none; `-` reads it.")
@click.option("--idempotency-key", metavar="KEY", help="The same key and arguments again give the same job.")
@click.option("--wait", "-w", is_flag=True, help="Follow to the end and show the result.")
@as_json
@pass_desk
def submit(
    desk: Desk, /, wait: bool, json: bool, idempotency_key: str | None, listed: str | None, **given: Any
) -> None:
    """Submit a job and print its id.

    TEXT is the spec: what an agent is to do, or a JSON object. `-` reads it from standard input. With --list every
    job comes from the file, and options say what holds for those that do not say otherwise.

    \b
    spine-head submit "Add a changelog entry for 1.2"
    spine-head submit --repo URL --phase test='make test' --phase build='make' --wait
    spine-head submit --file job.json --json | jq -r .id
    """
    if listed is not None:
        _submit_list(desk, listed, given, idempotency_key, wait, json)
        return
    job = desk.client().submit({"spec": _spec(given)} | _fields(given), idempotency_key=idempotency_key)
    if wait:
        sys.exit(follow(desk, job.id, json, announce=not json))
    if json:
        desk.screen.json(job)
    elif desk.screen.live:
        desk.screen.say(Line(f"{job.id}  {job.status} for {job.target}"))
        desk.screen.say(Line(f"follow it: spine-head watch {job.id}", "dim"))
    else:
        desk.screen.say(Line(job.id))


def _submit_list(desk: Desk, path: str, given: dict[str, Any], key: str | None, wait: bool, json: bool) -> None:
    if any(given[name] for name in ("text", "file", "run", "phases", "repo", "branch", "artifacts")):
        raise click.UsageError("with --list each job of the file brings its own spec")
    jobs = specs.job_list(specs.read_text(path, sys.stdin))
    common = _fields(given)
    found = desk.client().submit_all([common | job for job in jobs], idempotency_key=key)
    if wait:
        sys.exit(follow_all(desk, [job.id for job in found], json, announce=not json))
    if json:
        desk.screen.json({"jobs": found})
        return
    for job in found:
        desk.screen.say(Line(f"{job.id}  {job.status} for {job.target}" if desk.screen.live else job.id))


def follow_all(desk: Desk, ids: Sequence[str], json: bool, announce: bool = False) -> int:
    """Wait for one job after another; return the code of the first that did not end well."""
    codes = [follow(desk, job_id, json, announce) for job_id in dict.fromkeys(ids)]
    return next((code for code in codes if code != exits.OK), exits.OK)


def follow(desk: Desk, job_id: str, json: bool, announce: bool = False) -> int:
    """Wait for a job's end, show its outcome, return the exit code for it. Ctrl-C leaves the job alone."""
    if announce:
        desk.screen.say(Line(f"job {job_id}", "bold"))
    try:
        job: Job = waiting.wait(desk.client(patient=False), desk.screen, job_id, quiet=json)
    except KeyboardInterrupt:
        complain(f"stopped waiting; job {job_id} goes on. Watch it: spine-head watch {job_id}")
        return exits.INTERRUPTED
    if json:
        desk.screen.json(job)
    else:
        desk.screen.show(*page.outcome(job), *(page.to_do(job, []) if desk.screen.live else []))
    return exits.of_status(job.status)


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a submit; those that were not given are left to the spine's defaults."""
    fields = {
        "target": given["target"],
        "label": given["label"],
        "priority": given["priority"],
        "maxAttempts": given["max_attempts"],
        "timeoutSeconds": given["timeout"],
        "requires": list(given["requires"]) or None,
        "notBefore": given["not_before"],
        "delaySeconds": given["delay"],
        "after": list(given["after"]) or None,
        "concurrencyKey": given["concurrency_key"],
        "concurrencyLimit": given["concurrency_limit"],
        "retry": _retry(given),
        "dedupeKey": given["dedupe_key"],
        "needsApproval": given["needs_approval"] or None,
        "needsReview": given["needs_review"] or None,
        "notify": list(given["notify"]) or None,
        "delivery": _delivery(given),
        "parentId": given["parent"],
        "meta": specs.json_object("--meta", given["meta"]),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _delivery(given: dict[str, Any]) -> dict[str, str] | None:
    names = {"mode": "delivery", "channel": "channel", "to": "to"}
    return {name: given[option] for name, option in names.items() if given[option] is not None} or None


def _retry(given: dict[str, Any]) -> dict[str, float] | None:
    names = {"backoffSeconds": "retry_backoff", "factor": "retry_factor", "maxSeconds": "retry_max"}
    found: dict[str, float] = {name: given[option] for name, option in names.items() if given[option] is not None}
    if found and "backoffSeconds" not in found:
        raise click.UsageError("--retry-factor and --retry-max need --retry-backoff")
    return found or None


def _spec(given: dict[str, Any]) -> Any:
    built = specs.from_options(given["run"], given["phases"], given["repo"], given["branch"], given["artifacts"])
    sources = [value for value in (given["text"], given["file"], built) if value is not None]
    if len(sources) > 1:
        raise click.UsageError("give the spec once: as TEXT, with --file, or with --run or --phase")
    if built is not None:
        return built
    if given["file"] is not None:
        path: str = given["file"]
        return specs.from_text(specs.read_text(path, sys.stdin), must_be_json=path.endswith(".json"))
    if given["text"] == "-" or (given["text"] is None and not sys.stdin.isatty()):
        return specs.from_text(specs.read_text("-", sys.stdin))
    if given["text"] is None:
        raise click.UsageError("what is to be done? Give TEXT, --file, --run or --phase")
    return specs.from_text(given["text"])
