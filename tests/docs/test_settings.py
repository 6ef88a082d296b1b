"""docs/reference/settings.md has every variable of every role, with its default and its range, and no other."""

import ast
import contextlib
import importlib
import re
from collections.abc import Mapping

import pytest
from tests.docs.pages import REPO, reference, table

from contract.env import EnvReader, SettingsError

PAGE = reference("settings.md")
ROLES = {
    "spine": "The spine",
    "claw": "A claw",
    "head": "A head",
    "dispatch": "Dispatch",
    "cluster": "A node of a cluster",
    "chat": "The chat front",
}


def source(role: str) -> ast.Module:
    """Return all that reads a role's environment, as one."""
    files = sorted((REPO / f"services/{role}").glob("*settings.py"))
    return ast.parse("\n".join(path.read_text(encoding="utf-8") for path in files))


@pytest.mark.parametrize("role", ROLES)
def test_every_setting_is_there_with_its_default_and_meaning_and_no_other(role: str) -> None:
    rows = [(row["variable"], row["default"], row["meaning"]) for row in table(PAGE, ROLES[role])]
    settings = importlib.import_module(f"{role}.settings").SETTINGS
    assert rows == [(setting.name, setting.default, setting.meaning) for setting in settings]


@pytest.mark.parametrize("role", ROLES)
def test_ranges_are_those_that_the_code_takes(role: str) -> None:
    names = vars(importlib.import_module(f"{role}.settings"))
    wanted = {}
    for call in ast.walk(source(role)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "integer":
            name, default, least, most = (
                eval(compile(ast.Expression(arg), "settings", "eval"), names)  # noqa: S307 - our own source
                for arg in call.args
            )
            wanted[name] = (str(default), f"{least} to {most}")
    rows = {row["variable"]: (row["default"], row["range"]) for row in table(PAGE, ROLES[role]) if row["range"]}
    assert rows == wanted


class Recorder(dict[str, str]):
    """An environment that notes what is asked of it."""

    asked: set[str]

    def get(self, key: str, default: str = "") -> str:  # type: ignore[override]
        self.asked.add(key)
        return default


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    found: set[str] = set()

    def begin(self: EnvReader, environ: Mapping[str, str]) -> None:
        self._environ, self.faults = Recorder(), []
        self._environ.asked = found

    monkeypatch.setattr(EnvReader, "__init__", begin)
    return found


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_that_is_read_is_in_the_table(role: str, asked: set[str]) -> None:
    module = importlib.import_module(f"{role}.settings")
    with contextlib.suppress(SettingsError):  # dispatch needs none of its own
        module.from_env({})
    known = {setting.name for setting in module.SETTINGS}
    assert {name for name in asked if name not in known and name.removesuffix("_FILE") not in known} == set()
    assert known - asked == set()
    files = {name for name in asked if name.endswith("_FILE") and name.removesuffix("_FILE") in asked}
    assert {name for name in files if f"`{name}`" not in PAGE} == set()


@pytest.mark.parametrize("role", ROLES)
def test_every_name_in_the_settings_module_is_on_the_page(role: str) -> None:
    """Also those that are read past the reader, such as HOME."""
    names = {
        node.value
        for node in ast.walk(source(role))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch("[A-Z][A-Z_]+", node.value)
    }
    assert {name for name in names if name not in PAGE} == set()
