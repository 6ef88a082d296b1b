"""spine-head groups, against a real server."""

from tests.integration.head.conftest import Head
from tests.support.eventually import eventually

from head import exits


def test_create_list_show_close(head: Head) -> None:
    job_id = head.submit("a task", "--label", "nightly")
    made = head.json("groups", "create", "the night", job_id, "--deadline", "3600")
    assert made["counts"] == {"queued": 1}
    assert f"{made['id']}  open    the night: 1 queued" in head.run("groups", "list").stdout
    shown = head.run("groups", "show", made["id"]).stdout
    assert f"  open: {job_id} is queued" in shown
    assert head.run("groups", "close", made["id"]).stdout == f"{made['id']} is closed\n"
    by_label = head.json("groups", "create", "by label", "--label", "nightly")
    head.run("cancel", job_id)
    eventually(lambda: head.json("groups", "show", by_label["id"])["state"] == "done")
    assert "  | 1 of 1 jobs have ended: 1 cancelled." in head.run("groups", "show", by_label["id"]).stdout
    head.run("groups", "create", "x", code=exits.USAGE)
    head.run("groups", "show", "nosuch", code=exits.NOT_FOUND)
