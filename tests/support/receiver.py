"""A receiver of notices on a socket: it plays a script of answers and keeps a ledger of what it was sent."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.support.eventually import eventually


class Call(NamedTuple):
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Say(NamedTuple):
    """One answer. `after`: seconds before it comes; `hang`: none comes until the receiver is closed; `lost`: never."""

    status: int = 204
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    after: float = 0.0
    hang: bool = False
    lost: bool = False


OK = Say()


class Receiver:
    """Answers the next of `script` to each call, the last of it for ever. `ledger` is what came, in order."""

    def __init__(self, *script: Say, port: int = 0, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.ledger: list[Call] = []
        self._script = list(script) or [OK]
        self._lock = threading.Lock()
        self._closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                receiver._answer(self, Call(self.path, {k.lower(): v for k, v in self.headers.items()}, body))

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:  # callers that gave up
                pass

        self._server = Server((host, port), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{self._server.server_address[0]!s}:{self.port}"

    def then(self, *script: Say) -> None:
        """Answer otherwise from now on."""
        with self._lock:
            self._script = list(script)

    def _answer(self, handler: BaseHTTPRequestHandler, call: Call) -> None:
        with self._lock:
            self.ledger.append(call)
            say = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if say.hang or say.after:
            self._closing.wait(60 if say.hang else say.after)
        if say.hang or say.lost or self._closing.is_set():
            handler.close_connection = True
            return
        handler.send_response(say.status)
        for name, value in say.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(say.body)))
        handler.end_headers()
        handler.wfile.write(say.body)

    def calls(self, count: int, seconds: float = 20.0) -> list[Call]:
        """Wait for so many calls; return all that came."""
        eventually(lambda: len(self.ledger) >= count, seconds, what=f"{count} calls")
        return list(self.ledger)

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def dripping(seconds: float) -> tuple[int, Callable[[], None]]:
    """Serve a peer that sends one byte of an answer every so often, for ever; return its port and how to end it."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                try:
                    peer.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not ended.wait(seconds):
                        peer.sendall(b"a")
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    def end() -> None:
        ended.set()
        listener.close()
        thread.join(5)

    return int(listener.getsockname()[1]), end
