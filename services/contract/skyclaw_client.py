"""Enqueuing a job at coordinators of Skyclaw, or at what speaks as they do: the call that Skyclaw's own CLI makes.

One walk through the addresses; whatever is no success counts as "try the next", and the last fault is raised. Each job
carries an idempotency key of its own: addresses that lead to one spine make one job of it.
"""

import ssl
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec
import requests

from contract import __version__


class EnqueueError(Exception):
    """No coordinator took the job; the text is worded as Skyclaw words it."""


class _Job(msgspec.Struct):
    id: str


class _Answer(msgspec.Struct):
    job: _Job


def enqueue(
    urls: Iterable[str],
    token: str | None,
    payload: dict[str, Any],
    capabilities: list[str],
    *,
    connect_seconds: float = 5.0,
    read_seconds: float = 20.0,
) -> str:
    """Enqueue a job; return its id.

    Raises:
        EnqueueError
    """
    body = msgspec.json.encode({"payload": payload, "requirement": {"requiredCapabilities": capabilities}})
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"spinal-cord/{__version__}",
        "X-Idempotency-Key": uuid.uuid4().hex,
    } | ({"X-Skyclaw-Token": token} if token else {})
    fault = EnqueueError("fetch failed")
    with requests.Session() as session:
        session.trust_env = False
        session.verify = ssl.get_default_verify_paths().cafile or True
        for url in urls:
            try:
                answer = session.post(
                    url.rstrip("/") + "/v1/jobs",
                    data=body,
                    headers=headers,
                    timeout=(connect_seconds, read_seconds),
                    allow_redirects=False,
                )
            except (requests.RequestException, ValueError):  # ValueError: what is no address at all
                fault = EnqueueError("fetch failed")
                continue
            if answer.status_code // 100 == 2:
                try:
                    return msgspec.json.decode(answer.content, type=_Answer).job.id
                except (msgspec.DecodeError, UnicodeDecodeError):
                    pass
            fault = EnqueueError(f"request failed ({answer.status_code}): {answer.text.strip()}")
    raise fault
