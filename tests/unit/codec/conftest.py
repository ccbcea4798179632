"""Every kind of protocol object, from federations that were played."""

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from hyperfed.config import Limits
from hyperfed.protocol.entries import (
    EntryKind,
    Mechanism,
)
from hyperfed.protocol.object_keys import page_of
from hyperfed.protocol.objects import (
    Tombstone,
)
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """Every kind of protocol object, from a federation that has played two nights."""
    fed = SmallFederation(auditors=1)
    fed.play(1)
    fed.play(2)
    reader = fed.reader()
    found: dict[str, Any] = {
        "Registry": fed.registry,
        "Tombstone": Tombstone(
            federation="f-1", round=1, rule="R-62", reason="none came", time=NOW
        ),
    }
    for value in (reader.plan(1), reader.freeze(2), reader.result(2), reader.state(2)):
        assert value is not None
        found[type(value.value).__name__] = value.value
    found["Receipt"] = fed.receipt("site-01", 2)
    large = SmallFederation(clients=2, limits=Limits(own_receipts=1))
    large.play(1)
    page = large.reader().receipt_page(1, page_of("site-01"))
    assert page is not None
    found["ReceiptPage"] = page.value
    found["LedgerEntry"] = reader.ledger()[-1].entry
    mechanism = Mechanism(kind="basic", epsilon=Decimal("0.5"), delta=Decimal("0.000001"))
    found["LedgerEntry with mechanisms"] = dataclasses.replace(
        found["LedgerEntry"], kind=EntryKind.RESERVE, mechanisms=(mechanism,)
    )
    found["Vocabulary"] = Vocabulary.of("a", "b", domain="x", version=3)
    return found
