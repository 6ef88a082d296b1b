"""A relay that stands before a server as a reverse proxy does: it adds the header that names the real peer."""

import contextlib
import socket
import threading

PEER = "203.0.113.9"


class Forwarding:
    """Listens on a port of the loopback; each connection's first request gets `X-Forwarded-For`."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name="forwarding", daemon=True).start()

    def __enter__(self) -> "Forwarding":
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target, 10)
            server.settimeout(None)
            self._sockets += [client, server]
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, mark: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if mark:
                    line, _, rest = data.partition(b"\r\n")
                    data, mark = line + f"\r\nX-Forwarded-For: {PEER}\r\n".encode() + rest, False
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
