"""The commands about machines and targets: machines, machine, join-code, targets."""

import shlex
from urllib.parse import urlsplit

import click

from contract.env import SettingsError, base_url
from head import clean, complete, tables
from head.desk import Desk, as_json, pass_desk
from head.words import Line

_VERBS = ("drain", "pause", "resume", "revoke", "rotate")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@click.command()
@as_json
@pass_desk
def machines(desk: Desk, json: bool) -> None:
    """List the machines that have been heard of, what they can do and what they run."""
    client = desk.client()
    found = client.machines()
    if json:
        desk.screen.json(found)
        return
    if found.machines:
        desk.screen.show(tables.machines(found.machines, client.time.now(), desk.screen.live))
    else:
        desk.screen.notice("no machine has been heard of; let one join: spine-head join-code NAME")
    if found.paused_targets:
        desk.screen.notice(f"paused targets: {clean.line(', '.join(found.paused_targets))}")


@click.command()
@click.argument("verb", metavar="VERB", type=click.Choice(_VERBS))
@click.argument("name", metavar="NAME", shell_complete=complete.machines)
@click.option("--grace", type=int, metavar="SECONDS", help="With rotate: how long older tokens stay.  [default: 600]")
@as_json
@pass_desk
def machine(desk: Desk, verb: str, name: str, grace: int | None, json: bool) -> None:
    """Drain, pause, resume or revoke a machine, or rotate its token.

    \b
    drain    it takes no new job; what it runs goes on
    pause    the same, until it is resumed
    resume   it takes jobs again
    revoke   its tokens end at once, its jobs go back to the queue
    rotate   print a new token for it; the older ones end after the grace
    """
    if grace is not None and verb != "rotate":
        raise click.UsageError("--grace belongs to rotate")
    if verb == "rotate":
        given = desk.client().rotate(name, grace)
        if json:
            desk.screen.json(given)
        else:
            desk.screen.notice(f"a new token for {given.name}, shown this once:")
            desk.screen.say(Line(given.token))
        return
    found = desk.client().machine(name, verb)
    if json:
        desk.screen.json(found)
        return
    held = f", runs {len(found.running)}" if found.running else ""
    desk.screen.say(Line(f"{found.name} is {found.state}{held}"))


@click.command("join-code")
@click.argument("name", metavar="NAME")
@click.option("--ttl", type=int, metavar="SECONDS", help="How long the code is good.  [default: 900]")
@click.option("--url", metavar="URL", help="The spine's address as that machine reaches it.")
@as_json
@pass_desk
def join_code(desk: Desk, name: str, ttl: int | None, url: str | None, json: bool) -> None:
    """Print the one line to paste on a machine so that it joins as NAME."""
    try:
        address = None if url is None else base_url(url)
    except ValueError as e:
        raise SettingsError([f"--url: {e}"]) from e
    code = desk.client().join_code(name, ttl)
    if address is not None:
        code.command = f"claw join {shlex.quote(address)} {code.code}"
    if json:
        desk.screen.json(code)
        return
    desk.screen.say(Line(clean.line(code.command)))
    desk.screen.notice(f"paste it on {code.name} before {code.expires_at}; it works once")
    if _is_loopback(code.command):
        desk.screen.notice("its address is this machine's own: another machine needs --url")


@click.command()
@click.argument("verb", metavar="VERB", type=click.Choice(["pause", "resume"]), required=False)
@click.argument("name", metavar="NAME", required=False, shell_complete=complete.targets)
@as_json
@pass_desk
def targets(desk: Desk, verb: str | None, name: str | None, json: bool) -> None:
    """Pause or resume a target: its jobs stay queued. Without VERB, list the paused ones."""
    if verb is None:
        found = desk.client().machines().paused_targets
        if json:
            desk.screen.json({"pausedTargets": found})
            return
        for paused in found:
            desk.screen.say(Line(f"{clean.line(paused)} is paused"))
        if not found:
            desk.screen.notice("no target is paused")
        return
    if name is None:
        raise click.UsageError(f"which target is to {verb}? Give NAME")
    state = desk.client().pause_target(name, verb == "pause")
    if json:
        desk.screen.json(state)
    else:
        desk.screen.say(Line(f"{state.target} is {'paused' if state.paused else 'open'}"))


def _is_loopback(command: str) -> bool:
    return any(urlsplit(word).hostname in _LOOPBACK for word in shlex.split(command) if "://" in word)
