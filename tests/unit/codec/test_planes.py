"""Columns as byte planes: lossless bit for bit, and nothing inflated that was not declared."""

import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
import zstandard

from hyperfed.codec import PayloadCodec
from hyperfed.codec.planes import Coding, PlaneReader, PlaneWriter, deflate, inflate
from hyperfed.errors import SchemaError
from hyperfed.packets import Update
from hyperfed.tables.tables import EdgeTable

pytestmark = pytest.mark.unit

ROWS = 3000


def there_and_back(
    column: Any, coding: Coding = Coding.PLAIN, around: Any = None
) -> tuple[Any, int]:
    """(what is read of what was written, bytes it took)."""
    writer = PlaneWriter()
    entry = writer.put(column, coding, around)
    planes = b"".join(writer.finish())
    assert writer.raw_bytes == column.nbytes
    reader = PlaneReader(memoryview(planes), column.nbytes)
    back = reader.claim(memoryview(entry), column.dtype, "column")[1](around)
    reader.close()
    return back, len(planes)


def odd_floats(dtype: Any) -> Any:
    """Every kind of bit pattern that a finite float may have, and some that it may not: planes know
    nothing of floats.
    """
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, ROWS).astype(dtype)
    info = np.finfo(dtype)
    values[:8] = [0.0, -0.0, info.max, info.min, info.tiny, info.smallest_subnormal, np.inf, 1.0]
    return values


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_come_back_bit_for_bit(dtype: Any) -> None:
    column = odd_floats(dtype)
    back, _ = there_and_back(column)
    assert back.dtype == column.dtype
    assert back.tobytes() == column.tobytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("coding", [Coding.PLAIN, Coding.STEP])
@pytest.mark.parametrize("top", [0, 1, 255, 256, 65_535, 1 << 24, (1 << 64) - 1])
def test_integers_come_back_whatever_their_size_and_order(
    dtype: Any, coding: Coding, top: int
) -> None:
    rng = np.random.default_rng(2)
    column = rng.integers(0, min(top, int(np.iinfo(dtype).max)), ROWS, dtype=dtype, endpoint=True)
    back, _ = there_and_back(column, coding)
    assert np.array_equal(back, column)
    assert back.dtype == column.dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_upper_end_of_a_symmetric_interval_costs_less_than_a_byte_and_any_other_comes_back_too(
    dtype: Any,
) -> None:
    rng = np.random.default_rng(3)
    effect = rng.normal(0, 1, ROWS)
    reach = np.abs(rng.normal(0, 0.1, ROWS))
    low, high = (effect - reach).astype(dtype), (effect + reach).astype(dtype)
    back, size = there_and_back(high, Coding.MIRROR, (effect.astype(dtype), low))
    assert back.tobytes() == high.tobytes()
    assert size < ROWS
    wild = odd_floats(dtype)
    back, _ = there_and_back(wild, Coding.MIRROR, (effect.astype(dtype), low))
    assert back.tobytes() == wild.tobytes()
    back, _ = there_and_back(high, Coding.MIRROR, (wild, wild[::-1].copy()))
    assert back.tobytes() == high.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_lower_end_of_an_interval_costs_less_than_chance_and_any_other_comes_back_too(
    dtype: Any,
) -> None:
    rng = np.random.default_rng(3)
    effect = rng.normal(0, 1, 5 * ROWS + (1 << 14))  # more than a block
    low = (effect - np.abs(rng.normal(0.1, 0.01, len(effect)))).astype(dtype)
    effect = effect.astype(dtype)
    back, size = there_and_back(low, Coding.BELOW, (effect,))
    assert back.tobytes() == low.tobytes()
    assert size < (0.97 * there_and_back(low)[1])
    wild, shuffled = odd_floats(dtype), effect[:ROWS]
    for column, around in (
        (wild, shuffled),
        (shuffled, wild),
        (wild, wild),
        (-shuffled, shuffled * dtype(1e30)),
    ):
        back, _ = there_and_back(column, Coding.BELOW, (around,))
        assert back.tobytes() == column.tobytes()


def test_keys_that_fit_into_two_bytes_step_in_two() -> None:
    # steps of 1, and back to 0: four planes of four bytes, or two of two
    column = np.tile(np.arange(1000, dtype=np.uint32), 3)
    writer = PlaneWriter()
    entry = writer.put(column, Coding.STEP)
    writer.finish()
    assert entry[1] == 2
    assert len(entry) == struct.calcsize("<BBId2I")
    back, _ = there_and_back(column, Coding.STEP)
    assert np.array_equal(back, column)
    assert back.dtype == column.dtype


def test_a_plane_that_looks_like_chance_is_kept_and_one_that_does_not_is_squeezed() -> None:
    rng = np.random.default_rng(6)
    assert there_and_back(rng.integers(0, 256, 1 << 16).astype(np.uint8))[1] == 1 << 16
    assert there_and_back(rng.integers(0, 128, 1 << 16).astype(np.uint8))[1] < 0.9 * (1 << 16)


def test_a_long_plane_that_is_nearly_all_one_value_is_squeezed_by_the_better_of_two_finders() -> (
    None
):
    rng = np.random.default_rng(4)
    scattered = np.minimum(rng.geometric(0.92, 1 << 18) - 1, 5).astype(np.uint8)
    lengths = []
    for column in (
        scattered[:-1],
        scattered,
        np.where(rng.random(1 << 18) < 0.03, scattered * 40, 0).astype(np.uint8),
    ):
        back, length = there_and_back(column)
        assert np.array_equal(back, column)
        lengths.append(length / len(column))
    too_short, better, sparse = lengths
    assert 1 / 16 < better < 0.99 * too_short < too_short < 1 / 8
    assert sparse < 1 / 16  # nothing to be gained


def test_sorted_keys_cost_a_fraction_of_what_they_are() -> None:
    column = np.sort(np.random.default_rng(4).integers(0, 1000, ROWS).astype(np.uint32))
    assert there_and_back(column, Coding.STEP)[1] < ROWS // 4
    assert there_and_back(np.full(ROWS, 5000, np.uint64))[1] < 64


def test_ascending_numbers_that_stand_alone_travel_as_steps() -> None:
    """What a client measured is named by every update of it: a thousand variables in a tenth of a
    byte each, not in one or two.
    """

    def size(measured: Any) -> int:
        update = Update(measured=measured.astype(np.uint32), edges=EdgeTable.empty())
        data = PayloadCodec(compression="zstd").encode(update)
        assert PayloadCodec().decode(data, Update) == update
        return len(data)

    assert size(np.arange(0, 5000, 5)) < size(np.zeros(0)) + 100


def test_large_columns_are_written_by_two_threads_to_the_same_bytes() -> None:
    rng = np.random.default_rng(5)
    columns = [rng.normal(0, 1, 1 << 18) for _ in range(3)]
    together, alone = PlaneWriter(), []
    for column in columns:
        together.put(column)
        single = PlaneWriter()
        single.put(column)
        alone += single.finish()
    assert b"".join(together.finish()) == b"".join(alone)


# -- refusals --------------------------------------------------------------------------------------

U4, F4 = np.dtype("<u4"), np.dtype("<f4")


def entry(
    rows: int, *lengths: int, coding: int = 0, width: int = 4, reach: float = 0.0
) -> memoryview:
    return memoryview(struct.pack(f"<BBId{len(lengths)}I", coding, width, rows, reach, *lengths))


@pytest.mark.parametrize(
    ("given", "dtype", "budget", "planes", "rule"),
    [
        (entry(300, 300), U4, 1199, bytes(300), "R-13"),
        (entry(300, 300), U4, 1200, bytes(299), "R-13"),
        (entry(300, 300, 300, 300, 300, 300), U4, 1200, bytes(1500), "R-11"),
        (entry(100, 100), U4, 400, bytes(100), "R-11"),
        (entry(300, 301), U4, 1200, bytes(301), "R-11"),
        (entry(300, 0), U4, 1200, b"", "R-11"),
        (entry(300, 300, coding=4), U4, 1200, bytes(300), "R-11"),
        (entry(300, 300, coding=3), U4, 1200, bytes(300), "R-11"),
        (entry(300, 300, coding=1), F4, 1200, bytes(300), "R-11"),
        (entry(300, 300, coding=2), U4, 1200, bytes(300), "R-11"),
        (entry(600, 600, width=1), np.dtype("|b1"), 600, bytes(600), "R-11"),
        (entry(300, 300, width=2), U4, 1200, bytes(300), "R-11"),
        (entry(300, 300, coding=1, width=8), U4, 1200, bytes(300), "R-11"),
        (entry(300, 300, coding=1, width=3), U4, 1200, bytes(300), "R-11"),
        (entry(300, 300, 300, coding=1, width=1), U4, 1200, bytes(600), "R-11"),
        (entry(300, 300, reach=0.5), F4, 1200, bytes(300), "R-11"),
        (entry(300, 300, coding=3, reach=float("nan")), F4, 1200, bytes(300), "R-11"),
        (entry(300, 300)[:-1], U4, 1200, bytes(300), "R-11"),
        (memoryview(b""), U4, 1200, b"", "R-11"),
    ],
    ids=[
        "over budget",
        "cut",
        "too many planes",
        "too small",
        "too long",
        "empty",
        "coding",
        "told int",
        "stepped float",
        "mirrored int",
        "bool",
        "narrow but plain",
        "wider than its column",
        "width 3",
        "planes beyond the width",
        "reach of none",
        "no reach",
        "odd",
        "no",
    ],
)
def test_what_does_not_describe_a_column_is_refused(
    given: memoryview, dtype: Any, budget: int, planes: bytes, rule: str
) -> None:
    with pytest.raises(SchemaError) as caught:
        PlaneReader(memoryview(planes), budget).claim(given, dtype, "column")
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    "around",
    [
        None,
        (None, None),
        (np.zeros(300, np.float32), None),
        (np.zeros(299, np.float32),) * 2,
        (np.zeros(300),) * 2,
    ],
)
def test_a_mirrored_column_without_its_mirror_is_refused(around: Any) -> None:
    _, read = PlaneReader(memoryview(bytes(300)), 1200).claim(
        entry(300, 300, coding=2), F4, "column"
    )
    with pytest.raises(SchemaError) as caught:
        read(around)
    assert caught.value.rule == "R-11"


def test_what_is_left_over_is_refused() -> None:
    for reader in (PlaneReader(memoryview(b"\0"), 0), PlaneReader(memoryview(b""), 1)):
        with pytest.raises(SchemaError) as caught:
            reader.close()
        assert caught.value.rule == "R-13"


@pytest.mark.parametrize(
    "around", [None, (), (None,), (np.zeros(299, np.float32),), (np.zeros(300),)]
)
def test_a_lower_end_without_its_effect_is_refused(around: Any) -> None:
    _, read = PlaneReader(memoryview(bytes(300)), 1200).claim(
        entry(300, 300, coding=3), F4, "column"
    )
    with pytest.raises(SchemaError) as caught:
        read(around)
    assert caught.value.rule == "R-11"


def test_a_plane_that_inflates_to_more_than_its_rows_is_not_inflated() -> None:
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(1 << 27))
    rows = len(bomb) + 1
    _, read = PlaneReader(memoryview(bomb), rows).claim(
        entry(rows, len(bomb), width=1), np.dtype("|u1"), "column"
    )
    tracemalloc.start()
    try:
        with pytest.raises(SchemaError) as caught:
            read(None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.rule == "R-13"
    assert peak < 1 << 20


def test_short_data_is_kept_as_it_is() -> None:
    assert deflate(b"abc") == b"abc"
    assert bytes(inflate(memoryview(b"abc"), 3)) == b"abc"
    long = b"abc" * 1000
    assert len(deflate(long)) < 100
    assert bytes(inflate(memoryview(deflate(long)), 3000)) == long


# -- size: a gate that is no clock -----------------------------------------------------------------


def findings(rows: int) -> Update:
    """What a client reports, as `benchmarks/codec.py` makes it: symmetric intervals, continuous
    confidence and stability.
    """
    rng = np.random.default_rng(0)
    variables, lags = 300, 4
    key = np.sort(rng.choice(variables * variables * lags, rows, replace=False))
    effect, reach = rng.normal(0, 0.3, rows), 1.96 * (np.abs(rng.normal(0.05, 0.01, rows)) + 0.01)
    table = EdgeTable(
        source=key // (variables * lags),
        target=key // lags % variables,
        lag=key % lags + 1,
        effect=effect.astype(np.float32),
        ci_low=(effect - reach).astype(np.float32),
        ci_high=(effect + reach).astype(np.float32),
        confidence=rng.beta(5, 1, rows).astype(np.float32),
        stability=rng.beta(4, 2, rows).astype(np.float32),
        hits=rng.poisson(20, rows),
        n=np.full(rows, 5000),
    )
    return Update(measured=np.arange(variables, dtype=np.uint32), edges=table)


def test_ten_thousand_edges_take_so_many_bytes_each() -> None:
    update = findings(10_000)
    data = PayloadCodec(compression="zstd").encode(update)
    assert len(data) / 10_000 < 14.6
    assert PayloadCodec().decode(data, Update) == update


def test_without_compression_decoding_copies_no_column_and_encoding_copies_each_once() -> None:
    update = findings(50_000)
    data = PayloadCodec().encode(update)
    tracemalloc.start()
    try:
        back = PayloadCodec().decode(data, Update)
        decoding = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        PayloadCodec().encode(update)
        encoding = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert back.edges is not None
    assert np.shares_memory(back.edges.effect, np.frombuffer(data, np.uint8))
    assert decoding < 0.2 * len(data)
    assert encoding < 1.1 * len(data)
