"""Check rule 4 of an audit: receipts are what freeze, ledger and state give, alone or in pages."""

from collections.abc import Mapping

from hyperfed.coordinator.weighings import weighings_of
from hyperfed.dropbox.reader import Stored
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit.context import AuditContext, require
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import parse_key
from hyperfed.protocol.objects import (
    Freeze,
    Plan,
    Tombstone,
)
from hyperfed.protocol.receipt_objects import (
    Receipt,
)
from hyperfed.protocol.receipt_pages import open_page
from hyperfed.protocol.receipts import padded, receipts_of, tells_weighings

__all__ = ["audit_receipts"]


def audit_receipts(
    context: AuditContext,
    plan: Plan,
    frozen: Stored[Freeze] | None,
    result: Stored[GlobalModel] | Stored[Tombstone] | None,
    end: Chained,
    keys: list[str],
) -> None:
    """Check the receipts among the `keys` of a round that has ended. Missing ones are a remark.

    `end` is the ledger entry that ends the round.
    """
    if end.entry.freeze and frozen is None:
        return  # the missing freeze is a finding already
    state = context.history.states.get(plan.round)
    if end.entry.state and state is None:
        return  # and so is a missing state
    tombstone = result.value if result is not None and isinstance(result.value, Tombstone) else None
    freeze = frozen.value if frozen else None
    support = 1 if freeze is None else _minimum_support(context, freeze)
    weighings = weighings_of(plan, freeze, state.value if state else None, minimum_support=support)
    expected = {
        r.client: r
        for r in receipts_of(plan, freeze, end, tombstone=tombstone, weighings=weighings)
    }
    clients_told: set[str] = set()
    for key in keys:
        parts = parse_key(key)
        if parts.kind == "receipts":
            client = parts.client
            clients_told.add(client)
            with context.finding(key, "receipts"):
                stored = context.reader.own_receipt(plan.round, client)
                expected_receipt = expected.get(client)
                if expected_receipt is not None and tells_weighings(freeze):
                    expected_receipt = padded(expected_receipt)
                same = stored is not None and stored.value == expected_receipt
                require(same, key, "is not what freeze, ledger and state give", "R-68")
        elif parts.kind == "receipt-pages":
            with context.finding(key, "receipt pages"):
                clients_told |= _receipt_page(context, plan.round, parts.number, expected)
    if missing := len(expected.keys() - clients_told):
        context.remarks.append(
            f"round {plan.round} lacks {missing} of {len(expected)} receipts: run it again"
        )


def _minimum_support(context: AuditContext, freeze: Freeze) -> int:
    """The minimum support of the registry that a freeze names."""
    return context.reader.registry_at(freeze.registry_version).budget.minimum_support


def _receipt_page(
    context: AuditContext, round_id: int, number: int, expected: Mapping[str, Receipt]
) -> set[str]:
    """Check a page of receipts, and return the clients that it has receipts for.

    The receipts themselves are compared only where the page was sealed to the audit's keys too.
    """
    page = context.reader.receipt_page(round_id, number)
    if page is None:
        return set()
    clients_told = {entry.client for entry in page.value.receipts}
    require(
        clients_told <= expected.keys(),
        page.key,
        "holds receipts of nobody's in this round",
        "R-68",
    )
    if context.key_pair is not None and context.key_pair.key_id in dict(page.value.boxes):
        for client, receipt in open_page(page.value, context.key_pair, subject=page.key).items():
            require(
                receipt == expected[client],
                page.key,
                f"holds a receipt for {client} that is not what freeze, ledger and state give",
                "R-68",
            )
        context.checked["receipts"] += len(clients_told)
    return clients_told
