"""What an OpenClaw gateway would obey in a text that it passes on to a chat."""

import re

_ZERO_WIDTH = "\u200b"


def disarm(text: str) -> str:
    """Break up files to attach and tags to reply to; what a reader sees stays the same."""
    broken = re.sub(r"(?i)(media)(\s*:)", rf"\1{_ZERO_WIDTH}\2", text)
    return re.sub(r"\[(?=\[)", f"[{_ZERO_WIDTH}", broken)  # also of three: pairs overlap
