"""The name of one call, which the logs of both sides carry."""

import re
import secrets

HEADER = "X-Request-Id"
_VISIBLE = re.compile(r"[!-~]{1,128}")


def fresh() -> str:
    """Return an id that no call had before."""
    return secrets.token_hex(16)


def of_text(text: str) -> str | None:
    """Return what a client calls its request; None when that is not 1 to 128 visible ASCII characters."""
    return text if _VISIBLE.fullmatch(text) else None
