"""What Discord takes and what it refuses: its error answers, and the limits of messages, buttons and modals."""

from collections.abc import Iterator
from typing import Any

MAX_CONTENT = 2000
MAX_NONCE = 25
MAX_CUSTOM_ID = 100
EPHEMERAL, LOADING = 1 << 6, 1 << 7
"""Flags of a message: seen by one user alone; "is thinking"."""
ROW, BUTTON, TEXT_INPUT, LABEL = 1, 2, 4, 18
"""Types of components."""


class Refusal(Exception):
    """An error answer: its HTTP status, Discord's code for it, and the words."""

    def __init__(self, status: int, code: int, message: str, errors: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.body: dict[str, Any] = {"message": message, "code": code}
        if errors is not None:
            self.body["errors"] = errors


def unknown(what: str) -> Refusal:
    """Return the answer where something is not there."""
    codes = {"Channel": 10003, "Message": 10008, "User": 10013, "Webhook": 10015, "Interaction": 10062}
    return Refusal(404, codes[what], f"Unknown {what}")


def invalid(field: str, code: str, message: str) -> Refusal:
    """Return the answer to a form with a bad field; dots part the field's steps."""
    errors: dict[str, Any] = {"_errors": [{"code": code, "message": message}]}
    for step in reversed(field.split(".")):
        errors = {step: errors}
    return Refusal(400, 50035, "Invalid Form Body", errors)


def too_long(field: str, limit: int) -> Refusal:
    return invalid(field, "BASE_TYPE_BAD_LENGTH", f"Must be {limit} or fewer in length.")


def check_message(body: dict[str, Any], editing: bool = False) -> None:
    """Hold a message to the limits; `body` is what was sent, `editing` lets fields be left out.

    Raises:
        Refusal: it would not be taken.
    """
    content = body.get("content") or ""
    if len(content) > MAX_CONTENT:
        raise too_long("content", MAX_CONTENT)
    if isinstance(nonce := body.get("nonce"), str) and len(nonce) > MAX_NONCE:
        raise too_long("nonce", MAX_NONCE)
    full = content.strip() or body.get("embeds") or body.get("attachments") or body.get("components")
    if not full and not (editing and "content" not in body):
        raise Refusal(400, 50006, "Cannot send an empty message")
    check_components(body.get("components") or [])
    mentions = body.get("allowed_mentions") or {}
    for name in ("users", "roles"):
        if name in mentions.get("parse", ()) and mentions.get(name):
            raise invalid("allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", f"parse:{name} and {name}")


def check_components(rows: list[dict[str, Any]]) -> None:
    """Hold the rows of a message to the limits.

    Raises:
        Refusal: they would not be taken.
    """
    if len(rows) > 5:
        raise invalid("components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    seen = set()
    for at, row in enumerate(rows):
        where = f"components.{at}.components"
        inner = row.get("components", [])
        if row.get("type") != ROW or not 1 <= len(inner) <= 5:
            raise invalid(where, "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
        for place, button in enumerate(inner):
            custom_id, label = button.get("custom_id", ""), button.get("label") or ""
            if button.get("type") == BUTTON and not label and not button.get("emoji"):
                raise invalid(f"{where}.{place}", "BUTTON_COMPONENT_LABEL_OR_EMOJI", "A button needs a label.")
            if len(label) > 80:
                raise too_long(f"{where}.{place}.label", 80)
            if len(custom_id) > MAX_CUSTOM_ID or (not custom_id and not button.get("url")):
                raise too_long(f"{where}.{place}.custom_id", MAX_CUSTOM_ID)
            if custom_id and custom_id in seen:
                name = "COMPONENT_CUSTOM_ID_DUPLICATED"
                raise invalid(f"{where}.{place}.custom_id", name, "Component custom id cannot be duplicated")
            seen.add(custom_id)


def check_modal(modal: dict[str, Any]) -> None:
    """Hold a modal to the limits.

    Raises:
        Refusal: it would not be taken.
    """
    if not 1 <= len(modal.get("title") or "") <= 45:
        raise too_long("data.title", 45)
    if not 1 <= len(modal.get("custom_id") or "") <= MAX_CUSTOM_ID:
        raise too_long("data.custom_id", MAX_CUSTOM_ID)
    fields = list(text_inputs(modal))
    if not 1 <= len(modal.get("components") or []) <= 5 or not fields:
        raise invalid("data.components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    for field in fields:
        if len(field.get("label") or "") > 45:
            raise too_long("data.components.label", 45)
        if len(field.get("placeholder") or "") > 100:
            raise too_long("data.components.placeholder", 100)
        if len(field.get("value") or "") > min(field.get("max_length") or 4000, 4000):
            raise too_long("data.components.value", field.get("max_length") or 4000)


def text_inputs(modal: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give each field for text, whether it stands in a row or under a label."""
    for outer in modal.get("components") or []:
        inner = outer.get("components") or ([outer["component"]] if outer.get("component") else [])
        yield from (one for one in inner if one.get("type") == TEXT_INPUT)


def filled(modal: dict[str, Any], values: dict[str, str]) -> list[dict[str, Any]]:
    """Return a modal's components as they are sent when a user submits it.

    Raises:
        AssertionError: a value that a user could not have submitted: unknown, missing, too short or too long.
    """
    known = {field["custom_id"]: field for field in text_inputs(modal)}
    assert set(values) <= set(known), f"the modal asks for {sorted(known)}"
    for name, field in known.items():
        value = values.get(name, field.get("value") or "")
        assert value or not field.get("required", True), f"{name} is required"
        assert not value or (field.get("min_length") or 0) <= len(value) <= (field.get("max_length") or 4000), name

    def answer(field: dict[str, Any], place: int) -> dict[str, Any]:
        value = values.get(field["custom_id"], field.get("value") or "")
        return {"type": TEXT_INPUT, "id": place, "custom_id": field["custom_id"], "value": value}

    submitted: list[dict[str, Any]] = []
    for place, outer in enumerate(modal["components"], start=1):
        if outer.get("type") == LABEL:
            inner = answer(outer["component"], 100 + place)
            submitted.append({"type": LABEL, "id": place, "component": inner})
        elif outer.get("type") == ROW:
            inners = [answer(field, 100 + place) for field in outer["components"]]
            submitted.append({"type": ROW, "id": place, "components": inners})
    return submitted
