"""What every command works with: the screen, the client, and the one way in which faults are told."""

import sys
from typing import Any

import click

from contract.env import SettingsError
from contract.errors import SpineError, Unavailable
from contract.head_client import HeadClient
from contract.lease_client import LeaseClient
from contract.notice_client import NoticeClient
from contract.retry import ONCE, PATIENT
from contract.schedule_client import ScheduleClient
from head import clean, complete, exits, settings
from head.lead import Lead, call_seconds
from head.screen import Screen


class Desk:
    """The screen, and clients made when they are first needed: help and wrong arguments need no settings."""

    def __init__(self) -> None:
        self.screen = Screen()

    def client(self, patient: bool = True, lease: tuple[str, int] | None = None) -> HeadClient:
        """Return a client; one that is not patient leaves retrying to its caller. `lease`: under which it acts.

        Raises:
            SettingsError
        """
        used = settings.from_env()
        retry = PATIENT if patient else ONCE
        client = HeadClient(used.base_urls, used.token, retry=retry, lease=lease, renew=used.newer_token)
        client.traceparent = used.traceparent
        return client

    def lead(self, name: str) -> Lead:
        """Return what competes for a lease, not started yet.

        Raises:
            SettingsError
        """
        used = settings.from_env()
        connect, read = call_seconds(used.lease_seconds)
        client = LeaseClient(
            used.base_urls,
            used.token,
            retry=ONCE,
            connect_seconds=connect,
            read_seconds=read,
            renew=used.newer_token,
        )
        return Lead(client, name, used.lease_seconds)

    def notices(self) -> NoticeClient:
        """Return a client that looks after notices.

        Raises:
            SettingsError
        """
        used = settings.from_env()
        return NoticeClient(used.base_urls, used.token, renew=used.newer_token)

    def schedules(self) -> ScheduleClient:
        """Return a client of schedules.

        Raises:
            SettingsError
        """
        used = settings.from_env()
        return ScheduleClient(used.base_urls, used.token, retry=PATIENT, renew=used.newer_token)


class Head(click.Group):
    """The group of commands; turns every fault into lines on standard error and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except SettingsError as e:
            for fault in e.faults:
                complain(fault)
            sys.exit(exits.CONFIG)
        except SpineError as e:
            complain(explain(e))
            sys.exit(exits.of_error(e))
        except KeyboardInterrupt:
            sys.exit(exits.INTERRUPTED)


def complain(text: str) -> None:
    """Print one line on standard error."""
    click.echo(f"spine-head: {text}", err=True)


def explain(error: SpineError) -> str:
    """Say what went wrong, which field it is about, and what to do."""
    said = clean.line(error.detail)
    field = error.members.get("field")
    if isinstance(field, str) and field and not said.startswith(field):
        said = f"{clean.line(field)}: {said}"
    code = exits.of_error(error)
    if isinstance(error, Unavailable):
        said += "; is the spine running, and is SPINE_BASE_URL right?"
    elif code == exits.NO_PERMISSION:
        said += "; is SPINE_TOKEN (or SPINE_TOKEN_FILE) a head's token of this spine?"
    elif code == exits.TEMPORARY:
        said += "; try again"
    return said


pass_desk = click.make_pass_decorator(Desk)
as_json = click.option("--json", "json", is_flag=True, help="Print JSON, for programs.")
job_id = click.argument("job_id", metavar="ID", shell_complete=complete.jobs)
