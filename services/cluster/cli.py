"""The command `spine-cluster`: look at a cluster, run a node, send heartbeats from a cron."""

import contextlib
import logging
import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import structlog

from cluster import exits, log, words
from cluster.backend import BATCH_MOST, Away, Backend, ClusterError, Message, Node, Refused, Replaced
from cluster.member import Member
from cluster.node import ELECTION_WANTED
from cluster.settings import Settings, config_folder, from_env
from cluster.stores import make_node, open_store, shown
from contract import __version__
from contract.completion import completion
from contract.env import SettingsError
from contract.latch import Latch

CRON = "cron"
"""The instance of a node that short-lived commands speak for: they are one process after the other."""
_WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.2
_EXITS = "\n".join(f"{code:>5}  {meaning}" for code, meaning in exits.EXITS)
_node = click.argument("node_id", metavar="[NODE_ID]", required=False)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class _Group(click.Group):
    """Turns every fault into lines on standard error and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as e:
            for fault in e.faults:
                _complain(fault)
            sys.exit(exits.CONFIG)
        except Away as e:
            _complain(f"{e}; is the store running, and is its address right?")
            sys.exit(exits.UNREACHABLE)
        except Replaced as e:
            _complain(f"{e}; end one of the two, or give this one another id")
            sys.exit(exits.REPLACED)
        except Refused as e:
            _complain(str(e))
            sys.exit(exits.REFUSED_DATA)
        except ClusterError as e:
            _complain(str(e))
            sys.exit(exits.ERROR)
        except KeyboardInterrupt:
            sys.exit(exits.INTERRUPTED)


def _complain(text: str) -> None:
    click.echo(f"spine-cluster: {words.clean(text)}", err=True)


@contextlib.contextmanager
def _store(settings: Settings) -> Iterator[Backend]:
    for note in settings.notes:
        _complain(note)
    backend = open_store(settings)
    try:
        yield backend
    finally:
        backend.close()


@click.group(
    cls=_Group,
    epilog=f"\b\nExit codes:\n{_EXITS}",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="spine-cluster")
def cli() -> None:
    """Keep a cluster of nodes: who is there, who leads, what they tell each other.

    The store is a Redis where one is named (REDIS_HOST, REDIS_URL, config/secrets.json), else the spine at
    SPINE_BASE_URL, which SPINE_TOKEN or SPINE_TOKEN_FILE lets in. OPENCLAW_NODE_ID is this node's id.
    """


@cli.command()
@_json
def status(as_json: bool) -> None:
    """Show who leads, how many nodes are there, and which node this is."""
    settings = from_env()
    with _store(settings) as backend:
        leader, nodes = backend.leader(), backend.nodes()
    online = sum(node.state == "online" for node in nodes)
    if as_json:
        words.say_json(
            {
                "store": shown(settings),
                "node_id": settings.node_id,
                "leader": words.leader(leader),
                "online": online,
                "offline": len(nodes) - online,
            }
        )
        return
    told = "nobody" if leader is None else f"{leader.node_id} (token {leader.token}, {words.remaining(leader)})"
    for name, value in (
        ("store", shown(settings)),
        ("leader", told),
        ("nodes", f"{online} online, {len(nodes) - online} offline"),
        ("this node", settings.node_id),
    ):
        click.echo(f"{name:<10} {words.clean(value)}")


@cli.command()
@_json
def nodes(as_json: bool) -> None:
    """List the nodes and when each was heard of last."""
    with _store(from_env()) as backend:
        leader, found = backend.leader(), backend.nodes()
    if as_json:
        words.say_json([node._asdict() for node in found])
        return
    words.nodes(found, None if leader is None else leader.node_id)


@cli.command()
@_json
def elect(as_json: bool) -> None:
    """Ask for an election: nodes look at once, and who leads is printed. A leader that is there stays."""
    settings = from_env()
    with _store(settings) as backend:
        backend.emit(ELECTION_WANTED, {"node_id": settings.node_id}, None)
        pause, waited = threading.Event(), 0.0
        while (leader := backend.leader()) is None and waited < settings.lease_seconds + 2:
            pause.wait(_POLL_SECONDS)
            waited += _POLL_SECONDS
    if as_json:
        words.say_json({"leader": words.leader(leader)})
    elif leader is not None:
        click.echo(f"{words.clean(leader.node_id)} leads (token {leader.token})")
    if leader is None:
        _complain("nobody leads; start a node: spine-cluster start")
        sys.exit(exits.NO_LEADER)


@cli.command()
@_node
def join(node_id: str | None) -> None:
    """Join as a node that a cron keeps alive: it is offline when no heartbeat follows."""
    settings = from_env(node_id=node_id)
    log.use_logging()
    with _store(settings) as backend:
        _member(settings, backend).once()
    click.echo(f"{settings.node_id} has joined")


@cli.command()
@_node
def leave(node_id: str | None) -> None:
    """End the membership of a node that a cron keeps alive. One that `start` runs is ended by SIGTERM."""
    settings = from_env(node_id=node_id)
    with _store(settings) as backend:
        backend.leave(settings.node_id, CRON)
        found = {node.node_id: node.state for node in backend.nodes()}.get(settings.node_id)
    if found == "online":
        _complain(f"{settings.node_id} is a process of its own: end it with SIGTERM, and it leaves")
        sys.exit(exits.ERROR)
    if found is not None:
        _complain(f"{settings.node_id} is offline, and listed for seven days; to take it off now: join, then leave")
        sys.exit(exits.ERROR)
    click.echo(f"{settings.node_id} has left")


@cli.command()
@_node
@click.argument("config", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
@click.option("--messages", is_flag=True, help="Print each message that comes as a line of JSON, and acknowledge it.")
def start(node_id: str | None, config: Path | None, messages: bool) -> None:
    """Run a node: heartbeats, election, the leader's duties. Ends on SIGTERM or SIGINT, and hands over at once."""
    settings = from_env(node_id=node_id, config=config)
    notes = log.configure(settings.logging)
    with _store(settings) as backend:
        for note in notes:
            _complain(note)
        node = make_node(settings, backend, received=_print_message if messages else None)
        ended = Latch()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        node.start()
        while not (ended.is_set() or node.stopping.is_set()):
            ended.wait(_POLL_SECONDS)
        node.stop()
    if node.replaced:
        raise Replaced(f"another process has joined as {settings.node_id}")
    if node.failed:
        raise ClusterError("a part of the node failed; the log says why")


def _print_message(message: Message) -> None:
    words.say_json(message._asdict())
    sys.stdout.flush()


@cli.command()
@_node
@click.option("--once", is_flag=True, help="Send one and end: for a cron.")
def heartbeat(node_id: str | None, once: bool) -> None:
    """Send heartbeats of a node that does not stand for election."""
    settings = from_env(node_id=node_id)
    notes = log.configure(settings.logging)
    with _store(settings) as backend:
        for note in notes:
            _complain(note)
        member, stop = _member(settings, backend), threading.Event()
        if once:
            sys.exit(exits.OK if member.beat(stop) else exits.ERROR)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        thread = threading.Thread(target=member.run, args=(stop,), daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
        if not stop.is_set():
            raise Replaced(f"another process has joined as {settings.node_id}")
        member.leave()


def _member(settings: Settings, backend: Backend) -> Member:
    about = Node(settings.node_id, CRON, settings.name, settings.capabilities, settings.endpoint)

    def leads() -> tuple[bool, str | None]:
        leader = backend.leader()
        return False, None if leader is None else leader.node_id

    return Member(backend, about, settings.rhythm, leads)


@cli.command()
@_json
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many.")
def watch(as_json: bool, count: int | None) -> None:
    """Print what happens in the cluster as it happens, until Ctrl-C."""
    with _store(from_env()) as backend:
        cursor, seen = backend.events(None, 1, 0).cursor, 0
        pause = threading.Event()
        away = False
        while count is None or seen < count:
            try:
                page = backend.events(cursor, BATCH_MOST, _WAIT_SECONDS)
            except Away as e:
                if not away:
                    _complain(f"{e}; trying until the store answers")
                away = True
                pause.wait(1)
                continue
            away = False
            if page.gap:
                _complain("some events are gone: this goes on with the oldest that is kept")
            for event in page.events[: None if count is None else count - seen]:
                words.say_json(event._asdict()) if as_json else click.echo(words.event(event))
                seen += 1
            sys.stdout.flush()
            cursor = page.cursor


@cli.command("cron-entry")
@_node
@click.option("--every", default="10s", show_default=True, metavar="TIME", help="How often, as OpenClaw says it.")
@click.option("--agent", default="main", show_default=True, metavar="NAME", help="Whose cron it is.")
def cron_entry(node_id: str | None, every: str, agent: str) -> None:
    """Print the command that has OpenClaw's cron send this node's heartbeats, from the settings of this folder."""
    number, unit = every[:-1], every[-1:]
    if not (number.isascii() and number.isdigit() and int(number) > 0 and unit in ("s", "m", "h")):
        raise click.BadParameter("a number and s, m or h, such as 10s", param_hint="--every")
    program = shutil.which("spine-cluster") or str(Path(sys.argv[0]).absolute())
    # It is run in another folder. What is in the environment, the cron's must have too.
    folder = config_folder()
    found = [] if folder is None else ["env", f"CLAWSTER_CONFIG_DIR={folder}"]
    asked = f"EXEC: {shlex.join([*found, program, 'heartbeat', *filter(None, [node_id]), '--once'])}"
    line = ["openclaw", "cron", "add", "--name", "distributed-node-heartbeat", "--every", every]
    click.echo(shlex.join([*line, "--system-event", asked, "--agent", agent]))


cli.add_command(completion)


def main() -> None:
    """Run the command line."""
    structlog.configure(  # what is printed is the answer alone, and a fault is told of once
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    with contextlib.suppress(BrokenPipeError):
        cli(prog_name="spine-cluster")
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(exits.ERROR)


if __name__ == "__main__":
    main()
