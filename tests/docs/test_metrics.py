"""docs/reference/metrics.md has every figure that a server can have, with its type and its labels."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from tests.docs.pages import headings, reference, tables
from tests.support.queue_store import QueueStore, SetClock

from spine.api.metrics import Metrics
from spine.queue.wake import Hub
from spine.store.engine import Signals

PAGE = reference("metrics.md")
START = 1_767_225_600_000


def figures(folder: Path) -> dict[str, tuple[str, set[str]]]:
    """Return the type and the labels of every figure, of a server that has all of them."""
    store = QueueStore(folder, SetClock(START))
    try:
        store.claim(store.submit())
        metrics = Metrics(store.engine, Hub(lambda lane: ("any", ()), 1, 1), folder)
        metrics.backups()
        metrics.blobs()
        metrics.spans()
        metrics.committed(Signals(waits=[("left-claw", 5)], runs=[("left-claw", "done", 5)]))
        metrics.answered("/jobs", "GET", 200, 0.1)
        found = {}
        for family in text_string_to_metric_families(metrics.page().decode()):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            assert family.documentation, name
            found[name] = (family.type, labels)
        return found
    finally:
        store.close()


def test_the_page_has_every_figure_and_no_other(tmp_path: Path) -> None:
    rows = [row for found in tables(PAGE) for row in found]
    told = {
        row["name"]: (row["type"], {label.strip("` ") for label in row["labels"].split(",")} - {""}) for row in rows
    }
    assert len(told) == len(rows)
    assert told == figures(tmp_path)
    assert all(row["meaning"] for row in rows)


def test_what_a_process_counts_stands_apart() -> None:
    assert headings(PAGE) == ["Metrics", "Read from the store", "Counted by each process"]
    of_store, of_process = tables(PAGE)
    assert [row["name"] for row in of_store if "worker" in row["labels"]] == []
    assert [row["name"] for row in of_process if "worker" not in row["labels"]] == []
