"""docs/reference/dialects.md says what the facades do."""

from tests.docs.pages import reference, table

from contract.states import Status
from spine.facades import broker, mapping, skyclaw

PAGE = reference("dialects.md")


def test_every_status_is_there_with_its_words() -> None:
    rows = {row["ours"]: (row["Skyclaw"], row["broker"]) for row in table(PAGE, "Statuses")}
    assert rows == {status.value: tuple(mapping.STATUS[status]) for status in mapping.STATUS}
    assert set(rows) == {status.value for status in Status}


def test_every_route_is_there_and_no_other() -> None:
    rows = {(row["dialect"], row["method"], row["path"]) for row in table(PAGE, "Routes")}
    wanted = {("skyclaw", method, path) for path, (method, _suffix) in skyclaw.ROUTES.items()}
    wanted |= {("broker", method, path) for path, methods in broker.METHODS.items() for method in methods}
    assert rows == wanted
