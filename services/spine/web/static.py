"""The files that pages bring along: held in memory, compressed once, known to a browser by their digest."""

import gzip
import hashlib
from importlib import resources
from typing import NamedTuple

from falcon.asgi import Request, Response

from contract.errors import NotFound

_KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class _File(NamedTuple):
    kind: str
    etag: str
    plain: bytes
    small: bytes


class Static:
    """GET /ui/static/:name; open to everybody, for there is nothing of anybody's in it."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        for found in resources.files("spine.web").joinpath("static").iterdir():
            kind = _KINDS.get(found.name.rpartition(".")[2])
            if kind is not None:
                data = found.read_bytes()
                etag = hashlib.sha256(data).hexdigest()[:32]
                self._files[found.name] = _File(kind, etag, data, gzip.compress(data, 9))

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        """Answer a file, or 304."""
        found = self._files.get(name)
        if found is None:
            raise NotFound(f"there is no file {name[:100]}")
        resp.etag = found.etag
        resp.set_header("Cache-Control", "no-cache")  # kept, but asked for each time: pages and programs fit together
        resp.set_header("Vary", "Accept-Encoding")
        if req.if_none_match and any(tag in ("*", found.etag) for tag in req.if_none_match):
            resp.status = 304
            return
        resp.content_type = found.kind
        if "gzip" in (req.get_header("Accept-Encoding") or ""):
            resp.set_header("Content-Encoding", "gzip")
            resp.data = found.small
        else:
            resp.data = found.plain
