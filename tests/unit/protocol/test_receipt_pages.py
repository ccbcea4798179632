"""Receipts in pages (R-44): a large round tells all of its clients in few objects, and each client
reads its own receipt only.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from hyperfed.config import Limits
from hyperfed.coordinator.receipts import Receipts
from hyperfed.crypto.envelope import PacketType
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import AccessDenied, RoundError, SchemaError, SignatureError
from hyperfed.operations.audit import audit
from hyperfed.protocol import receipts
from hyperfed.protocol.documents import end_of, sign_object
from hyperfed.protocol.object_keys import Keys, page_of
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from hyperfed.protocol.receipt_pages import open_page, open_receipt, seal_page
from hyperfed.protocol.receipts import receipt_keys, wanted_keys
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.federation import SmallFederation
from tests.damage import damaged
from tests.unit.coordinator.test_growth import CountingStore
from tests.unit.protocol.paged_rounds import CLIENTS, LIMITS, ONE, OTHER, changed, page, put_page

# -- what is written -------------------------------------------------------------------------------


def test_every_client_reads_its_own_receipt(fed: SmallFederation) -> None:
    assert {client: fed.receipt(client).fate for client in CLIENTS} == dict.fromkeys(
        CLIENTS, Fate.COUNTED
    ) | {ONE: Fate.NOT_SEEN}  # type: ignore[union-attr]
    assert {fed.receipt(client, 2).fate for client in CLIENTS} == {Fate.VOID}  # type: ignore[union-attr]
    assert fed.receipt(ONE, 3) is None
    assert not fed.objects("rounds/00000001/receipts/")
    pages = {Keys.receipt_page(1, page_of(client)) for client in CLIENTS}
    assert set(fed.objects("rounds/00000001/receipt-pages/")) == pages
    assert wanted_keys(fed.plan(1), limits=LIMITS) == pages


def test_a_round_of_few_clients_has_receipts_of_their_own() -> None:
    fed = SmallFederation(clients=2, limits=LIMITS)
    fed.play(1)
    assert len(fed.objects("rounds/00000001/receipts/")) == 2
    assert not fed.objects("rounds/00000001/receipt-pages/")
    assert fed.receipt("site-01").fate is Fate.COUNTED  # type: ignore[union-attr]


def test_a_rounds_writes_do_not_grow_with_its_clients() -> None:
    """At most a page for each of 256 numbers, however many clients there are, and nothing a
    client.
    """
    puts = {}
    for n in (300, 900):
        clients = [f"c-{i:04d}" for i in range(n)]
        fed = SmallFederation(clients=clients, store=CountingStore())
        fed.open(1, quorum=3)
        fed.submit_all(but=clients[3:])
        store = fed.store
        assert isinstance(store, CountingStore)
        store.asked.clear()
        fed.run(1)
        puts[n] = store.asked["put"]
        assert len(fed.objects("rounds/00000001/receipt-pages/")) == len(
            {page_of(client) for client in clients}
        )
    assert puts[900] <= 256 + 7
    assert puts[300] <= 256 + 7
    assert puts[300] > 100


def test_a_receipt_that_is_missing_is_made_again_and_no_other(
    fed: SmallFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Keys.receipt_page(1, page_of(ONE))
    before, made = fed.objects("rounds/00000001/"), []
    monkeypatch.setattr(
        receipts,
        "seal_page",
        lambda number, *given, **options: (
            made.append(number) or seal_page(number, *given, **options)
        ),
    )
    runner = fed.runner(1)
    runner.conclude(1)
    assert fed.objects("rounds/00000001/") == before
    del fed.store._objects[key]  # type: ignore[attr-defined]
    assert fed.receipt(ONE) is None
    assert made == []
    fed.runner(1).conclude(1)
    assert made == [page_of(ONE)]
    after = fed.objects("rounds/00000001/")
    assert after.keys() == before.keys()
    assert {k for k in before if after[k] != before[k]} == {key}, "a page holds fresh keys"
    assert fed.receipt(ONE).fate is Fate.NOT_SEEN  # type: ignore[union-attr]


def test_the_next_round_completes_what_a_dead_coordinator_left(fed: SmallFederation) -> None:
    key = Keys.receipt_page(2, page_of(ONE))
    del fed.store._objects[key]  # type: ignore[attr-defined]
    fed.play(3)
    assert key in fed.objects()
    assert fed.receipt(ONE, 2).fate is Fate.VOID  # type: ignore[union-attr]


def test_whoever_is_second_adopts_the_page_that_is_there(fed: SmallFederation) -> None:
    before = fed.objects("rounds/00000001/receipt-pages/")
    runner = fed.runner(1)
    runner.reader.ledger()
    blind = Receipts(
        store=_Blind(fed.store), reader=runner.reader, key_pair=fed.coordinator, limits=LIMITS
    )
    end = end_of(runner.reader.verified_entries(), 1)
    assert end is not None
    blind.put(runner.plan(1).value, end)
    assert fed.objects("rounds/00000001/receipt-pages/") == before


class _Blind(MemoryStore):
    """Lists nothing, as for a coordinator that had listed before the other wrote."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__()
        self._objects = inner._objects  # type: ignore[attr-defined]

    def list(self, prefix: str) -> Iterator[Any]:
        return iter(())


def test_a_client_whose_keys_are_gone_is_told_to_the_auditor_only() -> None:
    fed = SmallFederation(clients=CLIENTS, auditors=1, limits=LIMITS)
    fed.open(1)
    fed.submit_all()
    fed.revoke(ONE, from_round=1)
    fed.amend(coordinators=fed.registry.coordinators)
    fed.run(1)
    assert page(fed).of(ONE).boxes == ()  # type: ignore[union-attr]
    assert open_page(page(fed), fed.auditors[0], subject="page")[ONE].rule == "R-81"
    assert fed.receipt(OTHER).fate is Fate.COUNTED  # type: ignore[union-attr]
    assert audit(fed.store, fed.fingerprint, fed.auditors[0], limits=LIMITS).ok


def test_while_keys_rotate_either_opens(fed: SmallFederation) -> None:
    old = fed.keys[ONE]
    twin = SmallFederation(clients=CLIENTS, limits=LIMITS)
    twin.rotate(ONE, KeyPair.generate(), from_round=1, overlap=1)
    twin.play(1)
    for keys in (old, twin.keys[ONE]):
        receipt = open_receipt(page(twin), ONE, keys, subject="page")
        assert receipt is not None
        assert receipt.fate is Fate.COUNTED


def test_a_key_that_was_replaced_before_the_round_opens_nothing() -> None:
    fed = SmallFederation(clients=CLIENTS, limits=LIMITS)
    old = fed.keys[ONE]
    fed.rotate(ONE, KeyPair.generate(), from_round=2, overlap=0)
    fed.play(2)
    entry = page(fed, round_id=2).of(ONE)
    assert entry is not None
    assert [key_id for key_id, _ in entry.boxes] == [fed.keys[ONE].key_id]
    with pytest.raises(SignatureError, match="sealed to"):
        open_receipt(page(fed, round_id=2), ONE, old, subject="page")


# -- who can read it -------------------------------------------------------------------------------


def test_nobody_opens_anothers_receipt(fed: SmallFederation) -> None:
    value = page(fed)
    for stranger in (fed.keys[OTHER], fed.coordinator, fed.auditors[0], KeyPair.generate()):
        with pytest.raises(SignatureError, match="sealed to"):
            open_receipt(value, ONE, stranger, subject="page")
    for stranger in (fed.keys[ONE], KeyPair.generate()):
        with pytest.raises(SignatureError, match="sealed to"):
            open_page(value, stranger, subject="page")
    data = fed.objects()[Keys.receipt_page(1, page_of(ONE))]
    assert b"not seen" not in data
    assert b"counted" not in data
    assert open_receipt(value, "site-999", fed.keys[ONE], subject="page") is None


def test_coordinator_and_auditor_open_all_of_it(fed: SmallFederation) -> None:
    for keys in (fed.coordinator, fed.auditors[0]):
        opened = open_page(page(fed), keys, subject="page")
        assert {client: receipt.fate for client, receipt in opened.items()} == {
            client: Fate.NOT_SEEN if client == ONE else Fate.COUNTED
            for client in CLIENTS
            if page_of(client) == page_of(ONE)
        }


def test_its_length_does_not_tell_what_a_receipt_says(fed: SmallFederation) -> None:
    assert len({len(entry.sealed) for entry in page(fed).receipts}) == 1
    receipts = [*open_page(page(fed), fed.coordinator, subject="page").values()]
    told = replace(receipts[0], fate=Fate.REFUSED, rule="R-97", reason="x" * 300, remedy="y" * 100)
    sealed = seal_page(page_of(ONE), [told, receipts[1]], registry=fed.registry).receipts
    assert len(sealed[0].sealed) == len(sealed[1].sealed)
    most = seal_page(page_of(ONE), [replace(told, reason="x" * 3000)], registry=fed.registry)
    assert open_receipt(most, told.client, fed.keys[told.client], subject="page") == replace(
        told, reason="x" * 3000
    )


# -- what is refused -------------------------------------------------------------------------------


def test_a_sealed_receipt_belongs_to_one_client_and_key(fed: SmallFederation) -> None:
    value = page(fed)
    one, other = value.of(ONE), value.of(OTHER)
    assert one is not None
    assert other is not None
    put_page(fed, changed(value, ONE, sealed=other.sealed, commitment=other.commitment))
    with pytest.raises(SignatureError, match="commits to"):
        fed.receipt(ONE)
    put_page(
        fed,
        changed(value, ONE, boxes=other.boxes, sealed=other.sealed, commitment=other.commitment),
    )
    with pytest.raises(SignatureError, match="sealed to"):
        fed.receipt(ONE)
    for sealed in (damaged(one.sealed), one.sealed[:20], b""):
        put_page(fed, changed(value, ONE, sealed=sealed))
        with pytest.raises(SignatureError):
            fed.receipt(ONE)


def test_another_clients_receipt_under_ones_name_is_refused(fed: SmallFederation) -> None:
    opened = open_page(page(fed), fed.coordinator, subject="page")
    lie = seal_page(page_of(ONE), [replace(opened[OTHER], client=ONE)], registry=fed.registry)
    put_page(fed, lie)
    with pytest.raises(RoundError, match="does not prove"):
        fed.receipt(ONE)


def test_a_receipt_that_names_another_client_inside_is_refused(
    fed: SmallFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hyperfed.protocol import receipt_pages

    opened = open_page(page(fed), fed.coordinator, subject="page")
    codec = receipt_pages.PayloadCodec

    class Lying(codec):  # type: ignore[misc, valid-type]
        def encode(self, value: Any) -> bytes:
            return bytes(super().encode(replace(value, client=OTHER)))

    monkeypatch.setattr(receipt_pages, "PayloadCodec", Lying)
    lie = seal_page(page_of(ONE), [opened[ONE]], registry=fed.registry)
    monkeypatch.undo()
    with pytest.raises(RoundError, match=f"holds a receipt for '{OTHER}' as {ONE}'s"):
        open_receipt(lie, ONE, fed.keys[ONE], subject="page")


def test_padding_is_zeros_and_whole(fed: SmallFederation, monkeypatch: pytest.MonkeyPatch) -> None:
    from hyperfed.protocol import receipt_pages

    receipt = open_page(page(fed), fed.coordinator, subject="page")[ONE]
    padded = receipt_pages._padded
    for wrong in (
        lambda d: padded(d)[:-1] + b"\1",
        lambda d: padded(d)[:-1],
        lambda d: padded(d) + bytes(1536),
        lambda d: b"\xff\xff\xff\xff" + padded(d)[4:],
    ):
        monkeypatch.setattr(receipt_pages, "_padded", wrong)
        sealed = seal_page(page_of(ONE), [receipt], registry=fed.registry)
        monkeypatch.undo()
        with pytest.raises(SchemaError, match="padding"):
            open_receipt(sealed, ONE, fed.keys[ONE], subject="page")


@pytest.mark.parametrize("place", ["another number", "another round"])
def test_a_page_in_another_place_is_refused(fed: SmallFederation, place: str) -> None:
    number = page_of(ONE)
    key = (
        Keys.receipt_page(1, number ^ 1)
        if place == "another number"
        else Keys.receipt_page(2, number)
    )
    data = fed.objects()[Keys.receipt_page(1, number)]
    fed.store._objects.pop(key, None)  # type: ignore[attr-defined]
    fed.store.put_if_absent(key, data)
    with pytest.raises(RoundError) as caught:
        fed.reader().receipt_page(
            1 if place == "another number" else 2, number ^ (place == "another number")
        )
    assert caught.value.rule == "R-51"


def test_a_page_holds_its_own_clients_only_ascending_each_once(fed: SmallFederation) -> None:
    value = page(fed)
    stranger = next(name for i in range(1000) if page_of(name := f"zz-{i:03d}") != page_of(ONE))
    key = put_page(
        fed,
        replace(value, receipts=(*value.receipts, replace(value.receipts[-1], client=stranger))),
    )
    with pytest.raises(RoundError, match="another page"):
        fed.receipt(ONE)
    assert key == Keys.receipt_page(1, page_of(ONE))
    for wrong in (value.receipts[::-1], (value.receipts[0], *value.receipts)):
        with pytest.raises(SchemaError, match="ascend"):
            replace(value, receipts=wrong)


def test_a_page_that_the_coordinator_has_not_signed_is_refused(fed: SmallFederation) -> None:
    key = Keys.receipt_page(1, page_of(ONE))
    write = sign_object(
        key, PacketType.RECEIPT_PAGE, page(fed), key_pair=fed.keys[OTHER], time=fed.night(1)
    )
    fed.store._objects[key] = write.data  # type: ignore[attr-defined]
    with pytest.raises(SignatureError):
        fed.receipt(ONE)


# -- where a client looks --------------------------------------------------------------------------


def test_where_a_client_looks_follows_from_how_many_there_are() -> None:
    own, paged = Keys.receipt(7, ONE), Keys.receipt_page(7, page_of(ONE))
    assert receipt_keys(7, ONE, clients=128) == (own,)
    assert receipt_keys(7, ONE, clients=129) == (own, paged)
    assert receipt_keys(7, ONE, clients=256) == (own, paged)
    assert receipt_keys(7, ONE, clients=257) == (paged, own)


def test_a_federation_that_grew_has_rounds_of_both_kinds() -> None:
    fed = SmallFederation(clients=CLIENTS, limits=Limits(own_receipts=40))
    fed.play(1)
    fed.limits = Limits(own_receipts=39)
    fed.play(2)
    assert [r.round for r in fed.session(ONE).receipts()] == [2, 1]
    assert len(fed.objects("rounds/00000001/receipts/")) == len(CLIENTS)
    assert not fed.objects("rounds/00000002/receipts/")


def test_who_has_access_to_one_of_them_only_is_not_refused_the_other(fed: SmallFederation) -> None:
    class Fenced(MemoryStore):
        closed = "/receipts/"

        def __init__(self) -> None:
            super().__init__()
            self._objects = fed.store._objects  # type: ignore[attr-defined]

        def read(self, key: str, *, max_bytes: int) -> bytes:
            if self.closed in key:
                raise AccessDenied("no", subject=key)
            return super().read(key, max_bytes=max_bytes)

    store = Fenced()
    assert fed.session(ONE, store=store).receipt(1) is not None
    assert fed.session(ONE, store=store).receipt(3) is None
    store.closed = "/receipt-pages/"
    with pytest.raises(AccessDenied):
        fed.session(ONE, store=store).receipt(1)


def test_a_client_without_memory_goes_on_above_its_receipt(fed: SmallFederation) -> None:
    from hyperfed.client import ClientMemory

    sequence = fed.memories[OTHER].marks.sequence
    fed.memories[OTHER] = ClientMemory()
    fed.open(3)
    assert fed.submit(OTHER, round_id=3).sequence > sequence + 1000
