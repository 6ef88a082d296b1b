"""Facts about the store itself: its id, the reaper's last pass, where it is."""

import secrets

from spine.store.engine import Tx
from spine.store.models import MetaEntry
from spine.store.statement import Statement, bind

_GET = Statement(MetaEntry.select(MetaEntry.value).where(MetaEntry.key == bind("key")))
_PUT = Statement(
    MetaEntry.insert({MetaEntry.key: bind("key"), MetaEntry.value: bind("value")}).on_conflict(
        conflict_target=[MetaEntry.key], preserve=[MetaEntry.value]
    )
)

LAST_PASS = "reaper_last_pass_at"
STORE_ID = "store_id"


def get(tx: Tx, key: str) -> str | None:
    """Return a fact, or None."""
    row = tx.one(_GET, key=key)
    return None if row is None else row[0]


def put(tx: Tx, key: str, value: str) -> None:
    """Set a fact."""
    tx.run(_PUT, key=key, value=value)


def store_id(tx: Tx) -> str:
    """Return the id that cursors carry; made at first use (in a writing transaction)."""
    found = get(tx, STORE_ID)
    if found is None:
        found = secrets.token_hex(6)
        put(tx, STORE_ID, found)
    return found
