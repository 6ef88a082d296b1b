"""A relay between a client and a server that loses answers: the request arrives, the connection ends."""

import socket
import threading


class LosingRelay:
    """Listens on a port of the loopback; hands the first `lose` requests on, and drops their answers."""

    def __init__(self, port: int, lose: int) -> None:
        self._target, self._lose = port, lose
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lost = 0
        self._thread = threading.Thread(target=self._serve, name="relay")
        self._thread.start()

    def __enter__(self) -> "LosingRelay":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", self._target), 10) as server:
                client.settimeout(10)
                server.settimeout(10)
                server.sendall(_request(client))
                answer = server.recv(1 << 20)
                if self.lost < self._lose:
                    self.lost += 1
                    continue
                client.sendall(answer)


def _request(client: socket.socket) -> bytes:
    """Read one small request: its head, and the body of its announced length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        piece = client.recv(65536)
        data, body = data + piece, body + piece
    return data
