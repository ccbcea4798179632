"""What must hold of a drop-box after whatever happened (DESIGN section 3), checked on its objects
through the verified reader.

`check_dropbox` raises AssertionError naming what is broken. It is what the crash, race and weather
tests share.
"""

from dataclasses import replace
from decimal import Decimal

from hyperfed.codec import PayloadCodec
from hyperfed.coordinator import RoundRunner
from hyperfed.dropbox.accepted import Accepted
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import RoundError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.protocol import merkle
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.ledger import Chained, reserve_id, spent
from hyperfed.protocol.objects import (
    Tombstone,
)
from hyperfed.testing.federation import SmallFederation

__all__ = ["check_dropbox"]


def check_dropbox(
    fed: SmallFederation, *, rounds: tuple[int, ...] = (1,), finished: bool = True
) -> None:
    """Every invariant at the drop-box's present state; finished: each of `rounds` is committed or
    void, with a receipt for every client.
    """
    reader = DropBoxReader(fed.store, fingerprint=fed.fingerprint)
    ledger = reader.ledger()  # contiguous, chained, signed
    for n in range(len(ledger) + 1):
        total = spent(ledger[:n])
        assert total.epsilon <= fed.registry.budget.epsilon, "the budget is exceeded"
        assert total.delta <= fed.registry.budget.delta, "the budget is exceeded"
        assert total.epsilon >= Decimal(0), "more is refunded than was reserved"
    counted: list[tuple[str, int]] = []
    for r in rounds:
        counted += _check_round(fed, reader, ledger, r, finished=finished)
    assert len(counted) == len(set(counted)), "a client is counted twice for one window"


def _check_round(
    fed: SmallFederation, reader: DropBoxReader, ledger: list[Chained], r: int, *, finished: bool
) -> list[tuple[str, int]]:
    mine = [c.entry for c in ledger if c.entry.round == r]
    reserves = [e for e in mine if e.kind is EntryKind.RESERVE]
    ends = [e for e in mine if e.kind is not EntryKind.RESERVE]
    frozen, result = reader.freeze(r), reader.result(r)
    assert len(reserves) <= 1, "two reserves"
    assert len(ends) <= 1, "a round ended twice"
    if isinstance(getattr(result, "value", None), GlobalModel):
        assert reserves, "a readable result without a reserve"
        assert result.value.freeze == frozen.digest, "the result is not of the freeze"
        again = _recomputed(fed, r)
        assert _bytes(again) == _bytes(result.value), "the result is not what the frozen set gives"
    if reserves:
        assert reserves[0].id == reserve_id(fed.registry.federation, r, frozen.digest), (
            "the reserve is not of the freeze"
        )
    if frozen is not None:
        assert frozen.value.merkle_head == merkle.head(frozen.value.leaves), (
            "the Merkle head is not of the freeze"
        )
        lost = [
            c.client
            for c, _, found in Accepted(fed.store, limits=fed.limits).read(
                frozen.value, frozen.value.counted
            )
            if isinstance(found, RoundError)
        ]
        assert not lost, f"counted before their packs were there: {lost}"
    if finished:
        assert ends, f"round {r} has not ended"
        for client in fed.clients:
            assert fed.receipt(client, r) is not None, f"no receipt for {client}"
    if not ends:
        return []
    end = ends[0]
    assert end.result == result.digest, "the ledger does not name the result"
    if end.kind is EntryKind.VOID:
        assert isinstance(result.value, Tombstone), "a void without a tombstone"
        free = [reserve.id for reserve in reserves if not reserve.mechanisms]
        assert end.id == (free[0] if free else b""), (
            "a void that does not refund exactly what was reserved and not charged"
        )
        return []
    assert not isinstance(result.value, Tombstone), "a commit of a tombstone"
    assert mine.index(reserves[0]) < mine.index(end), "committed before it was reserved"
    assert end.state == reader.state(r).digest, "the ledger does not name the state"
    assert end.freeze == frozen.digest, "the commit is not of the freeze"
    return [(c.client, c.made_for) for c in frozen.value.counted]


def _bytes(model: GlobalModel) -> bytes:
    """The model without its statement, where the tests put what stands for noise."""
    return PayloadCodec().encode(replace(model, statement=""))


def _recomputed(fed: SmallFederation, r: int) -> GlobalModel:
    runner = RoundRunner(
        fed.store, key_pair=fed.coordinator, now=fed.night(r), fingerprint=fed.fingerprint
    )
    return runner.frozen.coordinator(runner.plan(r).value, runner.reader.freeze(r)).aggregate()
