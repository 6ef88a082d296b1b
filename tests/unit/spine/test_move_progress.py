"""What a move shows while it works: a bar on a terminal, else a line now and then."""

import io

import pytest

from spine.operations import move_commands


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    told = move_commands._progress()
    told("jobs", 50, 200)
    assert shown.getvalue() == "\r\x1b[Kjobs                     [#######                       ]  25 %  50 of 200"
    told("jobs", 200, 200)
    assert shown.getvalue().endswith("100 %  200 of 200\r\x1b[K")


def test_a_file_gets_a_line_every_few_seconds_and_one_for_what_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(move_commands.time, "monotonic", lambda: now[0])
    told = move_commands._progress()
    told("jobs", 10, 200)
    now[0] += 6
    told("jobs", 90, 200)
    told("jobs", 100, 200)
    told("jobs", 200, 200)
    told("logs", 0, 0)
    assert capsys.readouterr().err.splitlines() == [
        "migrate-store: jobs 90 of 200 (45 %)",
        "migrate-store: jobs 200 of 200 (100 %)",
    ]
