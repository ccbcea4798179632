"""Simulate a federation with liars among honest clients, night after night, beside an honest twin.

1. The federation runs in one process, or signed and sealed through a drop-box in memory
   (`federations`). Both merge by the same code.
2. Liars are drawn from the seed, collude and know everything (`simulator.attackers`). What a liar's
   own data say is what it would have sent if it were honest.
3. Each night the clients' findings are dealt anew among them, so that no client stays an outlier.
   The demonstration's states, and clients of one's own files, keep their own findings.
4. A rule may refuse, because there are too few clients for f or more than it can search. Its night
   counts as refused, with the reason, because it gave no answer at all, and thus no wrong one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from hyperfed.aggregation import RULES
from hyperfed.errors import ConfigError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.simulator.attackers import build_attack
from hyperfed.simulator.federations import InProcess, Played, Player, Signed
from hyperfed.simulator.score import Score, kept, score
from hyperfed.simulator.worlds import World, build_world

__all__ = ["SimulatedNight", "Simulation", "attacked_graphs", "simulate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Describes what is simulated.

    Raises ConfigError for numbers out of range and for an unknown rule, AggregationError for an
    unknown attack.
    """

    clients: int = 50
    """The number of clients."""
    byzantine: float = 0.3
    """The share of clients that lie, in [0, 0.5)."""
    attack: str = "sign-flip"
    """The name of the liars' attack."""
    rule: str = "bounded-trust"
    """The name of the merge's rule."""
    world: str = "sem"
    """The name of the world that the clients observe."""
    f: int | None = None
    """The number of liars that the rule is told.

    None: as many as lie, in each basket its share of them, and 0 for mean and adaptive.
    """
    nights: int = 1
    """The number of nights, 1 to 365."""
    baskets: int = 1
    """The number of baskets, at most one for each client."""
    seed: int = 0
    """The seed that everything follows from."""
    from_night: int = 1
    """The night in which the liars begin to lie."""
    signed: bool = False
    """Whether updates are signed and sealed and go through a drop-box."""
    quiet: bool = False
    """Whether liars vote no louder than others (`simulator.attackers`)."""
    false_losses: bool = False
    """Whether liars claim a loss of 0, where everyone else claims 1."""
    own: World | None = None
    """A world that its caller has made, in place of one by its name; `world` is then its name."""

    def __post_init__(self) -> None:
        if not 0 <= self.byzantine < 0.5:
            raise ConfigError(
                f"a share of {self.byzantine:g} lies; [0, 0.5) can be borne", subject="simulation"
            )
        if not 1 <= self.nights <= 365 or not 1 <= self.baskets <= self.clients:
            raise ConfigError(
                f"{self.nights} nights, {self.baskets} baskets",
                subject="simulation",
                remedy="Give 1 to 365 nights, and at most one basket for each client",
            )
        if self.own is not None and (self.own.name, len(self.own.graphs)) != (
            self.world,
            self.clients,
        ):
            raise ConfigError(
                f"{self.clients} clients of a world {self.world!r:.40}, and the world given is "
                f"{self.own.name!r:.40} with {len(self.own.graphs)}",
                subject="simulation",
                remedy="Simulation.of_world makes one that fits",
            )
        if self.rule not in RULES:
            raise ConfigError(
                f"unknown rule {self.rule!r:.40}",
                subject="simulation",
                remedy=f"Choose one of {', '.join(RULES)}",
            )
        build_attack(self.attack)

    @classmethod
    def of_world(cls, world: World, **settings: Any) -> "Simulation":
        """Return a simulation of a world that its caller has made."""
        return cls(own=world, world=world.name, clients=len(world.graphs), **settings)

    @property
    def liars(self) -> int:
        """The number of clients that lie."""
        return int(self.byzantine * self.clients)

    @property
    def stated(self) -> int:
        """The number of liars that the rule is told, for each basket."""
        if self.f is not None:
            return self.f
        return 0 if self.rule in ("mean", "adaptive") else -(-self.liars // self.baskets)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedNight:
    """Holds what came of one night."""

    night: int
    """The night's number, from 1."""
    score: Score
    """How far the model is from the truth; of an empty model where there is none."""
    honest: Score
    """How far the honest twin's model of the same night is from the truth."""
    refused: str
    """Why there is no model; empty where there is one."""
    kept: float
    """The F1 of the model's signed edges against the honest twin's, in [0, 1]."""
    weight: float
    """The liars' share of all weight, in [0, 1]."""
    excluded: tuple[int, int]
    """The numbers of liars and of honest clients that were left out for their trust."""


def simulate(
    simulation: Simulation, *, progress: Callable[[int], None] | None = None
) -> Iterator[SimulatedNight]:
    """Play the nights, and yield each when it is over.

    `progress` is then called with the night's number.
    """
    rng = np.random.default_rng([simulation.seed, 1])
    first = _world(simulation)
    ids = sorted(first.graphs)
    liars = sorted(rng.permutation(np.array(ids))[: simulation.liars].tolist())
    lying = _player(simulation, first)
    twin = _twin(
        replace(
            simulation,
            attack="sign-flip",
            quiet=False,
            false_losses=False,
            f=simulation.stated,
            byzantine=0.0,
        )
    )
    for night in range(1, simulation.nights + 1):
        world = first if night == 1 or _keeps(simulation) else _another(first, night)
        honest = {client: world.graphs[client] for client in ids}
        attacked = night >= simulation.from_night
        sent = (
            attacked_graphs(honest, liars, simulation.attack, rng, quiet=simulation.quiet)
            if attacked
            else honest
        )
        losses = {
            client: 0.0 if attacked and simulation.false_losses and client in liars else 1.0
            for client in ids
        }
        played, clean = lying.night(sent, losses), next(twin)
        total = sum(played.weights.values())
        yield SimulatedNight(
            night=night,
            score=score(played.model, world),
            honest=score(clean.model, world),
            refused=played.refused,
            kept=kept(played.model, clean.model),
            weight=sum(played.weights.get(c, 0.0) for c in liars) / total if total else 0.0,
            excluded=(
                sum(c in played.excluded for c in liars),
                sum(c not in liars for c in played.excluded),
            ),
        )
        if progress is not None:
            progress(night)


def attacked_graphs(
    honest: dict[str, HypergraphStore],
    liars: list[str],
    attack: str,
    rng: np.random.Generator,
    *,
    quiet: bool = False,
) -> dict[str, HypergraphStore]:
    """Return what everyone sends when `liars` attack.

    `honest` is what each client would send if it were honest. An attack works on the edges that
    have votes.
    """
    others = [_voting(honest[c]) for c in sorted(honest) if c not in liars]
    liars_graphs = [_voting(honest[c]) for c in liars]
    lies = build_attack(attack, quiet=quiet).graphs(others, liars_graphs, rng)
    return honest | dict(zip(liars, lies, strict=True))


def _voting(graph: HypergraphStore) -> HypergraphStore:
    """Return the graph without the rows that carry an estimate and no vote."""
    return replace(graph, edges=graph.edges.take(graph.edges.vote != 0))


def _twin(simulation: Simulation) -> Iterator[Played]:
    """Yield the nights of the same federation when nobody lies.

    The night of a simulation of one night is remembered, because every attack is compared with it.
    """
    if simulation.nights == 1:
        yield _honest_night(simulation)
        return
    world = _world(simulation)
    player, losses = _player(simulation, world), dict.fromkeys(world.graphs, 1.0)
    for night in range(1, simulation.nights + 1):
        yield player.night(
            (world if night == 1 or _keeps(simulation) else _another(world, night)).graphs,
            losses,
        )


@lru_cache(maxsize=64)
def _honest_night(simulation: Simulation) -> Played:
    world = _world(simulation)
    return _player(simulation, world).night(world.graphs, dict.fromkeys(world.graphs, 1.0))


def _world(simulation: Simulation) -> World:
    if simulation.own is not None:
        return simulation.own
    return build_world(simulation.world, clients=simulation.clients, seed=simulation.seed)


def _keeps(simulation: Simulation) -> bool:
    """Return whether clients keep their findings every night, as those of real data do."""
    return simulation.world == "demo" or simulation.own is not None


def _another(first: World, night: int) -> World:
    """Return another night of the same world: each night the findings move on by one client."""
    ids = sorted(first.graphs)
    turn = night % len(ids)
    rotated = ids[turn:] + ids[:turn]
    return World(
        name=first.name,
        vocabulary=first.vocabulary,
        graphs={client: first.graphs[other] for client, other in zip(ids, rotated, strict=True)},
        keys=first.keys,
        effects=first.effects,
    )


def _player(simulation: Simulation, world: World) -> Player:
    ids = sorted(world.graphs)
    rules: dict[str, Any] = {
        "rule": simulation.rule,
        "f": simulation.stated,
        "baskets": simulation.baskets,
    }
    return (
        Signed(ids, vocabulary=world.vocabulary, **rules)
        if simulation.signed
        else InProcess(ids, **rules)
    )
