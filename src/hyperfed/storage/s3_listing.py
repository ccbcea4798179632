"""Put the pages of an S3 listing together, whole or not at all.

1. A page that says there is more has to say how to go on, in a way it has not said before, and to
   bring something new. Otherwise objects would be missed without a word, and StoreUnsuitable is
   raised.
2. Pages without an object may come, though not for ever.

Source: ListObjectsV2 of the S3 API. What it does not do: ask for pages (`storage.s3`).
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote

from hyperfed.errors import StoreUnsuitable

__all__ = ["Page", "all_pages", "page_of"]

_EMPTY_PAGES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Holds one page of a listing."""

    entries: Sequence[tuple[str, int]]
    """Each object's whole name and its size."""
    more: bool
    """Whether the listing goes on."""
    token: str
    """What the next page is asked for by, or ""."""
    modified: Mapping[str, datetime] = field(default_factory=dict)
    """When each object was written, by its whole name, where the store tells."""


def page_of(data: bytes) -> Page | None:
    """Return the page that the XML of a listing holds, or None where it is no listing."""
    try:
        root = ET.fromstring(data)  # noqa: S314 - expat limits what entities may expand to
        if root.tag.rpartition("}")[2] != "ListBucketResult":
            return None
        space = root.tag.removesuffix("ListBucketResult")
        spelt = root.findtext(f"{space}EncodingType") == "url"
        entries, modified = [], dict[str, datetime]()
        for entry in root.iterfind(f"{space}Contents"):
            name, size = entry.findtext(f"{space}Key", ""), entry.findtext(f"{space}Size", "")
            name = unquote(name) if spelt else name
            entries.append((name, int(size)))
            with suppress(ValueError):
                written = datetime.fromisoformat(entry.findtext(f"{space}LastModified", ""))
                modified[name] = written if written.tzinfo else written.replace(tzinfo=UTC)
        return Page(
            entries=entries,
            modified=modified,
            more=root.findtext(f"{space}IsTruncated", "").strip() == "true",
            token=root.findtext(f"{space}NextContinuationToken", ""),
        )
    except (ET.ParseError, ValueError):
        return None


def all_pages(ask: Callable[[str], Page], *, subject: str) -> Mapping[str, int]:
    """Return the size of every object of a listing, by its whole name.

    `ask` fetches the page of a token; that of the first one is "". Raises StoreUnsuitable, which
    names `subject`, where the pages do not lead to an end.
    """
    sizes: dict[str, int] = {}
    token, used, empty = "", set[str](), 0
    while True:
        page = ask(token)
        new = any(name not in sizes for name, _ in page.entries)
        sizes.update(page.entries)
        if not page.more:
            return sizes
        empty = 0 if new else empty + 1
        if not page.token:
            raise _cut_short("says that there is more, and not how to go on", subject)
        if page.token in used or (page.entries and not new):
            raise _cut_short("repeats a page", subject)
        if empty > _EMPTY_PAGES:
            raise _cut_short(f"brings nothing in {_EMPTY_PAGES} pages", subject)
        used.add(page.token)
        token = page.token


def _cut_short(problem: str, subject: str) -> StoreUnsuitable:
    return StoreUnsuitable(
        f"the listing {problem}: objects would be missed",
        subject=subject,
        rule="R-1",
        remedy="Nothing was done. Update the store, or the proxy before it; `hyperfed check store` "
        "tries it",
    )
