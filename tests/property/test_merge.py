"""Consensus against an oracle in plain Python loops; permutation, idempotence, and the algebra of union and intersection."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.hypergraph import HypergraphStore
from hyperfed.merge import segments
from hyperfed.reconciler import StoreReconciler
from hyperfed.tables import EdgeTable

pytestmark = pytest.mark.property

Z = 1.959963984540054
VARIABLES = 4
unit = st.integers(0, 20).map(lambda i: i / 20)
effects = st.integers(-40, 40).map(lambda i: i / 8)


@st.composite
def stores(draw: st.DrawFn) -> HypergraphStore:
    """A small client: some variables, some edges among them, with intervals or without, a few of them of width 0."""
    measured = sorted(draw(st.sets(st.integers(0, VARIABLES - 1), min_size=1)))
    pairs = [(s, t, lag) for s in measured for t in measured for lag in (0, 1) if s != t or lag]
    keys = sorted(draw(st.sets(st.sampled_from(pairs), max_size=8))) if pairs else []
    rows = [(*key, draw(effects), draw(unit), draw(unit), draw(st.integers(0, 8)) / 10, draw(st.integers(0, 1000))) for key in keys]
    if not rows:
        return HypergraphStore(measured=measured)
    source, target, lag, effect, confidence, stability, error, n = (np.array(column) for column in zip(*rows, strict=True))
    interval = {"ci_low": effect - Z * error, "ci_high": effect + Z * error} if draw(st.booleans()) else {}
    edges = EdgeTable.build(source=source, target=target, lag=lag, effect=effect, confidence=confidence, stability=stability, n=n, **interval)
    return HypergraphStore(edges=edges, measured=measured)


crowds = st.lists(stores(), min_size=1, max_size=7)


def _as_dicts(crowd: list[HypergraphStore]) -> list[tuple[set[int], dict]]:
    return [(set(s.measured.tolist()), {(r["source"], r["target"], r["lag"]): r for r in s.edges.rows()}) for s in crowd]


def _vote(row: dict | None) -> float:
    return 0.0 if row is None else float((row["effect"] > 0) - (row["effect"] < 0)) * row["confidence"] * row["stability"]


def _contested(crowd: list[HypergraphStore]) -> list[tuple[set, bool]]:
    """For each client the reported edges that it and another could measure, and whether there are any."""
    clients = _as_dicts(crowd)
    keys = {key for _, rows in clients for key in rows}
    could = [{k for k in keys if k[0] in measured and k[1] in measured} for measured, _ in clients]
    return [(own, bool(own)) for own in ({k for k in c if sum(k in other for other in could) >= 2} for c in could)]


def oracle_sizes(crowd: list[HypergraphStore]) -> list[float]:
    """The norm of a client's votes over the root of the summed mean square votes of all who could vote on the same edges."""
    clients, able = _as_dicts(crowd), [keys for keys, _ in _contested(crowd)]
    sizes = []
    for (_, rows), keys in zip(clients, able, strict=True):
        usual = math.fsum(statistics.fmean(_vote(other.get(k)) ** 2 for (_, other), theirs in zip(clients, able, strict=True) if k in theirs) for k in keys)
        sizes.append(math.sqrt(math.fsum(_vote(rows.get(k)) ** 2 for k in keys) / usual) if usual > 0 else 0.0)
    return sizes


def oracle_attention(sizes: list[float]) -> list[float]:
    """1 up to one spread above the median, 0 from two on."""
    middle = statistics.median(sizes)
    if sum(size > 0 for size in sizes) < 3 or middle <= 0:
        return [1.0] * len(sizes)
    spread = 1.4826 * (middle - statistics.quantiles(sizes, n=4, method="inclusive")[0]) + 0.2 * middle
    return [min(1.0, max(0.0, (middle + 2 * spread - size) / spread)) for size in sizes]


def oracle_trust(crowd: list[HypergraphStore]) -> list[float]:
    """DESIGN section 5 and ADR 0013, read aloud: no columns, no shortcuts."""
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
    loud = iter(oracle_attention([size for size, ok in zip(oracle_sizes(crowd), comparable, strict=True) if ok]))
    attention = [next(loud) if ok else 1.0 for ok in comparable]
    weights = attention
    for _ in range(8):
        agreement = []
        for i in range(count):
            mean = {}
            for k in units[i]:
                others = [j for j in range(count) if j != i and k in units[j] and weights[j] > 0]
                total = math.fsum(weights[j] for j in others)
                mean[k] = math.fsum(weights[j] * units[j][k] for j in others) / total if total > 1e-9 else 0.0
            size = math.sqrt(math.fsum(m * m for m in mean.values()))
            agreement.append(math.fsum(units[i][k] * mean[k] for k in mean) / size if size > 1e-12 else 0.0)
        agreement = [a if a <= 0 else a * heard for a, heard in zip(agreement, attention, strict=True)]
        known = [a for a, ok in zip(agreement, comparable, strict=True) if ok]
        median = statistics.median(known)
        mad = 1.4826 * statistics.median(abs(a - median) for a in known) + 0.02
        floor = max(0.0, median - 3 * mad)
        weights = [
            (min(1.0, max(0.0, (a - floor) / (median - floor))) if median > floor else float(a >= median - 1e-9)) if ok else 1.0
            for a, ok in zip(agreement, comparable, strict=True)
        ]
    return weights


def oracle_effect_trust(effect: dict[int, float]) -> dict[int, float]:
    """Weight 1 up to the median deviation from the median, falling to 0 three spreads above it; fewer than five reporters: all 1."""
    if len(effect) < 5:
        return dict.fromkeys(effect, 1.0)
    centre = statistics.median(effect.values())
    gap = {i: abs(y - centre) for i, y in effect.items()}
    middle = statistics.median(gap.values())
    spread = 1.4826 * statistics.median(abs(g - middle) for g in gap.values()) + middle / 6
    trust = {}
    for i, g in gap.items():
        beyond = g - middle * (1 + 1e-6)
        trust[i] = 1.0 if beyond <= 0 else max(0.0, 1 - beyond / (3 * spread)) if spread > 0 else 0.0
    return trust


def oracle_merge(crowd: list[HypergraphStore], weights: list[float]) -> dict:
    """Every reported key -> its evidence, from the definitions."""
    clients = _as_dicts(crowd)
    merged = {}
    for key in sorted({key for _, rows in clients for key in rows}):
        voters = [i for i, (m, _) in enumerate(clients) if key[0] in m and key[1] in m and weights[i] > 0]
        heard = [i for i in voters if key in clients[i][1]]
        if not heard:
            continue
        row = {i: clients[i][1][key] for i in heard}
        vote = sum(weights[i] * _vote(row.get(i)) for i in voters) / sum(weights[i] for i in voters)
        error = {i: (row[i]["ci_high"] - row[i]["ci_low"]) / (2 * Z) if "ci_low" in row[i] else 0.0 for i in heard}
        known = [i for i in heard if error[i] > 0]
        y = {i: row[i]["effect"] for i in heard}
        out = {"vote": vote, "reporting": len(heard), "measured_by": len(voters), "samples": sum(row[i]["n"] for i in heard)}
        out["support"] = sum((_vote(row[i]) > 0) == (vote > 0) and (_vote(row[i]) < 0) == (vote < 0) for i in heard)
        w = {i: weights[i] * held for i, held in oracle_effect_trust(y).items()}
        share = sum(w[i] for i in known) / sum(w.values())
        out["tie"] = abs(share - 0.5) < 1e-9 or abs(vote) < 1e-9
        if share > 0.5:
            a = {i: w[i] / error[i] ** 2 for i in known}
            total = sum(a.values())
            mean = sum(a[i] * y[i] for i in known) / total
            q = sum(a[i] * (y[i] - mean) ** 2 for i in known)
            expected = sum(w[i] for i in known) - sum(a[i] * w[i] for i in known) / total
            spread = total - sum(x * x for x in a.values()) / total
            tau2 = max(0.0, (q - expected) / spread) if len(known) > 1 else 0.0
            b = {i: w[i] / (error[i] ** 2 + tau2) for i in known}
            out["effect"] = sum(b[i] * y[i] for i in known) / sum(b.values())
            out["tau2"] = tau2
            out["std_error"] = math.sqrt(sum(w[i] * b[i] for i in known)) / sum(b.values())
        else:
            strength = {i: w[i] * abs(_vote(row[i])) for i in heard}
            if sum(strength.values()) == 0:
                strength = {i: w[i] for i in heard}
            out["effect"] = sum(strength[i] * y[i] for i in heard) / sum(strength.values())
            out["tau2"] = out["std_error"] = 0.0
        merged[key] = out
    return merged


def _keys(store: HypergraphStore) -> set[int]:
    return set(store.edges.keys.tolist())


def _bytes(store: HypergraphStore) -> bytes:
    assert store.evidence is not None
    tables = (store.edges, store.evidence.edges)
    columns = [getattr(table, name) for table in tables for name in type(table).__dataclass_fields__]
    return b"".join(column.tobytes() for column in columns if column is not None)


@settings(max_examples=150, deadline=None)
@given(crowds)
def test_trust_is_what_the_definition_says(crowd: list[HypergraphStore]) -> None:
    expected = oracle_trust(crowd)
    np.testing.assert_allclose(StoreReconciler().merge(crowd).trust, expected, atol=1e-6)


@settings(max_examples=150, deadline=None)
@given(crowds, st.data())
def test_consensus_is_what_the_definition_says(crowd: list[HypergraphStore], data: st.DataObject) -> None:
    base = [data.draw(st.sampled_from([1.0, 0.9, 0.81])) for _ in crowd]
    result = StoreReconciler(vote_min=0.0).merge(crowd, base_weights=base)
    trust = result.trust.tolist()
    weights = [t * b for t, b in zip(trust, base, strict=True)]
    np.testing.assert_allclose(result.weight, weights, rtol=1e-9)
    expected = oracle_merge(crowd, weights)
    store = result.store
    assert store.evidence is not None
    found = list(zip(store.edges.source.tolist(), store.edges.target.tolist(), store.edges.lag.tolist(), strict=True))
    assert found == list(expected)
    for i, key in enumerate(found):
        want = expected[key]
        if want["tie"]:
            continue
        for name in ("vote", "support", "reporting", "measured_by", "samples", "tau2", "std_error"):
            assert getattr(store.evidence.edges, name)[i] == pytest.approx(want[name], rel=1e-6, abs=1e-9), name
        assert store.edges.effect[i] == pytest.approx(want["effect"], rel=1e-6, abs=1e-9)
    cut = StoreReconciler(vote_min=0.3).reconcile(crowd, base_weights=base)
    rows = zip(store.edges.keys.tolist(), store.evidence.edges.vote.tolist(), strict=True)
    assert _keys(cut) == {key for key, vote in rows if abs(vote) >= 0.3}


@settings(max_examples=60, deadline=None)
@given(crowds, st.randoms(use_true_random=False), st.sampled_from(["consensus", "union", "intersection", "weighted"]))
def test_the_order_in_which_pairs_come_does_not_change_a_byte(crowd: list[HypergraphStore], random: object, strategy: str) -> None:
    pairs = [(f"client-{i}", store) for i, store in enumerate(crowd)]
    rule = StoreReconciler(strategy=strategy)
    one = rule.merge([s for _, s in pairs], client_ids=[c for c, _ in pairs])
    random.shuffle(pairs)  # type: ignore[attr-defined]
    two = rule.merge([s for _, s in pairs], client_ids=[c for c, _ in pairs])
    assert _bytes(one.store) == _bytes(two.store)
    assert one.trust.tobytes() == two.trust.tobytes()


@settings(max_examples=60, deadline=None)
@given(stores(), st.integers(1, 5), st.sampled_from(["consensus", "union", "intersection", "weighted"]))
def test_merging_copies_of_one_store_keeps_its_effects(store: HypergraphStore, copies: int, strategy: str) -> None:
    merged = StoreReconciler(strategy=strategy, vote_min=0.0).reconcile([store] * copies)
    assert _keys(merged) == _keys(store)
    np.testing.assert_array_equal(merged.edges.effect, store.edges.effect)
    again = StoreReconciler(strategy=strategy, vote_min=0.0).reconcile([merged])
    np.testing.assert_array_equal(again.edges.effect, merged.edges.effect)
    np.testing.assert_allclose(again.edges.vote, merged.edges.vote, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(crowds)
def test_union_and_intersection_are_those_of_sets(crowd: list[HypergraphStore]) -> None:
    union, intersection = StoreReconciler(strategy="union"), StoreReconciler(strategy="intersection")
    all_keys = [_keys(store) for store in crowd]
    assert _keys(union.reconcile(crowd)) == set.union(*all_keys)
    assert _keys(intersection.reconcile(crowd)) == set.intersection(*all_keys)
    # associative on keys: merging a merge with the rest is merging all
    if len(crowd) > 1:
        for rule in (union, intersection):
            assert _keys(rule.reconcile([rule.reconcile(crowd[:-1]), crowd[-1]])) == _keys(rule.reconcile(crowd))
    assert _keys(StoreReconciler(vote_min=0.01).reconcile(crowd)) <= _keys(union.reconcile(crowd))


@settings(max_examples=30, deadline=None)
@given(crowds, st.integers(1, 9))
def test_the_number_of_parts_does_not_matter(crowd: list[HypergraphStore], rows: int) -> None:
    rule = StoreReconciler(vote_min=0.0, bounded=False)
    whole = rule.reconcile(crowd)
    keys = [store.edges.keys for store in crowd]
    parts = list(segments.split(keys, rows_a_part=rows))
    joined = np.concatenate([np.zeros(0, np.uint64), *(part.keys for part in parts)])
    np.testing.assert_array_equal(joined, whole.edges.keys)
    for part in parts:
        np.testing.assert_array_equal(part.keys[part.segment], part.gather(keys))
