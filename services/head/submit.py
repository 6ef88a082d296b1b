"""`spine-head submit`: from arguments to a job, and if wanted to its end."""

import sys
from typing import Any

import click

from contract.wire import Job
from head import exits, page, specs, waiting
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
@click.option("--target", "-t", metavar="NAME", help="The claw that is to do it, or any.  [default: left-claw]")
@click.option("--label", metavar="TEXT", help="A name for people; also the title of the commit.")
@click.option("--priority", type=int, metavar="N", help="-100 to 100, higher goes first.  [default: 0]")
@click.option("--max-attempts", type=int, metavar="N", help="How often it is tried.")
@click.option("--timeout", type=int, metavar="SECONDS", help="Longest run of one attempt.")
@click.option("--requires", metavar="NAME", multiple=True, help="A capability that the claw must have; several.")
@click.option("--meta", metavar="JSON", help="A JSON object that is kept with the job.")
@click.option("--idempotency-key", metavar="KEY", help="The same key and arguments again give the same job.")
@click.option("--wait", "-w", is_flag=True, help="Follow the job to its end and show the result.")
@as_json
@pass_desk
def submit(desk: Desk, /, wait: bool, json: bool, idempotency_key: str | None, **given: Any) -> None:
    """Submit a job and print its id.

    TEXT is the spec: what an agent is to do, or a JSON object. `-` reads it from standard input.

    \b
    spine-head submit "Add a changelog entry for 1.2"
    spine-head submit --repo URL --phase test='make test' --phase build='make' --wait
    spine-head submit --file job.json --json | jq -r .id
    """
    job = desk.client().submit(_fields(given), idempotency_key=idempotency_key)
    if wait:
        sys.exit(follow(desk, job.id, json, announce=not json))
    if json:
        desk.screen.json(job)
    elif desk.screen.live:
        desk.screen.say(Line(f"{job.id}  {job.status} for {job.target}"))
        desk.screen.say(Line(f"follow it: spine-head watch {job.id}", "dim"))
    else:
        desk.screen.say(Line(job.id))


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
        desk.screen.show(*page.outcome(job))
    return exits.of_status(job.status)


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a submit; those that were not given are left to the spine's defaults."""
    fields = {
        "spec": _spec(given),
        "target": given["target"],
        "label": given["label"],
        "priority": given["priority"],
        "maxAttempts": given["max_attempts"],
        "timeoutSeconds": given["timeout"],
        "requires": list(given["requires"]) or None,
        "meta": specs.json_object("--meta", given["meta"]),
    }
    return {name: value for name, value in fields.items() if value is not None}


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
