"""What a shell is offered for an argument: jobs, targets, machines, aliases, as the spine knows them at this moment."""

from collections.abc import Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from contract.clock import iso
from contract.completion import LOOK_SECONDS, offered
from contract.notice_client import NoticeClient
from contract.retry import ONCE
from contract.wire import ANY_TARGET
from head import settings, words

_MOST = 500
_HOUR_MS = 3_600_000
_OPEN = "running,waiting,queued"


def jobs(ctx: click.Context, param: click.Parameter, begin: str) -> list[CompletionItem[str]]:
    """Offer jobs that have not ended, and those that came in the last hour."""

    def look() -> Iterable[tuple[str, str]]:
        client = _client()
        found = client.jobs(status=_OPEN, limit=_MOST).jobs
        found += client.jobs(since=iso(client.time.now() - _HOUR_MS), limit=_MOST).jobs
        return [(job.id, f"{job.status}: {words.what(job)}") for job in found]

    given: Any = ctx.params.get(param.name or "") or ()
    return [item for item in offered(look, begin) if item.value not in given]


def targets(ctx: click.Context, param: click.Parameter, begin: str) -> list[CompletionItem[str]]:
    """Offer the machines, and any of them."""
    return offered(lambda: [*_machines(), (ANY_TARGET, "whichever machine is free")], begin)


def machines(ctx: click.Context, param: click.Parameter, begin: str) -> list[CompletionItem[str]]:
    """Offer the machines."""
    return offered(_machines, begin)


def aliases(ctx: click.Context, param: click.Parameter, begin: str) -> list[CompletionItem[str]]:
    """Offer whom notices may be for."""
    return offered(lambda: [(alias.name, alias.channel or "") for alias in _client().aliases()], begin)


def _machines() -> list[tuple[str, str]]:
    return [(machine.name, machine.state) for machine in _client().machines().machines]


def _client() -> NoticeClient:
    used = settings.from_env()
    return NoticeClient(used.base_urls, used.token, connect_seconds=LOOK_SECONDS, read_seconds=LOOK_SECONDS, retry=ONCE)
