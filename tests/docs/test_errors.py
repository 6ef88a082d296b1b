"""docs/reference/errors.md has every code, with its status, its meaning and whether a repeat helps."""

from tests.docs.pages import reference, table

from contract.errors import BY_CODE
from spine.api.problems import STATUS

PAGE = reference("errors.md")


def test_every_code_is_there_and_none_that_does_not_exist() -> None:
    rows = {row["code"]: (row["HTTP"], row["meaning"], row["repeat?"]) for row in table(PAGE, "Every code")}
    assert rows == {
        kind.code: (
            str(status),
            (kind.__doc__ or "").strip().splitlines()[0],
            "yes" if kind.retryable else "no",
        )
        for kind, status in STATUS.items()
    }
    assert set(rows) == set(BY_CODE)


def test_every_code_says_what_to_do() -> None:
    assert all(len(row["what to do"]) > 10 for row in table(PAGE, "Every code"))
