"""A real HTTP server that answers as a test tells it, so that the client's every byte crosses a socket."""

import socketserver
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.support.spine_process import free_port


@dataclass
class Reply:
    """What to answer. `cut`: promise more bytes than come. `hang`: answer nothing until the server stops."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    cut: bool = False
    hang: bool = False
    pieces: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without asking a name server who we are."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that hangs up in the middle of an answer, as some tests do."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class FakeSpine:
    """A server with a queue of replies; the last one is repeated."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.replies: list[Reply] = [Reply()]
        self._over = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                fake._answer(self)

            do_POST = do_GET

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def say(self, *replies: Reply) -> None:
        """Answer with these in turn, the last one for ever."""
        self.replies = list(replies)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        self.seen.append(Seen(handler.command, handler.path, dict(handler.headers.items()), body))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply.hang:
            self._over.wait(30)
            handler.close_connection = True
            return
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if reply.pieces:
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            for piece in reply.pieces:
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if not reply.cut:
                handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.send_header("Content-Length", str(len(reply.body) + (10 if reply.cut else 0)))
            handler.end_headers()
            handler.wfile.write(reply.body)
        handler.close_connection = handler.close_connection or reply.cut

    def stop(self) -> None:
        """Close the port."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def fake() -> Iterator[FakeSpine]:
    """Return a server."""
    server = FakeSpine()
    yield server
    server.stop()


@pytest.fixture
def another() -> Iterator[FakeSpine]:
    """Return a second server."""
    server = FakeSpine()
    yield server
    server.stop()


@pytest.fixture
def closed_url() -> str:
    """Return a URL at which nobody listens."""
    return f"http://127.0.0.1:{free_port()}"
