"""A relay in front of a spine that answers 503 in its place, before the request is handed on or after."""

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Fate = Literal["pass", "refuse", "lose"]
Judge = Callable[[str, str], Fate]


class FlakyRelay:
    """Listens on a port of the loopback; `judge` (method, path) tells of each request what becomes of it.

    `pass`: it is handed on. `refuse`: 503, nothing is handed on. `lose`: it is handed on, but the answer
    is 503.
    """

    def __init__(self, target: int, judge: Judge) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.handed_on()

            def do_POST(self) -> None:
                self.handed_on()

            def handed_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fate, status, answer = judge(self.command, self.path), 503, b"Service Unavailable"
                if fate != "refuse":
                    upstream = http.client.HTTPConnection("127.0.0.1", target, timeout=20)
                    upstream.request(self.command, self.path, body or None, dict(self.headers))
                    response = upstream.getresponse()
                    got = response.read()
                    upstream.close()
                    if fate == "pass":
                        status, answer = response.status, got
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="flaky-relay")
        self._thread.start()

    def __enter__(self) -> "FlakyRelay":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
