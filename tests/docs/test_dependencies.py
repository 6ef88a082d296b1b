"""docs/reference/dependencies.md names each direct dependency, where it is declared, with a reason and a licence."""

import re
import tomllib

from tests.docs.pages import REPO, reference, table

PAGE = reference("dependencies.md")
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))


def names(requirements: list[str]) -> list[str]:
    return sorted(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in requirements)


def test_every_direct_dependency_is_there_and_no_other() -> None:
    extras = dict(PROJECT["project"]["optional-dependencies"])
    wanted = {
        "Every part": names(PROJECT["project"]["dependencies"]),
        "Development": names(extras.pop("dev") + PROJECT["build-system"]["requires"]),
        **{role: names(lines) for role, lines in extras.items()},
    }
    found = {heading: sorted(row["package"] for row in table(PAGE, heading)) for heading in wanted}
    assert found == wanted


def test_every_one_has_a_reason_and_a_licence() -> None:
    for heading in re.findall(r"^## (.*)$", PAGE, re.MULTILINE):
        for row in table(PAGE, heading):
            assert row["reason"], row
            assert re.search(r"MIT|BSD|Apache|MPL|ISC|PSF|LGPL|GPL-3.0, run as a program", row["licence"]), row
