"""`make site`: all documents as pages that stand alone, whose links and anchors lead somewhere."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from docs.site import build as site
from tests.docs.pages import DOCS, REPO, read

LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "srcset"}


class Reader(HTMLParser):
    """What a page loads, where it leads, and the places in it that a link may name."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []
        self.places: set[str] = set()
        self.feed(read(path))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            assert found["id"] not in self.places, f"two places have the name {found['id']}"
            self.places.add(str(found["id"]))
        if tag in LOADED and LOADED[tag] in found:
            self.loads.append(str(found[LOADED[tag]]))
        if tag == "a" and "href" in found:
            self.leads.append(str(found["href"]))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "pages"
    site.main([str(folder)])
    return folder


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, Reader]:
    return {path: Reader(path) for path in sorted(built.rglob("*.html"))}


def test_every_document_has_its_page(built: Path) -> None:
    for page in DOCS.rglob("*.md"):
        place = page.relative_to(REPO).with_suffix(".html")
        assert (built / (place.with_name("index.html") if page.name == "README.md" else place)).is_file(), page
    assert "The nervous system of a fleet" in read(built / "index.html")


def test_every_link_leads_to_a_file_and_to_a_place_in_it(pages: dict[Path, Reader]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.leads:
            if re.match(r"https?:|mailto:", link):
                continue
            file, _, anchor = link.partition("#")
            place = (path.parent / file).resolve() if file else path
            if not place.is_file() or (anchor and place in pages and anchor not in pages[place].places):
                broken.append((path.name, link))
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(built: Path, pages: dict[Path, Reader]) -> None:
    for path, page in pages.items():
        files = [(path.parent / load).resolve() for load in page.loads if load != "data:,"]
        assert all(file.is_file() and file.is_relative_to(built) for file in files), path
    for file in (built / "site" / "site.css", built / "site" / "site.js"):
        assert re.findall(r"https?:|//\w|@import|url\(", read(file)) == [], file


def test_every_page_shows_where_it_stands_in_the_navigation(pages: dict[Path, Reader], built: Path) -> None:
    shown = {link for link in pages[built / "index.html"].leads if link.startswith("docs/")}
    assert {"docs/quickstart.html", "docs/reference/states.html", "docs/adr/index.html"} <= shown
    assert 'aria-current="page">states<' in read(built / "docs/reference/states.html")


def test_the_search_knows_every_heading_and_its_place(built: Path, pages: dict[Path, Reader]) -> None:
    text = read(built / "site" / "index.js")
    sections = json.loads(text.removeprefix("window.sections = ").removesuffix(";\n"))
    for section in sections:
        file, _, anchor = section["at"].partition("#")
        assert anchor in pages[built / file].places, section["at"]
    assert {"The seven states", "Quickstart"} <= {section["head"] for section in sections}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("[a](missing.md)", "README.md: missing.md leads to no file"),
        ("[a](../outside.md)", r"README.md: \.\./outside.md leads to no file"),
        ("[a](other.md#gone)", "README.md: other.md#gone leads to no heading of other.md"),
        ("![a](https://example.com/a.png)", "README.md: the picture https://example.com/a.png is not in this project"),
    ],
)
def test_what_leads_nowhere_ends_the_build_and_leaves_the_old_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, fault: str
) -> None:
    (tmp_path / "README.md").write_text(f"# One\n\n{line}\n\n## Documents\n\n- **All** [other](other.md)\n")
    (tmp_path / "other.md").write_text("# Other\n")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.html").write_text("before")
    monkeypatch.setattr(site, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=fault):
        site.main([str(tmp_path / "pages")])
    assert read(tmp_path / "pages" / "index.html") == "before"


def test_markup_in_code_and_text_stays_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = "# One\n\n## Documents\n\n"
    page += "`<b>` <script>alert(1)</script>\n\n<!-- a note for tests -->\n\n```sh\necho '<i>'\n```\n"
    (tmp_path / "README.md").write_text(page)
    monkeypatch.setattr(site, "ROOT", tmp_path)
    site.build(tmp_path / "pages")
    html = read(tmp_path / "pages" / "index.html")
    assert "<code>&lt;b&gt;</code>" in html
    assert "&lt;i&gt;" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "a note for tests" not in html
