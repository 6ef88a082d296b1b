"""What a head sends of a schedule: decoded with its template, and as it is kept. Also for those that are imported."""

import msgspec

from contract import wire
from contract.errors import InvalidField, TooLarge
from spine.api import body
from spine.queue import schedule_plan
from spine.queue.schedules import Definition


def read(data: bytes, field_most: int) -> tuple[wire.NewSchedule, wire.Submit]:
    """Decode a body of POST /schedules, and its template. `field_most`: how many bytes `spec` and `meta` may have.

    Raises:
        BadJson, TooLarge, InvalidField: naming members of the template as `job.…`
    """
    request, _none = body.decode(data, wire.NewSchedule, lenient=False)
    try:
        job, _none = body.decode(bytes(request.job), wire.Submit, lenient=False)
        body.limited(job, {"spec": field_most, "meta": field_most})
    except (InvalidField, TooLarge) as e:
        inner = e.members.get("field")
        if inner == "body":  # the template itself, not a member of it
            raise type(e)(e.detail.replace("body", "job", 1), **(e.members | {"field": "job"})) from e
        raise type(e)(f"job.{e.detail}", **(e.members | {"field": f"job.{inner}"})) from e
    return request, job


def definition(request: wire.NewSchedule, data: bytes) -> Definition:
    """Return a body that has been checked as it is kept."""
    return Definition(request, schedule_plan.definition(msgspec.json.decode(data, type=dict[str, msgspec.Raw])))
