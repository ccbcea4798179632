"""Machine code puts columns together and cuts them, checks tables and packs rows as numpy does: the same columns, planes, refusals and records.

Slow where no build is kept yet: the loops are compiled once on a machine.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed import compiled
from hyperfed.codec import PayloadCodec
from hyperfed.codec import planes as p
from hyperfed.compiled import tables as loops
from hyperfed.errors import PacketError
from hyperfed.merge.packed import pack
from hyperfed.packets import Update
from hyperfed.tables import EdgeTable

pytest.importorskip("numba", reason="the extra `compiled` is not installed")
pytestmark = [pytest.mark.property, pytest.mark.slow, pytest.mark.timeout(300)]

unhurried = settings(deadline=None, max_examples=150, report_multiple_bugs=False)


@pytest.fixture(scope="module", autouse=True)
def made() -> None:
    assert compiled.make()


def both(work: Callable[[], Any]) -> tuple[Any, Any]:
    """What comes of it by numpy, and by machine code; an error as its words."""

    def outcome() -> Any:
        try:
            return work()
        except PacketError as error:
            return type(error), str(error)

    assert compiled.loaded() is not None
    with compiled.by_numpy():
        assert compiled.loaded() is None
        numpys = outcome()
    return numpys, outcome()


def table(rng: np.random.Generator, rows: int, *, intervals: bool = True, kind: Any = np.float32) -> EdgeTable:
    keys = np.sort(rng.choice(200 * 199 * 4, rows, replace=False))
    source, rest = np.divmod(keys, 199 * 4)
    effect = rng.normal(size=rows).astype(kind)
    half = np.abs(rng.normal(size=rows)).astype(kind) if rng.random() < 0.5 else np.full(rows, 0.25, kind)
    ends = {"ci_low": effect - half, "ci_high": effect + half} if intervals else {}
    return EdgeTable(
        source=source.astype(np.uint32),
        target=(200 + rest // 4).astype(np.uint32),
        lag=(rest % 4).astype(np.uint16),
        effect=effect,
        confidence=rng.random(rows).astype(kind),
        stability=rng.choice([0.0, 0.5, 1.0], rows).astype(kind),
        hits=rng.integers(0, 2 ** int(rng.integers(1, 33)), rows, dtype=np.uint32),
        n=rng.integers(0, 2 ** int(rng.integers(1, 64)), rows, dtype=np.uint64),
        **ends,
    )


@unhurried
@given(st.integers(0, 2**32), st.integers(1, 700), st.booleans(), st.sampled_from([np.float32, np.float64]), st.sampled_from([None, 16, 8]))
def test_an_update_is_read_and_packed_alike(seed: int, rows: int, intervals: bool, kind: Any, bits: int | None) -> None:
    edges = table(np.random.default_rng(seed), rows, intervals=intervals, kind=kind)
    data = PayloadCodec(compression="zstd", unit_bits=bits).encode(Update(measured=np.arange(400, dtype=np.uint32), edges=edges))

    def read() -> tuple[Update, bytes]:
        update = PayloadCodec().decode(data, Update)
        assert update.edges is not None
        return update, pack(update.edges).tobytes()

    one, other = both(read)
    assert one == other
    if bits is None:
        assert one[0].edges == edges


columns = st.one_of(
    st.tuples(st.sampled_from(["<u2", "<u4", "<u8", "<f4"]), st.just(p.Coding.PLAIN)),
    st.tuples(st.sampled_from(["<u2", "<u4", "<u8"]), st.just(p.Coding.STEP)),
    st.tuples(st.just("<f4"), st.sampled_from([p.Coding.BELOW, p.Coding.MIRROR])),
)


@unhurried
@given(columns, st.integers(1, 300), st.integers(0, 4), st.floats(-4, 4), st.integers(0, 2**32))
def test_any_planes_make_the_same_column(drawn: tuple[str, p.Coding], rows: int, count: int, reach: float, seed: int) -> None:
    """Also planes that no writer makes: whoever sends may send them, and what they come to is checked afterwards."""
    dtype, rng = np.dtype(drawn[0]), np.random.default_rng(seed)
    coding, width = drawn[1], int(rng.choice([w for w in (1, 2, 4, 8) if w <= dtype.itemsize])) if drawn[1] is p.Coding.STEP else dtype.itemsize
    planes = [rng.integers(0, 256, rows, dtype=np.uint8).tobytes() for _ in range(min(count, width))]
    told = tuple(rng.normal(size=rows).astype(np.float32) for _ in range({p.Coding.BELOW: 1, p.Coding.MIRROR: 2}.get(coding, 0)))
    reach = reach if coding is p.Coding.BELOW else 0.0
    ours = loops.column([*planes], rows, dtype, coding=coding, width=width, reach=reach, told=told)
    numpys = p._decoded([np.frombuffer(plane, np.uint8) for plane in planes], rows, dtype, coding, told, reach, width)
    assert ours is not None
    assert (ours.dtype, ours.tobytes()) == (numpys.dtype, numpys.tobytes())


@unhurried
@given(columns, st.integers(1, 3000), st.integers(1, 256), st.booleans(), st.floats(-4, 4), st.integers(0, 2**32))
def test_any_column_is_cut_into_the_same_planes(
    drawn: tuple[str, p.Coding], rows: int, different: int, ascending: bool, reach: float, seed: int,
) -> None:  # fmt: skip
    """Planes of so many different bytes each: few, about as many as make one look like chance, or all."""
    dtype, coding, rng = np.dtype(drawn[0]), drawn[1], np.random.default_rng(seed)
    raw = rng.integers(0, different, (rows, dtype.itemsize), dtype=np.uint8)
    raw[:, int(rng.integers(1, dtype.itemsize + 1)) :] = 0  # values of fewer bytes
    column = raw.reshape(-1).view(dtype)
    if ascending:
        column = np.sort(column)
    told = tuple(rng.normal(size=rows).astype(np.float32) for _ in range({p.Coding.BELOW: 1, p.Coding.MIRROR: 2}.get(coding, 0)))
    reach = reach if coding is p.Coding.BELOW else 0.0

    def cut() -> tuple[int, list[tuple[bytes, bool]]]:
        width, planes = p._cut(column, coding, told, reach)
        return width, [(plane.tobytes(), chance) for plane, chance in planes]

    assert loops.cut(column, coding=coding, reach=reach, told=told, taste=128, most=96) is not None
    one, other = both(cut)
    assert one == other


def test_what_looks_like_chance_is_told_at_its_bound() -> None:
    for different in (96, 97):
        column = (np.arange(128) % different).astype("<u2")
        one, other = both(lambda column=column: [chance for _, chance in p._cut(column, p.Coding.PLAIN, None, 0.0)[1]])
        assert one == other == [different > 96]


@unhurried
@given(st.integers(0, 2**32), st.integers(1, 900), st.booleans(), st.sampled_from([np.float32, np.float64]), st.sampled_from([None, 16, 8]))
def test_an_update_is_written_alike(seed: int, rows: int, intervals: bool, kind: Any, bits: int | None) -> None:
    update = Update(measured=np.arange(400, dtype=np.uint32), edges=table(np.random.default_rng(seed), rows, intervals=intervals, kind=kind))
    one, other = both(lambda: PayloadCodec(compression="zstd", unit_bits=bits).encode(update))
    assert one == other


def test_what_there_is_no_loop_for_is_left_to_numpy() -> None:
    assert loops.cut(np.zeros(64, np.uint8), coding=p.Coding.PLAIN, reach=0.0, told=(), taste=128, most=96) is None
    assert loops.cut(np.zeros(64), coding=p.Coding.BELOW, reach=0.0, told=(np.zeros(64),), taste=128, most=96) is None
    plane = bytes(64)
    assert loops.column([plane] * 5, 64, np.dtype("<u8"), coding=p.Coding.PLAIN, width=8, reach=0.0, told=()) is None
    assert loops.column([plane], 64, np.dtype("<u1"), coding=p.Coding.PLAIN, width=1, reach=0.0, told=()) is None
    assert loops.column([plane], 64, np.dtype("<f8"), coding=p.Coding.BELOW, width=8, reach=0.0, told=(np.zeros(64),)) is None


def _set(name: str, value: Any) -> Callable[[dict[str, Any], int], None]:
    def change(given: dict[str, Any], row: int) -> None:
        given[name][row] = value

    return change


def _as_before(given: dict[str, Any], row: int) -> None:
    for name in ("source", "target", "lag"):
        given[name][row] = given[name][row - 1]


def _swapped(given: dict[str, Any], row: int) -> None:
    for name in ("source", "target", "lag"):
        given[name][[row - 1, row]] = given[name][[row, row - 1]]


def _on_itself(given: dict[str, Any], row: int) -> None:
    given["target"][row], given["lag"][row] = given["source"][row], 0


FAULTS: dict[str, Callable[[dict[str, Any], int], None]] = {
    "a source too large": _set("source", 1 << 24),
    "a target too large": _set("target", 1 << 24),
    "an edge on itself": _on_itself,
    "an edge twice": _as_before,
    "edges out of order": _swapped,
    **{f"{name} {value}": _set(name, value) for name in ("effect", "ci_low", "ci_high") for value in (np.nan, np.inf, -np.inf, -0.0)},
    **{f"{name} {value}": _set(name, value) for name in ("confidence", "stability") for value in (np.nan, -0.0, -1e-30, 1.0000001)},
    "too many samples": _set("n", (1 << 63) + 1),
    "an effect above its interval": _set("effect", 1e30),
    "an effect below its interval": _set("effect", -1e30),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("row", [1, 250, 499])
def test_each_fault_is_refused_in_the_same_words(fault: str, row: int) -> None:
    sound = table(np.random.default_rng(row), 500)
    given = {name: getattr(sound, name).copy() for name in ("source", "target", "lag", "effect", "ci_low", "ci_high", "confidence", "stability", "hits", "n")}
    assert loops.is_sound(sound)
    FAULTS[fault](given, row)
    one, other = both(lambda: EdgeTable(**given))
    assert one == other
    assert issubclass(one[0], PacketError)


@unhurried
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6), st.booleans())
def test_the_order_of_edges_is_judged_alike(edges: list[tuple[int, int, int]], ascending: bool) -> None:
    edges = sorted(edges) if ascending else edges
    source, target, lag = (np.array(column, dtype) for column, dtype in zip(zip(*edges, strict=True), (np.uint32, np.uint32, np.uint16), strict=True))
    unit, count = np.ones(len(edges), np.float32), np.ones(len(edges), np.uint32)
    one, other = both(
        lambda: EdgeTable(source=source, target=target, lag=lag, effect=unit, confidence=unit, stability=unit, hits=count, n=count.astype(np.uint64))
    )
    assert one == other
    assert isinstance(one, EdgeTable) == (sorted(set(edges)) == edges and all(s != t or back for s, t, back in edges))


def test_what_lies_at_a_bound_is_sound() -> None:
    sound = table(np.random.default_rng(0), 500)
    n, unit = sound.n.copy(), sound.confidence.copy()
    n[3], unit[4], unit[5] = 1 << 63, 1.0, 0.0
    assert loops.is_sound(replace(sound, n=n, confidence=unit))
    assert loops.is_sound(replace(sound, ci_low=None, ci_high=None))


def test_a_process_that_finds_machine_code_imports_no_numba() -> None:
    code = "import sys; from hyperfed import compiled; compiled.load_kept(); sys.exit(compiled.loaded() is None or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
