"""The network between: a TCP proxy on loopback that can lose answers, stall, or be cut, and be mended again."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_CHUNK = 64 << 10


class Proxy:
    """Passes bytes on to a port, of the loopback or of another host, until told otherwise.

    An answer is lost only after the other side has begun to send it, so what was asked for has been carried out.
    """

    def __init__(self, target_port: int, target_host: str = "127.0.0.1") -> None:
        self._target = (target_host, target_port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.lost: list[str] = []
        self._lock = threading.Lock()
        self._to_lose: list[str] = []
        self._to_hold: list[str] = []
        self._cut = False
        self._flowing = threading.Event()
        self._flowing.set()
        self._sockets: set[socket.socket] = set()
        self._closed = threading.Event()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lose_answer(self, request: str) -> None:
        """Lose the answer of the next request whose first line begins with this, such as `POST /jobs/claim `."""
        with self._lock:
            self._to_lose.append(request)

    def stall(self) -> None:
        """Hold every byte back, in both directions; connections stay open."""
        self._flowing.clear()

    def stall_at(self, request: str) -> None:
        """Hold everything back from the next request on whose first line begins with this; `stalled` tells.

        It must be one with a small body.
        """
        with self._lock:
            self._to_hold.append(request)

    @property
    def stalled(self) -> bool:
        """Whether everything is held back."""
        return not self._flowing.is_set()

    def cut(self) -> None:
        """Reset all connections and refuse to carry new ones."""
        with self._lock:
            self._cut = True
        self._hang_up()

    def mend(self) -> None:
        """Carry everything again."""
        with self._lock:
            self._cut = False
        self._flowing.set()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Be cut for a while."""
        self.cut()
        try:
            yield
        finally:
            self.mend()

    def close(self) -> None:
        """End."""
        self._closed.set()
        self._flowing.set()
        # A listener that is only closed lets a blocked accept sleep on.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._hang_up()

    # --- one connection --------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target, 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            pair = _Pair(self, client, server)
            with self._lock:
                self._sockets |= {client, server}
                late = self._cut or self._closed.is_set()
            if late:
                pair.end()
            for pump in (pair.ask, pair.answer):
                threading.Thread(target=pump, name="proxy-pump", daemon=True).start()

    def _hang_up(self) -> None:
        with self._lock:
            open_now = list(self._sockets)
        for each in open_now:
            _shut(each)

    def _doomed(self, chunk: bytes) -> str | None:
        """Return the first line of a request whose answer is to be lost."""
        return self._met(chunk, self._to_lose)

    def _met(self, chunk: bytes, awaited: list[str]) -> str | None:
        """Return the first line of a request that was waited for, and wait for it no more."""
        line = chunk.split(b"\r\n", 1)[0].decode("ascii", "replace")
        with self._lock:
            for begin in awaited:
                if line.startswith(begin):
                    awaited.remove(begin)
                    return line
        return None


class _Pair:
    """A client's connection and ours to the server, with a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._doom: str | None = None

    def ask(self) -> None:
        """Carry what the client sends."""
        with contextlib.suppress(OSError):
            while chunk := self._client.recv(_CHUNK):
                # A client sends a request's head in one piece, and waits for the answer before the next.
                self._doom = self._proxy._doomed(chunk) or self._doom
                if self._proxy._met(chunk, self._proxy._to_hold):
                    if chunk.endswith(b"\r\n\r\n"):
                        self._client.recv(1, socket.MSG_PEEK)  # the body comes in a piece of its own: all was sent then
                    self._proxy.stall()
                self._proxy._flowing.wait()
                self._server.sendall(chunk)
        self.end()

    def answer(self) -> None:
        """Carry what the server sends, or lose it."""
        with contextlib.suppress(OSError):
            while chunk := self._server.recv(_CHUNK):
                if self._doom is not None:
                    self._proxy.lost.append(self._doom)
                    break
                self._proxy._flowing.wait()
                self._client.sendall(chunk)
        self.end()

    def end(self) -> None:
        """Hang up on both sides."""
        for each in (self._client, self._server):
            _shut(each)
            with self._proxy._lock:
                self._proxy._sockets.discard(each)
            each.close()


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
