"""One file as a multipart/form-data body (RFC 7578), read piece by piece: a large file is never held in memory."""

import secrets
from typing import BinaryIO


class FileForm:
    """A body with one part. Has `read` and a length, so that it is sent with Content-Length and in blocks."""

    def __init__(self, field: str, filename: str, content: BinaryIO, size: int, content_type: str) -> None:
        boundary = f"spine-{secrets.token_hex(16)}"
        self.content_type = f"multipart/form-data; boundary={boundary}"
        # As browsers write it: UTF-8, and only what would end the line or the name is escaped.
        name = filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
            f"Content-Type: {content_type}\r\n\r\n"
        )
        self._head, self._content, self._left = head.encode("utf-8", "replace"), content, size
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._length = len(self._head) + size + len(self._tail)

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all that is left for -1, and b"" at the end.

        Raises:
            OSError: the file has become shorter than it was said to be.
        """
        if self._head:
            piece, self._head = _cut(self._head, size)
            return piece
        if self._left:
            piece = self._content.read(self._left if size < 0 else min(size, self._left))
            if not piece:
                raise OSError("the file became shorter while it was sent")
            self._left -= len(piece)
            return piece
        piece, self._tail = _cut(self._tail, size)
        return piece


def _cut(data: bytes, size: int) -> tuple[bytes, bytes]:
    return (data, b"") if size < 0 else (data[:size], data[size:])
