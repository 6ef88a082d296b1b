"""The OpenAPI description: made of the route table and the records of the wire, and of nothing else.

`python -m spine.api.openapi > docs/reference/openapi.json` writes the copy that is kept with the documentation.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET

from contract import __version__, wire
from contract.errors import BY_CODE, SpineError
from contract.states import Status
from spine.api.calls import (
    ANSWER_HEADERS,
    ANY_CALL,
    BYTES,
    FORM,
    LENIENT,
    STREAM,
    Call,
    Content,
    Param,
    Route,
    common,
    headers_of,
)
from spine.api.problems import RETRY_AFTER, STATUS
from spine.api.routes import ROUTES

_REF = "#/components/schemas/{name}"
_PROBLEM = "application/problem+json"
_MOMENT = re.compile(r"(At|Until|Before)$")
_MOMENTS = frozenset({"t", "at", "until", "since"})
_STATUSES = [status.value for status in Status]
# Of a stream each reader sees events, not one text: there is nothing to say of the whole.
_MEDIA_SCHEMAS: dict[str, dict[str, Any]] = {"application/json": {"type": "object"}, STREAM: {}}
_ID = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[0-9a-z_]+$"}
_IN_PATH = {
    "job_id": _ID,
    "blob_id": _ID,
    "notice_id": _ID,
    "schedule_id": _ID,
    "message_id": _ID,
    "group_id": _ID,
    "node_id": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"},
    "name": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-z0-9][a-z0-9._-]*$"},
}
_LEASE_NAME = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[ -~]+$"}
_MEANINGS = {
    200: "Done.",
    201: "Made.",
    204: "Nothing came.",
    206: "The part that was asked for.",
    304: "What `If-None-Match` names still holds.",
}


def document() -> dict[str, Any]:
    """Return the description as plain data."""
    schemas, responses = _schemas(), dict[str, Any]()
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        for call in route.calls:
            paths.setdefault(path_of(route, call), {})[call.method.lower()] = _operation(route, call, responses)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Spinal Cord",
            "version": __version__,
            "summary": "Jobs for a fleet of machines: a head submits, claws take them under a lease, none is lost.",
            "description": "Ignore members of answers that you do not know. `/skill.md` tells how to use all this.",
        },
        "servers": [{"url": "/"}],
        "paths": {path: _with_parameters(path, item) for path, item in paths.items()},
        "components": {
            "schemas": schemas,
            "parameters": {name: _parameter(param) for name, param in ANY_CALL.items()},
            "responses": dict(sorted(responses.items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The token says who you are."}
            },
        },
    }


def text() -> str:
    """Return the description as the text that is served and kept."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1).decode() + "\n"


def path_of(route: Route, call: Call) -> str:
    """Return the path under which a call is described: its verb stands in the place of `{verb}`."""
    return route.path.replace("{verb}", call.verb) if call.verb else route.path


def _with_parameters(path: str, item: dict[str, Any]) -> dict[str, Any]:
    found: list[dict[str, Any]] = [{"$ref": f"#/components/parameters/{name}"} for name in ANY_CALL]
    for name in re.findall(r"{(\w+)}", path):
        schema = _LEASE_NAME if path.startswith("/leases/") else _IN_PATH[name]
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    return {"parameters": found} | item


def _operation(route: Route, call: Call, responses: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": call.name,
        "tags": [route.noun],
        "summary": call.text,
        "security": [{"token": []}] if call.roles else [],
        "x-roles": sorted(call.roles),
    }
    if not call.roles and call.name == "skill":
        found["security"] = [{}, {"token": []}]
    params = (*call.params, *headers_of(call))
    if params:
        found["parameters"] = [_parameter(param) for param in params]
    if call.takes is not None:
        found["requestBody"] = _body(call)
    answers = {str(status): _answer(status, kinds, call) for status, kinds in call.gives.items()}
    by_status: dict[int, list[str]] = {}
    for error in common(call):
        by_status.setdefault(STATUS[error], []).append(error.code)
    for status, codes in sorted(by_status.items()):
        name = f"{status}.{'.'.join(sorted(codes))}"
        responses[name] = _refusal(status, sorted(codes))
        answers[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return found | {"responses": answers}


def _parameter(param: Param) -> dict[str, Any]:
    found = {"name": param.name, "in": param.place, "description": param.text, "schema": param.schema}
    return found | ({"required": True} if param.required else {})


def _body(call: Call) -> dict[str, Any]:
    if call.takes == BYTES:
        return {"required": True, "content": {BYTES: {"schema": {}}}}
    if call.takes == FORM:
        file = {"type": "string", "format": "binary"}
        schema = {"type": "object", "properties": {"file": file}, "required": ["file"]}
        return {"required": True, "content": {FORM: {"schema": schema}}}
    (schema,), components = msgspec.json.schema_components([call.takes], ref_template=_REF)
    required = any(part.get("required") for name, part in components.items() if name == _name_of(schema))
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def _name_of(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _answer(status: int, kinds: tuple[Content, ...], call: Call) -> dict[str, Any]:
    found: dict[str, Any] = {"description": _MEANINGS[status]}
    if call.headers:
        found["headers"] = {name: _header(name) for name in call.headers}
    if kinds and call.method != "HEAD":
        found["content"] = _content(kinds)
    return found


def _header(name: str) -> dict[str, Any]:
    return {"description": ANSWER_HEADERS[name], "schema": {"type": "string"}}


def _content(kinds: tuple[Content, ...]) -> dict[str, Any]:
    records = [{"$ref": _REF.format(name=kind.__name__)} for kind in kinds if not isinstance(kind, str)]
    found: dict[str, Any] = {}
    if records:
        found["application/json"] = {"schema": records[0] if len(records) == 1 else {"anyOf": records}}
    for kind in kinds:
        if isinstance(kind, str):
            found[kind] = {"schema": _MEDIA_SCHEMAS.get(kind, {"type": "string"})}
    return found


def _refusal(status: int, codes: list[str]) -> dict[str, Any]:
    narrowed = {"properties": {"error": {"enum": codes}}}
    found: dict[str, Any] = {
        "description": " ".join(_meaning(BY_CODE[code]) for code in codes),
        "content": {_PROBLEM: {"schema": {"allOf": [{"$ref": _REF.format(name="Problem")}, narrowed]}}},
    }
    if status in RETRY_AFTER:
        found["headers"] = {"Retry-After": _header("Retry-After")}
    if status == 401:
        found["headers"] = {"WWW-Authenticate": _header("WWW-Authenticate")}
    return found


def _meaning(error: type[SpineError]) -> str:
    return f"`{error.code}`: {(error.__doc__ or '').strip().splitlines()[0]}"


# --- schemas ---------------------------------------------------------------------------------------------------------


def _schemas() -> dict[str, Any]:
    kinds = [kind for route in ROUTES for call in route.calls for kind in _kinds(call)]
    _, found = msgspec.json.schema_components(kinds, ref_template=_REF)
    known = {kind.__name__: kind for kind in _structs(msgspec.Struct)}
    for name, schema in found.items():
        kind = known[name]
        if issubclass(kind, wire.Record):
            _as_it_is_sent(schema, kind)
        elif kind in LENIENT:
            del schema["additionalProperties"]
        for member, part in schema["properties"].items():
            _refine(member, part)
    found["Problem"] = _problem()
    return dict(sorted(found.items()))


def _kinds(call: Call) -> Iterator[Any]:
    if call.takes is not None and not isinstance(call.takes, str):
        yield call.takes
    for kinds in call.gives.values():
        yield from (kind for kind in kinds if not isinstance(kind, str))


def _structs(base: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _structs(kind)


def _as_it_is_sent(schema: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    """Say of an answer that every member is there but those that may be left out; defaults mean nothing in it."""
    schema["required"] = [field.encode_name for field in msgspec.structs.fields(kind) if field.default is not UNSET]
    for part in schema["properties"].values():
        part.pop("default", None)


def _refine(member: str, part: dict[str, Any]) -> None:
    """Say what the record's types cannot: times, states, and patterns in the dialect of JSON Schema."""
    for option in (part, part.get("items", {}), *part.get("anyOf", ())):
        if "pattern" in option:
            option["pattern"] = option["pattern"].replace(r"\Z", "$")
        if option.get("type") == "string" and (member in _MOMENTS or _MOMENT.search(member)):
            option["format"] = "date-time"
        if option.get("type") == "string" and member == "status":
            option.setdefault("enum", _STATUSES)
    if member == "meta":
        part["type"] = "object"


def _problem() -> dict[str, Any]:
    members: dict[str, Any] = {
        "error": {"type": "string", "enum": sorted(BY_CODE)},
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": ["integer", "string"], "description": "The HTTP status; of `terminal_status` the job's."},
        "httpStatus": {"type": "integer", "description": "The HTTP status where `status` is the job's."},
        "detail": {"type": "string"},
        "retryable": {"type": "boolean", "description": "Whether the same request may succeed later."},
        "field": {"type": "string", "description": "The member, parameter or header that cannot be taken."},
        "jobId": {"type": ["string", "null"]},
        "requestId": {"type": "string", "description": "With 5xx: what the server's log calls this request."},
    }
    required = ["error", "type", "title", "status", "detail", "retryable"]
    told = "RFC 9457; further members say more, and depend on `error`."
    return {"title": "Problem", "description": told, "type": "object", "properties": members, "required": required}


if __name__ == "__main__":
    sys.stdout.write(text())
