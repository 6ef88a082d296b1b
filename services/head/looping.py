"""`spine-head loop`: the loop as a command, what it prints, and how it ends."""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from contract import killpoints
from contract.clock import iso
from contract.env import SettingsError
from contract.errors import LeaseHeld
from contract.liveness import Beacon
from contract.signals import on_sigterm
from head import clean, exits, policy, settings, words
from head.desk import Desk, as_json, complain, pass_desk
from head.lead import Deposed, Lead, Term
from head.ledger import Ledger, Taken
from head.loop import Loop, News
from head.policy import Policy
from head.screen import Screen
from head.words import Line

_STYLES = {"accept": "green", "rework": "yellow", "left": "magenta", "lost": "red", "back": "green", "gap": "red"}
_STYLES |= {"leads": "green", "deposed": "red"}


@click.command()
@click.option("--policy", "policy_file", metavar="PATH", help="The review policy: a .toml file, or JSON.")
@click.option("--state", metavar="PATH", help="Where it keeps its place.  [default: HEAD_STATE_DIR/head-loop.json]")
@click.option("--lead", metavar="NAME", help="Act only while holding this lease.  [default: HEAD_LEASE_NAME]")
@click.option("--once", is_flag=True, help="Do what is there, and end.")
@as_json
@pass_desk
def loop(desk: Desk, policy_file: str | None, state: str | None, lead: str | None, once: bool, json: bool) -> None:
    """Follow jobs that end; review those that ask for it by a policy, tell a command of the others.

    It keeps its place in a file, so that it goes on where it was, however it ended. One loop runs for one such file.
    Of several loops that --lead the same lease, on machines of their own, one acts; when it is gone, another goes on.
    With --json one object a line.
    """
    used, notifier = settings.from_env(), settings.notifier()
    rules = Policy() if policy_file is None else policy.read(Path(policy_file))
    _require_commands(rules)
    lease = used.lease_name if lead is None else _lease(lead)
    killpoints.arm(used.kill_point, used.kill_point_file)
    ledger = Ledger(Path(state) if state else used.state_dir / "head-loop.json")

    def tell(news: News) -> None:
        notifier.status(_sentence(news))
        _tell(desk.screen, news, json)

    def leave() -> None:
        notifier.stopping("ends")
        sys.exit(exits.OK)  # by an exception, so that a command under way is ended too

    def act(term: Term | None) -> None:
        client = desk.client(patient=once, lease=None if term is None else term.token)
        pause = time.sleep if term is None else term.wait
        Loop(client, rules, ledger, tell, settings.for_commands(), pause, beat, term).run(once)

    on_sigterm(leave)
    try:
        with ledger.lock():
            beat = Beacon(ledger.path.with_suffix(".alive"), notifier).beat
            notifier.ready("follows the spine's events")
            if lease is None:
                act(None)
            else:
                _act_in_turns(desk.lead(lease), act, tell, lambda: beat(0), once)
    except Taken:
        complain(f"another loop runs with {ledger.path}; give this one a --state of its own")
        sys.exit(exits.TEMPORARY)
    except OSError as e:
        raise SettingsError([f"--state: {ledger.path}: {e.strerror or e}"]) from e


def _act_in_turns(
    lead: Lead, act: Callable[[Term], None], tell: Callable[[News], None], beat: Callable[[], None], once: bool
) -> None:
    """Act in each term of this head; one pass acts only if it gets one at once."""
    rival: str | None = None

    def stand_by() -> None:
        nonlocal rival
        beat()
        if lead.rival not in (None, rival):
            rival = lead.rival
            tell(News("standby", said=f"{rival} leads: standing by"))

    try:
        if once:
            try:
                lead.take()
            except LeaseHeld as e:
                lead.rival = str(e.members.get("holder"))
                return stand_by()
        lead.start()
        while True:
            term = lead.await_term(stand_by)
            rival = None
            tell(News("leads", said=f"leads under fence {term.fence} of {lead.name}"))
            try:
                act(term)
            except Deposed:
                tell(News("deposed", said=f"leads no more (fence {term.fence} of {lead.name})"))
                if not once:
                    continue
            return
    finally:
        lead.close()


def _lease(name: str) -> str:
    try:
        return settings.lease_name(name)
    except ValueError as e:
        raise SettingsError([f"--lead: {e}"]) from e


def _require_commands(rules: Policy) -> None:
    """Refuse commands that are not there now: else every job would be left to a person, one by one.

    Raises:
        SettingsError
    """
    named = [rule.command for rule in rules.rules] + [rules.notify]
    missing = [command[0] for command in named if command and shutil.which(command[0]) is None]
    if missing:
        raise SettingsError([f"--policy: there is no program {name}" for name in dict.fromkeys(missing)])


def _tell(screen: Screen, news: News, json: bool) -> None:
    job = news.job
    if json:
        about = {} if job is None else {"jobId": job.id, "status": job.status, "round": job.round, "label": job.label}
        now = iso(time.time_ns() // 1_000_000)
        screen.json({"at": now, "what": news.what, **about, "text": news.said}, pretty=False)
        return
    screen.say(Line(_sentence(news), _STYLES.get(news.what, "")))


def _sentence(news: News) -> str:
    said = clean.line(news.said)
    if news.job is None:
        return {
            "lost": f"the spine does not answer, trying until it does ({said})",
            "back": "the spine answers again",
        }.get(news.what, said)
    name = f"{news.job.id} ({words.what(news.job)[:60]})"
    return {
        "accept": f"accepted {name}",
        "rework": f"sent back {name} for round {news.job.round}" + (f": {said}" if said else ""),
        "left": f"left to a person: {name}",
        "notified": f"told of {name}: {news.job.status}",
    }.get(news.what, f"{name}: {said}")
