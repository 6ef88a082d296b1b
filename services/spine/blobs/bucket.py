"""A place in an object store that speaks S3: how it is named, reached through obstore, and what its faults say.

Obstore is imported only when a place is reached. Blobs (`spine.blobs.objects`) and backups (`spine.operations.objects`)
both are kept in such places.
"""

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from contract.env import Secret

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Store

PIECE = 8 << 20
"""What one call moves at most (bytes); a larger file goes up in parts of this size."""
AT_ONCE = 2
"""Parts of one file that are under way at the same time."""
_CONNECT_SECONDS = 10
_RETRIES = 4
_SHOWN = 200
_ANSWER = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")


class Bucket(msgspec.Struct, frozen=True):
    """A prefix in a bucket, for one spine alone. `endpoint` None: Amazon's own."""

    bucket: str
    prefix: str
    endpoint: str | None
    region: str
    key_id: Secret | None
    secret: Secret | None

    @property
    def url(self) -> str:
        """The address as a person writes it."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def overlaps(self, other: "Bucket") -> bool:
        """Tell whether one of the two lies in the other."""
        if (self.bucket, self.endpoint) != (other.bucket, other.endpoint):
            return False
        mine, theirs = f"{self.prefix}/".lstrip("/"), f"{other.prefix}/".lstrip("/")
        return mine.startswith(theirs) or theirs.startswith(mine)


class Patience(msgspec.Struct, frozen=True):
    """How long one call may take, and until when after its beginning one that failed is begun again (s)."""

    call_seconds: int
    retry_seconds: int


def reached(place: Bucket, patience: Patience) -> "S3Store":
    """Return obstore's client of a place. A call that fails is repeated a few times, with backoff and jitter."""
    from obstore.store import S3Store

    client: ClientConfig = {
        "timeout": f"{patience.call_seconds}s",
        "connect_timeout": f"{min(_CONNECT_SECONDS, patience.call_seconds)}s",
        "allow_http": (place.endpoint or "").startswith("http://"),
    }
    # The server compares the digest with what has arrived, of every file and of every part.
    config: S3Config = {"region": place.region, "checksum_algorithm": "SHA256"}
    if place.endpoint is not None:
        config["endpoint"] = place.endpoint
    if place.key_id is not None and place.secret is not None:
        config["access_key_id"], config["secret_access_key"] = str(place.key_id), str(place.secret)
    return S3Store(
        place.bucket,
        prefix=place.prefix or None,
        config=config,
        client_options=client,
        retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=patience.retry_seconds)},
    )


def said(error: Exception) -> str:
    """Return what an object store's fault says in a line.

    Of what the store itself answered only its status and code: the rest may repeat a key's id, and what was signed.
    """
    text = str(error)
    status, code = _ANSWER.search(text), _CODE.search(text)
    if status is not None:
        return f"{status[1]} {code[1]}" if code else status[1]
    return " ".join(text.partition("\n\nDebug")[0].split())[:_SHOWN]
