"""From exit code and result file to a report."""

import msgspec
import pytest

from claw import outcome
from claw.outcome import BadResult, fit, from_exit, merge, parse_result_file


@pytest.mark.parametrize(
    ("code", "action", "requeue"),
    [
        (0, "complete", True),
        (75, "fail", True),
        (77, "fail", False),
        (5, "fail", False),
        (1, "fail", True),
        (137, "fail", True),
    ],
)
def test_an_exit_code_decides(code: int, action: str, requeue: bool) -> None:
    judged = from_exit(code, "last words", "the job", permanent=(5,))
    assert (judged.action, judged.requeue) == (action, requeue)


def test_exit_69_releases_with_the_last_line() -> None:
    assert from_exit(69, "no licence free", "the job").reason == "no licence free"
    assert from_exit(69, "", "the job").reason == "the job ended with exit code 69"


def test_the_error_names_phase_code_and_last_line() -> None:
    assert from_exit(2, "oh no", "phase 'test'").error == "phase 'test' ended with exit code 2: oh no"
    assert from_exit(143, "", "the job").error == "the job was ended by SIGTERM"
    assert from_exit(255, "", "the job").error == "the job was ended by signal 127"


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"nonsense",
        b"[1]",
        b'"text"',
        b'{"outcome": "perhaps"}',
        b'{"outcome": 3}',
        b'{"requeue": "no"}',
        b'{"cause": "bad luck"}',
        b'{"cause": 3}',
        b'{"notBefore": "tomorrow"}',
        b'{"notBefore": 3}',
        b"\xff\xfe",
    ],
)
def test_a_result_file_that_cannot_be_used_is_named(raw: bytes) -> None:
    with pytest.raises(BadResult, match="result file"):
        parse_result_file(raw)


def test_a_huge_result_file_is_refused() -> None:
    with pytest.raises(BadResult, match="larger than"):
        parse_result_file(b" " * (outcome.RESULT_FILE_MOST_BYTES + 1))


def test_a_result_file_refines_a_success() -> None:
    done = from_exit(0, "", "the job")
    assert merge(done, {"url": "u", "howToTest": ["a"]}).result == {"url": "u", "howToTest": ["a"]}
    failed = merge(done, {"outcome": "fail", "error": "worse", "requeue": False})
    assert (failed.action, failed.error, failed.requeue) == ("fail", "worse", False)
    assert merge(done, {"outcome": "release", "reason": "later"}).reason == "later"


def test_a_result_file_cannot_make_a_success_of_a_failure() -> None:
    crashed = from_exit(1, "boom", "the job")
    assert merge(crashed, {"outcome": "complete", "notes": "fine"}).action == "fail"
    assert merge(crashed, {"error": "worded", "requeue": False}) == outcome.fail("worded", requeue=False)
    assert merge(crashed, {"outcome": "release"}).action == "release"
    assert merge(from_exit(69, "later", "the job"), {}).reason == "later"


FILES: list[tuple[int, dict[str, object], tuple[str, bool, str | None, str | None]]] = [
    # exit code, file | action, requeue, cause, notBefore
    (
        75,
        {"cause": "overload", "notBefore": "2030-01-01T00:00:00Z"},
        ("fail", True, "overload", "2030-01-01T00:00:00Z"),
    ),
    (75, {"cause": "overload"}, ("fail", True, "overload", None)),
    (1, {"cause": "transient"}, ("fail", True, "transient", None)),
    (1, {"cause": "permanent"}, ("fail", False, "permanent", None)),
    (1, {"cause": "permanent", "requeue": True}, ("fail", False, "permanent", None)),
    (77, {"cause": "transient"}, ("fail", True, "transient", None)),
    (77, {"cause": "transient", "requeue": False}, ("fail", False, "transient", None)),
    (0, {"outcome": "fail", "cause": "permanent"}, ("fail", False, "permanent", None)),
    (69, {"notBefore": "2030-01-01T00:00:00Z"}, ("release", True, None, "2030-01-01T00:00:00Z")),
]


@pytest.mark.parametrize(("code", "said", "expected"), FILES)
def test_a_result_file_names_the_cause(
    code: int, said: dict[str, object], expected: tuple[str, bool, str | None, str | None]
) -> None:
    ended = merge(from_exit(code, "last", "the job"), said)
    assert (ended.action, ended.requeue, ended.cause, ended.not_before) == expected


def test_what_a_file_says_of_the_attempt_is_no_part_of_the_result() -> None:
    assert merge(from_exit(0, "", "the job"), {"cause": "transient", "notBefore": None, "url": "u"}).result == {
        "url": "u"
    }


def test_a_long_error_is_cut_and_nul_replaced() -> None:
    assert len(outcome.fail("x" * 10_000).error or "") == 4000
    assert outcome.fail("a\x00b").error == "a\N{REPLACEMENT CHARACTER}b"


def test_a_result_is_made_to_fit() -> None:
    small = {"notes": "n", "pr": "p"}
    assert fit(small) == small
    long = fit({"notes": "\x01" * 400_000, "pr": "p"})
    assert len(msgspec.json.encode(long)) <= 250 * 1024
    assert long["pr"] == "p"
    assert long["notes"].endswith(" … (cut)")
    huge = fit({"blob": "x" * 400_000, "pr": "p", "artifacts": []})
    assert huge == {
        "pr": "p",
        "artifacts": [],
        "notes": "The result was too large for the spine; only its links are kept.",
    }


def test_outputs_are_made_small_enough_for_the_spine() -> None:
    result = {"durationMs": 5, "exitCode": 3, "stdout": "o" * 200_000, "stderr": "e" * 200_000}
    shorter = outcome.smaller(outcome.fail(None, requeue=False, result=result))
    assert shorter is not None
    out, errors = shorter.result["stdout"], shorter.result["stderr"]
    assert (out[:3], out[-20:], errors[:3], errors[-20:]) == (
        "ooo",
        "\n[output truncated]\n",
        "eee",
        "\n[output truncated]\n",
    )
    assert abs(len(out) - len(errors)) < 30
    assert 255_900 < len(msgspec.json.encode(shorter.result)) <= 256_000
    assert (shorter.error, shorter.requeue, shorter.result["exitCode"]) == (None, False, 3)


def test_a_text_is_made_small_enough_for_the_spine() -> None:
    shorter = outcome.smaller(outcome.complete("pong: " + "é" * 300_000))
    assert shorter is not None
    assert shorter.result[:7] == "pong: é"
    assert shorter.result[-20:] == "\n[output truncated]\n"
    assert 255_900 < len(msgspec.json.encode(shorter.result)) <= 256_000


@pytest.mark.parametrize("result", [None, "short", {"stdout": "o", "stderr": ""}, {"notes": "n" * 300_000}])
def test_what_cannot_be_made_smaller_is_left_alone(result: object) -> None:
    assert outcome.smaller(outcome.complete(result)) is None
