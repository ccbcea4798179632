"""Munnell's panel: the data, and the figures that the demonstration claims."""

import re

import numpy as np
import pytest

from hyperfed.demo import VARIABLES, flip_signs, series, states
from hyperfed.engines import VarEngine
from hyperfed.errors import ConfigError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.vocabulary import Vocabulary

pytestmark = pytest.mark.unit

VOCABULARY = Vocabulary.of(*VARIABLES)
NULL = 0.13  # the largest |vote| that time-shuffled data reach at equal weights


def _graphs(data: dict[str, np.ndarray], seed: int = 0) -> list[HypergraphStore]:
    graphs = []
    for i, state in enumerate(states()):
        measured, edges = (
            VarEngine(data[state], VARIABLES, rng=1000 * seed + i).discover().to_edges(VOCABULARY)
        )
        graphs.append(
            HypergraphStore(
                edges=edges.take(edges.stability >= 0.1), measured=measured, vocabulary=VOCABULARY
            )
        )
    return graphs


def _votes(graphs: list[HypergraphStore], *, bounded: bool = True) -> dict[tuple[str, str], float]:
    merged = StoreReconciler(vote_min=0.0, bounded=bounded).reconcile(graphs, client_ids=states())
    assert merged.evidence is not None
    rows = zip(
        merged.edges.source.tolist(),
        merged.edges.target.tolist(),
        merged.evidence.edges.vote.tolist(),
        strict=True,
    )
    return {(VARIABLES[source], VARIABLES[target]): vote for source, target, vote in rows}


@pytest.fixture(scope="module")
def real() -> list[HypergraphStore]:
    return _graphs({state: series(state) for state in states()})


def test_the_data_are_48_states_of_16_changes() -> None:
    assert len(states()) == 48
    assert {"alabama", "new-hampshire", "pennsylvania", "wyoming"} <= set(states())
    assert all(re.fullmatch("[a-z0-9-]{3,32}", state) for state in states())
    changes = series("alabama")
    assert changes.shape == (16, 5)
    assert changes[0, 0] == pytest.approx(np.log(15501.94 / 15032.67))
    assert changes[0, 2] == pytest.approx(np.log(29375 / 28418))
    assert changes[0, 4] == pytest.approx(5.2 - 4.7)
    assert series("alabama", until=1980).tolist() == changes[:10].tolist()


def test_unknown_states_and_years_are_refused() -> None:
    with pytest.raises(ConfigError, match="atlantis"):
        series("atlantis")
    for year in (1970, 1987):
        with pytest.raises(ConfigError, match=str(year)):
            series("alabama", until=year)


def test_flipping_mirrors_effects_and_intervals(real: list[HypergraphStore]) -> None:
    edges = real[0].edges
    flipped = flip_signs(edges)
    np.testing.assert_array_equal(flipped.effect, -edges.effect)
    np.testing.assert_array_equal(flipped.ci_low, -edges.ci_high)
    np.testing.assert_array_equal(flipped.vote, -edges.vote)
    assert flip_signs(flipped) == edges


def test_six_edges_clear_the_cut_and_the_two_known_ones_stand_on_four_fifths_of_the_states(
    real: list[HypergraphStore],
) -> None:
    votes = _votes(real)
    assert 11 <= sum(abs(vote) > NULL for vote in votes.values()) <= 15
    assert sum(abs(vote) >= 0.3 for vote in votes.values()) == 6
    assert 0.4 < votes["output", "employment"] < 0.6
    assert -0.65 < votes["output", "unemployment"] < -0.5
    merged = StoreReconciler().reconcile(real, client_ids=states())
    assert len(merged) == 6
    rows = {
        (VARIABLES[s], VARIABLES[t]): i
        for i, (s, t) in enumerate(
            zip(merged.edges.source.tolist(), merged.edges.target.tolist(), strict=True)
        )
    }
    assert merged.evidence is not None
    for pair in (("output", "employment"), ("output", "unemployment")):
        assert 36 <= merged.evidence.edges.support[rows[pair]] <= 42
        assert merged.evidence.edges.pooled[rows[pair]]
    assert 0.5 < merged.edges.effect[rows["output", "employment"]] < 0.9


def test_time_shuffled_data_stay_below_the_null() -> None:
    rng = np.random.default_rng(5)
    largest = []
    for repeat in range(3):
        shuffled = _graphs(
            {state: rng.permutation(series(state)) for state in states()}, seed=repeat + 1
        )
        largest.append(max(map(abs, _votes(shuffled, bounded=False).values())))
    assert 0.05 < float(np.mean(largest)) < 0.18


def test_bounded_trust_withstands_14_flipping_states_and_the_plain_mean_does_not(
    real: list[HypergraphStore],
) -> None:
    honest = _votes(real)
    clear = [pair for pair, vote in honest.items() if abs(vote) > NULL]
    strong = [pair for pair, vote in honest.items() if abs(vote) >= 0.3]
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(6):
        liar = np.zeros(48, dtype=bool)
        liar[rng.choice(48, 14, replace=False)] = True
        graphs = [
            HypergraphStore(
                edges=flip_signs(graph.edges), measured=graph.measured, vocabulary=VOCABULARY
            )
            if lies
            else graph
            for graph, lies in zip(real, liar, strict=True)
        ]
        counts = []
        for bounded in (True, False):
            votes = _votes(graphs, bounded=bounded)
            for pairs, cut in ((clear, NULL), (strong, 0.3)):
                counts.append(
                    sum(
                        abs(votes.get(pair, 0.0)) >= cut and votes[pair] * honest[pair] > 0
                        for pair in pairs
                    )
                )
        trust = StoreReconciler().merge(graphs, client_ids=states()).trust
        kept.append((*counts, trust[liar].mean(), trust[~liar].mean()))
    bounded_clear, bounded_strong, plain_clear, plain_strong, liars, others = np.mean(kept, axis=0)
    assert bounded_clear >= 0.75 * len(clear)
    assert bounded_strong >= 5
    assert plain_clear <= 0.5 * len(clear)
    assert plain_strong <= 2
    assert liars < 0.15
    assert 0.75 < others < 0.95
