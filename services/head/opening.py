"""`spine-head open`: the dashboard's page of a job, in the browser."""

import webbrowser
from urllib.parse import quote, urlsplit, urlunsplit

import click

from contract.env import SettingsError, base_url
from head import complete, settings
from head.desk import Desk, pass_desk
from head.words import Line


@click.command("open")
@click.argument("job_id", metavar="ID", required=False, shell_complete=complete.jobs)
@click.option("--url", metavar="URL", help="The spine's address as the browser reaches it.")
@click.option("--print", "only_print", is_flag=True, help="Only print the address.")
@pass_desk
def opening(desk: Desk, job_id: str | None, url: str | None, only_print: bool) -> None:
    """Open a job's page of the dashboard in the browser; without ID, the board.

    The address holds no token: the browser asks for one the first time. Where there is no screen to open it on, such as
    over SSH, it is printed.
    """
    try:
        base = None if url is None else base_url(url)
    except ValueError as e:
        raise SettingsError([f"--url: {e}"]) from e
    address = page(base or settings.from_env().base_urls[0], job_id)
    if only_print or not settings.has_screen() or not webbrowser.open(address):
        desk.screen.say(Line(address))
    else:
        desk.screen.notice(f"opened {address}")


def page(base: str, job_id: str | None) -> str:
    """Return where the dashboard shows a job, or the board; who signs in to a proxy by the address is left out."""
    parts = urlsplit(base)
    base = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return f"{base}/ui" if job_id is None else f"{base}/ui/jobs/{quote(job_id, safe='')}"
