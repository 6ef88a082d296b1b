"""The tools: which call of the API each is, for whom it is listed, and what it takes.

Names, arguments and their schemas come from the API's own description: a tool has no rule of its own. Arguments stand
side by side, wherever the API has them: in the path, the query string, a header or the body.
"""

from typing import Any, Literal, NamedTuple

from spine.api import openapi
from spine.api.calls import BYTES, CLAWS, FENCE, HEADS, KEY, OVERSEERS, READERS, STEERERS, TALKERS, WATCHERS, WORKER

Place = Literal["path", "query", "header", "body", "bytes"]
PAGE = 20
LOG_MOST = 16 * 1024
# Under which name an argument stands that the API has in a header; other headers are not offered.
HEADERS = {KEY.name: "idempotencyKey", WORKER.name: "workerId", FENCE.name: "fence"}
_COMPONENTS, _DEFS = "#/components/schemas/", "#/$defs/"
_LATER = "Nothing waits here and nothing wakes you: ask show_job later."


class Tool(NamedTuple):
    """A tool: its name, the `operationId` of its call, and the roles for which it is listed.

    `leaves`: arguments of the call that it does not take. `most`: the largest `limit`, and what it is when not given.
    `hint`: what stands beside its answer.
    """

    name: str
    operation: str
    roles: frozenset[str]
    leaves: frozenset[str] = frozenset()
    most: int = 0
    hint: str | None = None


TOOLS = (
    Tool(
        "claim_job",
        "claimNextJobs",
        CLAWS,
        frozenset({"targets", "max", "wait"}),
        hint="Heartbeat before the lease ends.",
    ),
    Tool("heartbeat", "heartbeat", CLAWS),
    Tool("append_log", "appendLog", CLAWS),
    Tool("complete_job", "completeJob", CLAWS),
    Tool("fail_job", "failJob", CLAWS),
    Tool("release_job", "releaseJob", CLAWS),
    Tool("submit_job", "submitJob", STEERERS, hint=_LATER),
    Tool("list_jobs", "listJobs", READERS, most=PAGE),
    Tool("show_job", "readJob", READERS),
    Tool("why_not_running", "whyNotRunning", READERS),
    Tool("list_attempts", "listAttempts", READERS),
    Tool("job_events", "readJobEvents", WATCHERS, most=PAGE),
    Tool("read_events", "readEvents", WATCHERS, most=PAGE),
    Tool("read_log", "readLog", READERS, frozenset({"follow"}), LOG_MOST),
    Tool("comment_job", "commentJob", TALKERS),
    Tool("review_job", "reviewJob", STEERERS),
    Tool("approve_job", "approveJob", STEERERS),
    Tool("reject_job", "rejectJob", STEERERS),
    Tool("cancel_job", "cancelJob", STEERERS),
    Tool("retry_job", "retryJob", HEADS, hint=_LATER),
    Tool("adopt_result", "adoptResult", HEADS),
    Tool("list_machines", "listMachines", WATCHERS),
    Tool("pause_machine", "pauseMachine", HEADS),
    Tool("resume_machine", "resumeMachine", HEADS),
    Tool("drain_machine", "drainMachine", HEADS),
    Tool("list_schedules", "listSchedules", OVERSEERS, most=PAGE),
    Tool("list_runs", "listRuns", OVERSEERS, most=PAGE),
    Tool("run_schedule", "runSchedule", HEADS, hint=_LATER),
    Tool("pause_schedule", "pauseSchedule", HEADS),
    Tool("resume_schedule", "resumeSchedule", HEADS),
)


class Argument(NamedTuple):
    """Where the API has an argument, what it is called there, and its schema."""

    place: Place
    name: str
    schema: dict[str, Any]


class Form(NamedTuple):
    """A tool as it is called: its method and path, its arguments by name, and its schema for who calls it."""

    tool: Tool
    method: str
    path: str
    text: str
    arguments: dict[str, Argument]
    schema: dict[str, Any]

    def names(self, place: Place) -> list[str]:
        """Return the arguments that stand in one place."""
        return [name for name, argument in self.arguments.items() if argument.place == place]


def forms() -> dict[str, Form]:
    """Return every tool by its name, as the API describes its call."""
    document = openapi.document()
    calls = {
        operation["operationId"]: (method.upper(), path, _own_of(item["parameters"]), operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }
    schemas = document["components"]["schemas"]
    return {tool.name: _form(tool, *calls[tool.operation], schemas) for tool in TOOLS}


def _form(
    tool: Tool,
    method: str,
    path: str,
    in_path: list[dict[str, Any]],
    operation: dict[str, Any],
    schemas: dict[str, Any],
) -> Form:
    arguments: dict[str, Argument] = {}
    required = []
    used: dict[str, Any] = {}
    about = ""
    for param in (*in_path, *operation.get("parameters", [])):
        name = HEADERS.get(param["name"]) if param["in"] == "header" else _camel(param["name"])
        if name is None or name in tool.leaves:
            continue
        schema = dict(param["schema"]) | ({"description": param["description"]} if "description" in param else {})
        if tool.most and name == "limit":
            schema |= {"maximum": tool.most, "default": tool.most}
        arguments[name] = Argument(param["in"], param["name"], schema)
        if param.get("required") and param["in"] == "path":
            required.append(name)
    body = operation.get("requestBody", {}).get("content", {})
    if BYTES in body:
        arguments["text"] = Argument("bytes", "text", {"type": "string", "description": "What is appended."})
        required.append("text")
    elif body:
        record = schemas[_record(body["application/json"]["schema"])]
        about = record.get("description", "")
        for name, schema in record["properties"].items():
            if name not in tool.leaves:
                arguments[name] = Argument("body", name, _own(schema, schemas, used))
        required += [name for name in record.get("required", []) if name not in tool.leaves]
    schema = {
        "type": "object",
        "description": about,
        "properties": {name: argument.schema for name, argument in arguments.items()},
        "required": required,
        "additionalProperties": False,
    }
    return Form(tool, method, path, operation["summary"], arguments, schema | ({"$defs": used} if used else {}))


def _own_of(parameters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what any call may carry: it is no argument."""
    return [param for param in parameters if "$ref" not in param]


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def _record(schema: dict[str, Any]) -> str:
    """Return the record of a body; of a body that may also be a list of records, that of one."""
    options = [option["$ref"] for option in (schema, *schema.get("anyOf", [])) if "$ref" in option]
    return str(options[0]).removeprefix(_COMPONENTS)


def _own(schema: Any, schemas: dict[str, Any], used: dict[str, Any]) -> Any:
    """Return a schema that names records of its own document; adds them to `used`."""
    if isinstance(schema, list):
        return [_own(part, schemas, used) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _own(part, schemas, used) for key, part in schema.items()}
    ref = found.get("$ref")
    if ref is not None:
        name = ref.removeprefix(_COMPONENTS)
        found["$ref"] = _DEFS + name
        if name not in used:
            used[name] = {}
            used[name] = _own(schemas[name], schemas, used)
    return found
