"""Lines of the log: JSON or words, what libraries say included, and no secret in any."""

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from contract import logs

TOKEN = "spn_left-claw_abcdefgh_" + "z" * 40


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def one(capsys: pytest.CaptureFixture) -> dict[str, Any]:
    (line,) = capsys.readouterr().err.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_is_json_where_no_terminal_is(capsys: pytest.CaptureFixture) -> None:
    logs.configure("claw", machine="m1")
    structlog.get_logger().warning("claw.lost", job_id="j1", fence=3)
    line = one(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "claw.lost", "level": "warning", "role": "claw", "machine": "m1", "job_id": "j1", "fence": 3,
    }  # fmt: skip


def test_words_for_a_terminal(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logs.configure("spine")
    structlog.get_logger().info("spine.serving", data_dir="/data", nothing=None)
    stamp, _, said = capsys.readouterr().err.strip().partition(" ")
    assert stamp.endswith("Z")
    assert said == "info spine.serving role='spine' data_dir='/data'"


def test_json_may_be_wanted_at_a_terminal_and_words_in_a_file(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.configure("spine", form="text")
    structlog.get_logger().info("a.b")
    assert " info a.b role='spine'" in capsys.readouterr().err
    structlog.reset_defaults()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logs.configure("spine", form="json")
    structlog.get_logger().info("a.b")
    assert one(capsys)["event"] == "a.b"


def test_a_text_cannot_begin_a_line_of_its_own(capsys: pytest.CaptureFixture) -> None:
    logs.configure("spine", form="text")
    structlog.get_logger().info("a.b", why="one\n2030-01-01T00:00:00Z info forged\x1b[2J")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_a_library_says_goes_the_same_way(capsys: pytest.CaptureFixture) -> None:
    logs.configure("spine")
    logging.getLogger("gunicorn.error").warning("Worker %d has %s", 3, TOKEN)
    line = one(capsys)
    assert (line["event"], line["logger"], line["level"]) == ("library.said", "gunicorn.error", "warning")
    assert line["message"] == "Worker 3 has [redacted]"


def test_so_does_a_warning(capsys: pytest.CaptureFixture) -> None:
    logs.configure("spine")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert one(capsys)["logger"] == "py.warnings"


def test_a_secret_is_masked_also_in_the_trace_of_a_fault(capsys: pytest.CaptureFixture) -> None:
    logs.configure("spine")
    try:
        raise ValueError(TOKEN)
    except ValueError:
        structlog.get_logger().exception("spine.broke", why=f"it was {TOKEN}")
    line = one(capsys)
    assert line["why"] == "it was [redacted]"
    assert "ValueError: [redacted]" in line["exception"]
