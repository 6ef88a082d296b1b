"""Likeness of texts: rare words weigh more, long texts weigh no more for their length, and of equals the first wins."""

import pytest

from spine.queue.likeness import likest

TEXTS = [
    "deploy went well",  # 0
    "tests failed: timeout in login",  # 1
    "tests passed",  # 2
    "login page is slow, login page is slow",  # 3
    "",  # 4
]


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ("tests", [2, 1]),  # the shorter text says less besides
        ("LOGIN timeout", [1, 3]),  # upper and lower case are one; two words in common before one
        ("deploy", [0]),
        ("deploy tests", [0, 2, 1]),  # deploy stands in one text alone
        ("slow deploy", [0, 3]),
        ("nothing in common", [1]),  # but for the word "in"
        ("", []),
        ("?!", []),
    ],
)
def test_which_are_the_likest(query: str, places: list[int]) -> None:
    assert likest(query, TEXTS, 5) == places


def test_equals_come_as_they_stand_and_no_more_than_are_wanted() -> None:
    assert likest("a b", ["b a", "a b", "c", "a b"], 5) == [0, 1, 3]
    assert likest("a b", ["b a", "a b", "c", "a b"], 2) == [0, 1]
    assert likest("a", [], 5) == []
    assert likest("a", ["a", "a"], 1) == [0]  # a word that all have still counts


def test_words_of_any_script_count() -> None:
    assert likest("Größe", ["GRÖSSE", "größer", "naïve"], 5) == [0]
    assert likest("новый отчёт", ["старый отчёт", "новый день", "ничего"], 5) == [0, 1]
