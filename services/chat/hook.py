"""`spine-chat hook install`: the hook of an OpenClaw gateway, as files in a folder that the gateway is then told of."""

import importlib.resources
import sys
from pathlib import Path

import click
import msgspec

from chat import settings
from contract.durable import write_durably
from contract.env import SettingsError, base_url

FILES = ("package.json", "openclaw.plugin.json", "index.js")
SETTINGS = "settings.json"
DEFAULT = "~/.openclaw/spinal-cord-chat"
_CANNOT_WRITE, _CONFIG = 73, 78


def lay(folder: Path, given: settings.Hook) -> None:
    """Write the hook, with where it calls, the word it heeds, and its token, which its owner alone can read.

    The token stands beside the folder: a gateway runs a copy of what is in it, and would not see a new one.

    Raises:
        OSError: what was there may be partly replaced; run it again.
    """
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    source = importlib.resources.files("chat") / "openclaw_hook"
    token = folder.with_name(f"{folder.name}.token")
    write_durably(token, given.token.encode() + b"\n")
    told = msgspec.json.encode({"url": given.url, "prefix": given.prefix, "token": str(token)})
    write_durably(folder / SETTINGS, told + b"\n", 0o644)
    for name in FILES:
        write_durably(folder / name, (source / name).read_bytes(), 0o644)


@click.group()
def hook() -> None:
    """Let an OpenClaw gateway hand over what people write to the fleet in its chats."""


@hook.command()
@click.option(
    "--dir", "folder", metavar="PATH", default=DEFAULT, help=f"The folder of the hook ({DEFAULT} without it)."
)
@click.option("--url", metavar="URL", help="Where the gateway reaches this service, if not on the same machine.")
def install(folder: str, url: str | None) -> None:
    """Write the hook's files, or write them anew with another token or prefix.

    To be run on the gateway's machine by the user whose it is. It reads CHAT_HOOK_TOKEN (or its _FILE), CHAT_LISTEN and
    OPENCLAW_PREFIX alone.
    """
    path = Path(folder).expanduser().absolute()
    try:
        lay(path, settings.for_hook(None if url is None else f"{_base(url)}/openclaw"))
    except SettingsError as e:
        click.echo(f"spine-chat: {e}", err=True)
        sys.exit(_CONFIG)
    except OSError as e:
        click.echo(f"spine-chat: {path} cannot be written ({e.strerror})", err=True)
        sys.exit(_CANNOT_WRITE)
    click.echo(f"The hook is in {path}. Tell the gateway of it, once:")
    click.echo(f"  openclaw plugins install --link {path} --force --accept-capabilities")
    click.echo("and after another prefix or version: openclaw plugins reload spinal-cord-chat")


def _base(url: str) -> str:
    try:
        return base_url(url)
    except ValueError as e:
        raise SettingsError([f"--url: {e}"]) from e
