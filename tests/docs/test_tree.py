"""What holds for every file: links lead somewhere, nothing names a machine, no module outgrows its file."""

import re
from pathlib import Path

import pytest
from tests.docs.pages import DOCS, REPO, anchors, links, markdown, read, tracked

# Written in pieces, so that this file does not hold what it looks for.
MACHINE_PATH = re.compile(r"(^|[^A-Za-z0-9_./-])/(" + "|".join(("wo" + "rk", "fa" + "rm")) + r")/", re.MULTILINE)
_HOSTS = (
    "py" + "pi.org",
    "python" + "hosted",
    "registry.n" + "pmjs",
    "registry-1.dock" + "er",
    "gh" + "cr.io",
    "qu" + "ay.io",
)
_OPTIONS = ("index" + "-url", "find" + "-links")
REGISTRIES = re.compile("|".join(map(re.escape, (*_HOSTS, *_OPTIONS))) + r"|//[^\s/]+/simple/")
MODULE_MOST = 400
DASHBOARD = (".css", ".html", ".js", ".svg")


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        raw = path.read_bytes()
        if b"\0" not in raw:
            found.append((path.relative_to(REPO), raw.decode("utf-8")))
    return found


@pytest.mark.parametrize("page", markdown(), ids=lambda path: str(path.relative_to(REPO)))
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    broken = []
    for target in links(read(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors(read(place))):
            broken.append(target)
    assert broken == []


def test_every_document_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [REPO / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in links(read(page)):
            if re.match(r"[a-z]+:", target):
                continue
            place = (page.parent / target.partition("#")[0]).resolve()
            waiting += [place] if place.suffix == ".md" and place.exists() else []
    assert {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - {
        str(path.relative_to(DOCS)) for path in seen if path.is_relative_to(DOCS)
    } == set()


def test_every_page_of_the_reference_is_compared_with_the_code_by_a_test() -> None:
    tests = "".join(text for path, text in texts() if path.parts[0] == "tests")
    assert [page.name for page in (DOCS / "reference").glob("*.md") if f'"{page.name}"' not in tests] == []


def test_no_file_names_a_path_of_a_machine() -> None:
    assert [str(path) for path, text in texts() if MACHINE_PATH.search(text)] == []


def test_no_file_names_a_package_registry() -> None:
    assert [str(path) for path, text in texts() if REGISTRIES.search(text)] == []


def test_no_module_outgrows_its_file() -> None:
    sizes = {path: len(read(path).splitlines()) for path in (REPO / "services").rglob("*.py")}
    assert {str(path.relative_to(REPO)): size for path, size in sizes.items() if size > MODULE_MOST} == {}


def test_all_that_is_imported_or_read_is_installed() -> None:
    """A folder without `__init__.py`, or a file of another kind, is not in what setuptools builds (pyproject.toml)."""
    files = [path.relative_to(REPO / "services") for path in tracked() if REPO / "services" in path.parents]
    folders = {folder for path in files if path.suffix == ".py" for folder in path.parents if folder != Path()}
    assert {folder / "__init__.py" for folder in folders} - set(files) == set()
    kinds = {path.suffix for path in files if path.name != "py.typed"}
    assert kinds == {".py", ".json", ".lua", ".md", ".sql", *DASHBOARD}
