"""Sessions of the dashboard: each token has so many, and the newest of them stay."""

import pytest
from tests.suites.harness import Store

from spine.store import sessions

HOUR_MS = 3_600_000


def begin(store: Store, *digests: str, token: str) -> None:
    for digest in digests:
        store.clock.advance(1)
        end = store.clock.now() + HOUR_MS
        store.write(lambda tx, digest=digest, end=end: sessions.add(tx, digest, token, end))


def kept(store: Store) -> set[str]:
    return {row.digest for row in store.read(sessions.all_of)}


def test_who_signs_in_again_and_again_signs_out_none_but_the_oldest_of_the_own_token(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "KEPT_MOST", 3)
    begin(store, "a1", "a2", token="a")
    begin(store, "b1", "b2", "b3", "b4", "b5", token="b")
    begin(store, "a3", token="a")
    assert kept(store) == {"a1", "a2", "a3", "b3", "b4", "b5"}
    begin(store, "a4", token="a")
    assert kept(store) == {"a2", "a3", "a4", "b3", "b4", "b5"}


def test_those_that_are_over_go_whosever_they_are(store: Store) -> None:
    begin(store, "a1", token="a")
    store.clock.advance(3600)
    begin(store, "b1", token="b")
    assert kept(store) == {"b1"}
