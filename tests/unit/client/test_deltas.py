"""A client sends changes by itself where they are shorter, and else the whole table."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hyperfed.client import ClientMemory
from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import PacketType, open_envelope, verify_envelope
from hyperfed.crypto.sealing import open_body
from hyperfed.packets import PolicyPack, Update
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

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
    private = replace(
        fed.plan(1), round=2, policy=PolicyPack(privacy="central", strategy="mean", trust_min=0.0)
    )
    asked: list[int] = []

    def receipt_of(night: int) -> None:
        asked.append(night)

    update, depth = memory.last_update.shortest(
        _update(), private, memory.marks.previous, receipt_of
    )
    assert (update.deltas, depth, asked) == (None, 0, [])
