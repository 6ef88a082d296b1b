"""What an agent on a gateway is asked, and what is made of its last message."""

import re
from typing import Any

import msgspec

from contract.wire import CommentRecord, Job

HOW_TO_END = """\

---
When you are done, end your last message with one fenced block that is marked json and holds an object: `notes`, a few
lines for people, and what else is worth keeping, such as `url`, `pr`, `branch`, `howToTest` (a list of texts). Without
such a block your whole last message becomes the notes. If the task could not be done, say so in the object with
`"outcome": "fail"` and `"error"`: why.
"""
_BLOCK = re.compile(r"^[ \t]{0,3}```json[ \t]*\n(.*?)^[ \t]{0,3}```[ \t]*$", re.DOTALL | re.MULTILINE)


def build(task: str, job: Job) -> str:
    """Return the prompt: the task, what people have said about it so far, and how to end."""
    said = [comment for comment in job.comments if comment.text.strip()]
    parts = [task.rstrip()]
    if job.round > 1:
        parts.append(f"\n---\nThis is round {job.round}: the work was done before and sent back. Go on from there.")
    if said:
        parts.append("\n---\nWhat was said about it so far:\n" + "\n".join(_quoted(comment) for comment in said))
    return "\n".join(parts) + "\n" + HOW_TO_END


def _quoted(comment: CommentRecord) -> str:
    lines = "\n".join(f"> {line}" for line in comment.text.splitlines())
    return f"{comment.by}, {comment.t}:\n{lines}"


def result_of(text: str) -> dict[str, Any] | None:
    """Return the object in the last fenced json block of a message; None when there is none that holds one."""
    for block in reversed(_BLOCK.findall(text.replace("\r\n", "\n"))):
        try:
            found = msgspec.json.decode(block)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        return found if isinstance(found, dict) else None
    return None
