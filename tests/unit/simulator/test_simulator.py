"""The simulator: worlds that can be learned, scores by hand, nights beside their twin, and the
command.
"""

from pathlib import Path

import numpy as np
import pytest

from hyperfed.errors import ConfigError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.simulator import Simulation, World, build_world, score, simulate
from hyperfed.simulator.page import write_page
from hyperfed.simulator.run import attacked_graphs
from hyperfed.simulator.score import kept
from hyperfed.simulator.table import VOICES, measure
from hyperfed.tables.tables import EdgeTable, pack_keys
from hyperfed.tables.vocabulary import Vocabulary

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", ["sem", "var"])
def test_honest_clients_together_find_the_truth(name: str) -> None:
    world = build_world(name, clients=20, seed=3)
    merged = StoreReconciler().reconcile(world.graphs.values(), client_ids=list(world.graphs))
    found = score(merged, world)
    assert found.f1 > 0.9
    assert found.effect_error < 0.15
    assert build_world(name, clients=20, seed=3) is world
    alone = [score(graph, world).shd for graph in world.graphs.values()]
    assert found.shd < np.mean(alone)


def test_a_score_by_hand() -> None:
    ends = np.array([1, 2, 3])
    world = World(
        name="x",
        vocabulary=Vocabulary.of("a", "b", "c", "d"),
        graphs={},
        keys=pack_keys(np.zeros(3, int), ends, np.ones(3, int)),
        effects=np.array([0.5, -0.5, 0.5]),
    )
    edges = EdgeTable.build(
        source=[0, 0, 2],
        target=[1, 2, 3],
        lag=1,
        effect=[0.5, 0.5, 0.1],
        confidence=1.0,
        stability=1.0,
    )
    found = score(HypergraphStore(edges=edges), world)
    assert found.f1 == pytest.approx(2 * 1 / 6)
    assert found.shd == 1 + 1 + 1  # one missing, one too many, one of the wrong sign
    assert found.effect_error == pytest.approx(np.sqrt((0 + 1.0 + 0.25) / 3) / 0.5)
    empty = score(HypergraphStore(), world)
    assert (empty.f1, empty.shd, empty.effect_error) == (0.0, 3, 1.0)


def test_the_mean_falls_where_a_robust_rule_stands() -> None:
    falls = next(simulate(Simulation(clients=20, attack="collusion", rule="mean", world="var")))
    stands = next(
        simulate(Simulation(clients=20, attack="collusion", rule="multi-krum", world="var"))
    )
    assert falls.score.f1 < 0.8 < 0.95 < stands.score.f1
    assert falls.honest.f1 > 0.95
    assert (falls.weight, stands.weight) == (pytest.approx(0.3), 0.0)


def test_liars_are_out_after_their_third_observed_night_and_lie_from_when_they_are_told() -> None:
    nights = list(
        simulate(Simulation(clients=16, byzantine=0.25, world="var", nights=5, from_night=2))
    )
    # the first two lies do not outweigh an honest night
    assert [n.excluded for n in nights[:4]] == [(0, 0), (0, 0), (0, 0), (4, 0)]
    assert nights[0].weight > 0.1
    assert nights[2].weight < 0.05


def test_signed_rounds_merge_what_one_process_merges() -> None:
    settings = {
        "clients": 9,
        "world": "var",
        "attack": "scaling",
        "rule": "multi-krum",
        "byzantine": 0.2,
    }
    plain, signed = (
        next(simulate(Simulation(signed=signed, **settings))) for signed in (False, True)
    )  # type: ignore[arg-type]
    assert plain.score == signed.score
    assert plain.honest == signed.honest


def test_a_rule_that_refuses_is_said_and_scored_as_nothing() -> None:
    night = next(simulate(Simulation(clients=20, byzantine=0.3, rule="bulyan", world="var")))
    assert "at least 27" in night.refused
    assert night.score.f1 == 0.0


def test_who_does_not_lie_sends_what_it_found() -> None:
    world = build_world("var", clients=9)
    sent = attacked_graphs(world.graphs, ["site-000"], "sign-flip", np.random.default_rng(0))
    assert all(sent[c] is world.graphs[c] for c in world.graphs if c != "site-000")
    voting = world.graphs["site-000"].edges
    voting = voting.take(voting.vote != 0)
    assert (sent["site-000"].edges.effect == -voting.effect).all()


@pytest.mark.parametrize(
    "bad", [{"byzantine": 0.5}, {"nights": 0}, {"baskets": 99}, {"rule": "magic"}]
)
def test_what_cannot_be_played_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Simulation(**bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown world"):
        build_world("moon")


def test_quiet_liars_vote_like_honest_clients_and_loud_ones_shout() -> None:
    world = build_world("sem-weak", clients=20)
    ids = sorted(world.graphs)
    sizes = {}
    for quiet in (False, True):
        sent = attacked_graphs(
            world.graphs, ids[:4], "sign-flip", np.random.default_rng(0), quiet=quiet
        )
        sizes[quiet] = np.sqrt(np.mean(np.square(sent[ids[0]].edges.vote)))
    votes = [world.graphs[c].edges.vote for c in ids[4:]]
    usual = np.median([np.sqrt(np.mean(np.square(vote[vote != 0]))) for vote in votes])
    assert sizes[False] == 1.0
    assert sizes[True] == pytest.approx(usual)


def test_what_was_kept_is_against_the_same_rules_own_honest_night() -> None:
    night = next(simulate(Simulation(clients=20, attack="collusion", rule="mean", world="var")))
    assert night.kept < 0.8
    stands = next(simulate(Simulation(clients=20, attack="collusion", world="var")))
    assert stands.kept == 1.0
    edges = EdgeTable.build(
        source=[0, 0], target=[1, 2], lag=1, effect=[0.5, -0.5], confidence=1.0, stability=1.0
    )
    assert kept(
        HypergraphStore(edges=edges), HypergraphStore(edges=edges.take([0]))
    ) == pytest.approx(2 / 3)


def test_false_losses_buy_weight_under_adaptive_only() -> None:
    told = {"clients": 20, "world": "var", "attack": "sign-flip", "rule": "adaptive"}
    true, false = (next(simulate(Simulation(false_losses=lie, **told))) for lie in (False, True))  # type: ignore[arg-type]
    assert (true.weight, false.weight) == (pytest.approx(0.3), pytest.approx(60 / 74))
    assert false.score.f1 < true.score.f1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_page_is_made_by_its_command_and_says_what_this_code_does(tmp_path: Path) -> None:
    ranking = write_page(tmp_path / "robustness.md", worlds=("demo",), shares=(0.3,), seeds=(0,))
    made, committed = (
        path.read_text().splitlines()
        for path in (
            tmp_path / "robustness.md",
            Path(__file__).parents[3] / "docs" / "robustness.md",
        )
    )
    assert {line for line in made if line.startswith("#")} <= {
        line for line in committed if line.startswith("#")
    }
    assert ranking[-1].rule.startswith(("mean", "adaptive"))
    default = measure(
        clients=48,
        worlds=("demo",),
        shares=(0.1, 0.2, 0.3),
        seeds=(0, 1, 2),
        rows=("bounded-trust",),
    )
    for voice in VOICES:
        assert default.summary("demo", voice, (0.1, 0.2, 0.3)).splitlines()[-1] in committed
