"""Hiding secrets: known values and patterns, at every possible cut of a stream."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract.redaction import MASK, Redactor, redact, redacted_start

KNOWN = ("hunter2hunter2", "s3cr3t/with+signs=", "zwölf-Boxkämpfer")
PATTERNS = {
    "our token": "spn_left-claw_" + "a1b2c3d4" + "_" + "0123456789" * 4,
    "GitHub": "ghp_" + "Ab1" * 12,
    "GitHub server": "ghs_" + "x" * 255,
    "GitHub fine": "github_pat_" + "A_1" * 10,
    "GitLab": "glpat-" + "a-_1" * 5,
    "Slack": "xoxb-" + "12345-abcde",
    "OpenAI": "sk-" + "proj_-a1" * 4,
    "AWS": "AKIA" + "ABCDEFGH12345678",
    "Discord": "MTE" + "a1_-" * 5 + "Ab" + ".G" + "x1y2z" + "." + "q_-9" * 8,
    "Discord's webhook": "discord.com/api/webhooks/123456789012345678/" + "Ab_-" * 15,
    "Standard Webhooks": "whsec_" + "k+/9" * 10 + "aaa=",
}
# What stays, what goes, what follows.
PARTIAL = {
    "bearer": ("Authorization: Bearer ", "abc.def-ghi_jkl", "\nnext"),
    "basic, in other letters": ("AUTHORIZATION:basic\t", "dXNlcjpwYXNz", '"'),
    "many blanks": ("authorization:" + " " * 64 + "bearer" + " " * 64, "a" * 512, "\n"),
    "password in a URL": ("https://user:", "pässword!", "@host/path"),
    "long password": ("x://" + "u" * 64 + ":", "p" * 256, "@h"),
}
KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
    "QyNTUxOQAAACD+/xGVuZQAA==\n"
)


def whole(text: str | bytes, known: tuple[str, ...] = KNOWN) -> bytes:
    return pieces([text.encode() if isinstance(text, str) else text], known)


def pieces(chunks: list[bytes], known: tuple[str, ...] = KNOWN) -> bytes:
    redactor = Redactor(known)
    return b"".join([*(redactor.feed(chunk) for chunk in chunks), redactor.flush()])


def at_every_cut(text: str, expected: str, known: tuple[str, ...] = KNOWN) -> None:
    """Hold the text, cut in two at each place, and given byte by byte, against what must come."""
    data, wanted = text.encode(), expected.encode()
    for at in range(len(data) + 1):
        assert pieces([data[:at], data[at:]], known) == wanted, f"cut at {at}"
    assert pieces([bytes([byte]) for byte in data], known) == wanted


@pytest.mark.parametrize("secret", KNOWN)
def test_known_values(secret: str) -> None:
    at_every_cut(f"before {secret} after", "before [redacted] after")
    at_every_cut(secret, "[redacted]")
    at_every_cut(f"{secret},{secret}", "[redacted],[redacted]")


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(name: str) -> None:
    at_every_cut(f"key={PATTERNS[name]}\n", "key=[redacted]\n")
    at_every_cut(f"({PATTERNS[name]})", "([redacted])")


@pytest.mark.parametrize("name", PARTIAL)
def test_what_stays_of_a_pattern(name: str) -> None:
    kept, hidden, rest = PARTIAL[name]
    at_every_cut(f"a {kept}{hidden}{rest}", f"a {kept}[redacted]{rest}")


@pytest.mark.parametrize("line", ["-----END OPENSSH PRIVATE KEY-----\n", "", "done. ok"])
def test_a_private_key(line: str) -> None:
    shown = whole(f"cat key\n{KEY}{line}").decode()
    assert shown.startswith("cat key\n[redacted]")
    assert "b3Blbn" not in shown
    assert "QyNTUx" not in shown
    if line.startswith("-"):
        at_every_cut(f"cat key\n{KEY}{line}", f"cat key\n[redacted]{line}")


def test_a_private_key_on_one_line() -> None:
    at_every_cut('"-----BEGIN PRIVATE KEY-----\\nMIIEvQ+/=\\n-----END"', '"[redacted]-----END"')


def test_what_only_begins_like_a_private_key_does_not_hide_the_rest_for_ever() -> None:
    text = "-----BEGIN PRIVATE KEY-----" + "a" * 40_000
    shown = whole(text)
    assert shown.startswith(MASK + b"a")
    assert len(shown) == len(MASK) + 40_000 - 16 * 1024
    assert pieces([text.encode()[at : at + 1000] for at in range(0, len(text), 1000)]) == shown


@pytest.mark.parametrize(
    "text",
    [
        "the password is long",
        "sk-short",
        "AKIA and AKIA1234",
        "see https://host:8080/path",
        "mail me@host.example",
        "ghp_tooshort",
        "-----BEGIN CERTIFICATE-----\nMIIB\n",
        "hunter2hunter",
        "authorization: none",
        "\x00\xff binary \x80",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    at_every_cut(text, text)


def test_short_values_are_left_alone() -> None:
    assert whole("abcde abcdef", ("abcde",)) == b"abcde abcdef"
    assert whole("abcde abcdef", ("abcdef", "")) == b"abcde [redacted]"


def test_overlapping_secrets_all_go() -> None:
    known = ("abcdefgh", "fghijklm", "abcdefghij")
    at_every_cut("x abcdefghijklm y", "x [redacted] y", known)
    at_every_cut("x abcdefghij y", "x [redacted] y", known)
    at_every_cut("-" + "ab" * 10 + "-", "-[redacted]-", ("ababab",))


def test_a_known_value_that_touches_a_pattern() -> None:
    token = PATTERNS["GitHub"]
    at_every_cut(f"xx{token}yy", "[redacted]", (f"xx{token[:10]}", f"{token[-4:]}yy"))
    at_every_cut("ftp://u:abc/def@host", "ftp://u:[redacted]@host", ("abc/def",))


def test_a_known_value_of_several_lines() -> None:
    secret = "first line\nsecond line\n"
    at_every_cut(f"a\n{secret}b\n", "a\n[redacted]b\n", (secret,))


def test_a_line_that_has_ended_is_given_at_once() -> None:
    redactor = Redactor(KNOWN)
    assert redactor.feed(b"one\ntwo") == b"one\n"
    assert redactor.feed(b"\n") == b"two\n"
    assert redactor.flush() == b""
    assert redactor.flush() == b""


def test_memory_is_bounded_on_a_line_without_end() -> None:
    redactor = Redactor(KNOWN)
    given = 0
    worst = 0
    for chunk in [b"x" * 10_000, b"hunter2" * 1000, b"://u:" + b"p" * 9000, b"ghp_" + b"a" * 9000] * 50:
        given += len(redactor.feed(chunk))
        worst = max(worst, len(redactor._held))
    assert worst <= 1024
    assert given > 0


def test_a_long_known_value() -> None:
    secret = "k" * 5000
    redactor = Redactor([secret])
    shown = b"".join(redactor.feed(secret[at : at + 7].encode()) for at in range(0, 5000, 7)) + redactor.flush()
    assert shown == MASK


def test_one_text() -> None:
    assert redact("token hunter2hunter2!", ["hunter2hunter2"]) == "token [redacted]!"
    assert redact("ümlaut \ud800", []) == "ümlaut ?"
    assert redact("") == ""


FRAGMENTS = [
    *KNOWN,
    *PATTERNS.values(),
    *(kept + hidden + rest for kept, hidden, rest in PARTIAL.values()),
    KEY,
    "-----END",
    "hunter2",
    "ghp_",
    "sk-",
    "://u:",
    "@",
    " ",
    "\n",
    "a",
    "Authorization: Bearer ",
    "-----BEGIN PRIVATE KEY-----",
    "x" * 300,
    "text ",
]
texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=12).map("".join)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(text=texts, cuts=st.lists(st.integers(0, 4000), max_size=8))
@example(text="://u:" + "p" * 20 + "@", cuts=[25])
@example(text="x" * 1100 + "hunter2hunter2" + "x" * 1100, cuts=[1107])
def test_cuts_never_change_the_result_and_never_leak(text: str, cuts: list[int]) -> None:
    data = text.encode()
    expected = whole(data)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    assert pieces([data[a:b] for a, b in itertools.pairwise(edges)]) == expected
    for secret in KNOWN:
        assert secret.encode() not in expected
    for secret in PATTERNS.values():
        assert secret.encode() not in expected


def test_the_start_of_a_short_text_is_the_text() -> None:
    assert redacted_start("all of it", 9) == ("all of it", False)
    assert redacted_start("all of it.", 9) == ("all of it", True)
    assert redacted_start("key " + PATTERNS["AWS"], 100) == ("key [redacted]", False)


@pytest.mark.parametrize("secret", [*PATTERNS.values(), "-----BEGIN PRIVATE KEY-----" + "A1b2" * 2000])
def test_the_start_of_a_long_text_holds_no_part_of_a_secret_that_is_cut(secret: str) -> None:
    piece = 2 * 100 + 16 * 1024
    for inside in (1, 6, len(secret) // 2, len(secret) - 1):
        # Masks are shorter than what they hide, so that the piece's end comes into sight.
        hidden = "://u:" + "p" * 250 + "@ "
        before = (hidden * 100)[: piece - inside - 1] + " "
        shown, cut = redacted_start(before + secret + "tail" * 10_000, 5000)
        assert cut
        for at in range(max(1, len(secret) - 12)):
            assert secret[at : at + 12] not in shown


def test_the_start_of_a_huge_text_costs_no_more_than_that_of_a_long_one() -> None:
    read: list[int] = []

    class Counted(str):
        def encode(self, *args: str) -> bytes:
            read.append(len(self))
            return super().encode(*args)

        def __getitem__(self, key: object) -> str:
            return Counted(super().__getitem__(key))  # type: ignore[index]

    shown, cut = redacted_start(Counted("x" * 5_000_000), 16_384)
    assert (shown, cut, read) == ("x" * 16_384, True, [3 * 16_384])
