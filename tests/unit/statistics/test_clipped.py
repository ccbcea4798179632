"""How far one row moves the moments of clipped rows: found by brute force, and never more."""

import itertools
import math

import numpy as np
import pytest

from hyperfed.errors import EngineError
from hyperfed.statistics import statistics_of
from hyperfed.statistics.clipped import clipped_moments, clipped_rows, clipped_statistics, reach
from hyperfed.tables.vocabulary import Variable, Vocabulary

pytestmark = pytest.mark.unit

GRID = 4000
C = 3.0
NAMES = ("a", "b", "c")
PUBLIC = Vocabulary.of(*NAMES)


def moved(
    rows: np.ndarray, at: int, *, lags: tuple[int, ...], centring: str, grid: int = GRID
) -> float:
    """How far the moments move where row `at` becomes zero, in units of C^2."""
    without = rows.copy()
    without[at] = 0.0
    first, second = (
        clipped_moments(one, lags=lags, row_norm=C, grid=grid, centring=centring)
        for one in (rows, without)
    )
    return float(np.linalg.norm((first - second).astype(float))) / grid


def bound(lags: tuple[int, ...], centring: str, width: int, grid: int = GRID) -> float:
    """What the noise hides: the reach, and truncation."""
    above = sum(lag > 0 for lag in lags)
    columns = width * (above + 1)
    return math.sqrt(reach(lags, centring)) + math.sqrt(columns * (columns + 1) / 2) / grid


def search(lags: tuple[int, ...], centring: str, rng: np.random.Generator) -> float:
    """The largest move found: signs of one variable, then climbing in three."""
    worst = 0.0
    longest = max(lags)
    for signs in itertools.product((-1.0, 1.0), repeat=min(6, 2 * longest + 2)):
        rows = np.resize(np.array(signs) * C, (4 * longest + 12, 1))
        at = len(rows) // 2
        worst = max(worst, moved(rows, at, lags=lags, centring=centring))
    rows = rng.normal(size=(6 * longest + 4, 3)) * 10
    at = len(rows) // 2
    best = moved(rows, at, lags=lags, centring=centring)
    for _ in range(150):
        other = rows.copy()
        other[rng.integers(len(rows))] = 10 * rng.normal(size=3)
        if (there := moved(other, at, lags=lags, centring=centring)) > best:
            rows, best = other, there
    assert best <= bound(lags, centring, 3)
    return max(worst, best)


def test_the_reach_is_what_the_issue_derives() -> None:
    assert [reach((0,), "public"), reach((1,), "public"), reach((1, 2), "public")] == [1, 6, 15]
    assert [reach((0,), "client"), reach((1,), "client"), reach((1, 2), "client")] == [9, 34, 75]


@pytest.mark.parametrize("lags", [(0,), (1,), (1, 2), (1, 3)])
@pytest.mark.parametrize("centring", ["public", "client"])
def test_no_row_moves_the_moments_further_than_the_reach(
    lags: tuple[int, ...], centring: str
) -> None:
    worst = search(lags, centring, np.random.default_rng(len(lags)))
    most = math.sqrt(reach(lags, centring))
    assert worst <= bound(lags, centring, 1)
    if centring == "public":
        assert worst > 0.995 * most  # the bound is reached
    if (lags, centring) == ((1,), "public"):
        assert worst == pytest.approx(2.449, abs=0.002)
        assert worst > 2  # (L + 1) C^2 is too small


def test_centring_after_the_clip_comes_near_its_bound() -> None:
    """A row against all others, whose mean it moves: 3 C^2 without lags."""
    rows = np.full((4000, 1), -C)
    rows[2000] = C
    assert 2.99 < moved(rows, 2000, lags=(0,), centring="client") <= 3.0 + 1 / GRID
    rows[[1999, 2001]] = C  # with two neighbours against the others: 4 C^2 between two lags
    assert 0.999 * math.sqrt(34) < moved(rows, 2000, lags=(1,), centring="client")
    assert moved(rows, 2000, lags=(1,), centring="client") <= bound((1,), "client", 1)


def test_rows_are_clipped_exactly_whatever_their_size() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 3)) * 10.0 ** rng.integers(-8, 300, size=(500, 1))
    steps = clipped_rows(rows, C)
    assert int((steps * steps).sum(axis=1).max()) <= 1 << 28
    assert int((steps * steps).sum(axis=1).max()) > 0.9999 * (1 << 28)
    short = clipped_rows(np.array([[1.0, -1.0, 0.5]]), C)[0]
    assert short * C / (1 << 14) == pytest.approx([1.0, -1.0, 0.5], abs=C / (1 << 14))
    for wrong in (np.nan, np.inf):
        with pytest.raises(EngineError, match="missing or infinite"):
            clipped_rows(np.array([[1.0, wrong, 0.0]]), C)


@pytest.mark.parametrize("centring", ["client", "public"])
def test_rows_within_the_clip_have_the_moments_of_unclipped_ones(centring: str) -> None:
    rng = np.random.default_rng(1)
    data = 0.3 * rng.normal(size=(400, 3)) + 0.2
    grid = 1 << 20
    one = clipped_statistics(
        data,
        names=NAMES,
        vocabulary=PUBLIC,
        lags=(1,),
        row_norm=C,
        grid=grid,
        centring=centring,
    )
    rows = np.concatenate([data[1:], data[:-1]], axis=1)
    if centring == "client":
        plain = statistics_of(data, names=NAMES, vocabulary=PUBLIC, lags=(1,))
        assert one.matrix == pytest.approx(plain.matrix, abs=0.02)
        assert one.n == plain.n
    assert one.matrix == pytest.approx(
        (rows - (rows.mean(axis=0) if centring == "client" else 0)).T @ rows, abs=0.05
    )
    steps = one.moments * grid / C**2
    assert (steps == np.rint(steps)).all()
    assert one.form == "clipped"


def test_columns_come_in_any_order_in_public_units_and_a_missing_one_is_refused() -> None:
    ranged = Vocabulary(
        variables=tuple(Variable(name=name, domain="", low=0.0, high=100.0) for name in NAMES)
    )
    data = np.random.default_rng(2).uniform(-20, 120, size=(50, 3))
    given = {"row_norm": C, "grid": GRID, "centring": "client", "lags": (0,)}
    first = clipped_statistics(data, names=NAMES, vocabulary=ranged, **given)  # type: ignore[arg-type]
    turned = clipped_statistics(
        data[:, ::-1],
        names=NAMES[::-1],
        vocabulary=ranged,
        **given,  # type: ignore[arg-type]
    )
    assert first == turned
    assert (first.matrix.diagonal() <= first.n).all()
    with pytest.raises(EngineError, match="'c' is not measured"):
        clipped_statistics(data[:, :2], names=NAMES[:2], vocabulary=ranged, **given)  # type: ignore[arg-type]
