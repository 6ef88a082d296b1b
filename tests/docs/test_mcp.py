"""docs/reference/mcp.md has every tool, whom it is listed for, its call and its arguments, and no other."""

from tests.docs.pages import reference, table

from spine.mcp.tools import forms

PAGE = reference("mcp.md")
ROLES = ("head", "claw", "viewer", "chat")


def test_every_tool_is_there_and_no_other() -> None:
    rows = [
        (row["tool"], row["listed for"], row["call"], row["arguments"].replace("`", "")) for row in table(PAGE, "Tools")
    ]
    assert rows == [
        (
            name,
            ", ".join(role for role in ROLES if role in form.tool.roles),
            f"{form.method} {form.path}",
            ", ".join(form.arguments),
        )
        for name, form in forms().items()
    ]
