"""What a job may name: repositories and executables."""

import os
from pathlib import Path

import pytest

from claw.executors import agent, shell
from claw.executors.base import Place, Refused
from claw.git import repo_allowed


@pytest.mark.parametrize(
    ("repo", "allowed", "answer"),
    [
        ("https://example.org/team/app.git", (), False),
        ("https://example.org/team/app.git", ("https://example.org/team",), True),
        ("https://example.org/team/app.git", ("https://example.org/team/",), True),
        ("https://example.org/team/app.git", ("https://example.org/team/app.git",), True),
        ("https://example.org/teams/app.git", ("https://example.org/team",), False),
        ("https://example.org.evil.test/team/app.git", ("https://example.org",), False),
        ("https://example.org@evil.test/team/app.git", ("https://example.org",), False),
        ("https://example.org/team/../other/app.git", ("https://example.org/team",), False),
        ("https://example.org/team/%2e%2e/other/app.git", ("https://example.org/team",), False),
        ("git@example.org:team/app.git", ("git@example.org:",), True),
        ("git@example.org:team/app.git", ("git@example.org:team",), True),
        ("https://example.org/team/app.git", ("https://example.org/*/app.git",), True),
        ("https://example.org/team/web.git", ("https://example.org/*/app.git",), False),
        ("/srv/repos/app.git", ("/srv/repos",), True),
        ("/srv/repos/../secret", ("/srv/repos",), False),
        ("ext::sh -c evil", ("*",), False),
        ("--upload-pack=evil", ("*",), False),
    ],
)
def test_a_repository_must_match_an_entry(repo: str, allowed: tuple[str, ...], answer: bool) -> None:
    assert repo_allowed(repo, allowed) is answer


@pytest.fixture
def place(tmp_path: Path) -> Place:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("good", "bad"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    (folder / "alias").symlink_to(folder / "good")
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "good").write_text("#!/bin/sh\n")
    (workspace / "good").chmod(0o755)
    return Place(
        workspace=workspace,
        spec_file=tmp_path / "spec",
        result_file=tmp_path / "result.json",
        env={"PATH": str(folder)},
    )


def test_without_a_list_everything_may_run(place: Place) -> None:
    path = place.env["PATH"]
    assert shell.command("echo hi", place, ()) == ["/bin/sh", "-c", "echo hi"]
    assert shell.command(["bad", "x"], place, ()) == [f"{path}/bad", "x"]
    assert shell.command(["nonesuch"], place, ()) == ["nonesuch"]


def test_a_list_is_judged_by_what_a_path_leads_to(place: Place) -> None:
    path = place.env["PATH"]
    assert shell.command(["good"], place, (f"{path}/good",)) == [f"{path}/good"]
    assert shell.command(["alias"], place, ("good",)) == [f"{path}/alias"]
    for words in (["bad"], ["./good"], ["nonesuch"]):
        with pytest.raises(Refused, match="CLAW_ALLOWED_COMMANDS"):
            shell.command(words, place, (f"{path}/good",))


def test_a_shell_line_needs_the_shell_in_the_list(place: Place) -> None:
    with pytest.raises(Refused, match="a shell line needs /bin/sh"):
        shell.command("good", place, ("good",))
    assert shell.command("good", place, ("/bin/sh",)) == ["/bin/sh", "-c", "good"]
    assert os.path.realpath("/bin/sh") != ""


def test_an_agent_needs_its_command(place: Place) -> None:
    with pytest.raises(Refused, match="set CLAW_AGENT_COMMAND"):
        agent.command((), place)
    words = agent.command(("tool", "--task={spec_file}", "{workspace}", "{other}"), place)
    assert words == ["tool", f"--task={place.spec_file}", str(place.workspace), "{other}"]
