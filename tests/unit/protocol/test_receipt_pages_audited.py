"""Pages of receipts as an auditor and an operator see them: compared, and every lie found."""

from dataclasses import replace

import pytest

from hyperfed.cli.operator.inspection import inspect_object
from hyperfed.config import Limits
from hyperfed.errors import HyperfedError
from hyperfed.operations.audit import audit
from hyperfed.protocol.object_keys import Keys, page_of
from hyperfed.protocol.receipt_objects import (
    Receipt,
)
from hyperfed.protocol.receipt_pages import open_page, seal_page
from hyperfed.testing.federation import SmallFederation
from tests.unit.protocol.paged_rounds import CLIENTS, LIMITS, ONE, page, put_page


def test_the_audit_compares_every_receipt(fed: SmallFederation) -> None:
    found = audit(fed.store, fed.fingerprint, fed.auditors[0], limits=LIMITS)
    pages = len({page_of(client) for client in CLIENTS})
    assert found.ok, found.findings
    assert (found.checked["receipts"], found.checked["receipt pages"]) == (
        2 * len(CLIENTS),
        2 * pages,
    )
    without = audit(fed.store, fed.fingerprint, None, limits=LIMITS)
    assert without.ok
    assert "receipts" not in without.checked
    assert any("receipts in pages were not opened" in remark for remark in without.remarks)
    assert without.checked["receipt pages"] == 2 * pages


def test_the_audit_finds_a_page_that_lies(fed: SmallFederation) -> None:
    opened = open_page(page(fed), fed.coordinator, subject="page")
    key = put_page(
        fed,
        seal_page(
            page_of(ONE),
            [replace(r, reason="all is well") for r in opened.values()],
            registry=fed.registry,
        ),
    )
    found = audit(fed.store, fed.fingerprint, fed.auditors[0], limits=LIMITS)
    assert (found.first_broken, found.findings[0].rule) == (key, "R-68")


def test_the_audit_finds_receipts_of_nobodys(fed: SmallFederation) -> None:
    opened = open_page(page(fed), fed.coordinator, subject="page")
    nobody = next(name for i in range(10_000) if page_of(name := f"zz-{i}") == page_of(ONE))
    key = put_page(
        fed,
        seal_page(
            page_of(ONE),
            [*opened.values(), replace(opened[ONE], client=nobody)],
            registry=fed.registry,
        ),
    )
    for keys in (None, fed.auditors[0]):
        assert audit(fed.store, fed.fingerprint, keys, limits=LIMITS).first_broken == key


def test_a_missing_page_is_a_remark_and_a_foreign_object_a_finding(fed: SmallFederation) -> None:
    key = Keys.receipt_page(1, page_of(ONE))
    there = sum(page_of(client) == page_of(ONE) for client in CLIENTS)
    del fed.store._objects[key]  # type: ignore[attr-defined]
    found = audit(fed.store, fed.fingerprint, fed.auditors[0], limits=LIMITS)
    assert found.ok
    assert any(f"round 1 lacks {there} of 40 receipts" in remark for remark in found.remarks)
    for name in ("zz", "0", "00/1", "0A"):
        fed.store.put_if_absent(f"rounds/00000001/receipt-pages/{name}", b"x")
        assert (
            audit(fed.store, fed.fingerprint, None, limits=LIMITS).first_broken
            == f"rounds/00000001/receipt-pages/{name}"
        )
        del fed.store._objects[f"rounds/00000001/receipt-pages/{name}"]  # type: ignore[attr-defined]


def test_receipts_that_say_the_same_are_equal(fed: SmallFederation) -> None:
    """The receipts in pages are those that each client would have as an object of its own."""
    twin = SmallFederation(clients=CLIENTS, auditors=1, limits=Limits(own_receipts=40))
    twin.open(1)
    for key, data in fed.objects("inbox/00000001/").items():
        twin.store.put_if_absent(key, data)
    with pytest.raises(HyperfedError):
        twin.reader().receipt_page(99, -1)
    twin.run(1)
    names = (
        "fate",
        "made_for",
        "sequence",
        "digest",
        "rule",
        "reason",
        "remedy",
        "leaf",
        "index",
        "size",
        "path",
    )
    for client in CLIENTS:
        mine, other = fed.receipt(client), twin.receipt(client)
        assert isinstance(mine, Receipt)
        assert [getattr(mine, name) for name in names] == [getattr(other, name) for name in names]


@pytest.mark.parametrize("who", ["nobody", "coordinator", "auditor", ONE])
def test_a_page_is_shown_as_far_as_the_keys_open_it(fed: SmallFederation, who: str) -> None:
    keys = {
        "nobody": None,
        "coordinator": fed.coordinator,
        "auditor": fed.auditors[0],
        ONE: fed.keys[ONE],
    }[who]
    key = Keys.receipt_page(1, page_of(ONE))
    view = inspect_object(fed.objects()[key], key=key, reader=fed.reader(), keys_for=lambda: keys)
    assert (view.kind, view.verified, view.why) == ("receipt page", True, "")
    shown = {row["client"]: row["fate"] for row in (view.content or {})["receipts"]}
    everything = {
        client: "not seen" if client == ONE else "counted"
        for client in CLIENTS
        if page_of(client) == page_of(ONE)
    }
    wanted = {"nobody": {}, ONE: {ONE: "not seen"}}.get(who, everything)
    assert shown == dict.fromkeys(everything) | wanted
    assert bool(view.notes) == (who in ("nobody", ONE))
    moved = inspect_object(
        fed.objects()[key],
        key=Keys.receipt_page(2, page_of(ONE)),
        reader=fed.reader(),
        keys_for=lambda: keys,
    )
    assert not moved.verified
