"""A client sends changes by itself where they are shorter, and else the whole table."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperfed.client import ClientMemory, deltas
from hyperfed.client.deltas import LastUpdate, SentUpdate
from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import PacketType, open_envelope, verify_envelope
from hyperfed.crypto.sealing import open_body
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack, Update
from hyperfed.protocol.objects import Plan
from hyperfed.protocol.receipt_objects import Fate, Receipt
from hyperfed.tables.tables import DeltaTable, EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

PRIVATE: dict[str, Any] = {"privacy": "central", "strategy": "mean", "trust_min": 0.0}
NAMES = tuple(f"v{i:02}" for i in range(30))


def _update(seed: int = 0, *, n: int = 100) -> Update:
    """870 edges with effects that only the seed tells."""
    rng = np.random.default_rng(seed)
    source, target = np.divmod(np.arange(900), 30)
    off = source != target
    effect = rng.normal(size=870)
    table = EdgeTable.build(
        source=source[off],
        target=target[off],
        lag=np.zeros(870, dtype=np.int64),
        effect=effect,
        confidence=rng.uniform(0.5, 1, 870),
        stability=rng.uniform(0.5, 1, 870),
        n=n,
        ci_low=effect - rng.uniform(0.1, 0.2, 870),
        ci_high=effect + rng.uniform(0.1, 0.2, 870),
    )
    return Update(measured=np.arange(30, dtype=np.uint32), edges=table, lags=(0,))


def _changed(update: Update, rows: int) -> Update:
    """The update with other effects in its first rows."""
    table = update.edges
    assert table is not None
    assert table.ci_low is not None
    assert table.ci_high is not None
    changed = np.arange(len(table)) < rows
    by, low, high = np.random.default_rng(9).uniform(0, 0.01, (3, len(table))) * changed
    edges = replace(
        table,
        effect=table.effect + by,
        ci_low=table.ci_low + low,
        ci_high=table.ci_high + by + high,
    )
    return replace(update, edges=edges)


@pytest.fixture
def fed() -> SmallFederation:
    return SmallFederation(vocabulary=Vocabulary.of(*NAMES))


class Nights:
    """One client's nights in a federation whose others send whole tables."""

    def __init__(self, fed: SmallFederation, path: Path) -> None:
        self.fed, self.client = fed, fed.clients[0]
        fed.memories[self.client] = ClientMemory(path)

    def send(self, night: int, update: Update) -> Update:
        """Send the client's update, play the night, and return what lay in the inbox."""
        fed = self.fed
        fed.open(night)
        for other in fed.clients[1:]:
            fed.submit(other, _update(), round_id=night)
        sent = fed.submit(self.client, update, round_id=night)
        fed.run(night)
        receipt = fed.receipt(self.client, night)
        assert receipt is not None
        assert receipt.fate == "counted", receipt.reason
        return self.opened(sent.key, night)

    def opened(self, key: str, night: int) -> Update:
        """What was sent, its changes applied to nothing."""
        return _opened(self.fed, key)


def _opened(fed: SmallFederation, key: str) -> Update:
    signed = verify_envelope(
        open_envelope(fed.store.read(key, max_bytes=1 << 24)),
        expect=PacketType.UPDATE,
        key_of={keys.key_id: keys.public.signing for keys in fed.keys.values()}.get,
    )
    return PayloadCodec().decode(open_body(signed, fed.coordinator, subject=key), Update)


def test_a_night_without_new_data_and_one_of_few_changes_send_them(
    fed: SmallFederation, tmp_path: Path
) -> None:
    nights = Nights(fed, tmp_path / "memory.json")
    first = nights.send(1, _update())
    assert first.deltas is None
    second = nights.send(2, _update())
    assert second.deltas is not None
    assert len(second.deltas) == 0
    third = nights.send(3, _changed(_update(), 10))
    assert third.deltas is not None
    assert len(third.deltas) == 10
    kept = fed.memories[nights.client].last_update.read()
    assert kept is not None
    assert kept.depth == 2
    assert PayloadCodec().decode(kept.body, Update) == _changed(_update(), 10)


def test_new_data_send_the_whole_table(fed: SmallFederation, tmp_path: Path) -> None:
    nights = Nights(fed, tmp_path / "memory.json")
    nights.send(1, _update())
    assert nights.send(2, _update(n=101)).deltas is None, "n tells every row anew"
    assert nights.send(3, _update(1, n=101)).deltas is None
    assert nights.send(4, _changed(_update(1, n=101), 800)).deltas is None, "not half as long"


def test_changes_do_not_pile_up_for_ever(fed: SmallFederation, tmp_path: Path) -> None:
    nights = Nights(fed, tmp_path / "memory.json")
    whole = [nights.send(night, _update()).deltas is None for night in range(1, 9)]
    assert whole == [True, False, False, False, False, False, True, False]


def test_what_was_not_counted_is_no_base(fed: SmallFederation, tmp_path: Path) -> None:
    nights = Nights(fed, tmp_path / "memory.json")
    nights.send(1, _update())
    fed.open(2)
    fed.submit(nights.client, _update(), round_id=2)  # and nobody else: below quorum, no end
    corrected = fed.submit(nights.client, _changed(_update(), 3), round_id=2)
    assert _opened(fed, corrected.key).deltas is None, "the base lies in the same round"
    fed.open(3)
    later = fed.submit(nights.client, _changed(_update(), 3), round_id=3)
    assert _opened(fed, later.key).deltas is None, "the base lies in a round that has no end"


def test_a_lost_memory_or_another_vocabulary_sends_the_whole_table(
    fed: SmallFederation, tmp_path: Path
) -> None:
    nights = Nights(fed, tmp_path / "memory.json")
    nights.send(1, _update())
    file = tmp_path / "memory.json.update.bin"
    file.write_bytes(file.read_bytes()[:-20])
    assert nights.send(2, _update()).deltas is None
    file.write_text("no memory")
    assert nights.send(3, _update()).deltas is None
    fed.vocabulary = replace(fed.vocabulary, version=2)
    assert nights.send(4, _update()).deltas is None
    nights.fed.memories[nights.client] = ClientMemory()
    assert nights.send(5, _update()).deltas is None, "without a file nothing is remembered"


def test_a_private_round_takes_no_changes(fed: SmallFederation, tmp_path: Path) -> None:
    nights = Nights(fed, tmp_path / "memory.json")
    nights.send(1, _update())
    memory = fed.memories[nights.client]
    private = replace(fed.plan(1), round=2, policy=PolicyPack(**PRIVATE))
    asked: list[int] = []

    def receipt_of(night: int) -> None:
        asked.append(night)

    update, depth = memory.last_update.shortest(
        _update(), private, memory.marks.previous, receipt_of
    )
    assert (update.deltas, depth, asked) == (None, 0, [])


# -- what is compared before changes are sent ------------------------------------------------------


PLAN = replace(SmallFederation(vocabulary=Vocabulary.of(*NAMES)).open(1).value, round=2)
SENT = SentUpdate(
    digest="ab" * 32,
    round=1,
    vocabulary=PLAN.vocabulary.digest.hex(),
    depth=4,
    body=PayloadCodec().encode(_update()),
)


class Receipts:
    """Gives the receipt of what was sent, and counts how often it is asked."""

    def __init__(self, receipt: Receipt | None) -> None:
        self.receipt, self.asked = receipt, 0

    def __call__(self, round_id: int) -> Receipt | None:
        assert round_id == SENT.round
        self.asked += 1
        return self.receipt


@pytest.fixture(scope="module")
def receipt() -> Receipt:
    fed = SmallFederation()
    fed.play(1)
    given = fed.receipt("site-01", 1)
    assert given is not None
    return replace(given, digest=bytes.fromhex(SENT.digest))


def shortest(
    sent: SentUpdate | None,
    receipts: Receipts,
    *,
    update: Update | None = None,
    plan: Plan = PLAN,
    previous: str = SENT.digest,
) -> tuple[Update, int]:
    last = LastUpdate(None)
    last.read = lambda: sent  # type: ignore[method-assign]
    return last.shortest(update or _changed(_update(), 3), plan, previous, receipts)


def test_changes_need_a_base_that_is_known_and_no_older_than_what_is_kept(receipt: Receipt) -> None:
    changes, depth = shortest(SENT, Receipts(receipt))
    assert (len(changes.deltas or ()), changes.base, depth) == (3, bytes.fromhex(SENT.digest), 5)
    for sent, given in (
        (None, {}),
        (replace(SENT, round=2), {}),
        (replace(SENT, vocabulary="cd" * 32), {}),
        (replace(SENT, depth=5), {}),
        (SENT, {"previous": "cd" * 32}),
        (SENT, {"plan": replace(PLAN, policy=replace(PLAN.policy, **PRIVATE))}),
        (replace(SENT, body=b"no update"), {}),
        (replace(SENT, body=PayloadCodec().encode(changes)), {}),
    ):
        receipts = Receipts(receipt)
        whole, depth = shortest(sent, receipts, **given)  # type: ignore[arg-type]
        assert (whole, depth, receipts.asked) == (_changed(_update(), 3), 0, 0)
    assert shortest(SENT, Receipts(receipt), update=changes) == (changes, 0), (
        "it is changes already"
    )


def test_changes_need_a_receipt_that_counts_their_base(receipt: Receipt) -> None:
    for other in (
        None,
        replace(receipt, fate=Fate.REFUSED),
        replace(receipt, fate=Fate.LATE),
        replace(receipt, digest=b"d" * 32),
    ):
        receipts = Receipts(other)
        assert shortest(SENT, receipts) == (_changed(_update(), 3), 0)
        assert receipts.asked == 1


def test_changes_that_the_coordinator_would_add_up_to_something_else_are_not_sent(
    receipt: Receipt,
) -> None:
    """1e20 and the change to 1 add up to 0 in floating point."""
    base, update = _beginning_with(1e20), _beginning_with(1.0)
    sent = replace(SENT, body=PayloadCodec().encode(base))
    assert shortest(sent, Receipts(receipt), update=update) == (update, 0)


def test_intervals_that_come_or_go_send_the_whole_table(receipt: Receipt) -> None:
    table = _update().edges
    assert table is not None
    without = replace(_update(), edges=replace(table, ci_low=None, ci_high=None))
    sent = replace(SENT, body=PayloadCodec().encode(without))
    assert shortest(SENT, Receipts(receipt), update=without) == (without, 0)
    assert shortest(sent, Receipts(receipt), update=_update()) == (_update(), 0)
    changes, _ = shortest(sent, Receipts(receipt), update=without)
    assert changes.deltas is not None
    assert without.edges is not None
    assert not deltas._alike(table, without.edges)
    assert deltas._alike(without.edges, without.edges)


def test_only_whole_tables_of_open_rounds_are_kept(tmp_path: Path) -> None:
    changes = replace(_update(), edges=None, deltas=_no_changes(), base=b"b" * 32)
    private = replace(PLAN, policy=replace(PLAN.policy, **PRIVATE))
    last = LastUpdate(tmp_path / "update.bin")
    for update, plan in ((changes, PLAN), (_update(), private)):
        last.keep(update, plan, digest="ab" * 32, depth=1)
        assert not (tmp_path / "update.bin").exists()
        assert last.read() is None
    last.keep(_update(), PLAN, digest="ab" * 32, depth=1)
    kept = last.read()
    assert kept is not None
    assert (kept.digest, kept.round, kept.depth) == ("ab" * 32, 2, 1)
    LastUpdate(None).keep(_update(), PLAN, digest="ab" * 32, depth=1)
    assert LastUpdate(None).read() is None


def test_changes_that_a_program_made_are_no_edges_to_check() -> None:
    fed = SmallFederation(vocabulary=Vocabulary.of(*NAMES))
    changes = replace(_update(), edges=None, deltas=_no_changes(), base=b"b" * 32)
    fed.session("site-01").check(changes, PLAN)


def _beginning_with(effect: float) -> Update:
    table = _update().edges
    assert table is not None
    effects = np.concatenate([[effect], table.effect[1:]])
    edges = replace(table, effect=effects, ci_low=effects - 0.1, ci_high=effects + 0.1)
    return replace(_update(), edges=edges)


def _no_changes() -> DeltaTable:
    table = _update().edges
    assert table is not None
    store = HypergraphStore(edges=table, measured=_update().measured)
    return store.diff(store).deltas
