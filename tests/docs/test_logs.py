"""docs/reference/logs.md has every event that the code logs, with its levels and its fields, and no other."""

import ast
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from tests.docs.pages import REPO, reference, table

PAGE = reference("logs.md")
SECTIONS = {
    "contract": "Every role",
    "spine": "The spine",
    "claw": "A claw",
    "head": "A head",
    "cluster": "A node of a cluster",
    "chat": "The chat front",
}
# `exception` logs as an error; the others pick a level as they go, and stand for all.
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
CHOOSE = {"say", "tell", "_say"}
TURNS = {"reaper.failed", "schedules.failed"}  # `Turns` names its subclass
OF_LIBRARIES = {"library.said"}
EVERYWHERE = {"exception", "request_id", "trace_id", "job_id", "fence"}
# Members of what is handed on whole: `**about(…)` and the like.
HANDED_ON = {"removed", "jumped_ms", "blobs"}


class Line(NamedTuple):
    """One call that logs."""

    event: str
    level: str | None
    fields: frozenset[str]


def logged(role: str) -> Iterator[Line]:
    for path in sorted((REPO / "services" / role).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "structlog" not in text:
            continue
        for call in ast.walk(ast.parse(text)):
            if isinstance(call, ast.Call):
                yield from _line(call)


def _line(call: ast.Call) -> Iterator[Line]:
    fields = frozenset(word.arg for word in call.keywords if word.arg is not None and word.arg != "exc_info")
    match call.func:
        case ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level) if level in LEVELS:
            for name in ast.walk(call.args[0]):
                if isinstance(name, ast.Constant) and not isinstance(call.args[0], ast.JoinedStr):
                    yield Line(str(name.value), LEVELS[level], fields)
        case ast.Name(id=chosen) if chosen in CHOOSE:
            for name in call.args:
                if isinstance(name, ast.Constant) and isinstance(name.value, str) and " " not in name.value:
                    yield Line(name.value, None, fields)


@pytest.mark.parametrize("role", SECTIONS)
def test_every_event_is_there_with_its_levels_and_fields_and_no_other(role: str) -> None:
    rows = {row["event"]: row for row in table(PAGE, SECTIONS[role])}
    assert list(rows) == sorted(rows)
    lines = list(logged(role))
    more = {"spine": TURNS, "contract": OF_LIBRARIES}.get(role, set())
    assert set(rows) == {line.event for line in lines} | more
    for event, row in rows.items():
        mine = [line for line in lines if line.event == event]
        levels = {line.level for line in mine if line.level is not None}
        told = set(row["level"].split(", "))
        assert told >= levels, event
        assert told == levels or any(line.level is None for line in mine) or not mine, event
        fields = {name.strip("`") for name in row["fields"].split(", ") if name}
        written = set().union(*(line.fields for line in mine)) if mine else fields
        assert written <= fields, event
        assert fields - written <= EVERYWHERE | HANDED_ON, event


def test_other_roles_log_nothing() -> None:
    others = {path.name for path in (REPO / "services").iterdir() if path.is_dir()} - set(SECTIONS)
    assert [line for role in others for line in logged(role)] == []
