"""Skyclaw's jobs as its host runs them, with real processes: what is allowed, what the child sees, what is reported."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.claw.conftest import until

from claw import settings
from claw.executors import skyclaw
from claw.executors.base import Place
from claw.outcome import Outcome
from claw.process import identity
from claw.spec import HostCommand

SECRET = "token-of-a-claw-in-tests"
Run = Callable[..., Outcome]


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def shown() -> bytearray:
    """What went into the job's log."""
    return bytearray()


@pytest.fixture
def run(tmp_path: Path, shown: bytearray) -> Run:
    workspace = tmp_path / "workspace"
    workspace.mkdir()

    def go(
        command: str | None,
        *args: str,
        job: dict[str, str] | None = None,
        cwd: str | None = None,
        timeout_ms: float | None = None,
        left: float = 60.0,
        stop: Callable[[], bool] = lambda: False,
        **env: str,
    ) -> Outcome:
        used = settings.from_env(
            {"SPINE_TOKEN": SECRET, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "CLAW_DIALECTS": "skyclaw"} | env
        )
        place = Place(
            workspace=workspace,
            spec_file=tmp_path / "spec",
            result_file=tmp_path / "result.json",
            env=used.base_env | (job or {}),
        )
        asked = HostCommand(command=command, args=args, cwd=cwd, timeout_ms=timeout_ms)
        bounds = skyclaw.Bounds(limit=60, left_seconds=left, stop=stop)
        return skyclaw.run(asked, place, used, shown.extend, bounds)[1]

    return go


def report(ended: Outcome) -> tuple[str, Any, Any, str, str]:
    """Return how it ended, error, exit code and both outputs; checks what all results have."""
    assert sorted(ended.result) == ["durationMs", "exitCode", "stderr", "stdout"]
    assert ended.action == "complete" or ended.requeue is False
    found = ended.result
    return ended.action, ended.error, found["exitCode"], found["stdout"], found["stderr"]


def test_both_outputs_are_kept_apart_and_logged(run: Run, shown: bytearray) -> None:
    ended = run("sh", "-c", "echo out; echo err >&2; printf end")
    assert report(ended) == ("complete", None, 0, "out\nend", "err\n")
    assert sorted(shown) == sorted(b"out\nerr\nend")
    assert 0 <= ended.result["durationMs"] < 30_000
    assert isinstance(ended.result["durationMs"], int)


@pytest.mark.parametrize("code", [1, 3, 75, 77, 126, 127, 137])
def test_any_other_code_is_a_failure_without_a_word(run: Run, code: int) -> None:
    assert report(run("sh", "-c", f"echo out; exit {code}")) == ("fail", None, code, "out\n", "")


def test_death_by_a_signal_is_exit_code_1(run: Run) -> None:
    assert report(run("sh", "-c", "echo out; kill -9 $$")) == ("fail", None, 1, "out\n", "")


def test_no_shell_sees_the_arguments_and_the_input_is_closed(run: Run) -> None:
    script = 'for word do echo "<$word>"; done; read line || echo no input; echo "$0"'
    assert report(run("sh", "-c", script, "name", "a b", "$HOME", "", "*")) == (
        "complete",
        None,
        0,
        "<a b>\n<$HOME>\n<>\n<*>\nno input\nname\n",
        "",
    )
    # The program is told the name that the job gave it.
    assert report(run("sh", "-c", "nosuchcommand"))[4].startswith("sh: ")


@pytest.mark.parametrize(
    "command", ["ls", "/bin/sh", "/usr/bin/bash", "./sh", "SH", "sh ", "", "sh -c id", "../bin/sh"]
)
def test_the_text_of_a_command_must_be_an_entry(run: Run, command: str) -> None:
    ended = run(command, "-c", "echo ran")
    assert report(ended) == ("fail", f"command not allowed: {command}", 126, "", "")
    assert ended.result["durationMs"] == 0


def test_an_entry_may_be_a_path(run: Run) -> None:
    assert report(run("/bin/sh", "-c", "echo ran", SKYCLAW_ALLOWED_COMMANDS="/bin/sh"))[3] == "ran\n"
    assert report(run("sh", "-c", "echo ran", SKYCLAW_ALLOWED_COMMANDS="/bin/sh"))[1] == "command not allowed: sh"


def test_a_path_of_the_job_fools_nobody(run: Run, tmp_path: Path) -> None:
    program(tmp_path / "evil", "automaton", "#!/bin/sh\necho evil\n")
    program(tmp_path / "evil", "runtime", "#!/bin/sh\necho evil runtime\n")
    program(tmp_path / "own", "automaton", "#!/usr/bin/env runtime\n")
    program(tmp_path / "own", "runtime", '#!/bin/sh\necho good "$PATH"\n')
    program(tmp_path / "workspace", "automaton", "#!/bin/sh\necho workspace\n")
    path, evil = f"{tmp_path}/own:/usr/bin:/bin", {"PATH": f"{tmp_path}/evil:/usr/bin:/bin"}
    ended = run(None, "--run", job=evil, PATH=path, SKYCLAW_ALLOWED_COMMANDS="automaton")
    # What the job adds to its PATH is still found, behind what the claw has.
    assert report(ended) == ("complete", None, 0, f"good {path}:{evil['PATH']}\n", "")
    for nowhere in ("/usr/bin:/bin", "/usr/bin:.:/bin", "/usr/bin:workspace"):
        ended = run(None, "--run", job=evil, PATH=nowhere, SKYCLAW_ALLOWED_COMMANDS="automaton")
        assert report(ended) == ("fail", "spawn automaton ENOENT", 1, "", "")


def test_an_automaton_is_the_command_that_is_set_and_allowed(run: Run, tmp_path: Path) -> None:
    program(tmp_path / "bin", "robot", '#!/bin/sh\necho "$# $*"\n')
    path = f"{tmp_path}/bin:/usr/bin:/bin"
    robot = {"PATH": path, "SKYCLAW_AUTOMATON_COMMAND": "robot"}
    assert report(run(None, "--run", **robot)) == ("fail", "command not allowed: robot", 126, "", "")
    robot["SKYCLAW_ALLOWED_COMMANDS"] = "robot"
    assert report(run(None, "--run", **robot)) == ("complete", None, 0, "1 --run\n", "")
    assert report(run(None, **robot))[3] == "0 \n"


def test_the_list_of_the_claw_itself_holds_too(run: Run) -> None:
    own = os.path.realpath("/bin/true")
    assert report(run("sh", "-c", "echo ran", CLAW_ALLOWED_COMMANDS=own))[1:3] == ("command not allowed: sh", 126)
    assert report(run("sh", "-c", "echo ran", CLAW_ALLOWED_COMMANDS="true, sh"))[3] == "ran\n"


def test_the_child_sees_no_token_and_what_the_job_adds(run: Run) -> None:
    env = {"SKYCLAW_TOKEN": "token-of-skyclaw", "WORKER_TOKEN": "token-of-a-runner", "CLAW_NAME": "left", "OTHER": "o"}
    ended = run("sh", "-c", "env", job={"GREETING": "hello", "HOME": "/srv"}, **env)
    seen = dict(line.split("=", 1) for line in ended.result["stdout"].splitlines())
    assert (seen["GREETING"], seen["HOME"], seen["PATH"]) == ("hello", "/srv", "/usr/bin:/bin")
    assert sorted(set(seen) - {"PWD", "OLDPWD", "SHLVL", "_"}) == ["GREETING", "HOME", "LANG", "PATH"]


def test_secrets_are_masked_in_outputs_and_log(run: Run, shown: bytearray) -> None:
    script = f"printf token-of-a-cla; sleep 0.1; echo w-in-tests; echo {SECRET} >&2; echo token-of-skyclaw"
    ended = run("sh", "-c", script, SKYCLAW_TOKEN="token-of-skyclaw")
    assert report(ended) == ("complete", None, 0, "[redacted]\n[redacted]\n", "[redacted]\n")
    assert bytes(shown) == b"[redacted]\n[redacted]\n[redacted]\n"


def test_a_folder_of_the_job(run: Run, tmp_path: Path) -> None:
    (tmp_path / "workspace" / "inner").mkdir()
    assert report(run("sh", "-c", "pwd"))[3] == f"{tmp_path}/workspace\n"
    assert report(run("sh", "-c", "pwd", cwd="inner"))[3] == f"{tmp_path}/workspace/inner\n"
    assert report(run("sh", "-c", "pwd", cwd=str(tmp_path)))[3] == f"{tmp_path}\n"
    assert report(run("sh", "-c", "pwd", cwd="missing")) == ("fail", "spawn sh ENOENT", 1, "", "")
    (tmp_path / "file").touch()
    assert report(run("sh", "-c", "pwd", cwd=str(tmp_path / "file"))) == ("fail", "spawn sh ENOTDIR", 1, "", "")


def test_a_program_that_cannot_be_started(run: Run, tmp_path: Path) -> None:
    lost = program(tmp_path / "bin", "lost", "#!/no/such/interpreter\n")
    path = f"{tmp_path}/bin:/usr/bin:/bin"
    assert report(run("lost", PATH=path, SKYCLAW_ALLOWED_COMMANDS="lost")) == ("fail", "spawn lost ENOENT", 1, "", "")
    assert report(run("automaton")) == ("fail", "spawn automaton ENOENT", 1, "", "")
    lost.chmod(0o644)
    ended = run(str(lost), SKYCLAW_ALLOWED_COMMANDS=str(lost))
    assert report(ended) == ("fail", f"spawn {lost} EACCES", 1, "", "")
    assert report(run("sh", "-c", "true", "x" * 3_000_000)) == ("fail", "spawn sh E2BIG", 1, "", "")


@pytest.mark.parametrize(
    ("asked", "told"), [(1, "1000"), (0, "1000"), (-5, "1000"), (1200, "1200"), (1200.5, "1200.5")]
)
def test_the_time_out_of_a_job(run: Run, asked: float, told: str) -> None:
    begun = time.monotonic()
    ended = run("sh", "-c", "echo out; echo err >&2; exec sleep 30", timeout_ms=asked)
    assert report(ended) == ("fail", f"timed out after {told}ms", 1, "out\n", "err\n")
    assert float(told) / 1000 <= time.monotonic() - begun < 10
    assert ended.result["durationMs"] >= float(told) - 1


def test_the_time_out_of_the_host_and_what_is_left_of_the_job(run: Run) -> None:
    assert report(run("sh", "-c", "sleep 30", SKYCLAW_TIMEOUT_MS="1100ms"))[1] == "timed out after 1100ms"
    assert report(run("sh", "-c", "sleep 30", left=0.5))[1:3] == ("the job timed out after 60 s", 1)


@pytest.mark.parametrize(
    "grandchild", ["sleep 300 & sleep 300", "setsid sleep 300 & wait", "(trap '' TERM; sleep 300)"]
)
def test_a_grandchild_that_holds_the_pipe_is_ended_at_the_time_out(run: Run, tmp_path: Path, grandchild: str) -> None:
    begun = time.monotonic()
    ended = run("bash", "-c", f"echo $BASHPID > pid; {grandchild}", timeout_ms=1000, job={"MARK": str(tmp_path)})
    assert report(ended) == ("fail", "timed out after 1000ms", 1, "", "")
    assert time.monotonic() - begun < 10
    assert identity.marked({"MARK": str(tmp_path)}) == []


def test_a_grandchild_that_stays_behind_does_not_hold_up_the_result(run: Run, tmp_path: Path) -> None:
    begun = time.monotonic()
    ended = run("sh", "-c", "echo out; setsid sleep 300 &", job={"MARK": str(tmp_path)})
    assert report(ended) == ("complete", None, 0, "out\n", "")
    assert time.monotonic() - begun < 20
    assert identity.marked({"MARK": str(tmp_path)}) == []


def test_outputs_are_cut_each_for_itself(run: Run) -> None:
    ended = run("sh", "-c", "yes | head -c 128001; yes é | head -c 128001 >&2")
    _, _, code, out, errors = report(ended)
    assert code == 0
    assert out == "y\n" * 63_990 + "\n[output truncated]\n"
    # 127,980 bytes are 42,660 lines of é and end of line.
    assert errors == "é\n" * 42_660 + "\n[output truncated]\n"
    ended = run("sh", "-c", "yes é | head -c 200", SKYCLAW_MAX_OUTPUT_BYTES="60")
    assert report(ended)[3] == "é\n" * 13 + "\ufffd\n[output truncated]\n"


def test_an_endless_output_ends_at_the_time_out(run: Run) -> None:
    ended = run("sh", "-c", "yes; true", timeout_ms=1000)
    assert report(ended)[1:3] == ("timed out after 1000ms", 1)
    assert ended.result["stdout"] == "y\n" * 63_990 + "\n[output truncated]\n"


def test_a_stop_ends_it(run: Run, tmp_path: Path) -> None:
    pid = tmp_path / "workspace" / "pid"
    begun = time.monotonic()
    run("sh", "-c", "echo $$ > pid; exec sleep 300", stop=lambda: pid.exists() and pid.read_text().endswith("\n"))
    assert time.monotonic() - begun < 20

    def gone() -> bool:
        try:
            os.kill(int(pid.read_text()), 0)
        except ProcessLookupError:
            return True
        return False

    until(gone)


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("LD_PRELOAD", "bash,sh", True),
        ("DYLD_INSERT_LIBRARIES", "true", True),
        ("NODE_OPTIONS", "true", True),
        ("BASH_ENV", "true", True),
        ("NODE_OPTIONS", "true,node", False),
        ("ANYTHING", "true", False),
    ],
)
def test_a_variable_by_which_another_program_would_run(run: Run, name: str, allowed: str, refused: bool) -> None:
    """Weakness 11, by another way than PATH; with a shell or node on the list nothing more is to be kept from a job."""
    command = allowed.split(",", 1)[0]
    ended = run(
        command, *(["-c", "true"] if command == "bash" else []), job={name: "x"}, SKYCLAW_ALLOWED_COMMANDS=allowed
    )
    assert (ended.error, ended.result["exitCode"]) == ((f"variable not allowed: {name}", 126) if refused else (None, 0))
