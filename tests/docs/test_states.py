"""docs/reference/states.md says what the transition table and the store say."""

import re
import sqlite3

from tests.docs.pages import REPO, reference, section, table

from contract import states
from contract.states import TRANSITIONS, Action, Status
from spine.store.migrations import migrate

PAGE = reference("states.md")


def test_every_state_is_there_and_says_whether_it_is_an_end() -> None:
    rows = {row["state"]: row["ended"] for row in table(PAGE, "The seven states")}
    assert rows == {s.value: "yes" if s in states.TERMINAL else "no" for s in Status}


def test_every_transition_is_there_in_full() -> None:
    rows = [
        (row["action"], row["from"], row["to"], row["who"], row["event"], row["meaning"])
        for row in table(PAGE, "Every transition")
    ]
    assert rows == [
        (
            action.value,
            ", ".join(s.value for s in Status if s in row.sources) or "—",
            row.target.value,
            row.who,
            row.event,
            row.meaning,
        )
        for action, row in TRANSITIONS.items()
    ]


def test_the_page_names_the_actions_that_nothing_takes_yet() -> None:
    code = "\n".join(path.read_text() for path in (REPO / "services/spine").rglob("*.py"))
    unused = {action.value for action in Action if f"Action.{action.name}" not in code}
    said = re.search(
        r"\*\*In this version\*\* no route and no timer leads to (.*?)\.\n", section(PAGE, "Every transition")
    )
    assert set(re.findall(r"`(\w+)`", said[1] if said else "")) == unused


def test_every_outcome_of_an_attempt_is_there() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "sqlite", 0)
    sql = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'attempts'").fetchone()[0]
    connection.close()
    rows = {row["outcome"] for row in table(PAGE, "How an attempt ended")}
    assert rows == set(re.findall(r"\boutcome = '(\w+)'", sql))
