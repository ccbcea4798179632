"""The pages of docs/: each is in the navigation, and each relative link leads to something."""

import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "examples").rglob("README.md")),
]
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")

pytestmark = pytest.mark.unit


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import docs_site

    return docs_site


def prose(text: str) -> str:
    """A page without its code, where brackets mean something else."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(?<!\[)`[^`\n]*`(?!\])", "", text)


def slug(heading: str) -> str:
    """A heading's anchor, as the site and most viewers make it."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-")


def broken_links(page: Path, text: str) -> list[str]:
    broken = []
    for target in LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = Path(os.path.normpath(page.parent / path)) if path else page
        if not file.exists():
            broken.append(target)
        elif anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            broken += [target] * (anchor not in map(slug, headings))
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_a_link_to_nothing_is_found() -> None:
    text = "[a](nothing.md) [b](faq.md#nothing) [c](faq.md) `[d](no.md)` [e](https://x.org/no)"
    assert broken_links(DOCS / "page.md", text) == ["nothing.md", "faq.md#nothing"]


def test_every_page_is_in_the_navigation_once_and_nothing_else_is(site: Any) -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r"([\w/.-]+\.md)$", settings.partition("\nnav:")[2], re.MULTILINE)
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    decisions = {page for page in pages if page.startswith("adr/0")}
    assert sorted(named) == sorted((pages - decisions) | set(site.GUESTS.values()))


def test_the_index_of_decisions_has_each_of_them() -> None:
    index = (DOCS / "adr" / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in sorted(DOCS.glob("adr/0*.md")) if f"({p.name})" not in index] == []


@pytest.mark.parametrize(
    ("source", "link", "there"),
    [
        ("README.md", "[a](docs/faq.md#b)", "[a](faq.md#b)"),
        ("docs/tutorial/data-scientist.md", "[a](../../README.md)", "[a](../index.md)"),
        ("docs/clients.md", "[a](../tests/files/README.md)", "[a](files.md)"),
        ("docs/clients.md", "[a](../Makefile)", "a (`Makefile`)"),
        ("docs/adr/README.md", "![a](../idea.svg)", "![a](../idea.svg)"),
        ("examples/states/README.md", "[a](../../docs/sums.md)", "[a](../sums.md)"),
        ("docs/faq.md", "`[a](../README.md)` [b](#c)", "`[a](../README.md)` [b](#c)"),
        ("docs/faq.md", "[b](https://example.org/x)", "[b](https://example.org/x)"),
    ],
)
def test_a_link_is_that_of_the_site(site: Any, source: str, link: str, there: str) -> None:
    assert site.relinked(link, source) == there


def test_the_site_asks_no_network() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings
    assert "  - offline\n" in settings
    assert "http" not in re.sub(r"#.*", "", settings)
