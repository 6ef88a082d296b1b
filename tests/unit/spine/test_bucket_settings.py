"""Where blobs are kept: what the settings say, every fault, and what a fault of an object store tells an operator."""

from pathlib import Path

import pytest

from contract.env import Secret, SettingsError
from spine.blobs.bucket import Bucket, said
from spine.settings import from_env

TOKENS = {"HEAD_TOKEN": "head-token", "LEFT_CLAW_TOKEN": "left-token", "RIGHT_CLAW_TOKEN": "right-token"}


def test_on_the_disk_unless_told() -> None:
    assert from_env(TOKENS).blob_place is None
    assert from_env({**TOKENS, "SPINE_BLOB_ENDPOINT": "https://s3.example.org"}).blob_place is None


def test_a_bucket(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush-hush-hush\n")
    (tmp_path / "id").write_text("me\n")
    settings = from_env(
        {
            **TOKENS,
            "SPINE_BLOB_URL": "s3://my-bucket/spines/one/",
            "SPINE_BLOB_ENDPOINT": "https://s3.example.org:9000",
            "SPINE_BLOB_REGION": "eu-central-1",
            "SPINE_BLOB_ACCESS_KEY_ID_FILE": str(tmp_path / "id"),
            "SPINE_BLOB_SECRET_ACCESS_KEY_FILE": str(tmp_path / "secret"),
        }
    )
    assert settings.blob_place == Bucket(
        "my-bucket", "spines/one", "https://s3.example.org:9000", "eu-central-1", Secret("me"), Secret("hush-hush-hush")
    )
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        (
            {"SPINE_BLOB_URL": "https://b/p"},
            "SPINE_BLOB_URL: 'https://b/p' is no place in an object store; write s3://",
        ),
        ({"SPINE_BLOB_URL": "s3://b/p/../q"}, "SPINE_BLOB_URL: 's3://b/p/../q' has an empty part or dots"),
        ({"SPINE_BLOB_ENDPOINT": "s3.example.org"}, "SPINE_BLOB_ENDPOINT: 's3.example.org' is no address"),
        ({"SPINE_BLOB_ENDPOINT": "https://me:x@h"}, "SPINE_BLOB_ENDPOINT: "),
        (
            {"SPINE_BLOB_ACCESS_KEY_ID": "me"},
            "SPINE_BLOB_SECRET_ACCESS_KEY: missing; the id and the secret go together",
        ),
        ({"SPINE_BLOB_SECRET_ACCESS_KEY": "x"}, "SPINE_BLOB_ACCESS_KEY_ID: missing; the id and the secret go together"),
        ({"SPINE_BLOB_SECRET_ACCESS_KEY_FILE": "/no"}, "SPINE_BLOB_SECRET_ACCESS_KEY_FILE: cannot read /no"),
        (
            {"SPINE_BLOB_URL": "s3://b/p", "SPINE_BACKUP_URL": "s3://b/p/backups"},
            "SPINE_BACKUP_URL: one of it and SPINE_BLOB_URL lies in the other; give each its own prefix",
        ),
    ],
)
def test_faults(variables: dict[str, str], fault: str) -> None:
    with pytest.raises(SettingsError) as raised:
        from_env({**TOKENS, **variables})
    assert len(raised.value.faults) == 1
    assert raised.value.faults[0].startswith(fault)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("a", "a", True),
        ("a", "a/b", True),
        ("a/b", "a", True),
        ("", "a", True),
        ("", "", True),
        ("a", "ab", False),
        ("a/b", "a/c", False),
    ],
)
def test_what_lies_in_what(one: str, other: str, overlap: bool) -> None:
    first, second = (Bucket("b", prefix, None, "us-east-1", None, None) for prefix in (one, other))
    assert first.overlaps(second) is overlap
    assert not first.overlaps(Bucket("c", other, None, "us-east-1", None, None))
    assert not first.overlaps(Bucket("b", other, "https://elsewhere.example.org", "us-east-1", None, None))


def answer(status: str, body: str) -> str:
    return f"Generic S3 error: Error performing PUT http://h/b - Server returned non-2xx status code: {status}: {body}"


SIGNED = "<AWSAccessKeyId>an-id</AWSAccessKeyId><StringToSign>what was signed</StringToSign>"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (answer("403 Forbidden", f"<Error><Code>SignatureDoesNotMatch</Code>{SIGNED}"), "403 SignatureDoesNotMatch"),
        (answer("403 Forbidden", SIGNED), "403"),
        (answer("503 Slow Down", ""), "503"),
        ("Generic S3 error: HTTP error: error sending request\n\nDebug source:\nGeneric { secret }",
         "Generic S3 error: HTTP error: error sending request"),
    ],
)  # fmt: skip
def test_what_a_store_answered_is_told_by_its_code_alone(text: str, shown: str) -> None:
    assert said(RuntimeError(text)) == shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (answer("403 Forbidden", "<Code>SignatureDoesNotMatch</Code>"), "SPINE_BLOB_SECRET_ACCESS_KEY: https://s3.x "),
        (answer("403 Forbidden", "<Code>AccessDenied</Code>"), "SPINE_BLOB_ACCESS_KEY_ID: https://s3.x does not let"),
        (answer("404 Not Found", "<Code>NoSuchBucket</Code>"), "SPINE_BLOB_URL: there is no bucket b at https://s3.x;"),
        (
            answer("400 Bad", "<Code>AuthorizationHeaderMalformed</Code>"),
            "SPINE_BLOB_REGION: the bucket b is not in r (",
        ),
        (
            answer("403 Forbidden", "<Code>RequestTimeTooSkewed</Code>"),
            "SPINE_BLOB_URL: https://s3.x does not agree with this machine's clock (403 RequestTimeTooSkewed); set the",
        ),
        (
            answer("400 Bad", "<Code>ExpiredToken</Code>"),
            "SPINE_BLOB_ACCESS_KEY_ID: https://s3.x does not take this machine's passing credentials any more (400",
        ),
        (
            answer("501 Not Implemented", "<Code>NotImplemented</Code>"),
            "SPINE_BLOB_ENDPOINT: https://s3.x cannot write on the condition that nothing is there (If-None-Match: 501",
        ),
        ("Received redirect without LOCATION", "SPINE_BLOB_REGION: the bucket b is not in r ("),
        (
            answer("404 Not Found", "<html>"),
            "SPINE_BLOB_ENDPOINT: https://s3.x does not answer as an object store does",
        ),
        ("Error performing PUT http://169.254.169.254/latest/api/token", "SPINE_BLOB_ACCESS_KEY_ID: not set, and this"),
        (answer("502 Bad Gateway", ""), "SPINE_BLOB_ENDPOINT: https://s3.x cannot be used now (502); see that it runs"),
        (
            "HTTP error: error sending request",
            "SPINE_BLOB_ENDPOINT: https://s3.x cannot be used now (HTTP error: error",
        ),
    ],
)
def test_a_fault_names_the_setting_and_the_fix(text: str, told: str) -> None:
    from spine.blobs.objects import fault_of

    place = Bucket("b", "p", "https://s3.x", "r", Secret("an-id"), Secret("hush"))
    assert str(fault_of(place, RuntimeError(text))).startswith(told)
