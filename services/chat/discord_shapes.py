"""What the front says to Discord and hears from it, in discord.py's terms: buttons, forms, and what went wrong."""

import logging
import re
from collections.abc import Iterator
from typing import Any

import discord
from discord import ui

from chat import words
from chat.transport import Button

CUSTOM = re.compile(r"spinal:([a-z]{1,16}):([A-Za-z0-9._-]{1,64}):([0-9]{1,16})")
"""The id of a button: verb, job and fence. So it works whichever process made it."""
REWORK_MOST = 1000
NOBODY = discord.AllowedMentions.none()
_STYLES = {
    "good": discord.ButtonStyle.success,
    "bad": discord.ButtonStyle.danger,
    "plain": discord.ButtonStyle.secondary,
}


def view_of(buttons: tuple[Button, ...]) -> ui.View:
    view = ui.View(timeout=None)
    for found in buttons:
        custom_id = f"spinal:{found.verb}:{found.job_id}:{found.fence}"
        view.add_item(ui.Button(label=found.label, custom_id=custom_id, style=_STYLES[found.style]))
    view.stop()  # nothing waits for it: a press comes with all that it means
    return view


def modal_of(custom_id: str) -> ui.Modal:
    modal = ui.Modal(title=words.REWORK_TITLE, custom_id=custom_id, timeout=None)
    modal.add_item(
        ui.TextInput(
            label=words.REWORK_LABEL, custom_id="text", style=discord.TextStyle.paragraph, max_length=REWORK_MOST
        )
    )
    modal.stop()
    return modal


def texts_in(data: Any) -> Iterator[str]:
    """Yield the texts of a form, however it is laid out."""
    if isinstance(data, dict):
        if isinstance(data.get("value"), str):
            yield data["value"]
        for name in ("components", "component"):
            yield from texts_in(data.get(name))
    elif isinstance(data, list):
        for part in data:
            yield from texts_in(part)


def pause_after(e: discord.HTTPException) -> float | None:
    """Return after how many seconds the same may be tried again, at least; None where that would be in vain."""
    if e.status >= 500:
        return 0.0
    headers = e.response.headers
    if e.status != 429 or not headers.get("Content-Type", "").startswith("application/json"):
        return None  # a page in the place of Discord's own words is its guard's: a ban
    try:
        return float(headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0


def why(e: BaseException) -> str:
    """Say what happened without a body, or an address that holds a token."""
    if isinstance(e, discord.HTTPException):
        return f"Discord answered {e.status} ({e.code})"
    if isinstance(e, discord.ConnectionClosed):
        return f"the gateway closed the connection ({e.code})"
    return f"no answer ({type(e).__name__})"


def calm(record: logging.LogRecord) -> bool:
    """Log that discord.py connects anew as what it is, no fault of ours: a filter of its logger."""
    if record.exc_info and record.levelno >= logging.ERROR and "reconnect" in str(record.msg):
        fault = record.exc_info[1]
        record.msg = f"{record.getMessage()} ({type(fault).__name__})"
        record.args, record.exc_info, record.exc_text = (), None, None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True
