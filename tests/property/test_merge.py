"""Consensus against an oracle in plain Python loops; permutation, idempotence, and the algebra of
union and intersection.
"""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.merge import segments
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.tables import EdgeTable

pytestmark = pytest.mark.property

Z = 1.959963984540054
VARIABLES = 4
unit = st.integers(0, 20).map(lambda i: i / 20)
effects = st.integers(-40, 40).map(lambda i: i / 8)


@st.composite
def graphs(draw: st.DrawFn) -> HypergraphStore:
    """A small client: some variables, some edges among them, with intervals or without, a few of
    them of width 0.
    """
    measured = sorted(draw(st.sets(st.integers(0, VARIABLES - 1), min_size=1)))
    pairs = [(s, t, lag) for s in measured for t in measured for lag in (0, 1) if s != t or lag]
    keys = sorted(draw(st.sets(st.sampled_from(pairs), max_size=8))) if pairs else []
    rows = [
        (
            *key,
            draw(effects),
            draw(unit),
            draw(unit),
            draw(st.integers(0, 8)) / 10,
            draw(st.integers(0, 1000)),
        )
        for key in keys
    ]
    if not rows:
        return HypergraphStore(measured=measured)
    source, target, lag, effect, confidence, stability, error, n = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    interval = (
        {"ci_low": effect - Z * error, "ci_high": effect + Z * error} if draw(st.booleans()) else {}
    )
    edges = EdgeTable.build(
        source=source,
        target=target,
        lag=lag,
        effect=effect,
        confidence=confidence,
        stability=stability,
        n=n,
        **interval,
    )
    return HypergraphStore(edges=edges, measured=measured)


crowds = st.lists(graphs(), min_size=1, max_size=7)


def _as_dicts(crowd: list[HypergraphStore]) -> list[tuple[set[int], dict]]:
    return [
        (
            set(s.measured.tolist()),
            {(r["source"], r["target"], r["lag"]): r for r in s.edges.rows()},
        )
        for s in crowd
    ]


def _vote(row: dict | None) -> float:
    return (
        0.0
        if row is None
        else float((row["effect"] > 0) - (row["effect"] < 0)) * row["confidence"] * row["stability"]
    )


def _contested(crowd: list[HypergraphStore]) -> list[tuple[set, bool]]:
    """For each client the reported edges that it and another could measure, and whether there are
    any.
    """
    clients = _as_dicts(crowd)
    keys = {key for _, rows in clients for key in rows}
    could = [{k for k in keys if k[0] in measured and k[1] in measured} for measured, _ in clients]
    return [
        (own, bool(own))
        for own in ({k for k in c if sum(k in other for other in could) >= 2} for c in could)
    ]


def oracle_sizes(crowd: list[HypergraphStore]) -> list[float]:
    """The norm of a client's votes over the root of the summed mean square votes of all who could
    vote on the same edges.
    """
    clients, able = _as_dicts(crowd), [keys for keys, _ in _contested(crowd)]
    sizes = []
    for (_, rows), keys in zip(clients, able, strict=True):
        usual = math.fsum(
            statistics.fmean(
                _vote(other.get(k)) ** 2
                for (_, other), theirs in zip(clients, able, strict=True)
                if k in theirs
            )
            for k in keys
        )
        sizes.append(
            math.sqrt(math.fsum(_vote(rows.get(k)) ** 2 for k in keys) / usual)
            if usual > 0
            else 0.0
        )
    return sizes


def oracle_attention(sizes: list[float], more: list[float]) -> list[float]:
    """1 up to one spread above the median, 0 from two on, of sizes that the data do not explain."""
    middle = statistics.median(sizes)
    if sum(size > 0 for size in sizes) < 3 or middle <= 0:
        return [1.0] * len(sizes)
    spread = (
        1.4826 * (middle - statistics.quantiles(sizes, n=4, method="inclusive")[0]) + 0.2 * middle
    )
    heard = []
    for size, root in zip(sizes, more, strict=True):
        explained = max(1.0, root)
        fallen = min(1.0, max(0.0, (middle + 2 * spread - size / explained) / spread))
        held = min(1.0, (middle + spread) / size) if explained > 1 and size > 0 else 1.0
        heard.append(min(fallen, held))
    return heard


def oracle_trust(crowd: list[HypergraphStore]) -> list[float]:
    """DESIGN section 5 and ADR 0077, read aloud: no columns, no shortcuts."""
    clients = _as_dicts(crowd)
    count = len(clients)
    keys = sorted({key for _, rows in clients for key in rows})
    could = [{k for k in keys if k[0] in measured and k[1] in measured} for measured, _ in clients]
    contested = {k for k in keys if sum(k in c for c in could) >= 2}
    comparable = [bool(c & contested) for c in could]
    if sum(comparable) < 3:
        return [1.0] * count
    units = []
    for (_, rows), able in zip(clients, could, strict=True):
        votes = {k: _vote(rows.get(k)) for k in able & contested}
        norm = math.sqrt(math.fsum(v * v for v in votes.values()))
        units.append({k: (v / norm if norm else 0.0) for k, v in votes.items()})
    told = [max((r["n"] for r in rows.values()), default=0) for _, rows in clients]
    counts = [n for n, ok in zip(told, comparable, strict=True) if ok and n > 0]
    usual = statistics.median(counts) if counts else 1.0
    ratio = [n / usual if n > 0 and counts else 1.0 for n in told]
    loud = iter(
        oracle_attention(
            [size for size, ok in zip(oracle_sizes(crowd), comparable, strict=True) if ok],
            [math.sqrt(r) for r, ok in zip(ratio, comparable, strict=True) if ok],
        )
    )
    attention = [next(loud) if ok else 1.0 for ok in comparable]
    votes = [
        [abs(_vote(rows.get(k))) for k in able & contested]
        for (_, rows), able in zip(clients, could, strict=True)
    ]
    square = [math.fsum(v * v for v in own) for own in votes]
    sure = [
        math.fsum(v**3 for v in own) / q if q > 0 else 0.0
        for own, q in zip(votes, square, strict=True)
    ]
    uneven = [
        math.fsum(v**4 for v in own) / q**2 if q > 0 else 0.0
        for own, q in zip(votes, square, strict=True)
    ]
    judged = [ok and s > 0 for ok, s in zip(comparable, sure, strict=True)]

    def middle(values: list[float]) -> float:
        return statistics.median(v for v, ok in zip(values, judged, strict=True) if ok)

    weights = attention
    for _ in range(8):
        agreement = []
        for i in range(count):
            mean = {}
            for k in units[i]:
                others = [j for j in range(count) if j != i and k in units[j] and weights[j] > 0]
                total = math.fsum(weights[j] for j in others)
                mean[k] = (
                    math.fsum(weights[j] * units[j][k] for j in others) / total
                    if total > 1e-9
                    else 0.0
                )
            size = math.sqrt(math.fsum(m * m for m in mean.values()) + 1e-12)
            agreement.append(math.fsum(units[i][k] * mean[k] for k in mean) / size)
        if sum(judged) < 3:
            weights = [min(1.0, heard) for heard in attention]
            continue
        agreement = [
            a if a <= 0 else a * heard for a, heard in zip(agreement, attention, strict=True)
        ]
        typical, surest = middle(agreement), middle(sure)
        allowed = [min(1.0, max(s / surest, r**0.125)) for s, r in zip(sure, ratio, strict=True)]
        expected = [r * max(0.0, typical) for r in allowed]
        short = [a - e for a, e in zip(agreement, expected, strict=True)]
        centre, few = middle(short), max(1.0, 8 / sum(judged))
        mad = 1.4826 * middle([abs(e - centre) for e in short]) + 0.02 * few**2
        beyond = min(1.0, max(0.0, 2 * typical / math.sqrt(middle(uneven)) - 1))
        weights = []
        for i, heard in enumerate(attention):
            chance = 3 * math.sqrt((1 - allowed[i]) * uneven[i])
            top = expected[i] + min(centre, 0.0)
            floor = expected[i] + centre - math.hypot(3 * mad, chance)
            floor += beyond * max(0.0, -chance - floor)
            if not judged[i]:
                fell = 1.0
            elif top > floor + 1e-9:
                fell = min(1.0, max(0.0, (agreement[i] - floor) / (top - floor)))
            else:
                fell = float(agreement[i] >= top - 1e-9)
            weights.append(min(fell, heard))
    return weights


def oracle_effect_trust(effect: dict[int, float], variance: dict[int, float]) -> dict[int, float]:
    """Weight 1 up to 3 + 10 / n standard deviations from the median, falling to 0 at half as many
    again; the larger of the spread and the row's own; fewer than five: all 1.
    """
    if len(effect) < 5:
        return dict.fromkeys(effect, 1.0)
    centre = statistics.median(effect.values())
    gap = {i: abs(y - centre) for i, y in effect.items()}
    spread = max(1.4826 * statistics.median(gap.values()), abs(centre) * 1e-6, 1e-200)
    whole = 3 + 10 / len(effect)
    far = {i: g / max(spread, math.sqrt(variance.get(i, 0.0))) for i, g in gap.items()}
    return {i: min(1.0, max(0.0, (1.5 * whole - f) / (0.5 * whole))) for i, f in far.items()}


def oracle_floor(error: dict[int, float]) -> dict[int, float]:
    """No interval counts as narrower than a quarter of the (lower) median one."""
    known = [i for i in error if error[i] > 0]
    middle = sorted(error[i] for i in known)[(len(known) - 1) // 2] if known else 0.0
    return {i: max(error[i], middle / 4) ** 2 for i in known}


def oracle_variances(error: dict[int, float], w: dict[int, float]) -> dict[int, float]:
    """No interval counts as narrower than a quarter of the (lower) median one; after that nobody
    outweighs the others together by its interval.
    """
    variance = oracle_floor(error)
    known = [i for i in variance if w[i] > 0]
    variance = {i: variance[i] for i in known}
    for i in known:
        others = [j for j in known if j != i]
        rest, weight = sum(w[j] / variance[j] for j in others), sum(w[j] for j in others)
        if others and w[i] / variance[i] > rest:
            variance[i] = max(variance[i], w[i] / max(rest, w[i] * rest / weight))
            break
    return variance


def oracle_median_share(clients: float) -> float:
    """What part of its mean the median of Q is where clients differ by chance alone: that of the
    cube of a normal variable (Wilson & Hilferty), of at least one degree of freedom.
    """
    return (1 - 2 / (9 * max(clients - 1, 1.0))) ** 3


def oracle_believed(
    effect: dict[int, float],
    floors: dict[int, float],
    error: dict[int, float],
    variance: dict[int, float],
) -> dict[int, float]:
    """Of three or more, an interval that is narrower than the (lower) median one is believed up to
    one deviation from the median effect, and counts as the median one from two on.
    """
    if len(effect) < 3:
        return variance
    errors = sorted(x for x in error.values() if x > 0)
    middle = errors[(len(errors) - 1) // 2] ** 2 if errors else 0.0
    centre = statistics.median(effect.values())
    gap = {i: abs(y - centre) for i, y in effect.items()}
    spread = max(1.4826 * statistics.median(gap.values()), abs(centre) * 1e-6, 1e-200)
    believed = {}
    for i, own in variance.items():
        far = gap[i] / max(spread, math.sqrt(floors[i]))
        part = min(1.0, max(0.0, 2 - far))
        believed[i] = part * own + (1 - part) * middle if own < middle else own
    return believed


def oracle_merge(crowd: list[HypergraphStore], weights: list[float], whole: list[float]) -> dict:
    """Every reported key -> its evidence, from the definitions."""
    clients = _as_dicts(crowd)
    merged = {}
    for key in sorted({key for _, rows in clients for key in rows}):
        able = [i for i, (m, _) in enumerate(clients) if key[0] in m and key[1] in m]
        voters = [i for i in able if weights[i] > 0]
        heard = [i for i in voters if key in clients[i][1]]
        if not any(_reports(clients[i][1][key]) for i in heard):
            continue
        row = {i: clients[i][1][key] for i in heard}
        vote = sum(weights[i] * _vote(row.get(i)) for i in voters) / sum(weights[i] for i in voters)
        error = {
            i: (row[i]["ci_high"] - row[i]["ci_low"]) / (2 * Z)
            if row[i].get("ci_low") is not None
            else 0.0
            for i in heard
        }
        y = {i: row[i]["effect"] for i in heard}
        out = {
            "vote": vote,
            "reporting": sum(_reports(row[i]) for i in heard),
            "measured_by": len(able),
            "samples": sum(row[i]["n"] for i in heard),
        }
        out["support"] = sum(_vote(row[i]) * vote > 0 for i in heard)
        estimating = {i: min(4 * weights[i], whole[i]) for i in heard}
        trust = oracle_effect_trust(y, oracle_floor(error))
        w = {i: estimating[i] * trust[i] for i in heard}
        variance = oracle_variances(error, w)
        known = list(variance)
        share = sum(w[i] for i in known) / sum(w.values())
        out["tie"] = abs(share - 0.5) < 1e-9 or abs(vote) < 1e-9
        if share > 0.5:
            a = {i: w[i] / variance[i] for i in known}
            total = sum(a.values())
            mean = sum(a[i] * y[i] for i in known) / total
            q = sum(a[i] * (y[i] - mean) ** 2 for i in known)
            expected = sum(w[i] for i in known) - sum(a[i] * w[i] for i in known) / total
            spread = total - sum(x * x for x in a.values()) / total
            q /= oracle_median_share(sum(w[i] for i in known) ** 2 / sum(w[i] ** 2 for i in known))
            tau2 = max(0.0, (q - expected) / spread) if len(known) > 1 else 0.0
            believed = oracle_believed(y, oracle_floor(error), error, variance)
            b = {i: w[i] / (believed[i] + tau2) for i in known}
            out["effect"] = sum(b[i] * y[i] for i in known) / sum(b.values())
            out["tau2"] = tau2
            pooled, whole_b = out["effect"], sum(b.values())
            free = sum(w[i] * (1 - b[i] / whole_b) for i in known)
            left = sum(b[i] * (y[i] - pooled) ** 2 for i in known)
            ratio = max(1.0, left / free) if free > 1e-12 else 1.0
            out["std_error"] = math.sqrt(ratio * sum(w[i] * b[i] for i in known)) / whole_b
        else:
            strength = {i: w[i] * abs(_vote(row[i])) for i in heard}
            if sum(strength.values()) == 0:
                strength = {i: w[i] for i in heard}
            out["effect"] = sum(strength[i] * y[i] for i in heard) / sum(strength.values())
            out["tau2"] = out["std_error"] = 0.0
        merged[key] = out
    return merged


def _reports(row: dict) -> bool:
    """Whether a row is a report, and not an estimate alone."""
    return row["confidence"] > 0 or row["stability"] > 0


def _keys(graph: HypergraphStore) -> set[int]:
    """The keys of the rows that are reports; all rows of a merge."""
    if graph.evidence is not None:
        return set(graph.edges.keys.tolist())
    edges = graph.edges
    return set(edges.keys[(edges.confidence > 0) | (edges.stability > 0)].tolist())


def _bytes(graph: HypergraphStore) -> bytes:
    assert graph.evidence is not None
    assert graph.evidence.edges.spread is not None
    tables = (graph.edges, graph.evidence.edges, graph.evidence.edges.spread)
    columns = [
        getattr(table, name) for table in tables for name in type(table).__dataclass_fields__
    ]
    return b"".join(column.tobytes() for column in columns if isinstance(column, np.ndarray))


@settings(max_examples=150, deadline=None)
@given(crowds)
def test_trust_is_what_the_definition_says(crowd: list[HypergraphStore]) -> None:
    expected = oracle_trust(crowd)
    np.testing.assert_allclose(StoreReconciler().merge(crowd).trust, expected, atol=1e-6)


@settings(max_examples=150, deadline=None)
@given(crowds, st.data())
def test_consensus_is_what_the_definition_says(
    crowd: list[HypergraphStore], data: st.DataObject
) -> None:
    base = [data.draw(st.sampled_from([1.0, 0.9, 0.81])) for _ in crowd]
    result = StoreReconciler(vote_min=0.0).merge(crowd, base_weights=base)
    trust = result.trust.tolist()
    weights = [t * b for t, b in zip(trust, base, strict=True)]
    np.testing.assert_allclose(result.weight, weights, rtol=1e-9)
    expected = oracle_merge(crowd, weights, base)
    graph = result.graph
    assert graph.evidence is not None
    found = list(
        zip(
            graph.edges.source.tolist(),
            graph.edges.target.tolist(),
            graph.edges.lag.tolist(),
            strict=True,
        )
    )
    assert found == list(expected)
    for i, key in enumerate(found):
        want = expected[key]
        if want["tie"]:
            continue
        for name in ("vote", "support", "reporting", "measured_by", "samples", "tau2", "std_error"):
            assert getattr(graph.evidence.edges, name)[i] == pytest.approx(
                want[name], rel=1e-6, abs=1e-9
            ), name
        assert graph.edges.effect[i] == pytest.approx(want["effect"], rel=1e-6, abs=1e-9)
    cut = StoreReconciler(vote_min=0.3).reconcile(crowd, base_weights=base)
    rows = zip(graph.edges.keys.tolist(), graph.evidence.edges.vote.tolist(), strict=True)
    assert _keys(cut) == {key for key, vote in rows if abs(vote) >= 0.3}


@settings(max_examples=60, deadline=None)
@given(
    crowds,
    st.randoms(use_true_random=False),
    st.sampled_from(["consensus", "union", "intersection", "weighted"]),
)
def test_the_order_in_which_pairs_come_does_not_change_a_byte(
    crowd: list[HypergraphStore], random: object, strategy: str
) -> None:
    pairs = [(f"client-{i}", graph) for i, graph in enumerate(crowd)]
    rule = StoreReconciler(strategy=strategy)
    one = rule.merge([s for _, s in pairs], client_ids=[c for c, _ in pairs])
    random.shuffle(pairs)  # type: ignore[attr-defined]
    two = rule.merge([s for _, s in pairs], client_ids=[c for c, _ in pairs])
    assert _bytes(one.graph) == _bytes(two.graph)
    assert one.trust.tobytes() == two.trust.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    graphs(), st.integers(1, 5), st.sampled_from(["consensus", "union", "intersection", "weighted"])
)
def test_merging_copies_of_one_store_keeps_its_effects(
    graph: HypergraphStore, copies: int, strategy: str
) -> None:
    merged = StoreReconciler(strategy=strategy, vote_min=0.0).reconcile([graph] * copies)
    assert _keys(merged) == _keys(graph)
    told = np.isin(graph.edges.keys, sorted(_keys(graph)))
    np.testing.assert_array_equal(merged.edges.effect, graph.edges.effect[told])
    again = StoreReconciler(strategy=strategy, vote_min=0.0).reconcile([merged])
    # a merged edge on which nobody votes has neither confidence nor stability, and is no report
    told = (merged.edges.confidence > 0) | (merged.edges.stability > 0)
    np.testing.assert_array_equal(again.edges.effect, merged.edges.effect[told])
    np.testing.assert_allclose(again.edges.vote, merged.edges.vote[told], atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(crowds)
def test_union_and_intersection_are_those_of_sets(crowd: list[HypergraphStore]) -> None:
    union, intersection = (
        StoreReconciler(strategy="union"),
        StoreReconciler(strategy="intersection"),
    )
    all_keys = [_keys(graph) for graph in crowd]
    assert _keys(union.reconcile(crowd)) == set.union(*all_keys)
    assert _keys(intersection.reconcile(crowd)) == set.intersection(*all_keys)
    # associative on keys: merging a merge with the rest is merging all
    if len(crowd) > 1:
        for rule in (union, intersection):
            assert _keys(rule.reconcile([rule.reconcile(crowd[:-1]), crowd[-1]])) == _keys(
                rule.reconcile(crowd)
            )
    assert _keys(StoreReconciler(vote_min=0.01).reconcile(crowd)) <= _keys(union.reconcile(crowd))


@settings(max_examples=30, deadline=None)
@given(crowds, st.integers(1, 9))
def test_the_number_of_ranges_does_not_matter(crowd: list[HypergraphStore], rows: int) -> None:
    rule = StoreReconciler(vote_min=0.0, bounded=False)
    whole = rule.reconcile(crowd)
    keys = [graph.edges.keys for graph in crowd]
    joined = [np.zeros(0, np.uint64)]
    for low, high in segments.cuts(keys, rows_a_part=rows):
        gathered = segments.rows_between(keys, low, high)
        own, segment = segments.number(gathered)
        np.testing.assert_array_equal(own[segment], gathered)
        joined.append(own)
    assert set(whole.edges.keys.tolist()) == {key for graph in crowd for key in _keys(graph)}
    np.testing.assert_array_equal(np.concatenate(joined), np.unique(np.concatenate(keys)))
