"""The broker's records: a job as it shows one, and what its requests hold."""

import re
from typing import Any

import msgspec

from contract.errors import BadJson, InvalidField
from contract.states import Status
from spine.facades import mapping
from spine.facades.front import members, value
from spine.facades.mapping import BROKER, as_json, clean
from spine.store.jobs import JobRow

CAPS_MOST, CAP_MOST = 64, 256
SHOWN_MOST = 1000
_JSON = re.compile(r"application/([\w.+-]+\+)?json\s*(;|\Z)", re.IGNORECASE)


class Unprocessable(InvalidField):
    """A body that lacks something, or has it in another form."""


def job_record(row: JobRow) -> dict[str, Any]:
    """Return a job object: eleven members, all always there, times in epoch seconds (contract: section 2)."""
    spec = msgspec.json.decode(row.spec)
    known = spec if isinstance(spec, dict) else {"command": "", "payload": spec}
    result = None if row.result is None or row.status != Status.DONE else msgspec.json.decode(row.result)
    return {
        "id": row.id,
        "created_at": row.created_at // 1000,
        "started_at": _seconds(row.started_at if row.claimed_by else None),
        "finished_at": _seconds(row.finished_at),
        "lease_until": _seconds(row.lease_until),
        "status": mapping.STATUS[Status(row.status)].broker,
        "command": _text(known.get("command")),
        "payload": _text(known.get("payload")),
        "result": result if result is None or isinstance(result, str) else as_json(result),
        "error": mapping.error(row),
        "worker_id": row.worker_id or mapping.worker(BROKER, row.claimed_by) or None,
    }


def _seconds(ms: int | None) -> int | None:
    return None if ms is None else ms // 1000


def _text(found: Any) -> str:
    return found if isinstance(found, str) else "" if found is None else as_json(found)


def members_of(data: bytes, content_type: str) -> dict[str, msgspec.Raw]:
    """Return the members of a body.

    Raises:
        Unprocessable: it is missing, no object, no JSON, or not said to be JSON.
    """
    if not data.strip() or data.strip() == b"null":
        raise _unprocessable("missing", ["body"], "Field required", None)
    shown: Any = None
    try:
        if not _JSON.match(content_type):
            shown = data[:SHOWN_MOST].decode(errors="replace")
        elif data.lstrip()[:1] == b"{":
            return members(data)
        elif msgspec.json.decode(data) is not None and len(data) < SHOWN_MOST:
            shown = msgspec.Raw(data)
    except (BadJson, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise _unprocessable("json_invalid", ["body", 0], "JSON decode error", {}, ctx={"error": str(e)}) from e
    wanted = "Input should be a valid dictionary or object to extract fields from"
    raise _unprocessable("model_attributes_type", ["body"], wanted, shown)


def _unprocessable(kind: str, loc: list[Any], msg: str, shown: Any, **more: Any) -> Unprocessable:
    told = {"type": kind, "loc": loc, "msg": msg, "input": shown} | more
    return Unprocessable(msg, ".".join(map(str, loc)), told=told)


def string(given: dict[str, msgspec.Raw], name: str) -> str:
    """Return a member that must be a string.

    Raises:
        Unprocessable
    """
    if name not in given:
        shown = {known: msgspec.Raw(raw) for known, raw in given.items() if len(raw) < SHOWN_MOST}
        raise _unprocessable("missing", ["body", name], "Field required", shown)
    found = value(given, name) if bytes(given[name]).startswith(b'"') else None
    if not isinstance(found, str):
        raise _unprocessable("string_type", ["body", name], "Input should be a valid string", given[name])
    return found


def caps(requires: Any) -> list[str]:
    """Return what a job asks of its worker: `{"caps":[…]}`, also as text (contract: section 5).

    Anything else asks for nothing, so that no odd requirement holds a job or the queue up.
    """
    try:
        asked = msgspec.json.decode(requires) if isinstance(requires, (str, msgspec.Raw)) else None
        asked = msgspec.json.decode(asked) if isinstance(asked, str) else asked
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return []
    listed = asked.get("caps") if isinstance(asked, dict) else None
    if not isinstance(listed, list) or len(listed) > CAPS_MOST:
        return []
    if not all(isinstance(cap, str) and len(cap) <= CAP_MOST for cap in listed):
        return []
    return sorted({clean(cap.strip()) for cap in listed} - {"", *mapping.DIALECTS})


def header_caps(header: str | None) -> list[str]:
    """Return what a worker can do: a JSON list, or words with commas between."""
    if not header or len(header) > 8192:
        return []
    listed: Any = header.split(",")
    if header.lstrip().startswith("["):
        try:
            listed = msgspec.json.decode(header)
        except (msgspec.DecodeError, RecursionError):
            return []
    return [cap.strip() for cap in listed if isinstance(cap, str) and cap.strip()]
