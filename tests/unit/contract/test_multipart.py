"""A file as a multipart body."""

import email
import email.policy
import io

import pytest

from contract.multipart import FileForm


@pytest.mark.parametrize("block", [1, 7, 100, -1])
def test_a_form_reads_in_blocks_of_any_size(block: int) -> None:
    form = FileForm("file", 'a "b" é.txt', io.BytesIO(b"content\r\n--"), 11, "text/plain")
    pieces = iter(lambda: form.read(block), b"")
    body = b"".join(pieces)
    assert len(body) == len(form)
    whole = f"Content-Type: {form.content_type}\r\n\r\n".encode() + body
    (part,) = email.message_from_bytes(whole, policy=email.policy.HTTP).iter_parts()
    assert part.get_payload(decode=True) == b"content\r\n--"
    assert part.get_content_type() == "text/plain"
    assert 'name="file"; filename="a %22b%22 é.txt"'.encode() in body


def test_only_what_was_counted_is_sent() -> None:
    form = FileForm("file", "a", io.BytesIO(b"12345"), 3, "text/plain")
    assert b"\r\n\r\n123\r\n--" in form.read() + form.read() + form.read()


def test_a_file_that_became_shorter_is_an_error() -> None:
    form = FileForm("file", "a", io.BytesIO(b"1"), 2, "text/plain")
    form.read()
    form.read()
    with pytest.raises(OSError, match="shorter"):
        form.read()
