"""Prepare the pages for the documentation site; mkdocs calls this as a hook.

1. Pages that live outside docs (README, the examples, CHANGELOG) join the site (`GUESTS`).
2. A link leads to its page of the site, wherever both pages lie in the repository.
3. A link to a file that is no page, such as a source file, becomes the name of that file.
4. Decisions come last in a search.

The links in the repository stay as they are, so that they work where the files are read.
"""

import os
import re
from pathlib import Path
from typing import Any

__all__ = ["GUESTS", "on_files", "on_page_markdown", "relinked"]

ROOT = Path(__file__).parents[1]
GUESTS = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "examples/states/README.md": "examples/states.md",
    "examples/firms/README.md": "examples/firms.md",
    "examples/labs/README.md": "examples/labs.md",
    "examples/hospitals/README.md": "examples/hospitals.md",
    "examples/hyperfed-pcmci/README.md": "examples/hyperfed-pcmci.md",
    "tests/files/README.md": "files.md",
}
"""Pages outside docs, and where they stand in the site."""

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add the guests to the site's files."""
    from mkdocs.structure.files import File

    for source, page in GUESTS.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page with the links of the site."""
    at = page.file.src_uri
    if at.startswith("adr/"):
        page.meta.setdefault("search", {"boost": 0.5})
    source = next((name for name, guest in GUESTS.items() if guest == at), f"docs/{at}")
    return relinked(markdown, source)


def relinked(text: str, source: str) -> str:
    """Return a page's text with each link as the site has it.

    `source` is the page's path in the repository. Code stays as it is.
    """
    parts = _CODE.split(text)
    return "".join(
        part if number % 2 else _LINK.sub(lambda found: _link(found, source), part)
        for number, part in enumerate(parts)
    )


def _link(found: re.Match[str], source: str) -> str:
    mark, text, target = found.groups()
    if re.match(r"[a-z]+:|#", target):
        return found[0]
    path, hash_, anchor = target.partition("#")
    file = os.path.normpath(Path(source).parent / path)
    page = GUESTS.get(file) or file.removeprefix("docs/")
    if page == file or (ROOT / file).is_dir():
        return text if text.startswith("`") else f"{text} (`{file}`)"
    here = GUESTS.get(source) or source.removeprefix("docs/")
    return f"{mark}[{text}]({os.path.relpath(page, Path(here).parent)}{hash_}{anchor})"
