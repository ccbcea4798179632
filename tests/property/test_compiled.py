"""Machine code and numpy give the same bytes: whichever of them ran cannot be seen in a result.

Slow where no build is kept yet: the loops are compiled once on a machine.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed import compiled
from hyperfed.merge import PairElectorate, PatternElectorate, segments
from hyperfed.merge.ballots import agreement
from hyperfed.merge.order import Ordered, effect_trust
from hyperfed.merge.packed import NARROW, PackedRows, by_range
from hyperfed.merge.pooling import pool_effects
from hyperfed.merge.rows import COLUMNS, MergeRule, merged_rows
from hyperfed.merge.tables import table_ranges
from hyperfed.tables import EdgeTable

pytest.importorskip("numba", reason="the extra `compiled` is not installed")
pytestmark = [pytest.mark.property, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def made() -> None:
    assert compiled.make()


unhurried = settings(deadline=None, max_examples=150, report_multiple_bugs=False)
numbers = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 5e-324, -1e-300, 1e-30, 1e300, -1e300, 1e38, 2e38, 0.1, 0.30000000000000004, 1.0000001]) | st.floats(
    min_value=-10, max_value=10
)


@st.composite
def rows(draw: st.DrawFn, value: st.SearchStrategy[float] = numbers) -> tuple[np.ndarray, int, np.ndarray]:
    """(segment, keys, value): every key has a row; sometimes all are float32, sometimes many are the same."""
    keys = draw(st.integers(1, 6))
    further = draw(st.lists(st.integers(0, keys - 1), max_size=draw(st.sampled_from([4, 30, 120]))))
    segment = np.array(draw(st.permutations(list(range(keys)))) + further, dtype=np.int32)
    values = np.array(draw(st.lists(value, min_size=len(segment), max_size=len(segment))))
    if draw(st.booleans()):
        values = np.clip(values, -3e38, 3e38).astype(np.float32).astype(np.float64)
    return segment, keys, values


def both(work):  # type: ignore[no-untyped-def]
    """The bytes that `work` returns from numpy and from machine code."""
    with compiled.by_numpy():
        by_numpy = [np.asarray(a) for a in work()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "FEW", 1)
        assert compiled.machine_code(1) is not None
        ours = [np.asarray(a) for a in work()]
    for one, other in zip(by_numpy, ours, strict=True):
        assert one.dtype == other.dtype or not len(one)  # `bincount` of nothing counts in integers
        assert one.tobytes() == other.tobytes()


@unhurried
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 2)), min_size=1, max_size=80), st.integers(0, 2**24 - 1))
def test_keys_are_numbered_alike(parts: list[tuple[int, int, int]], base: int) -> None:
    keys = np.array([(a << 61) | (b << 20) | (c << 3) | (base << 36) for a, b, c in parts], dtype=np.uint64)
    both(lambda: segments.number(keys))


@unhurried
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40))
def test_keys_too_far_apart_for_a_table_are_left_to_numpy(keys: list[int]) -> None:
    both(lambda: segments.number(np.array(keys, dtype=np.uint64)))


@unhurried
@given(st.lists(st.lists(st.integers(0, 30), unique=True, max_size=20), min_size=1, max_size=6), st.lists(st.integers(0, 32), unique=True, max_size=8))
def test_records_are_put_in_order_of_their_ranges_alike(keys: list[list[int]], bounds: list[int]) -> None:
    """Also tables without rows, ranges without any, and a bound at the first key or beyond the last."""
    tables = []
    for i, own in enumerate(keys):
        records = np.zeros(len(own), dtype=NARROW)
        records["key"], records["n"], records["hits"], records["effect"] = np.sort(own), i, np.arange(len(own)), -i
        tables.append(records)

    def ordered() -> list[np.ndarray]:
        gather, dtype, counts = by_range(tables, np.sort(np.array(bounds, dtype=np.uint64)))
        assert dtype == NARROW
        return [np.concatenate(gather()), counts]

    both(ordered)


@unhurried
@given(rows(), st.integers(0, 4))
def test_order_statistics_are_alike(drawn: tuple[np.ndarray, int, np.ndarray], f: int) -> None:
    def statistics() -> list[np.ndarray]:
        ordered = Ordered(*drawn)
        return [ordered.start, ordered.count, ordered.value, ordered.rank, ordered.segment, ordered.median(), ordered.trimmed(f), ordered.at(ordered.count - 1)]

    both(statistics)


@unhurried
@given(rows())
def test_effects_are_judged_alike(drawn: tuple[np.ndarray, int, np.ndarray]) -> None:
    both(lambda: [effect_trust(*drawn)])


@unhurried
@given(rows(), st.data())
def test_effects_are_pooled_alike(drawn: tuple[np.ndarray, int, np.ndarray], data: st.DataObject) -> None:
    segment, keys, effect = drawn
    many = {"min_size": len(segment), "max_size": len(segment)}
    vote = np.array(data.draw(st.lists(st.sampled_from([0.0, -0.0]) | st.floats(-1, 1), **many)))
    weight = np.array(data.draw(st.lists(st.just(1.0) | st.floats(1e-9, 1e9), **many)))
    width = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.0, 0.1, 1e-40, 1e300]) | st.floats(0, 100), **many))) if data.draw(st.booleans()) else None

    def columns() -> list[np.ndarray]:
        pooled = pool_effects(segment, keys, effect=effect, vote=vote, weight=weight, width=width)
        return [pooled.effect, pooled.std_error, pooled.tau2, pooled.i2, pooled.pooled]

    both(columns)


def test_long_runs_are_sorted_alike() -> None:
    """Longer than what is sorted by insertion: already ascending, descending, all the same, and any order."""
    rng = np.random.default_rng(0)
    runs = [np.arange(5000.0), -np.arange(5000.0), np.ones(5000), rng.normal(size=5000), np.repeat([1.0, -1.0], 2500), rng.integers(0, 9, 5000).astype(float)]
    segment = np.repeat(np.arange(len(runs), dtype=np.int32), 5000)
    both(lambda: [Ordered(segment, len(runs), np.concatenate(runs)).value, effect_trust(segment, len(runs), np.concatenate(runs))])


@pytest.mark.parametrize("many", [5, 16, 17, 63, 64, 65, 66, 200, 331])
def test_the_middle_of_many_values_is_found_whatever_their_order(many: int) -> None:
    """Also where no sample says where it lies: all but a few are the same, the samples all lie at one end, values repeat, two halves lie apart."""
    rng = np.random.default_rng(many)
    kinds = [
        rng.normal(size=many),
        np.where(rng.random(many) < 0.05, rng.normal(size=many), 0.25),
        np.where(np.arange(many) % max(1, many // 16) == 0, -9.0, rng.normal(size=many)),
        np.where(np.arange(many) % max(1, many // 16) == 0, 9.0, rng.normal(size=many)),
        rng.integers(0, 3, many).astype(float),
        np.where(np.arange(many) < many // 2, -1.0, 1.0) * rng.random(many),
        np.sort(rng.normal(size=many)) * 1e-300,
        rng.choice([-1e38, 0.0, -0.0, 1e38], many),
    ]
    segment = np.repeat(np.arange(len(kinds), dtype=np.int32), many)
    both(lambda: [effect_trust(segment, len(kinds), np.concatenate(kinds))])
    both(lambda: [effect_trust(segment, len(kinds), np.concatenate(kinds).astype(np.float32).astype(np.float64))])


@dataclass
class Read:
    """Rows of a range, client after client."""

    rows: np.ndarray
    columns: dict[str, np.ndarray]
    width: np.ndarray | None

    def column(self, name: str) -> np.ndarray:
        return self.columns[name]

    def widths(self) -> np.ndarray | None:
        return self.width


@st.composite
def ranges(draw: st.DrawFn) -> tuple[Read, int, np.ndarray, PatternElectorate]:
    """(rows, keys, segment, electorate): every key has a row, and a client that reports a key could vote on it."""
    clients, keys = draw(st.integers(1, 14)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    there = rng.random((clients, keys)) < draw(st.sampled_from([0.3, 0.8, 1.0]))
    there[draw(st.integers(0, clients - 1))] = True
    could = there | (rng.random((clients, keys)) < draw(st.sampled_from([0.5, 1.0])))
    segment = np.nonzero(there)[1].astype(np.int32)
    n, short = len(segment), draw(st.booleans())
    effect = rng.normal(draw(st.sampled_from([0.0, 2.0])), 1, n).round(draw(st.integers(0, 12)))
    effect[rng.random(n) < 0.1] = draw(numbers)
    share = st.sampled_from([(0.0, 1.0), (1.0, 1.0), (0.5, 0.6)])
    floats = [np.clip(effect, -1e30, 1e30), rng.uniform(*draw(share), n), rng.uniform(*draw(share), n)]
    columns = {k: c.astype(np.float32 if short else np.float64) for k, c in zip(("effect", "confidence", "stability"), floats, strict=True)}
    columns |= {"n": rng.integers(0, draw(st.sampled_from([3, 2**63])), n, dtype=np.uint64), "hits": rng.integers(0, 2**32, n, dtype=np.uint32)}
    width = np.where(rng.random(n) < draw(st.sampled_from([0.0, 0.5])), 0.0, rng.random(n)) if draw(st.booleans()) else None
    return Read(there.sum(axis=1), columns, width), keys, segment, PatternElectorate(could.T)


def weights_of(draw: st.DrawFn, clients: int) -> np.ndarray:
    return np.array(draw(st.lists(st.sampled_from([0.0, 1.0, 0.9]) | st.floats(0, 2), min_size=clients, max_size=clients)))


@unhurried
@given(ranges(), st.sampled_from(["union", "intersection", "weighted", "consensus", "mean"]), st.sampled_from([0.0, 0.3, 0.5]), st.booleans(), st.data())
def test_a_range_is_merged_alike(
    drawn: tuple[Read, int, np.ndarray, PatternElectorate], strategy: str, least: float, bounded: bool, data: st.DataObject
) -> None:
    read, size, segment, electorate = drawn
    weight, rule = weights_of(data.draw, len(read.rows)), MergeRule(strategy=strategy, vote_min=least, bounded=bounded, rule="bounded-trust", f=0)

    def columns() -> list[np.ndarray]:
        merged = merged_rows(rule, read, np.arange(size, dtype=np.uint64), segment, electorate, weight)
        return [merged[name] for name in COLUMNS]

    both(columns)


def packed(read: Read, rng: np.random.Generator) -> PackedRows:
    """The same rows as records of float32."""
    records = np.zeros(int(read.rows.sum()), dtype=NARROW)
    for name, column in read.columns.items():
        records[name] = column
    if read.width is not None:
        records["ci_low"] = records["effect"] - read.width * rng.random(len(records))
        records["ci_high"] = records["ci_low"] + read.width.astype(np.float32)
    return PackedRows(records=records, rows=read.rows)


@unhurried
@given(ranges(), st.sampled_from(["union", "intersection", "weighted", "consensus", "mean"]), st.sampled_from([0.0, 0.3, 0.5]), st.booleans(), st.data())
def test_records_are_merged_alike(
    drawn: tuple[Read, int, np.ndarray, PatternElectorate], strategy: str, least: float, bounded: bool, data: st.DataObject
) -> None:
    read, size, segment, electorate = drawn
    records = packed(read, np.random.default_rng(size))
    weight, rule = weights_of(data.draw, len(read.rows)), MergeRule(strategy=strategy, vote_min=least, bounded=bounded, rule="bounded-trust", f=0)

    def columns() -> list[np.ndarray]:
        merged = merged_rows(rule, records, np.arange(size, dtype=np.uint64), segment, electorate, weight)
        return [records.votes(), *(merged[name] for name in COLUMNS)]

    both(columns)


@unhurried
@given(ranges(), st.integers(0, 3), st.data())
def test_clients_agree_alike(drawn: tuple[Read, int, np.ndarray, PatternElectorate], classes: int, data: st.DataObject) -> None:
    read, size, segment, _ = drawn
    vote, factor = np.clip(read.columns["effect"].astype(np.float64), -1, 1), weights_of(data.draw, len(read.rows))
    pair = np.arange(len(segment), dtype=np.int32)[::-1] % classes if classes else None
    for kind in (np.int32, np.uint16):
        numbered = segment.astype(kind)
        both(lambda numbered=numbered: agreement(numbered, vote, read.rows, factor, size, 2.0**40, pair, classes or len(read.rows)))


@unhurried
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.5, -1e-30]), st.floats(0, 1, width=32), st.floats(0, 1, width=32)), min_size=1, max_size=40))
def test_votes_of_tables_are_cast_alike(rows: list[tuple[float, float, float]]) -> None:
    effect, confidence, stability = (np.array(column, dtype=np.float32) + np.float32(0) for column in zip(*rows, strict=True))
    n, zeros = len(rows), np.zeros(len(rows), np.uint32)
    table = EdgeTable(
        source=zeros,
        target=np.arange(n, dtype=np.uint32),
        lag=np.ones(n, np.uint16),
        effect=effect,
        confidence=confidence,
        stability=stability,
        hits=zeros,
        n=zeros.astype(np.uint64),
    )
    (work,) = table_ranges([table], PairElectorate([np.arange(n, dtype=np.uint32)])).works
    both(lambda: [work.load().votes()])
