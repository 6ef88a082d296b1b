"""One kept connection to a server, with the headers of whoever speaks on it."""

import http.client
import json
from collections.abc import Mapping
from typing import Any


class Line:
    """A connection that is kept; a fault of the server is no answer."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Content-Type": "application/json", **headers}

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Make a call; a refusal is an answer, a fault of the server is not."""
        self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        response = self._connection.getresponse()
        data = response.read()
        assert response.status < 500, data
        return response.status, json.loads(data) if data else None

    def good(self, method: str, path: str, body: Any = None) -> Any:
        """Make a call that is expected to succeed."""
        status, answer = self.call(method, path, body)
        assert status in (200, 201, 204), answer
        return answer

    def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        """POST; no body is an empty object."""
        return self.call("POST", path, {} if body is None else body)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
