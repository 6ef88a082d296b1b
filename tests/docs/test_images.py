"""docs/reference/images.md says what images/bake.hcl and images/Dockerfile say."""

import re

from tests.docs.pages import REPO, read, reference, tables

PAGE = reference("images.md")
BAKE = read(REPO / "images" / "bake.hcl")
ROLES = {
    name: text
    for text in re.split(r"^(?=FROM )", read(REPO / "images" / "Dockerfile"), flags=re.MULTILINE)
    for name in re.findall(r"\AFROM \S+ AS (spine|claw|head|chat)$", text, re.MULTILINE)
}


def test_every_variable_of_the_build_is_there_with_its_default() -> None:
    found = dict(re.findall(r'^variable "(\w+)" \{\n  default = (.*)\n\}', BAKE, re.MULTILINE))
    said = {row["variable"]: row["default"] for row in tables(PAGE)[0]}
    said.pop("PLATFORM")  # of `make images` alone
    assert {name: default.strip('"') for name, default in found.items()} == {
        name: "VERSION" if default == "the version" else default.strip("`") for name, default in said.items()
    }


def test_every_image_is_there_with_its_user_its_state_and_its_process() -> None:
    rows = {row["image"]: row for row in tables(PAGE)[1]}
    assert set(rows) == set(ROLES) == {"spine", "claw", "head", "chat"}
    for role, text in ROLES.items():
        assert re.findall(r"^USER (\d+):\1$", text, re.MULTILINE) == [rows[role]["user"]]
        [state] = re.findall(r"(?:SPINE_DATA_DIR|CLAW_STATE_DIR|HEAD_STATE_DIR|CHAT_STATE_DIR)=(\S+)", text)
        assert f"`{state}`" in f"`{rows[role]['keeps its state in'].strip('`')}`"
        [command] = re.findall(r'^CMD \["([\w-]+)", "(\w+)"\]$', text, re.MULTILINE)
        assert " ".join(command) in rows[role]["main process"]


def test_how_often_health_is_looked_at_is_what_the_page_says() -> None:
    for text in ROLES.values():
        [(every, failures)] = re.findall(r"^HEALTHCHECK --interval=(\d+)s .*--retries=(\d+)", text, re.MULTILINE)
        assert (every, failures) == ("5", "3")
    assert "Every 5 s the check runs" in PAGE
    assert "Three failures in a row make it unhealthy" in PAGE
