"""Words and names of notices: the file of aliases, what is cut into pieces, what is said of a result."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from contract import outcall
from spine.notices import aliases
from spine.notices.aliases import Unusable, read
from spine.notices.book import Book
from spine.notices.message import clean, cut, units
from spine.queue.notices import words_of

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
GOOD: dict[str, dict[str, Any]] = {
    "hook": {"channel": "webhook", "url": "https://example.org/x?y=1", "secrets": [SECRET]},
    "agent": {"channel": "openclaw-agent", "url": "http://127.0.0.1:18789", "token": "t"},
    "wake": {"channel": "openclaw-wake", "url": "http://[::1]:18789", "token": "t"},
    "openclaw": {"channel": "openclaw-message", "url": "http://localhost:18789", "token": "t"},
    "room": {"channel": "discord", "url": "https://discord.com/api/webhooks/1/x"},
    "logs": {"channel": "loki", "url": "http://loki:3100", "labels": {"a": "b"}},
    "mail": {"channel": "email", "host": "mail.example.org", "from": "a@example.org", "to": ["b@example.org"]},
}


def write(path: Path, entries: Any, mode: int = 0o600) -> Path:
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    path.chmod(mode)
    return path


def test_every_channel_can_be_named(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a", GOOD))
    assert {name: entry.problem for name, entry in found.items()} == dict.fromkeys(GOOD)
    assert {name: entry.channel for name, entry in found.items()} == {n: e["channel"] for n, e in GOOD.items()}


def test_an_alias_shows_nothing_of_what_it_holds(tmp_path: Path) -> None:
    entry = read(write(tmp_path / "a", GOOD))["hook"]
    assert repr(entry.alias) == "Webhook(…)"
    assert entry.alias is not None
    assert SECRET in aliases.secrets_of(entry.alias)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("a text", "Expected `object`, got `str`"),
        ({}, "missing required field `channel`"),
        ({"channel": "pigeon"}, "Invalid value 'pigeon'"),
        (GOOD["hook"] | {"url": "ftp://example.org/s3cret"}, "url: expected an address"),
        (GOOD["hook"] | {"url": "https://u:s3cret@example.org"}, "a user in the address"),
        (GOOD["hook"] | {"url": "https://example.org/s3cret\r\nX: y"}, "no spaces"),
        (GOOD["hook"] | {"url": "https://example.org:99999/s3cret"}, "cannot be read"),
        (GOOD["hook"] | {"secrets": []}, "length >= 1"),
        (GOOD["hook"] | {"secrets": [SECRET] * 3}, "length <= 2"),
        (GOOD["hook"] | {"secrets": ["s3cret"]}, "secrets[0]: expected whsec_"),
        (GOOD["hook"] | {"secrets": ["whsec_c2hvcnQ="]}, "24 to 64 bytes"),
        (GOOD["hook"] | {"colour": "s3cret"}, "unknown field `colour`"),
        (GOOD["agent"] | {"token": "s3cret\r\nX-Other: y"}, "regex"),
        (GOOD["mail"] | {"from": "a@example.org\r\nBcc: s3cret@example.org"}, "regex"),
        (GOOD["mail"] | {"to": ["s3cret@example.org, c@example.org"]}, "regex"),
        (GOOD["mail"] | {"username": "u"}, "goes with password"),
        (GOOD["mail"] | {"username": "u", "password": "s3cret", "security": "none"}, "needs starttls or tls"),
    ],
)
def test_an_entry_that_cannot_be_used_harms_no_other_and_tells_no_secret(
    tmp_path: Path, entry: Any, problem: str
) -> None:
    found = read(write(tmp_path / "a", {"bad": entry, "hook": GOOD["hook"]}))
    assert found["hook"].problem is None
    assert found["bad"].alias is None
    said = found["bad"].problem or ""
    assert problem in said
    assert "s3cret" not in said


@pytest.mark.parametrize("name", ["Ops", "a b", "", "é", "x" * 65, "a/b"])
def test_a_name_that_no_job_could_give(tmp_path: Path, name: str) -> None:
    (entry,) = read(write(tmp_path / "a", {name: GOOD["hook"]})).values()
    assert (entry.problem or "").startswith("a name has 1 to 64")


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        ("[]", 0o600, "expected a JSON object"),
        ("{", 0o600, "expected a JSON object"),
        ("[" * 5000, 0o600, "expected a JSON object"),
        (json.dumps({"a": GOOD["hook"], "@a": GOOD["hook"]}), 0o600, "stands there twice"),
        (json.dumps({f"n{n}": 1 for n in range(501)}), 0o600, "at most 500"),
        ('{"x": "' + "y" * (1 << 20) + '"}', 0o600, "larger than"),
        (json.dumps(GOOD), 0o640, "others can read it: chmod 600"),
        (json.dumps(GOOD), 0o604, "others can read it: chmod 600"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: str, mode: int, told: str) -> None:
    with pytest.raises(Unusable, match=told):
        read(write(tmp_path / "a", content, mode))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="No such file"):
        read(tmp_path / "nothing")
    with pytest.raises(Unusable, match=r"is not a file|Is a directory"):
        read(tmp_path)


def test_a_change_is_seen_and_one_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    path, seen = write(tmp_path / "a", {"hook": GOOD["hook"]}), list[dict[str, str | None]]()
    book = Book(path, seen.append)
    book.turn()
    book.turn()
    assert seen == [{"hook": None}]
    write(path, "{")
    book.turn()
    assert set(book.entries) == {"hook"}
    write(path, {"hook": GOOD["hook"], "room": GOOD["room"], "bad": 1})
    book.turn()
    assert set(seen[-1]) == {"hook", "room", "bad"}
    path.unlink()
    book.turn()
    assert set(book.entries) == {"hook", "room", "bad"}
    told = book.listed()
    assert [(alias.name, alias.channel, alias.usable) for alias in told.aliases] == [
        ("bad", None, False),
        ("hook", "webhook", True),
        ("room", "discord", True),
    ]
    assert SECRET not in repr(told)


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_pieces_are_short_enough_and_lose_nothing(seed: int) -> None:
    rng = random.Random(seed)
    letters = "aé\U0001f600 " + ("\n" if seed % 2 else "")
    text = "x" + "".join(rng.choice(letters) for _ in range(rng.randrange(1, 3000))) + "x"
    pieces = cut(text, 300, "elsewhere", parts_most=99)
    assert all(0 < units(piece) <= 300 for piece in pieces)
    whole = "".join(piece.partition("] ")[2] for piece in pieces) if len(pieces) > 1 else pieces[0]
    assert "".join(whole.split()) == "".join(text.split())
    if len(pieces) > 1:
        marks = [piece.partition("] ")[0] for piece in pieces]
        assert marks == [f"[{n}/{len(pieces)}" for n in range(1, len(pieces) + 1)]


def test_a_piece_ends_with_a_line_or_a_word_where_it_can() -> None:
    assert cut("aaaa bbbb\ncccc dddd eeee", 19, "") == ["[1/3] aaaa bbbb", "[2/3] cccc dddd ", "[3/3] eeee"]
    assert cut("short", 20, "") == ["short"]


def test_control_characters_go_and_lines_stay() -> None:
    assert clean("a\x00\x1b[31mb\r\nc\td\u202ee\u2066") == "a[31mb\nc\tde"


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, ""),
        ("null", ""),
        ("3", ""),
        ("[1]", ""),
        ('"text"', "text"),
        ('{"output": "o", "notes": "n"}', "o"),
        ('{"output": " ", "notes": "n"}', "n"),
        ('{"text": 5, "summary": "s"}', "s"),
        ('{"exitCode": 0}', ""),
    ],
)
def test_what_a_result_says_in_words(result: str | None, words: str) -> None:
    assert words_of(result) == words


@pytest.mark.parametrize("url", ["http://x", "https://x:1/y?z=1", "http://[::1]:5/"])
def test_addresses_that_may_be_called(url: str) -> None:
    assert outcall.check_url(url).hostname


@pytest.mark.parametrize(
    "url", ["", "x", "//x", "file:///etc/passwd", "http://", "http://x:0", "http://x#y", "http://é", "http://x y"]
)
def test_addresses_that_may_not(url: str) -> None:
    with pytest.raises(ValueError):
        outcall.check_url(url)
