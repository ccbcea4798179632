"""Make the receipts that say what became of each client's update (step 7 of the round).

1. Receipts follow from freeze, ledger and state alone, and prove what became of an update by the
   Merkle tree (R-68, R-70). How the round weighed a client is told to that client.
2. A round of few clients has one object for each client. A round of more than `Limits.own_receipts`
   clients has at most 256 pages of sealed receipts (R-44, `receipt_pages`), so that the number of
   objects does not grow with the clients.
3. Receipts in objects of their own are the same bytes whoever makes them. They are padded, so that
   whoever may list but not read them learns nothing from their lengths. Pages hold fresh keys, so
   whoever comes second adopts the page that is there.

What it does not do: write, or read what was written (`dropbox`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.envelope import PacketType
from hyperfed.crypto.keys import KeyPair
from hyperfed.protocol import merkle
from hyperfed.protocol.documents import Write, sign_object
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys, page_of
from hyperfed.protocol.objects import (
    Counted,
    Freeze,
    Plan,
    Refused,
    Tombstone,
)
from hyperfed.protocol.receipt_objects import (
    Fate,
    Receipt,
    Weighing,
)
from hyperfed.protocol.receipt_pages import seal_page
from hyperfed.protocol.receipt_words import words_of
from hyperfed.registry.registry import Registry
from hyperfed.registry.windows import is_client_id

__all__ = [
    "is_paged",
    "make_receipts",
    "padded",
    "receipt_holds",
    "receipt_keys",
    "receipts_of",
    "tells_weighings",
    "wanted_keys",
]


_TOLD_FROM = 3  # the formula of a freeze
_WEIGHED = frozenset((Fate.COUNTED, Fate.LATE, Fate.EXCLUDED))
_LENGTH = 1536  # bytes, more than nearly all receipts need
_LEAST_PADDING = 256  # from here on, the length of a binary field takes two bytes


def receipt_keys(
    round_id: int, client: str, *, clients: int, limits: Limits = DEFAULT_LIMITS
) -> tuple[str, ...]:
    """Return the keys where a client looks for its receipt of a round, the likeliest first.

    `clients` is the number of clients that the newest registry names; it is only a guess of how
    many the round had. Up to half of `Limits.own_receipts` there are no pages.
    """
    own_key, page = Keys.receipt(round_id, client), Keys.receipt_page(round_id, page_of(client))
    if clients <= limits.own_receipts // 2:
        return (own_key,)
    return (own_key, page) if clients <= limits.own_receipts else (page, own_key)


def is_paged(plan: Plan, *, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Return whether a round's receipts are written in pages."""
    return len(plan.cohort) > limits.own_receipts


def wanted_keys(plan: Plan, *, limits: Limits = DEFAULT_LIMITS) -> set[str]:
    """Return the keys of all objects that hold receipts of the round's cohort."""
    if is_paged(plan, limits=limits):
        return {
            Keys.receipt_page(plan.round, number)
            for number in {page_of(client) for client in plan.cohort}
        }
    return {Keys.receipt(plan.round, client) for client in plan.cohort}


def make_receipts(
    plan: Plan,
    freeze: Freeze | None,
    end: Chained,
    *,
    tombstone: Tombstone | None,
    weighings: Mapping[str, Weighing],
    key_pair: KeyPair,
    registry: Registry,
    there: Collection[str] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Write]:
    """Yield the objects that hold a round's receipts, each signed when it is asked for.

    Pages are sealed to the keys that `registry` names. Objects whose keys are in `there` exist
    already and are not made again.
    """
    receipts = receipts_of(plan, freeze, end, tombstone=tombstone, weighings=weighings)
    time = end.entry.time
    if not is_paged(plan, limits=limits):
        for receipt in map(padded, receipts) if tells_weighings(freeze) else receipts:
            key = Keys.receipt(plan.round, receipt.client)
            if key not in there:
                yield sign_object(
                    key,
                    PacketType.RECEIPT,
                    receipt,
                    key_pair=key_pair,
                    time=time,
                    audience=receipt.client,
                )
        return
    pages: dict[int, list[Receipt]] = {}
    for receipt in receipts:
        pages.setdefault(page_of(receipt.client), []).append(receipt)
    for number, page_receipts in sorted(pages.items()):
        key = Keys.receipt_page(plan.round, number)
        if key not in there:
            yield sign_object(
                key,
                PacketType.RECEIPT_PAGE,
                seal_page(number, page_receipts, registry=registry),
                key_pair=key_pair,
                time=time,
            )


def receipts_of(
    plan: Plan,
    freeze: Freeze | None,
    end: Chained,
    *,
    tombstone: Tombstone | None,
    weighings: Mapping[str, Weighing],
) -> list[Receipt]:
    """Return the round's receipts, ascending by client.

    There is one for every client of the cohort and for every client that the freeze names. They
    follow from freeze and ledger alone, and from the state, of which `weighings` holds what each
    client may learn (`coordinator.weighings`).
    """
    counted: Sequence[Counted] = freeze.counted if freeze else ()
    refused: Sequence[Refused] = freeze.refused if freeze else ()
    leaves = freeze.leaves if freeze else []
    paths = merkle.proofs(leaves)
    by_client: dict[str, tuple[int, Any]] = {}
    for i, refusal in enumerate(refused):  # of several, the newest round's says most
        earlier = by_client.get(refusal.client)
        if is_client_id(refusal.client) and (
            earlier is None or refusal.made_for >= earlier[1].made_for
        ):
            by_client[refusal.client] = (len(counted) + i, refusal)
    for i, item in enumerate(counted):
        by_client[item.client] = (i, item)
    receipts = []
    for client in sorted(set(plan.cohort) | set(by_client)):
        index, what = by_client.get(client, (0, None))
        weighing = weighings.get(client)
        fate, rule, reason, remedy = _fate(client, what, plan, freeze, tombstone, weighing)
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
                weighing=weighing if fate in _WEIGHED else None,
            )
        )
    return receipts


def tells_weighings(freeze: Freeze | None) -> bool:
    """Return whether a round's receipts tell how clients were weighed, and are padded.

    A round that was frozen under an earlier formula keeps the receipts that it had, whoever writes
    the missing ones or audits them.
    """
    return freeze is not None and freeze.formula >= _TOLD_FROM


def padded(receipt: Receipt) -> Receipt:
    """Return the receipt with padding that makes its document a multiple of 1,536 bytes long."""
    size = len(PayloadCodec().encode(replace(receipt, padding=bytes(_LEAST_PADDING))))
    return replace(receipt, padding=bytes(_LEAST_PADDING + -size % _LENGTH))


def receipt_holds(receipt: Receipt, *, voided: bool) -> bool:
    """Return whether a receipt's leaf says what the receipt says and lies under its head (R-70).

    `voided` says whether the round ended in a void.
    """
    if voided != (receipt.fate is Fate.VOID) and receipt.fate not in (Fate.REFUSED, Fate.EXCLUDED):
        return False
    update = f"{receipt.client}/{receipt.made_for}/{receipt.sequence}/{receipt.digest.hex()}"
    counted = f"counted/{update}".encode()
    refused = f"refused/{receipt.client}/{receipt.made_for}/".encode()
    fits = {
        Fate.COUNTED: receipt.leaf == counted and receipt.made_for == receipt.round,
        Fate.LATE: receipt.leaf == counted and receipt.made_for < receipt.round,
        Fate.VOID: receipt.leaf in (b"", counted),
        Fate.REFUSED: receipt.leaf.startswith(refused)
        and receipt.leaf.endswith(f"/{receipt.rule}".encode()),
        Fate.EXCLUDED: not receipt.leaf
        or (receipt.leaf.startswith(refused) and receipt.leaf.endswith(b"/R-95")),
        Fate.NOT_SEEN: not receipt.leaf,
    }
    proven = not receipt.leaf or merkle.verify_proof(
        receipt.leaf, receipt.index, receipt.size, receipt.path, receipt.merkle_head
    )
    return fits[receipt.fate] and proven


def _fate(
    client: str,
    what: Counted | Refused | None,
    plan: Plan,
    freeze: Freeze | None,
    tombstone: Tombstone | None,
    weighing: Weighing | None,
) -> tuple[Fate, str, str, str]:
    """Return (fate, rule, reason, remedy) of one client."""
    if tombstone is not None and not isinstance(what, Refused):
        later = (
            "An update made for this round may still count in the next one"
            if plan.policy.max_staleness
            else "Submit for the next round"
        )
        return Fate.VOID, tombstone.rule, f"the round is void: {tombstone.reason}", later
    if isinstance(what, Refused):
        return (
            (Fate.EXCLUDED if what.rule == "R-95" else Fate.REFUSED),
            what.rule,
            what.reason,
            what.remedy,
        )
    if what is None:
        if freeze is not None and client in freeze.excluded:
            return (
                Fate.EXCLUDED,
                "R-95",
                f"its trust is below {plan.policy.trust_min:g}",
                "Trust comes back while updates agree or are absent; ask the operator",
            )
        return (
            Fate.NOT_SEEN,
            "",
            f"no update for round {plan.round} was there at the freeze",
            "One that arrives late may still count in the next rounds",
        )
    if what.made_for < plan.round:
        late = plan.round - what.made_for
        rounds = (
            f"made for round {what.made_for}, counted {late} round{'s' if late > 1 else ''} late"
        )
        if weighing is None:
            share = plan.policy.staleness_decay**late
            return Fate.LATE, "", f"{rounds} with weight {share:.3g}", "Submit before the deadline"
        reason, remedy = words_of(weighing, plan.policy)
        text = f"{rounds}; {reason}"
        return Fate.LATE, "", text, f"Submit before the deadline. {remedy}".strip()
    if weighing is None:
        return Fate.COUNTED, "", "counted", ""
    return Fate.COUNTED, "", *words_of(weighing, plan.policy)
