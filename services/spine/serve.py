"""Running the application under gunicorn: one process, one worker, our worker class."""

import asyncio
import gc
import mmap
import os
import socket
import stat
import sys
from typing import Any, NoReturn

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from contract.killpoints import arm
from contract.sdnotify import Notifier
from spine.app import App, Server, create_app, hold
from spine.blobs.base import BlobsAway, BlobsUnusable
from spine.digests import Mistaken
from spine.settings import Settings
from spine.siblings import Siblings
from spine.store.engine import StoreAway, StoreUnusable
from spine.store.lock import DataDirBusy, HalfRestored
from spine.store.migrations import NewerStore
from spine.watchdog import Watchdog
from spine.worker import SpineWorker

_log = structlog.get_logger()
_COLLECT_AFTER = 10_000  # objects that were made and not freed since the last time; Python's own is 700
EXIT_CONFIG = 78  # sysexits' EX_CONFIG: starting again will not help
EXIT_BUSY = 75  # EX_TEMPFAIL: the port or the directory is taken
FIRST_HANDED = 3  # where a service manager puts the sockets that it hands over
# After the drain: the store folds its log back and closes. The arbiter kills a worker that takes longer than both.
_CLOSE_SECONDS = 10


class Lines(Logger):  # type: ignore[misc]
    """What gunicorn says goes the way of all other lines."""

    def setup(self, cfg: Any) -> None:
        """Set up its loggers, without handlers of their own."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    """Gunicorn without its command line: settings come from ours."""

    def __init__(self, settings: Settings, notifier: Notifier) -> None:
        self._settings, self._notifier = settings, notifier
        # Shared with the worker: the exit code that it wants, which gunicorn does not hand on.
        self.verdict = mmap.mmap(-1, 1)
        # Twice as many places as processes: while these are exchanged for others both are there.
        self._siblings = Siblings(2 * settings.workers) if settings.workers > 1 else None
        super().__init__()

    def load_config(self) -> None:
        """Fill in gunicorn's configuration."""
        s = self._settings
        for name, value in {
            "bind": [f"{_bracketed(host)}:{port}" for host, port in s.addresses],
            "workers": s.workers,  # the embedded store has one writer: a second process could not share it
            "worker_class": "spine.worker.SpineWorker",
            "backlog": s.backlog,
            "graceful_timeout": s.drain_seconds + _CLOSE_SECONDS,
            "timeout": 60,
            "keepalive": 75,
            "accesslog": None,
            "errorlog": "-",
            "loglevel": "warning",
            "logger_class": Lines,
            "control_socket_disable": True,
            "proc_name": "spine",
            "limit_request_line": 8190,
            "when_ready": _tell_addresses,
            "pre_fork": _give_place,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> App:
        """Build the application in a worker process, which owns the store, or shares it with others like it."""
        arm(self._settings.kill_point, self._settings.kill_point_file)
        try:
            several = self._settings.workers > 1
            server = Server(self._settings, locked=several, worker=SpineWorker.place, siblings=self._siblings)
        except (DataDirBusy, StoreAway, BlobsAway) as e:
            self._give_up(EXIT_BUSY, str(e))
        except (HalfRestored, NewerStore, StoreUnusable, BlobsUnusable, Mistaken) as e:
            self._give_up(EXIT_CONFIG, str(e))
        except OSError as e:
            where = self._settings.data_dir
            self._give_up(EXIT_CONFIG, f"SPINE_DATA_DIR: {where} cannot be used ({e.strerror}: {e.filename})")
        self._attend(server)
        app = create_app(server)
        _rarely_collect()
        return app

    def _attend(self, server: Server) -> None:
        """Hang the server and whoever watches over it into the worker that is about to serve."""
        notifier, watchdog = self._notifier, Watchdog(self._notifier, server.store, os.getppid())
        running: list[asyncio.Task[None]] = []  # a task that nobody holds may be collected

        def serving() -> None:
            notifier.ready("serves")
            running.append(asyncio.get_running_loop().create_task(watchdog.run()))

        def drain() -> None:
            notifier.stopping("answers what is under way")
            server.hub.drain()

        SpineWorker.on_serving, SpineWorker.on_drain = staticmethod(serving), staticmethod(drain)
        SpineWorker.drain_seconds = self._settings.drain_seconds

    def _give_up(self, code: int, why: str) -> NoReturn:
        print(f"spine: {why}", file=sys.stderr, flush=True)
        self.verdict[0] = code
        sys.exit(4)  # gunicorn's "the application cannot be loaded": the arbiter stops too


def serve(settings: Settings, notifier: Notifier, handed: int = 0) -> int:
    """Serve until told to stop, on `handed` sockets of the service manager where there are any; return an exit code."""
    if handed:
        reason, code = _not_listening(range(FIRST_HANDED, FIRST_HANDED + handed)), EXIT_CONFIG
    else:
        reason, code = _port_taken(settings), EXIT_BUSY
    if reason:
        print(f"spine: {reason}", file=sys.stderr)
        return code
    server, arbiter = _Gunicorn(settings, notifier), os.getpid()
    if settings.workers > 1:
        try:
            hold(settings.data_dir)  # for all workers, which are forked from here
        except (DataDirBusy, OSError) as e:
            print(f"spine: {e}", file=sys.stderr)
            return EXIT_BUSY if isinstance(e, DataDirBusy) else EXIT_CONFIG
    try:
        server.run()
    except SystemExit as e:
        if os.getpid() != arbiter:
            raise  # the worker: gunicorn knows 4, any other code would make it start a new one
        return server.verdict[0] or (e.code if isinstance(e.code, int) else 1)
    return 0


def _rarely_collect() -> None:
    """Keep the garbage collector from going over what lives as long as the server, and over every other request.

    A request makes hundreds of objects and leaves no cycle: their count of references frees them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)


def _tell_addresses(arbiter: Any) -> None:
    """Log where the server listens: with port 0 nobody could know otherwise."""
    _log.info("spine.listening", addresses=[str(listener) for listener in arbiter.LISTENERS])


def _give_place(arbiter: Any, worker: SpineWorker) -> None:
    """Number a worker that is about to be made: the lowest that none has, so that figures go on under a few names."""
    taken = {other.place for other in arbiter.WORKERS.values()}
    SpineWorker.place = worker.place = next(n for n in range(len(taken) + 1) if n not in taken)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _not_listening(handles: range) -> str | None:
    """Tell which of the sockets that were handed over cannot be served on."""
    for handle in handles:
        try:
            usable = stat.S_ISSOCK(os.fstat(handle).st_mode)
            if usable:
                with socket.socket(fileno=os.dup(handle)) as found:
                    usable = found.type == socket.SOCK_STREAM and bool(
                        found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                    )
        except OSError:
            usable = False
        if not usable:
            return f"LISTEN_FDS: file descriptor {handle} is not a listening stream socket"
    return None


def _port_taken(settings: Settings) -> str | None:
    """Tell why an address cannot be bound: gunicorn would only try again and again."""
    for host, port in settings.addresses:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as e:
                own = (host, port) == (settings.host, settings.port)
                names = "SPINE_HOST, SPINE_PORT" if own else "the address of a dialect"
                return f"{names}: cannot listen on {host}:{port} ({e.strerror})"
    return None
