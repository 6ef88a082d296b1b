"""Build the documents into static HTML: `make site` writes build/site, to be read from a disk or from any server.

Every page that README.md leads to becomes one, at its own path. A link, an anchor or a picture that leads nowhere ends
the build with all of them named. Nothing in what is written is loaded from elsewhere.
"""

import argparse
import json
import os
import posixpath
import re
import shutil
import sys
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FIRST = "README.md"
SECOND = ("docs/quickstart.md",)
CONTENTS = "Documents"  # the heading of the first page below which stands what the navigation shows
STYLES = {"light": "tango", "dark": "github-dark"}
TABLE = r'<div class="wide" tabindex="0"><table>\1</table></div>'  # wide ones are pushed aside, not the whole page
FOREIGN = re.compile(r"[a-z][a-z0-9+.-]*:")


class Heading(NamedTuple):
    """A heading: its level, its text, and the anchor that leads to it."""

    level: int
    text: str
    anchor: str


class Page(NamedTuple):
    """A page of the tree: its path from the root of the project, and what was read from it."""

    path: str
    tokens: list[Token]
    headings: list[Heading]

    @property
    def title(self) -> str:
        return self.headings[0].text if self.headings else self.path

    @property
    def place(self) -> str:
        """Where it lies in the site."""
        return re.sub(r"(^|/)README\.md$", r"\1index.html", self.path).replace(".md", ".html")


def _code(text: str, info: str, _: str) -> str:
    """Colour a block of code by the first word behind its fence."""
    try:
        lexer = get_lexer_by_name(info.split()[0] if info else "text")
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    return f"<pre tabindex=0><code>{highlight(text, lexer, HtmlFormatter(nowrap=True))}</code></pre>"


def _markup(_: object, tokens: Sequence[Token], n: int, *__: object) -> str:
    """Leave comments out, and show any other markup as the text that it is."""
    return "" if tokens[n].content.startswith("<!--") else escape(tokens[n].content)


MARKDOWN = MarkdownIt("commonmark", {"highlight": _code}).enable(["table", "strikethrough"])
MARKDOWN.add_render_rule("html_block", _markup)
MARKDOWN.add_render_rule("html_inline", _markup)


def plain(token: Token) -> str:
    """Return the words of an inline token."""
    return "".join(child.content if child.type in ("text", "code_inline") else " " for child in token.children or [])


def read(path: str) -> Page:
    """Parse a page, and give each heading the anchor that the usual viewers of Markdown give it."""
    tokens = MARKDOWN.parse((ROOT / path).read_text(encoding="utf-8"))
    headings: list[Heading] = []
    for opening, words in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        text = re.sub(r" +", " ", plain(words)).strip()
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        taken = {heading.anchor for heading in headings}
        anchor = next(name for n in range(len(headings) + 1) if (name := f"{slug}-{n}" if n else slug) not in taken)
        opening.attrSet("id", anchor)
        headings.append(Heading(int(opening.tag[1]), text, anchor))
    return Page(path, tokens, headings)


def links(page: Page) -> list[tuple[Token, str]]:
    """Return each link and picture of a page, with the attribute that says where it leads."""
    inside = [child for token in page.tokens if token.type == "inline" for child in token.children or []]
    return [(one, "href") for one in inside if one.type == "link_open"] + [
        (one, "src") for one in inside if one.type == "image"
    ]


def target(page: Page, token: Token, attribute: str) -> tuple[str, str]:
    """Return where a link of the tree leads: a path from the root of the project, and an anchor or nothing."""
    path, _, anchor = str(token.attrs[attribute]).partition("#")
    return (posixpath.normpath(posixpath.join(posixpath.dirname(page.path), path)) if path else page.path), anchor


def inner(page: Page) -> list[tuple[Token, str]]:
    """Return the links of a page that lead into the tree."""
    return [(token, name) for token, name in links(page) if not FOREIGN.match(str(token.attrs[name]))]


def gather() -> dict[str, Page]:
    """Read all pages that the first one leads to."""
    pages: dict[str, Page] = {}
    waiting = [FIRST]
    while waiting:
        path = waiting.pop()
        if path in pages or not (ROOT / path).is_file():
            continue
        pages[path] = read(path)
        found = (target(pages[path], token, name)[0] for token, name in inner(pages[path]))
        waiting += [other for other in found if other.endswith(".md")]
    return pages


def faults(pages: dict[str, Page]) -> list[str]:
    """Name every link that leads nowhere, and every picture from elsewhere."""
    found = []
    for page in pages.values():
        for token, name in links(page):
            goal = str(token.attrs[name])
            if FOREIGN.match(goal):
                if name == "src":
                    found.append(f"{page.path}: the picture {goal} is not in this project")
                continue
            path, anchor = target(page, token, name)
            if path.startswith("..") or not (ROOT / path).is_file():
                found.append(f"{page.path}: {goal} leads to no file")
            elif anchor and path in pages and anchor not in {heading.anchor for heading in pages[path].headings}:
                found.append(f"{page.path}: {goal} leads to no heading of {path}")
    return found


def relative(page: Page, place: str) -> str:
    """Return the way from a page to a place, both of the site."""
    return posixpath.relpath(place, posixpath.dirname(page.place) or ".")


def redirect(page: Page, pages: dict[str, Page]) -> set[str]:
    """Turn the links of a page into those of the site; return the files that they lead to and that are no pages."""
    files = set()
    for token, name in inner(page):
        path, anchor = target(page, token, name)
        if path not in pages:
            files.add(path)
        place = relative(page, pages[path].place if path in pages else path)
        token.attrSet(name, place + (f"#{anchor}" if anchor else ""))
    return files


def navigation(pages: dict[str, Page]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the groups of the first page's contents: a name, and for each page its words and its path."""
    first = pages[FIRST]
    start = next(
        n for n, token in enumerate(first.tokens) if token.type == "inline" and plain(token).strip() == CONTENTS
    )
    groups: list[tuple[str, list[tuple[str, str]]]] = [("Start", [(pages[FIRST].title, FIRST)])]
    for token in first.tokens[start + 1 :]:
        if token.type != "inline":
            continue
        children = token.children or []
        strong = next((n for n, one in enumerate(children) if one.type == "strong_open"), None)
        name = next((one.content for one in children[strong or 0 :] if one.type == "text" and one.content), "")
        group = [
            (children[n + 1].content, target(first, one, "href")[0])
            for n, one in enumerate(children)
            if one.type == "link_open" and target(first, one, "href")[0] in pages
        ]
        groups.append((name if strong is not None else "More", group))
    groups[0][1].extend((pages[path].title, path) for path in SECOND if path in pages)
    return groups


def sections(page: Page) -> list[dict[str, str]]:
    """Return what the search knows of a page: for each heading its place and the words below it."""
    found: list[dict[str, Any]] = []
    for opening, token in zip([None, *page.tokens], page.tokens, strict=False):
        if opening is not None and opening.type == "heading_open":
            heading = page.headings[len(found)]
            found.append({"at": f"{page.place}#{heading.anchor}", "page": page.title, "head": heading.text, "text": ""})
        elif found and token.type == "inline":
            found[-1]["text"] += plain(token) + " "
        elif found and token.type == "fence":
            found[-1]["text"] += token.content + " "
    return [section | {"text": " ".join(section["text"].split())} for section in found]


def colours() -> str:
    """Return the style sheet of coloured code, for light and dark."""
    rules = {name: HtmlFormatter(style=style).get_style_defs("pre") for name, style in STYLES.items()}
    rules = {name: re.sub(r"^(?!pre \.).*\n?", "", text, flags=re.MULTILINE) for name, text in rules.items()}
    return f"{rules['light']}\n@media (prefers-color-scheme: dark) {{\n{rules['dark']}\n}}\n"


def build(into: Path) -> int:
    """Write the site in the place of what is there; return how many pages it has.

    Raises:
        SystemExit: links lead nowhere; nothing is changed then.
    """
    pages = gather()
    if wrong := faults(pages):
        sys.exit("The site is not built, because of:\n  " + "\n  ".join(wrong))
    groups = navigation(pages)
    index = [section for page in pages.values() for section in sections(page)]
    template = Environment(autoescape=True, loader=FileSystemLoader(HERE), trim_blocks=True).get_template("page.html")
    shutil.rmtree(into, ignore_errors=True)
    files: set[str] = set()
    for page in pages.values():
        files |= redirect(page, pages)
    for page in pages.values():
        body = MARKDOWN.renderer.render(page.tokens, MARKDOWN.options, {})
        body = re.sub(
            r"<table>(.*?)</table>", r'<div class="wide" tabindex="0"><table>\1</table></div>', body, flags=re.S
        )
        shown = [
            (name, [(words, relative(page, pages[path].place), path == page.path) for words, path in group])
            for name, group in groups
        ]
        _write(
            into / page.place,
            template.render(
                page=page,
                home=relative(page, "index.html"),
                root=relative(page, "."),
                body=body,
                groups=shown,
                inside=[heading for heading in page.headings if heading.level in (2, 3)],
            ),
        )
    for path in files:
        _write(into / path, (ROOT / path).read_bytes())
    _write(into / "site" / "site.css", (HERE / "site.css").read_text(encoding="utf-8") + colours())
    _write(into / "site" / "site.js", (HERE / "site.js").read_bytes())
    _write(into / "site" / "index.js", f"window.sections = {json.dumps(index, ensure_ascii=False)};\n")
    return len(pages)


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def main(words: Sequence[str] | None = None) -> None:
    """Build into the folder that is named, or into build/site."""
    parser = argparse.ArgumentParser(description="Build the documents into static HTML.")
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "site")
    into = parser.parse_args(words).folder
    count = build(into)
    print(f"{count} pages: open {os.path.relpath(into / 'index.html')}")


if __name__ == "__main__":
    main()
