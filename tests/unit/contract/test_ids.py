"""Ids and tokens."""

import re

import pytest

from contract.ids import new_blob_id, new_job_id, new_token, new_worker_id, token_digest


def test_job_ids() -> None:
    made = {new_job_id(1_800_000_000_000) for _ in range(2000)}
    assert len(made) == 2000
    assert all(re.fullmatch("[0-9a-z]{20}", job_id) for job_id in made)
    assert {job_id[:8] for job_id in made} == {"mywpiww0"}
    for place in range(8, 20):
        assert len({job_id[place] for job_id in made}) > 20, f"character {place} hardly varies"


def test_job_ids_are_in_the_order_of_time() -> None:
    moments = [0, 1, 35, 36, 1_799_999_999_999, 1_800_000_000_000, 2_821_109_907_455]
    made = [new_job_id(now) for now in moments]
    assert made == sorted(made)
    assert [job_id[:8] for job_id in made[:4]] == ["00000000", "00000001", "0000000z", "00000010"]


def test_blob_ids_and_worker_ids() -> None:
    assert re.fullmatch("blob_[0-9a-z]{24}", new_blob_id())
    assert re.fullmatch("left-claw-[0-9a-z]{8}", new_worker_id("left-claw"))
    assert new_blob_id() != new_blob_id()


def test_tokens() -> None:
    assert re.fullmatch("spn_left-claw_[0-9a-z]{8}_[0-9a-z]{40}", new_token("left_claw"))
    assert new_token("head") != new_token("head")


@pytest.mark.parametrize(
    ("token", "digest"),
    [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ],
)
def test_digests(token: str, digest: str) -> None:
    assert token_digest(token) == digest


def test_a_token_that_is_no_text_has_a_digest_too() -> None:
    assert len(token_digest("\udc80é")) == 64
