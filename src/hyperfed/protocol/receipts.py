"""Receipts: what became of each client's update in a round, and the objects that tell it (step 7 of the round).

1. Receipts follow from freeze and ledger alone, and prove what became of an update by the Merkle tree (R-68, R-70).
2. A round of few clients has an object for each; one of more than `Limits.own_receipts` has at most 256 pages of sealed ones (R-44, `receipt_pages`), so that
   what a round writes does not grow with its clients.
3. Own receipts are the same bytes whoever makes them; pages hold fresh keys, so whoever is second adopts what is there.

What it does not do: write, or read what was written (`dropbox`).
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.keys import KeyPair
from hyperfed.protocol import merkle
from hyperfed.protocol.documents import Write, sign_object
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import Counted, Fate, Freeze, Plan, Receipt, Refused, Tombstone
from hyperfed.protocol.receipt_pages import seal_page
from hyperfed.registry import Registry
from hyperfed.rounds import Keys, is_client_id, page_of
from hyperfed.signing import PacketType

__all__ = ["is_paged", "make_receipts", "receipt_holds", "receipt_keys", "receipts_of", "wanted_keys"]


def receipt_keys(round_id: int, client: str, *, clients: int, limits: Limits = DEFAULT_LIMITS) -> tuple[str, ...]:
    """Where a client looks for its receipt of a round, the likeliest first. clients: how many the newest registry names, which only guesses how many the
    round had: up to half of what `Limits.own_receipts` allows there are no pages."""
    own, page = Keys.receipt(round_id, client), Keys.receipt_page(round_id, page_of(client))
    if clients <= limits.own_receipts // 2:
        return (own,)
    return (own, page) if clients <= limits.own_receipts else (page, own)


def is_paged(plan: Plan, *, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether a round's receipts are written in pages."""
    return len(plan.cohort) > limits.own_receipts


def wanted_keys(plan: Plan, *, limits: Limits = DEFAULT_LIMITS) -> set[str]:
    """The keys of what tells all of a round's cohort."""
    if is_paged(plan, limits=limits):
        return {Keys.receipt_page(plan.round, number) for number in {page_of(client) for client in plan.cohort}}
    return {Keys.receipt(plan.round, client) for client in plan.cohort}


def make_receipts(
    plan: Plan,
    freeze: Freeze | None,
    end: Chained,
    *,
    tombstone: Tombstone | None,
    keys: KeyPair,
    registry: Registry,
    there: Collection[str] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Write]:
    """What tells `receipts_of` a round, each object signed as it is asked for. registry: whom pages are sealed to; there: keys of objects that need not be
    made again."""
    receipts, time = receipts_of(plan, freeze, end, tombstone=tombstone), end.entry.time
    if not is_paged(plan, limits=limits):
        for receipt in receipts:
            key = Keys.receipt(plan.round, receipt.client)
            if key not in there:
                yield sign_object(key, PacketType.RECEIPT, receipt, keys=keys, time=time, audience=receipt.client)
        return
    pages: dict[int, list[Receipt]] = {}
    for receipt in receipts:
        pages.setdefault(page_of(receipt.client), []).append(receipt)
    for number, own in sorted(pages.items()):
        key = Keys.receipt_page(plan.round, number)
        if key not in there:
            yield sign_object(key, PacketType.RECEIPT_PAGE, seal_page(number, own, registry=registry), keys=keys, time=time)


def receipts_of(plan: Plan, freeze: Freeze | None, end: Chained, *, tombstone: Tombstone | None) -> list[Receipt]:
    """A receipt for every client of the cohort and everyone the freeze names, from freeze and ledger alone; ascending by client."""
    counted: Sequence[Counted] = freeze.counted if freeze else ()
    refused: Sequence[Refused] = freeze.refused if freeze else ()
    leaves = freeze.leaves if freeze else []
    paths = merkle.proofs(leaves)
    by_client: dict[str, tuple[int, Any]] = {}
    for i, refusal in enumerate(refused):  # the one of the newest round says most
        known = by_client.get(refusal.client)
        if is_client_id(refusal.client) and (known is None or refusal.made_for >= known[1].made_for):
            by_client[refusal.client] = (len(counted) + i, refusal)
    for i, item in enumerate(counted):
        by_client[item.client] = (i, item)
    receipts = []
    for client in sorted(set(plan.cohort) | set(by_client)):
        index, what = by_client.get(client, (0, None))
        fate, rule, reason, remedy = _fate(client, what, plan, freeze, tombstone)
        receipts.append(
            Receipt(
                federation=plan.federation,
                round=plan.round,
                client=client,
                fate=fate,
                made_for=what.made_for if what else plan.round,
                sequence=max(what.sequence, 0) if what else 0,
                digest=what.digest if what else b"",
                rule=rule,
                reason=reason,
                remedy=remedy,
                leaf=what.leaf if what else b"",
                index=index,
                size=len(leaves),
                path=paths[index] if what else (),
                merkle_head=end.entry.merkle_head,
                ledger_sequence=end.entry.sequence,
                ledger_digest=end.digest,
                result=end.entry.result,
            )
        )
    return receipts


def receipt_holds(receipt: Receipt, *, voided: bool) -> bool:
    """Whether a receipt's leaf says what the receipt says and lies under its head (R-70). voided: its round's end is a void."""
    if voided != (receipt.fate is Fate.VOID) and receipt.fate not in (Fate.REFUSED, Fate.EXCLUDED):
        return False
    counted = f"counted/{receipt.client}/{receipt.made_for}/{receipt.sequence}/{receipt.digest.hex()}".encode()
    refused = f"refused/{receipt.client}/{receipt.made_for}/".encode()
    fits = {
        Fate.COUNTED: receipt.leaf == counted and receipt.made_for == receipt.round,
        Fate.LATE: receipt.leaf == counted and receipt.made_for < receipt.round,
        Fate.VOID: receipt.leaf in (b"", counted),
        Fate.REFUSED: receipt.leaf.startswith(refused) and receipt.leaf.endswith(f"/{receipt.rule}".encode()),
        Fate.EXCLUDED: not receipt.leaf or (receipt.leaf.startswith(refused) and receipt.leaf.endswith(b"/R-95")),
        Fate.NOT_SEEN: not receipt.leaf,
    }
    proven = not receipt.leaf or merkle.verify_proof(receipt.leaf, receipt.index, receipt.size, receipt.path, receipt.merkle_head)
    return fits[receipt.fate] and proven


def _fate(client: str, what: Counted | Refused | None, plan: Plan, freeze: Freeze | None, tombstone: Tombstone | None) -> tuple[Fate, str, str, str]:
    """(fate, rule, reason, remedy) of one client."""
    if tombstone is not None and not isinstance(what, Refused):
        later = "An update made for this round may still count in the next one" if plan.policy.max_staleness else "Submit for the next round"
        return Fate.VOID, tombstone.rule, f"the round is void: {tombstone.reason}", later
    if isinstance(what, Refused):
        return (Fate.EXCLUDED if what.rule == "R-95" else Fate.REFUSED), what.rule, what.reason, what.remedy
    if what is None:
        if freeze is not None and client in freeze.excluded:
            return (
                Fate.EXCLUDED,
                "R-95",
                f"its trust is below {plan.policy.trust_min:g}",
                "Trust comes back while updates agree or are absent; ask the operator",
            )
        return Fate.NOT_SEEN, "", f"no update for round {plan.round} was there at the freeze", "One that arrives late may still count in the next rounds"
    if what.made_for < plan.round:
        late = plan.round - what.made_for
        return (
            Fate.LATE,
            "",
            f"made for round {what.made_for}, counted {late} round{'s' if late > 1 else ''} late with weight {plan.policy.staleness_decay**late:.3g}",
            "Submit before the deadline",
        )
    return Fate.COUNTED, "", "counted", ""
