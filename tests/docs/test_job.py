"""docs/reference/job.md says what a claw makes of a spec, and what it tells its children."""

import ast
import re

import msgspec
import pytest
from tests.docs.pages import REPO, blocks, reference, section, table

from claw import dialects, exits, outcome, spec
from contract import wire

PAGE = reference("job.md")


def test_every_member_of_a_submit_is_there() -> None:
    said = [name for row in table(PAGE, "The record") for name in re.findall(r"\w+", row["member"])]
    assert sorted(said) == sorted(wire.Submit.__struct_encode_fields__)


def test_every_member_of_the_object_form_is_there() -> None:
    assert {row["member"] for row in table(PAGE, "The spec")} == set(spec.Spec.__struct_encode_fields__)
    second = section(PAGE, "The spec").partition("A phase has")[2]
    assert set(re.findall(r"^\| `(\w+)`", second, re.MULTILINE)) == set(spec.Phase.__struct_encode_fields__)


def test_the_example_can_be_read() -> None:
    examples = [msgspec.json.decode(block.text) for block in blocks(PAGE) if block.info == "json"]
    read = [dialects.parse(example["spec"], example.get("requires", [])) for example in examples]
    assert [plan.phases[0].name for plan in read] == ["test", "shell", "plan"]


def test_every_variable_that_a_child_gets_is_there() -> None:
    source = ast.parse((REPO / "services/claw/runner/attempt.py").read_text(encoding="utf-8"))
    given = {
        key.value
        for node in ast.walk(source)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value.isupper()
    }
    assert {row["variable"] for row in table(PAGE, "Where it runs")} == given


def test_every_exit_code_with_a_meaning_is_there() -> None:
    rows = " ".join(row["exit code"] for row in table(PAGE, "How it ended"))
    codes = {value for name, value in vars(exits).items() if name.startswith("CHILD_")}
    assert set(map(int, re.findall(r"\d+", rows))) == codes


@pytest.mark.parametrize(
    ("code", "action", "requeue"),
    [
        (0, "complete", None),
        (69, "release", None),
        (75, "fail", True),
        (77, "fail", False),
        (126, "fail", True),
        (127, "fail", True),
        (3, "fail", True),
        (42, "fail", False),
    ],
)
def test_exit_codes_do_what_the_page_says(code: int, action: str, requeue: bool | None) -> None:
    ended = outcome.from_exit(code, "last line", "the job", permanent=(42,))
    assert ended.action == action
    assert requeue is None or ended.requeue is requeue


def test_every_member_of_a_result_file_with_a_meaning_is_there() -> None:
    meanings = {row["member"] for row in table(PAGE, "The result file")}
    said = dict.fromkeys(meanings, "x") | {"outcome": "complete", "requeue": True, "other": 1}
    assert outcome.merge(outcome.complete({}), said).result == {"other": 1}
