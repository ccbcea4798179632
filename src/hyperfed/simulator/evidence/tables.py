"""Play federations whose clients find a graph in a table, without being told an order.

1. The worlds are those of `truths.TABLE_ENGINES`: ten clients, of whom none or a fifth lie. What
   liars send is the sign flip of what honest clients would, sure of everything.
2. Two scores are kept. `directed` is the F1 of signed edges, as everywhere in the evidence; an edge
   that is left without direction counts as two, of which one is wrong. `pairs` is the F1 of the
   pairs that are joined, whichever way.
3. Fits take 0.2 (PC, FCI) to 1.3 seconds (GES), and a game 66 of them, so there are
   `TABLE_BOOTSTRAPS` resamples, and fewer seeds for the engines that take longest.
   A game is one engine, number of rows and seed: games are independent, and may be played at once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.client_agent import shareable
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack
from hyperfed.privacy.slots import slot_count
from hyperfed.simulator.attackers import build_attack
from hyperfed.simulator.evidence.strategies import STRATEGIES, Sent, own_graph
from hyperfed.simulator.evidence.study import ALONE, SEEDS, world_of
from hyperfed.simulator.evidence.truths import Truth, draw_truth
from hyperfed.simulator.score import score
from hyperfed.tables.tables import unpack_keys

__all__ = ["GAMES", "TABLE_LIARS", "Game", "games_of", "play_game", "table_cells"]

TABLE_LIARS = (0.0, 0.2)
_CLIENTS = 10
_ROWS = (150, 60)
_SEEDS = {"pc": SEEDS[:3], "ges": SEEDS[:2], "fci": SEEDS[:2], "lingam": SEEDS[:2]}

Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Game:
    """Describes a world to play, of one seed."""

    engine: str
    """The engine, which is the world's kind: one of `truths.TABLE_ENGINES`."""
    rows: int
    """How many rows of data each client has."""
    seed: int
    """The seed of the world, of the clients' data and of their resamples."""


GAMES = tuple(
    Game(engine=engine, rows=rows, seed=seed)
    for engine, seeds in _SEEDS.items()
    for rows in _ROWS
    for seed in seeds
)
"""All games of the page."""


def play_game(game: Game) -> list[dict[str, Any]]:
    """Return the scores of every way of merging, with nobody and with a fifth of liars."""
    rng = np.random.default_rng([game.seed, _CLIENTS, game.rows])
    truth = draw_truth(game.engine, rng)
    policy = PolicyPack(lags=truth.lags)
    data = [truth.sample(game.rows, 1.0, rng) for _ in range(_CLIENTS)]
    whole = [truth.graph(truth.discover([client_data], rng)) for client_data in data]
    shared = [truth.graph(shareable(one.edges, policy)) for one in whole]
    pooled = truth.graph(truth.discover(data, rng))
    played = []
    for share in TABLE_LIARS:
        liars = round(share * _CLIENTS)
        lies = build_attack("sign-flip").graphs(shared[liars:], shared[:liars], rng)
        sent = Sent(
            shared=[*lies, *shared[liars:]],
            whole=[*lies, *whole[liars:]],
            pooled=pooled,
            possible=slot_count(len(truth.vocabulary), truth.lags),
        )
        about = {"engine": game.engine, "rows": game.rows, "liars": share, "seed": game.seed}
        for name, models in _models(sent, shared[liars:], share):
            model_scores = [_scores(model, truth) for model in models]
            means = {
                kind: round(float(np.mean([one[kind] for one in model_scores])), 4)
                for kind in model_scores[0]
            }
            played.append(about | {"strategy": name} | means)
    return played


def table_cells(played: Iterable[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the scores of all games, those of one federation and way of merging together."""
    cells: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in (row for game in played for row in game):
        about = {name: row[name] for name in ("engine", "rows", "liars", "strategy")}
        cell = cells.setdefault(
            tuple(about.values()), about | {"seeds": [], "directed": [], "pairs": []}
        )
        for column, name in (("seeds", "seed"), ("directed", "directed"), ("pairs", "pairs")):
            cell[column].append(row[name])
    return list(cells.values())


def games_of(cells: Iterable[Mapping[str, Any]]) -> dict[Game, list[dict[str, Any]]]:
    """Return the games that cells hold, with their scores as `play_game` returned them."""
    played: dict[Game, list[dict[str, Any]]] = {}
    for cell in cells:
        about = {name: cell[name] for name in ("engine", "rows", "liars", "strategy")}
        for seed, directed, pairs in zip(
            cell["seeds"], cell["directed"], cell["pairs"], strict=True
        ):
            game = Game(engine=cell["engine"], rows=cell["rows"], seed=seed)
            scores = {"seed": seed, "directed": directed, "pairs": pairs}
            played.setdefault(game, []).append(about | scores)
    return played


def _models(
    sent: Sent, honest: Sequence[HypergraphStore], liars: float
) -> Iterator[tuple[str, list[HypergraphStore]]]:
    """Yield each way of merging with what it gives; a client alone gives one graph a client."""
    yield ALONE, [own_graph(graph) for graph in honest]
    for name, merge in STRATEGIES.items():
        if not liars or not name.startswith("pooled"):  # liars' rows would take a discovery more
            yield name, [merge(sent)]


def _scores(model: HypergraphStore, truth: Truth) -> dict[str, float]:
    model_pairs, there = _pairs(model.edges.keys), _pairs(truth.keys)
    total = len(model_pairs) + len(there)
    both = len(model_pairs & there)
    return {
        "directed": score(model, world_of(truth)).f1,
        "pairs": 2 * both / total if total else 1.0,
    }


def _pairs(keys: Keys) -> set[tuple[int, int]]:
    source, target, _ = unpack_keys(keys)
    low, high = np.minimum(source, target), np.maximum(source, target)
    return set(zip(low.tolist(), high.tolist(), strict=True))
