"""A merge across machines: the same bytes as in one process, whoever works on what, and nothing
that was changed in between is taken.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hyperfed.config import Limits
from hyperfed.coordinator.remote import remote
from hyperfed.coordinator.remote.remote import answer, merging, step_of, to_arrays
from hyperfed.coordinator.remote.shuffle import ShuffleLayout, _blocks
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.errors import RoundError
from hyperfed.kernels.layout import NARROW
from hyperfed.merge.ranges import Agreement, Measure, Merge
from hyperfed.merge.rows import MergeRule
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation
from tests.damage import damaged

NIGHTS = 3


@pytest.fixture(autouse=True)
def every_step_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a large merge: these ones have few rows."""
    monkeypatch.setattr(remote, "ROWS_HERE", 0)


def founded(**policy: Any) -> SmallFederation:
    return SmallFederation(clients=7, policy=PolicyPack(**policy) if policy else None)


def elsewhere(
    runner: RoundRunner,
    fed: SmallFederation,
    *,
    shards: int,
    forget: bool = True,
    rows_a_range: int = 3,
) -> list[tuple[str, int]]:
    """Let the runner's merges be worked on by others, each of which forgets all that it has seen;
    what was asked of whom.
    """
    asked: list[tuple[str, int]] = []
    number = runner.reader.registry.windows.ended_at(runner.now)

    def other() -> RoundRunner:
        if forget:
            remote._KEPT = remote._Kept()
        return fed.runner(number)

    def ask(address: str, portions: Sequence[int]) -> None:
        for portion in reversed(portions):
            asked.append((address, portion))
            answer(other().merge.shuffle(number), address, portion)

    layout = runner.merge.shuffle(number).layout(shards, rows_a_range=rows_a_range)
    for shard in reversed(range(len(layout.shards) - 1)):
        other().merge.shuffle(number).spread(shard)
    runner.merge.merges_elsewhere = merging(ask)
    return asked


def played(fed: SmallFederation, sent: dict[str, bytes], *, shards: int) -> dict[str, bytes]:
    for night in range(1, NIGHTS + 1):
        fed.open(night)
        for key, data in sent.items():
            if key.startswith(f"inbox/{night:08d}"):
                fed.store.put_if_absent(key, data)
        runner = fed.runner(night)
        runner.freeze(night, runner.validate(runner.collect(night)))
        assert runner.merge.is_due_elsewhere(runner.plan(night).value)
        asked = elsewhere(runner, fed, shards=shards) if shards else []
        assert runner.conclude(night).counted == 7
        assert not runner.merge.is_due_elsewhere(runner.plan(night).value)
        assert len({portion for _, portion in asked}) == (min(shards, 2) if shards else 0)
    return fed.decided()


def messages(**policy: Any) -> dict[str, bytes]:
    """Three nights' inboxes: everybody finds another part and looked at other lags, one lies."""
    fed = founded(**policy)
    for night in range(1, NIGHTS + 1):
        fed.open(night)
        for i, client in enumerate(fed.clients):
            fed.submit(
                client,
                replace(
                    fed.update(client, effect=-0.6 if i == 6 else 0.3 + 0.05 * i),
                    lags=(None, (1,), (0, 1), (1, 2))[i % 4],
                ),
                round_id=night,
            )
        fed.run(night)
    return fed.objects("inbox/")


@pytest.mark.parametrize(
    "policy", [{}, {"rule": "median"}, {"n_cap": 50}, {"weigh_by": "reputation"}], ids=str
)
def test_results_states_and_receipts_are_the_same_bytes_from_any_number_of_hands(
    policy: dict[str, Any],
) -> None:
    sent = messages(**policy)
    whole = played(founded(**policy), sent, shards=0)
    assert any(key.endswith("/state") for key in whole)
    for shards in (1, 4):
        fed = founded(**policy)
        assert played(fed, sent, shards=shards) == whole
        assert audit(fed.store, fed.fingerprint, fed.coordinator).ok


def test_short_and_long_floats_with_and_without_intervals_come_to_the_same_bytes() -> None:
    """Ranges hold both, from shards of one kind and from mixed ones."""

    first = founded()
    first.open(1)
    for i, client in enumerate(first.clients):
        update = first.update(client, effect=0.3 + 0.05 * i)
        table = update.edges
        assert table is not None
        if i < 4:  # those of the first shards are all short
            floats = ("effect", "confidence", "stability", "ci_low", "ci_high")
            table = replace(table, **{n: getattr(table, n).astype(np.float32) for n in floats})
        if i % 3 == 2:
            table = replace(table, ci_low=None, ci_high=None)
        first.submit(client, replace(update, edges=table))
    first.run(1)
    for shards in (1, 2, 3):
        fed = founded()
        fed.open(1)
        for key, data in first.objects("inbox/").items():
            fed.store.put_if_absent(key, data)
        runner = fed.runner(1)
        runner.freeze(1, runner.validate(runner.collect(1)))
        elsewhere(runner, fed, shards=shards)
        runner.conclude(1)
        assert fed.decided() == first.decided()


class Watched(MemoryStore):
    """Notes which copies are read."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[str] = []

    def read(self, key: str, *, max_bytes: int) -> bytes:
        self.copies += [key] if "/accepted/" in key else []
        return super().read(key, max_bytes=max_bytes)


def test_late_updates_lie_in_packs_of_their_own_and_come_to_their_place_in_a_shard() -> None:
    """A shard reads each of its packs once, in their order; its rows are the clients' in theirs."""
    sent: dict[str, bytes] = {}
    decided = []
    for shards in (0, 2):
        store = Watched()
        fed = SmallFederation(clients=7, store=store, limits=Limits(pack_bytes=2600))
        fed.open(1, quorum=3)  # below which it is void
        fed.open(2)
        if not sent:
            for i, client in enumerate(fed.clients):
                fed.submit(
                    client,
                    fed.update(client, effect=0.3 + 0.05 * i),
                    round_id=1 if client in ("site-04", "site-06") else 2,
                )
            sent = fed.objects("inbox/")
        for key, data in sent.items():
            store.put_if_absent(key, data)
        runner = fed.runner(2)
        runner.freeze(2, runner.validate(runner.collect(2)))
        freeze = runner.merge.shuffle(2).freeze
        assert freeze.in_pack == (0, 0, 1, 2, 1, 2, 3)
        if shards:
            runner.merge.shuffle(2).layout(shards, rows_a_range=3)  # which reads a sample
            store.copies.clear()
            elsewhere(runner, fed, shards=shards)
            packs = [Keys.accepted(2, digest) for digest in freeze.packs]
            assert store.copies == [packs[2], packs[1], packs[3], packs[0], packs[1]], (
                "the second shard, then the first"
            )
        assert runner.conclude(2).counted == 7
        decided.append(fed.decided())
    assert decided[0] == decided[1]


def test_the_driver_of_a_small_merge_does_all_steps_but_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "ROWS_HERE", 1 << 24)
    sent = messages()
    whole, fed = played(founded(), sent, shards=0), founded()
    steps: list[str] = []

    def noting(step: Any) -> dict[str, Any]:
        steps.append(type(step).__name__)
        return to_arrays(step)

    monkeypatch.setattr(remote, "to_arrays", noting)
    assert played(fed, sent, shards=4) == whole
    assert steps
    assert set(steps) == {"Merge"}
    assert not remote._KEPT._works, "nothing is kept of a merge that has ended"


def frozen(fed: SmallFederation) -> RoundRunner:
    fed.open(1)
    for client in fed.clients:
        fed.submit(client)
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    return runner


def changed(fed: SmallFederation, part: str) -> str:
    store = fed.store
    assert isinstance(store, MemoryStore)
    key = next(k for k in store._objects if "/scratch/" in k and part in k)
    store._objects[key] = damaged(store._objects[key])
    return key


@pytest.mark.parametrize("part", ["/blocks/", "/clients/", "/layout"])
def test_a_block_that_was_changed_ends_the_stage_and_nothing_is_released(part: str) -> None:
    fed = founded()
    runner = frozen(fed)
    elsewhere(runner, fed, shards=3)
    key, before = changed(fed, part), fed.decided()
    with pytest.raises(RoundError, match="R-43") as caught:
        runner.release(1)
    assert caught.value.subject == key
    assert set(fed.decided()) - set(before) <= {k for k in fed.decided() if k.startswith("ledger/")}
    assert not any(k.endswith("/result") for k in fed.decided())


def test_blocks_that_change_places_are_refused() -> None:
    fed = founded()
    runner = frozen(fed)
    elsewhere(runner, fed, shards=3)
    objects = fed.store._objects  # type: ignore[attr-defined]
    one, other = [k for k in objects if "/blocks/" in k][:2]
    objects[one], objects[other] = objects[other], objects[one]
    with pytest.raises(RoundError, match="does not open"):
        runner.release(1)


def test_a_driver_that_died_in_the_middle_is_followed_by_one_that_asks_only_what_is_missing() -> (
    None
):
    fed = founded()
    runner = frozen(fed)
    asked = elsewhere(runner, fed, shards=3)
    first = runner.merge.merges_elsewhere
    calls = 0

    def dies(address: str, portions: Sequence[int]) -> None:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise KeyboardInterrupt
        # and of this step one portion was answered only
        answer(fed.runner(1).merge.shuffle(1), address, portions[0])

    def half(address: str, portions: Sequence[int]) -> None:
        for portion in portions if calls < 3 else portions[:1]:
            answer(fed.runner(1).merge.shuffle(1), address, portion)
        dies(address, portions)

    runner.merge.merges_elsewhere = merging(half)
    with pytest.raises((KeyboardInterrupt, RoundError)):
        runner.release(1)
    done = {k for k in fed.objects("rounds/00000001/scratch/") if "/steps/" in k}
    again = fed.runner(1)
    asked = elsewhere(again, fed, shards=5)  # it adopts the layout that is there
    again.conclude(1)
    portions = {k.rsplit("/", 2)[1] + "/" + k.rsplit("/", 1)[1] for k in done}
    assert first is not None
    assert asked
    assert not {f"{address}/{portion:05d}" for address, portion in asked} & portions
    whole = founded()
    for key, data in fed.objects("inbox/").items():
        whole.store.put_if_absent(key, data)
    whole.open(1)
    whole.run(1)
    assert whole.decided() == fed.decided()


def test_a_worker_with_other_code_or_key_says_so() -> None:
    fed = founded()
    runner = frozen(fed)
    elsewhere(runner, fed, shards=2)
    other = fed.runner(1)
    other.merge.code = "newer"
    with pytest.raises(RoundError, match="same code"):
        other.merge.shuffle(1).spread(0)


def test_a_shards_rows_are_cut_once_and_a_second_try_finds_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed = founded()
    runner = frozen(fed)
    elsewhere(runner, fed, shards=2)
    before = fed.objects("rounds/00000001/scratch/")
    assert fed.runner(1).merge.shuffle(1).spread(0) == 0
    assert fed.objects("rounds/00000001/scratch/") == before
    assert not any(b"effect" in data for data in before.values())


def test_cuts_follow_the_sample_and_portions_cover_all_ranges() -> None:
    sample = np.arange(1000, dtype=np.uint64)
    layout = ShuffleLayout.of(100, sample, rows=1 << 24, shards=4, rows_a_range=1 << 20)
    assert len(layout.cuts) == 15
    assert layout.shards.tolist() == [0, 25, 50, 75, 100]
    assert [n for portion in range(4) for n in layout.ranges_of(portion)] == list(range(16))
    empty = ShuffleLayout.of(2, sample[:0], rows=0, shards=4, rows_a_range=10)
    assert empty.portions.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("rows", "clients", "shards", "ranges", "portions"),
    [
        (5_000_000, 500, 4, 19, 2),  # a night of two cores: small ranges, one task a worker
        (5_000_000, 500, 64, 4, 2),  # blocks of less than 16,384 rows cost more than they give
        (5_000_000, 100_000, 4, 6, 2),  # and so do a few rows of each client
        (100_000_000, 100_000, 4, 125, 4),
        (2_000_000_000, 1000, 4, 953, 4),  # what one object answers is limited
    ],
)
def test_ranges_fit_a_cache_where_blocks_stay_large(
    rows: int, clients: int, shards: int, ranges: int, portions: int
) -> None:
    sample = np.arange(100_000, dtype=np.uint64)
    layout = ShuffleLayout.of(clients, sample, rows=rows, shards=shards)
    assert (len(layout.cuts) + 1, len(layout.portions) - 1) == (ranges, portions)


@pytest.mark.parametrize("rows", [1000, 5], ids=["few long pieces", "many short ones"])
def test_a_block_holds_the_rows_of_its_range_in_client_order(rows: int) -> None:
    clients = [np.zeros(rows, dtype=NARROW) for _ in range(3)]
    for number, records in enumerate(clients):
        records["key"], records["hits"] = np.arange(rows), number
    cuts = np.array([rows // 3, rows // 2], dtype=np.uint64)
    blocks = dict(_blocks(clients, cuts, 7))
    ends = [0, rows // 3, rows // 2, rows]
    assert [*blocks] == [f"blocks/{number:05d}/00007" for number in range(3)]
    for block, first, end in zip(blocks.values(), ends, ends[1:], strict=False):
        expected = np.concatenate([records[first:end] for records in clients])
        assert block["rows"].tolist() == [end - first] * 3
        assert block["records"].tobytes() == expected.tobytes()


def test_steps_travel_whole() -> None:
    rule = MergeRule(strategy="consensus", vote_min=0.3, bounded=True, rule="median", f=2)
    for step in (
        Measure(),
        Agreement(weight=np.ones(3), scale=np.arange(3.0), dot_units=2.0**40, square_units=3.5),
        Merge(rule=rule, weight=np.array([0.1]), whole=np.array([0.1])),
    ):
        there = step_of(to_arrays(step))
        assert type(there) is type(step)
        for name in ("weight", "scale"):
            assert np.array_equal(getattr(there, name, None), getattr(step, name, None))
        for name in ("rule", "dot_units", "square_units"):
            assert getattr(there, name, None) == getattr(step, name, None)
    with pytest.raises(RoundError, match="no step"):
        step_of({"step": np.frombuffer(b"Other", np.uint8)})
