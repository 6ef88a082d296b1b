"""docs/reference/soak.md: how its sections are written, and that it knows every kind of blow and of no fault."""

from pathlib import Path

from tests.docs.pages import reference, table
from tests.support import soak
from tests.support.reckoning import Count
from tests.support.storm import BLOWS


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "soak.md"
    soak.record("First", "one", page)
    soak.record("Second", "| killed | kills |\n|---|--:|\n| spine | 3 |", page)
    soak.record("First", "one,\n\nanew", page)
    head, first, second = page.read_text().split("\n\n## ")
    assert head == soak.HEAD.strip()
    assert first == "First\n\none,\n\nanew"
    assert second == "Second\n\n| killed | kills |\n|---|--:|\n| spine | 3 |\n"


def test_the_kills_that_are_due_are_never_fewer_than_wanted() -> None:
    assert [soak.kills_each(kinds) * kinds >= soak.KILLS for kinds in (1, 4, 12, 7)] == [True] * 4


def test_rounds_go_on_until_each_blow_has_come_about() -> None:
    seen: list[str] = []

    def one(blow: str) -> Count:
        seen.append(blow)
        return Count(blow, reached=seen != ["a", "b", "a"], lost=["j1"] if len(seen) == 7 else [])

    rounds = soak.run({"a": 3, "b": 2}, one)
    assert seen == ["a", "b", "a", "b", "a", "a"], "evenly, and one more for the one that missed"
    assert (rounds.came_about(), rounds.came_about(["a"]), rounds.cut, rounds.faults()) == (5, 3, False, [])
    again = soak.run({"a": 3, "b": 2}, one)
    assert [count.lost for count in again.counts] == [["j1"]], "a fault ends it"


def test_the_time_cuts_rounds_short() -> None:
    rounds = soak.run({"a": 3}, lambda blow: Count(blow, reached=True), most_seconds=0)
    assert (rounds.counts, rounds.cut, rounds.said()) == (
        [],
        True,
        "0 rounds in 0 s, cut short by the time: 3 were due",
    )


def test_the_page_has_every_kind_of_blow_and_no_fault() -> None:
    rows = table(reference("soak.md"), "Processes killed")
    assert [row["killed at"] for row in rows] == [*BLOWS, "**all**"]
    assert [(row["lost"], row["twice"], row["stuck"]) for row in rows] == [("0", "0", "0")] * len(rows)


def test_the_page_has_the_overload_and_nothing_else_that_it_was_called() -> None:
    rows = table(reference("soak.md"), "A model that is overloaded for good")
    assert {row["the run, by dispatch's word"] for row in rows} == {"running", "failed: overload"}
    assert [row["after it gave up"] for row in rows] == ["0", "2"]
