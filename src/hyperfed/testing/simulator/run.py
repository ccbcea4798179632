"""One simulated federation: liars among honest clients, night after night, beside its honest twin.

1. The federation is `HierarchicalFederation`: groups, buffer, layers, trust are those of real rounds.
2. Liars are drawn from the seed, collude and know everything (`testing.attackers`). What a liar's own data say is what it would have sent.
3. Each night the clients' findings are dealt anew among them, so that no client is odd for good; the demonstration's states keep their own.
4. A rule that refuses (too few clients for f, more than it can search) is scored as refused, with its reason: it gave no wrong answer, and none at all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from hyperfed.basket import BasketRules
from hyperfed.errors import AggregationError, ConfigError
from hyperfed.hierarchical import HierarchicalFederation
from hyperfed.hypergraph import HypergraphStore
from hyperfed.layers import LayerRules
from hyperfed.testing.attackers import build_attack
from hyperfed.testing.simulator.score import Score, score
from hyperfed.testing.simulator.worlds import World, build_world

__all__ = ["Night", "Simulation", "attacked_stores", "simulate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """clients; byzantine: the share that lies, in [0, 0.5); attack, rule, world: names; f: stated to the rule (None: as many as lie, in each
    basket its share of them; 0 for mean and adaptive); nights; baskets: how many; seed; from_night: when the lying starts. Raises ConfigError."""

    clients: int = 50
    byzantine: float = 0.3
    attack: str = "sign-flip"
    rule: str = "bounded-trust"
    world: str = "sem"
    f: int | None = None
    nights: int = 1
    baskets: int = 1
    seed: int = 0
    from_night: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.byzantine < 0.5:
            raise ConfigError(f"a share of {self.byzantine:g} lies; [0, 0.5) can be borne", subject="simulation")
        if not 1 <= self.nights <= 365 or not 1 <= self.baskets <= self.clients:
            raise ConfigError(f"{self.nights} nights, {self.baskets} baskets", subject="simulation", remedy="1 to 365 nights, at most one basket a client")
        build_attack(self.attack)

    @property
    def liars(self) -> int:
        return int(self.byzantine * self.clients)

    @property
    def stated(self) -> int:
        """The f that the rule is told; inside a basket a share of the whole."""
        if self.f is not None:
            return self.f
        return 0 if self.rule in ("mean", "adaptive") else -(-self.liars // self.baskets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """score: against the truth; honest: the same night's, had nobody lied; refused: why there is none (score and honest are those of an empty model then);
    weight: the liars' share of all weight; excluded: how many of the liars, and of the honest, were left out by their reputation."""

    night: int
    score: Score
    honest: Score
    refused: str
    weight: float
    excluded: tuple[int, int]


def simulate(simulation: Simulation, *, progress: Callable[[int], None] | None = None) -> Iterator[Night]:
    """The nights, one after the other. progress: told each night's number when it is over."""
    rng = np.random.default_rng([simulation.seed, 1])
    first = build_world(simulation.world, clients=simulation.clients, seed=simulation.seed)
    ids = sorted(first.stores)
    liars = sorted(rng.permutation(np.array(ids))[: simulation.liars].tolist())
    lying, twin = _federation(simulation, ids), _federation(simulation, ids)
    for night in range(1, simulation.nights + 1):
        world = first if night == 1 or simulation.world == "demo" else _another(first, night)
        honest = {client: world.stores[client] for client in ids}
        sent = attacked_stores(honest, liars, simulation.attack, rng) if night >= simulation.from_night else honest
        model, refused = _play(lying, sent)
        clean, _ = _play(twin, honest)
        weights = lying.model.weights if lying.model is not None and not refused else {}
        total = sum(weights.values())
        gone = lying.model.excluded if lying.model is not None and not refused else {}
        yield Night(
            night=night,
            score=score(model, world),
            honest=score(clean, world),
            refused=refused,
            weight=sum(weights.get(c, 0.0) for c in liars) / total if total else 0.0,
            excluded=(sum(c in gone for c in liars), sum(c not in liars for c in gone)),
        )
        if progress is not None:
            progress(night)


def attacked_stores(honest: dict[str, HypergraphStore], liars: list[str], attack: str, rng: np.random.Generator) -> dict[str, HypergraphStore]:
    """What everyone sends when `liars` attack."""
    others = [honest[c] for c in sorted(honest) if c not in liars]
    lies = build_attack(attack).stores(others, [honest[c] for c in liars], rng)
    return honest | dict(zip(liars, lies, strict=True))


def _another(first: World, night: int) -> World:
    """Another night of the same world: the findings move on by one client a night."""
    ids = sorted(first.stores)
    turn = night % len(ids)
    rotated = ids[turn:] + ids[:turn]
    return World(
        name=first.name,
        vocabulary=first.vocabulary,
        stores={client: first.stores[other] for client, other in zip(ids, rotated, strict=True)},
        keys=first.keys,
        effects=first.effects,
    )


def _federation(simulation: Simulation, ids: list[str]) -> HierarchicalFederation:
    federation = HierarchicalFederation(
        rule=simulation.rule, f=simulation.stated, basket_rules=BasketRules(minimum=1), layer_rules=LayerRules(minimum=1, influence_cap=1.0)
    )
    for i, client in enumerate(ids):
        federation.register(client, basket=f"basket-{i % simulation.baskets + 1}")
    return federation


def _play(federation: HierarchicalFederation, stores: dict[str, HypergraphStore]) -> tuple[HypergraphStore, str]:
    """(the night's model, "") or (an empty model, why the rule refused)."""
    for client, store in stores.items():
        federation.submit(client, store)
    try:
        model = federation.maybe_aggregate()
    except AggregationError as exc:
        federation.round += 1
        return HypergraphStore(), str(exc)
    return (model.store, "") if model is not None else (HypergraphStore(), "below quorum")
