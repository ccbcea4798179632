"""Rounds whose receipts lie in pages, and pages as a coordinator would sign them."""

from dataclasses import replace
from typing import Any

from hyperfed.config import Limits
from hyperfed.crypto.envelope import PacketType
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.object_keys import Keys, page_of
from hyperfed.protocol.receipt_objects import (
    ReceiptPage,
)
from hyperfed.testing.federation import SmallFederation

CLIENTS = tuple(f"site-{i:03d}" for i in range(40))
LIMITS = Limits(own_receipts=2)


def sharing(clients: tuple[str, ...] = CLIENTS) -> tuple[str, str]:
    """Two clients of one page."""
    seen: dict[int, str] = {}
    for client in clients:
        if page_of(client) in seen:
            return seen[page_of(client)], client
        seen[page_of(client)] = client
    raise AssertionError("no two of them share a page")


ONE, OTHER = sharing()


def page(fed: SmallFederation, client: str = ONE, round_id: int = 1) -> ReceiptPage:
    found = fed.reader().receipt_page(round_id, page_of(client))
    assert found is not None
    return found.value


def put_page(fed: SmallFederation, value: ReceiptPage, *, key: str | None = None) -> str:
    """As the coordinator would sign it; in place of the page that it says it is."""
    key = key or Keys.receipt_page(value.round, value.page)
    write = sign_object(
        key, PacketType.RECEIPT_PAGE, value, key_pair=fed.coordinator, time=fed.night(value.round)
    )
    fed.store._objects.pop(key, None)  # type: ignore[attr-defined]
    fed.store.put_if_absent(key, write.data)
    return key


def changed(value: ReceiptPage, client: str, **fields: Any) -> ReceiptPage:
    return replace(
        value,
        receipts=tuple(
            replace(entry, **fields) if entry.client == client else entry
            for entry in value.receipts
        ),
    )
