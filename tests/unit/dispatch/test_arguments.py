"""Arguments as the contract has them (scheduler, 2.1): values, yes or no, what nobody asks for, and what is refused."""

import pytest

from dispatch.arguments import Arguments, checked_label
from dispatch.faults import Usage

READINGS: list[tuple[str, str | None]] = [
    ("--flag value", "value"),
    ("--flag=value", "value"),
    ("--flag=", None),
    ("--flag", None),
    ("--flag --other", None),
    ("--flag --other value", None),
    ("--flag=--value", "--value"),
    ("--flag=a=b", "a=b"),
    ("--flag one --flag two", "two"),
    ("word --flag value", "value"),
    ("--flag -1", "-1"),
    ("--flag no", "no"),
]


@pytest.mark.parametrize(("line", "value"), READINGS, ids=[line for line, _ in READINGS])
def test_a_flag_with_its_value(line: str, value: str | None) -> None:
    found = Arguments(line.split(" "))
    assert found.given("flag")
    if value is not None:
        assert found.text("flag") == value
        return
    with pytest.raises(Usage, match="--flag needs a value") as raised:
        found.text("flag")
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("line", "yes"),
    [
        ("--flag", True),
        ("--flag=true", True),
        ("--flag any", True),
        ("--flag=false", False),
        ("--flag no", False),
        ("--flag 0", False),
        ("--other", False),
        ("flag", False),
    ],
)
def test_a_yes_or_no(line: str, yes: bool) -> None:
    assert Arguments(line.split(" ")).has("flag") is yes


def test_what_nobody_asks_for_is_ignored_and_words_are_kept() -> None:
    found = Arguments(["one", "--unknown", "x", "two", "--odd"])
    assert found.words == ["one", "two"]
    assert (found.text("flag"), found.given("flag"), found.has("flag")) == (None, False, False)


@pytest.mark.parametrize("text", ["0", "11", "-1"])
def test_a_number_out_of_range(text: str) -> None:
    with pytest.raises(Usage, match=f"--n: {text} is out of range; give a number from 1 to 10"):
        Arguments([f"--n={text}"]).whole("n", 5, 1, 10)


@pytest.mark.parametrize("text", ["x", "1.5", "1e1", "0x1", "1 000", "9" * 5000])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(Usage, match=r"--n: .* is not a whole number; give one from 1 to 10"):
        Arguments([f"--n={text}"]).whole("n", 5, 1, 10)


def test_numbers_choices_and_crons_that_are_taken() -> None:
    found = Arguments(["--n", "10", "--c=b", "--cron", "*/5 * * * *", "--daily=@daily"])
    assert [found.whole(name, 5, 1, 10) for name in ("n", "m")] == [10, 5]
    assert [found.choice(name, "a", ("a", "b")) for name in ("c", "d")] == ["b", "a"]
    assert [found.cron(name, "0 0 * * *") for name in ("cron", "daily", "none")] == [
        "*/5 * * * *",
        "@daily",
        "0 0 * * *",
    ]


@pytest.mark.parametrize("text", ["hourly", "* * * *", "0 */5 * * * *"])
def test_what_is_no_cron_expression(text: str) -> None:
    with pytest.raises(Usage, match=r"--interval: .* is no cron expression; give five fields"):
        Arguments([f"--interval={text}"]).cron("interval", "0 0 * * *")


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(Usage, match="--flag: is not UTF-8"):
        Arguments(["--flag", "\udcff"]).text("flag")


@pytest.mark.parametrize("key", ["a\nb", "k" * 513, "\x00"])
def test_what_is_no_key_of_a_session(key: str) -> None:
    with pytest.raises(Usage, match="--session-key: is no key"):
        Arguments([f"--session-key={key}"]).session_key()


@pytest.mark.parametrize("label", ["a\nb", "a\tb", "\x1b[31m", "x" * 201, "a\u2028b", "a\u202eb"])
def test_what_is_no_label(label: str) -> None:
    with pytest.raises(Usage, match="--label: has"):
        checked_label(label)
