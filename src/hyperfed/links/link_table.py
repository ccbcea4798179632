"""Give the URLs of one bundle (`LinkTable`), by the interface of `LinkSource`.

A link that has expired, or that the bundle does not hold, is refused with an error that says what
to do (R-53).

What it does not do: speak HTTP (`links.presigned_store`), or go on to the next bundle
(`links.following`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from hyperfed.errors import AccessDenied, ObjectNotFound
from hyperfed.links.bundle import Link, Links
from hyperfed.protocol.object_keys import Keys, page_of

__all__ = ["NEW_LINKS", "LinkSource", "LinkTable"]

NEW_LINKS = (
    "Ask the operator for new ones (`hyperfed links issue`), and put the file where "
    "[store] links says"
)


class LinkSource(Protocol):
    """Gives URLs by object key."""

    def url(self, method: str, key: str) -> str:
        """Return the URL for "GET" or "PUT" of a key.

        Raises AccessDenied where there is no URL or it has expired, and ObjectNotFound where no
        such object can exist.
        """

    def readable(self, prefix: str) -> Sequence[str]:
        """Return every key under `prefix` that there is a URL to read, ascending."""


class LinkTable:
    """Gives the URLs of one bundle, as a `LinkSource`.

    `now` is the clock, which is read at every use.
    """

    def __init__(self, links: Links, *, now: Callable[[], datetime]) -> None:
        self.links, self._now = links, now
        self._targets: Mapping[str, dict[str, Link]] = {
            "GET": {x.key: x for x in links.gets},
            "PUT": {x.key: x for x in links.puts},
        }

    @property
    def expired(self) -> bool:
        return self.links.expires <= self._now()

    def url(self, method: str, key: str) -> str:
        if self.expired:
            raise AccessDenied(
                f"the links expired at {self.links.expires.isoformat()}",
                subject=key,
                rule="R-53",
                remedy=NEW_LINKS,
            )
        link = self._targets[method].get(key)
        if link is None:
            if method == "GET" and self._before_its_time(key):
                raise ObjectNotFound(
                    "there is no such object: this client's keys held in no round as early",
                    subject=key,
                )
            raise AccessDenied(
                f"the links of round {self.links.round} do not let this client "
                f"{'read' if method == 'GET' else 'write'} it",
                subject=key,
                rule="R-53",
                remedy=NEW_LINKS,
            )
        return self.links.origin + link.target

    def _before_its_time(self, key: str) -> bool:
        """Return whether `key` is a receipt of a round before the client's keys held."""
        match = re.fullmatch(r"rounds/(\d{8})/(receipts|receipt-pages)/[^/]+", key)
        if match is None or int(match[1]) >= self.links.since:
            return False
        client, round_id = self.links.client, int(match[1])
        return key in (Keys.receipt(round_id, client), Keys.receipt_page(round_id, page_of(client)))

    def readable(self, prefix: str) -> list[str]:
        return [key for key in self._targets["GET"] if key.startswith(prefix)]
