"""The database servers that an address names: each is asked who it is, and the newest primary is the one to talk to.

libpq would take the first one that lets it write, and after a failover that may be the old primary, come back.
"""

import contextlib
import os
import queue
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from spine.store.deadline import DEADLINE_SECONDS, Deadline, shut
from spine.store.engine import StoreUnusable
from spine.store.lineage import Lineage, Newest, NotBelieved

_log = structlog.get_logger()

Session = psycopg.Connection[Any]
Host = dict[str, str]

# What a URL may say otherwise. A host that has gone is noticed within about 10 s, also while nothing is sent.
_DEFAULTS = {
    "application_name": "spine",
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "target_session_attrs": "read-write",
}
# What it may not say otherwise: every text must get there.
_FIXED = {"client_encoding": "UTF8"}
# Any user may ask this. `pg_control_checkpoint` knows the timeline too, but that of the last checkpoint: for a while
# after a promotion it is the old one.
_WHO = """
    SELECT (SELECT system_identifier FROM pg_control_system()),
        CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END
"""
_STANDBY = "it is a standby"
LOOKING = "spine-look"
"""What a session is called that only asks who a server is: the server may list it for a while after its end."""
_LOOK_SECONDS = 6.0  # a little more than a session takes at most
_FRESH_SECONDS, _VAIN_SECONDS = 1.0, 0.2
"""How long what a look has found holds for others, or that it has found nothing: a whole pool may ask at one moment."""
_GRACE_SECONDS = 1.0
"""How long the others are waited for when one primary has answered: there may be a newer one among them."""
_AGAIN_SECONDS = 0.25
"""When a standby is asked again while others are waited for: it may be promoted meanwhile, and a dead host is slow."""
_WATCH_SECONDS = 3.0


class Servers:
    """Opens sessions on the newest primary.

    When the address names several hosts all are asked now and then. Once there is a newer primary, all sessions with
    the one before are shut, whatever they wait for: it may hang, or know nothing of its successor.

    Args:
        url: as libpq takes it, several hosts allowed; what it says of time-outs goes before ours.
        deadline: seconds after which what is done on a session is cut off.
        memory: a file that outlives the process (see `Newest`).

    Raises:
        StoreUnusable: the address or the file cannot be read.
    """

    def __init__(self, url: str, deadline: float = DEADLINE_SECONDS, memory: Path | None = None) -> None:
        self._hosts = hosts(url)
        self.newest = Newest(memory)
        self.deadline = Deadline(deadline)
        self._looking = threading.Lock()
        self._chosen, self._fault, self._holds_until = self._hosts[0], "", 0.0
        self._open: weakref.WeakKeyDictionary[Session, tuple[Lineage, int]] = weakref.WeakKeyDictionary()
        self._opening = threading.Lock()
        self._over = threading.Event()
        if len(self._hosts) > 1:
            threading.Thread(target=self._watch, name="store-watch", daemon=True).start()

    def open(self) -> tuple[Session, Lineage]:
        """Begin a session on the newest primary.

        Raises:
            psycopg.OperationalError: none can be reached, or only such as are not believed.
            StoreUnusable: the database cannot keep every text.
        """
        host = self._choose()
        try:
            session = psycopg.connect(make_conninfo(**host), autocommit=True)
            try:
                lineage = self._who(session)
                if lineage is None:
                    raise NotBelieved(_STANDBY)
                self._check_encoding(session)
                self._note(session, lineage)
                self._admit(lineage)
            except BaseException:
                session.close()
                raise
        except NotBelieved as e:
            raise psycopg.OperationalError(f"{name(host)}: {e}") from None
        except psycopg.Error:
            self._holds_until = 0.0  # what was found is not so any more
            raise
        return session, lineage

    def close(self) -> None:
        """Watch no more; sessions stay."""
        self._over.set()
        self.deadline.close()

    def _who(self, session: Session) -> Lineage | None:
        """Ask a server who it is; None for a standby."""
        with self.deadline.over(session.fileno()):
            row: Any = session.execute(_WHO).fetchone()
        return None if row[1] is None else Lineage(row[0], int(row[1], 16))

    def _check_encoding(self, session: Session) -> None:
        encoding = session.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StoreUnusable(
                f"the database cannot keep every text: its encoding is {encoding}; make a database with UTF8 for the "
                "spine (createdb --encoding UTF8 --template template0)"
            )

    def _note(self, session: Session, lineage: Lineage) -> None:
        # A descriptor of our own: whoever uses the session may close its descriptor at any moment, and it be another's.
        own = os.dup(session.fileno())
        weakref.finalize(session, os.close, own)
        with self._opening:
            self._open[session] = lineage, own

    def _admit(self, lineage: Lineage) -> None:
        if self.newest.admit(lineage):
            with self._opening:
                for _, (begun, own) in list(self._open.items()):  # the list keeps the sessions, and so what is ours
                    if self.newest.outruns(begun):
                        shut(own)

    # --- which of them -----------------------------------------------------------------------------------------

    def _choose(self) -> Host:
        """Return the host to go to. Who come together share a look, also a vain one: they do not wait one by one."""
        with self._looking:
            if time.monotonic() >= self._holds_until:
                self._look()
            if self._fault:
                raise psycopg.OperationalError(self._fault)
            return self._chosen

    def _look(self) -> None:
        """Ask all at once; note the newest primary, or why there is none."""
        said = {name(host): "it does not answer" for host in self._hosts}
        primaries: list[tuple[Lineage, Host]] = []
        for host, found in self._answers():
            try:
                if isinstance(found, str):
                    raise NotBelieved(found)
                self.newest.check(found)
                primaries.append((found, host))
            except NotBelieved as e:
                said[name(host)] = str(e)
        clusters = {found.system for found, _ in primaries}
        if len(clusters) > 1:  # and none was seen before, which would tell them apart
            said = {name(host): f"it is the primary of cluster {found.system}" for found, host in primaries}
            said["several clusters"] = "leave the hosts of one in the address"
        if len(clusters) != 1:
            self._fault = "; ".join(f"{host}: {text}" for host, text in said.items())
            self._holds_until = time.monotonic() + _VAIN_SECONDS
            return
        self._fault, self._holds_until = "", time.monotonic() + _FRESH_SECONDS
        best, self._chosen = max(primaries, key=lambda primary: (primary[0].timeline, primary[1] is self._chosen))
        with contextlib.suppress(NotBelieved):  # a newer one was seen meanwhile; who goes to this one is told so
            self._admit(best)

    def _answers(self) -> list[tuple[Host, Lineage | str]]:
        """Return what the hosts say, as far as they are worth waiting for: a primary, or why it is none."""
        coming: queue.SimpleQueue[tuple[int, Lineage | str]] = queue.SimpleQueue()
        enough = threading.Event()
        for n in range(len(self._hosts)):
            threading.Thread(target=self._tell, args=(n, coming, enough), name="store-look", daemon=True).start()
        answers: dict[int, Lineage | str] = {}
        until = time.monotonic() + _LOOK_SECONDS
        while len(answers) < len(self._hosts):
            try:
                n, found = coming.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            answers[n] = found
            if isinstance(found, Lineage):
                if self.newest.trails(found):
                    break
                until = min(until, time.monotonic() + _GRACE_SECONDS)
        enough.set()
        return [(self._hosts[n], found) for n, found in answers.items()]

    def _tell(self, n: int, coming: "queue.SimpleQueue[tuple[int, Lineage | str]]", enough: threading.Event) -> None:
        host = make_conninfo(**self._hosts[n] | {"target_session_attrs": "any", "application_name": LOOKING})
        while True:
            try:
                with psycopg.connect(host, autocommit=True) as session:
                    found = self._who(session) or _STANDBY
            except psycopg.Error as e:
                coming.put((n, " ".join(str(e).split())))
                return
            coming.put((n, found))
            if found != _STANDBY or enough.wait(_AGAIN_SECONDS):
                return

    def _watch(self) -> None:
        while not self._over.wait(_WATCH_SECONDS):
            try:
                with self._looking:
                    self._look()
            except Exception:  # noqa: BLE001 — the outermost turn of this thread: it must go on to watch
                _log.exception("store.watch_failed")


def hosts(url: str) -> list[Host]:
    """Return the parameters of a connection to each of the hosts that an address names.

    Raises:
        StoreUnusable
    """
    try:
        given = _DEFAULTS | {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:  # whose words may show a part of the password
        raise StoreUnusable(
            "the database's address cannot be read; write postgresql://user:password@host:port/name, with %40 for "
            "an @ in the password"
        ) from None
    lists = {key: given.pop(key).split(",") for key in ("host", "hostaddr", "port") if key in given}
    count = max((len(values) for values in lists.values()), default=1)
    found: list[Host] = []
    for n in range(count):
        try:
            # One port is that of all hosts; one that is left out is the usual one.
            own = {key: values[0 if key == "port" and len(values) == 1 else n] for key, values in lists.items()}
        except IndexError:
            raise StoreUnusable("the database's address names not as many ports as hosts") from None
        found.append(given | {key: value for key, value in own.items() if value} | _FIXED)
    return found


def name(host: Host) -> str:
    """Name a host in a message."""
    return f"{host.get('host') or host.get('hostaddr') or 'the local server'}:{host.get('port', '5432')}"
