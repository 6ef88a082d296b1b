"""`schedules install`: recovery and the stuck detector, run by this machine's claw."""

from typing import Any

from contract.errors import SpineError
from contract.schedule_client import ScheduleClient
from dispatch import spines
from dispatch.arguments import Arguments
from dispatch.desk import Desk
from dispatch.faults import OK, Fault, Usage

RECOVER_CRON = "*/10 * * * *"
JOB_SECONDS = 600


def schedules(desk: Desk, arguments: Arguments) -> int:
    """File both as schedules of the spine; those that are there are brought up to date, not filed twice."""
    if arguments.words != ["install"]:
        raise Usage("say spine-dispatch schedules install")
    lacks = spines.lacking(desk)
    if lacks is not None:
        raise Fault(lacks, "no_spine")
    if desk.settings.jobs_post_nothing is not None:
        desk.note(desk.settings.jobs_post_nothing)
    minutes = arguments.whole("threshold-min", desk.config.watchdog_timeout_min, 1, 100_000)
    to = arguments.text("deliver-to") or desk.config.deliver_to
    place = {"deliverTo": to, "deliverChannel": arguments.text("deliver-channel") or desk.config.delivery_channel}
    interval = arguments.cron("interval", desk.config.watchdog_interval_cron)
    name = f"{desk.config.name}-{desk.settings.target}"
    # The one that a person's words can make wrong comes first, so that a refusal leaves neither.
    wanted = (
        _schedule(desk, f"{name}-stuck", interval, ["stuck", f"--threshold-min={minutes}"], place, [1]),
        _schedule(desk, f"{name}-recover", RECOVER_CRON, ["recover"], place, []),
    )
    try:
        client = spines.client(desk)
        done = [_install(client, body) for body in wanted]
    except SpineError as e:
        raise Fault(f"the spine does not take it: {e.detail}", e.code) from e
    desk.answer(ok=True, target=desk.settings.target, schedules=done)
    return OK


def _schedule(
    desk: Desk, name: str, cron: str, words: list[str], place: dict[str, Any], exits: list[int]
) -> dict[str, Any]:
    job = {
        "target": desk.settings.target,
        "spec": {"run": spines.command(desk, *words), "permanentExits": exits},
        "label": name,
        "timeoutSeconds": JOB_SECONDS,
        "maxAttempts": 2,
        **spines.delivery(place),
    }
    return {"name": name, "cron": cron, "missed": "skip", "overlap": "skip", "job": job}


def _install(client: ScheduleClient, body: dict[str, Any]) -> dict[str, Any]:
    found = next((one for one in client.schedules(name=body["name"]).schedules if one.name == body["name"]), None)
    if found is None:
        made = client.make_schedule(body)
        return {"name": made.name, "id": made.id, "action": "added"}
    client.edit_schedule(found.id, {name: value for name, value in body.items() if name != "name"})
    return {"name": found.name, "id": found.id, "action": "updated"}
