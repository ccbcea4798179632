"""One simulated federation: liars among honest clients, night after night, beside its honest twin.

1. The federation is in one process, or signed and sealed through a drop-box in memory (`federations`); both merge by the same code.
2. Liars are drawn from the seed, collude and know everything (`testing.attackers`). What a liar's own data say is what it would have sent.
3. Each night the clients' findings are dealt anew among them, so that no client is odd for good; the demonstration's states keep their own.
4. A rule that refuses (too few clients for f, more than it can search) is scored as refused, with its reason: it gave no wrong answer, and none at all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from hyperfed.aggregation import RULES
from hyperfed.errors import ConfigError
from hyperfed.hypergraph import HypergraphStore
from hyperfed.testing.attackers import build_attack
from hyperfed.testing.simulator.federations import InProcess, Played, Player, Signed
from hyperfed.testing.simulator.score import Score, kept, score
from hyperfed.testing.simulator.worlds import World, build_world

__all__ = ["Night", "Simulation", "attacked_stores", "simulate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """clients; byzantine: the share that lies, in [0, 0.5); attack, rule, world: names; f: stated to the rule (None: as many as lie, in each basket its
    share of them; 0 for mean and adaptive); nights; baskets: how many; seed; from_night: when the lying starts; signed: through a drop-box; quiet: liars do
    not shout (`testing.attackers`); false_losses: liars claim a loss of 0, where everyone else claims 1. Raises ConfigError."""

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
    signed: bool = False
    quiet: bool = False
    false_losses: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.byzantine < 0.5:
            raise ConfigError(f"a share of {self.byzantine:g} lies; [0, 0.5) can be borne", subject="simulation")
        if not 1 <= self.nights <= 365 or not 1 <= self.baskets <= self.clients:
            raise ConfigError(f"{self.nights} nights, {self.baskets} baskets", subject="simulation", remedy="1 to 365 nights, at most one basket a client")
        if self.rule not in RULES:
            raise ConfigError(f"unknown rule {self.rule!r:.40}", subject="simulation", remedy=f"One of {', '.join(RULES)} is needed")
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
    kept: F1 against the honest twin's model; weight: the liars' share of all weight; excluded: how many of the liars, and of the
    honest, were left out by their reputation."""

    night: int
    score: Score
    honest: Score
    refused: str
    kept: float
    weight: float
    excluded: tuple[int, int]


def simulate(simulation: Simulation, *, progress: Callable[[int], None] | None = None) -> Iterator[Night]:
    """The nights, one after the other. progress: told each night's number when it is over."""
    rng = np.random.default_rng([simulation.seed, 1])
    first = build_world(simulation.world, clients=simulation.clients, seed=simulation.seed)
    ids = sorted(first.stores)
    liars = sorted(rng.permutation(np.array(ids))[: simulation.liars].tolist())
    lying = _player(simulation, first)
    twin = _twin(replace(simulation, attack="sign-flip", quiet=False, false_losses=False, f=simulation.stated, byzantine=0.0))
    for night in range(1, simulation.nights + 1):
        world = first if night == 1 or simulation.world == "demo" else _another(first, night)
        honest = {client: world.stores[client] for client in ids}
        attacked = night >= simulation.from_night
        sent = attacked_stores(honest, liars, simulation.attack, rng, quiet=simulation.quiet) if attacked else honest
        losses = {client: 0.0 if attacked and simulation.false_losses and client in liars else 1.0 for client in ids}
        played, clean = lying.night(sent, losses), next(twin)
        total = sum(played.weights.values())
        yield Night(
            night=night,
            score=score(played.model, world),
            honest=score(clean.model, world),
            refused=played.refused,
            kept=kept(played.model, clean.model),
            weight=sum(played.weights.get(c, 0.0) for c in liars) / total if total else 0.0,
            excluded=(sum(c in played.excluded for c in liars), sum(c not in liars for c in played.excluded)),
        )
        if progress is not None:
            progress(night)


def attacked_stores(
    honest: dict[str, HypergraphStore], liars: list[str], attack: str, rng: np.random.Generator, *, quiet: bool = False
) -> dict[str, HypergraphStore]:
    """What everyone sends when `liars` attack."""
    others = [honest[c] for c in sorted(honest) if c not in liars]
    lies = build_attack(attack, quiet=quiet).stores(others, [honest[c] for c in liars], rng)
    return honest | dict(zip(liars, lies, strict=True))


def _twin(simulation: Simulation) -> Iterator[Played]:
    """The nights of the same federation when nobody lies. The first is remembered: it is every attack's."""
    if simulation.nights == 1:
        yield _honest_night(simulation)
        return
    world = build_world(simulation.world, clients=simulation.clients, seed=simulation.seed)
    player, losses = _player(simulation, world), dict.fromkeys(world.stores, 1.0)
    for night in range(1, simulation.nights + 1):
        yield player.night((world if night == 1 or simulation.world == "demo" else _another(world, night)).stores, losses)


@lru_cache(maxsize=64)
def _honest_night(simulation: Simulation) -> Played:
    world = build_world(simulation.world, clients=simulation.clients, seed=simulation.seed)
    return _player(simulation, world).night(world.stores, dict.fromkeys(world.stores, 1.0))


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


def _player(simulation: Simulation, world: World) -> Player:
    ids = sorted(world.stores)
    rules: dict[str, Any] = {"rule": simulation.rule, "f": simulation.stated, "baskets": simulation.baskets}
    return Signed(ids, vocabulary=world.vocabulary, **rules) if simulation.signed else InProcess(ids, **rules)
