"""Server-sent events, however their bytes are cut."""

import pytest

from contract.sse import ServerEvent, parse_events

STREAM = (
    ": spine\nretry: 3000\n\n"
    'event: job.created\nid: c1\ndata: {"a":1}\n\n'
    "data:no space\ndata:  two spaces\n\n"
    ": ping\n\n"
    "event: gap\r\nid: c2\r\ndata: {}\r\n\r\n"
    "event: nothing\n\n"
    "data\n\n"
    "other: field\ndata: häßlich – 漢字\n\n"
    "data: cut off"
).encode()
EVENTS = [
    ServerEvent("job.created", '{"a":1}', "c1"),
    ServerEvent("message", "no space\n two spaces", "c1"),
    ServerEvent("gap", "{}", "c2"),
    ServerEvent("message", "", "c2"),
    ServerEvent("message", "häßlich – 漢字", "c2"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_any_cut(size: int) -> None:
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert list(parse_events(pieces)) == EVENTS


def test_each_cut_in_two() -> None:
    for at in range(len(STREAM)):
        assert list(parse_events([STREAM[:at], b"", STREAM[at:]])) == EVENTS


def test_an_event_comes_as_soon_as_it_ends() -> None:
    def chunks() -> object:
        yield b"data: 1\n\nda"
        raise AssertionError("asked for more than it needed")

    assert next(parse_events(chunks())) == ServerEvent("message", "1", None)  # type: ignore[arg-type]


def test_nothing() -> None:
    assert list(parse_events([])) == []
    assert list(parse_events([b"\n\n\n", b": x\n\n"])) == []


def test_bytes_that_are_no_text_do_not_end_the_stream() -> None:
    assert list(parse_events([b"data: \xff\n\ndata: 2\n\n"])) == [
        ServerEvent("message", "�", None),
        ServerEvent("message", "2", None),
    ]
