"""Measure gossip against its theory: how fast a basket agrees, and how far liars move it.

1. Every client has a vector of independent normal numbers. The error of an epoch is the largest
   distance of an honest client's average from the average of all honest messages, in units of the
   largest distance at the start.
2. A client is away in an epoch with a stated probability: it neither reads nor writes then, and
   finds what was left for it when it is back.
3. A liar pushes the largest vector that is believed, with the largest weight, in every epoch.

4. `honest_errors` computes the same without liars, all clients at once: for large baskets. A test
   holds it to `gossip_errors`, which runs `GossipState` itself.

What it does not do: protocol, stores, signatures.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hyperfed.gossip import GossipPlan, GossipState, Share
from hyperfed.gossip.messages import LARGEST_WEIGHT, NoisedVector
from hyperfed.packets import Claims, Update
from hyperfed.privacy.slots import public_slots
from hyperfed.tables.tables import EdgeTable, unpack_keys

__all__ = ["GossipWorld", "gossip_errors", "honest_errors"]

_VARIABLES = 3  # nine numbers a message, at lag 1 and without lag six more


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipWorld:
    """Describes one exchange to be measured."""

    clients: int
    """How many clients the basket has."""
    degree: int = 6
    """How many peers each pushes to in an epoch."""
    epochs: int = 12
    """How many epochs there are."""
    away: float = 0.0
    """With which probability a client is away in an epoch, in [0, 1)."""
    noise: float = 0.0
    """The standard deviation of each client's local noise, in units of the spread between clients.
    """
    liars: float = 0.0
    """Which share of the clients lies, in [0, 1)."""
    seed: int = 0
    """The seed of everything random here."""


def _vector(values: npt.NDArray[np.float64]) -> NoisedVector:
    slots = public_slots(_VARIABLES, (0, 1))
    source, target, lag = unpack_keys(slots)
    edges = EdgeTable.build(
        source=source,
        target=target,
        lag=lag,
        effect=values,
        confidence=1.0,
        stability=1.0,
        hits=1,
        n=0,
    )
    message = Update(
        measured=np.arange(_VARIABLES, dtype=np.uint32), edges=edges, claims=Claims(clip_norm=1.0)
    )
    return NoisedVector.of_message(message, variables=_VARIABLES, lags=(0, 1))


def gossip_errors(world: GossipWorld) -> npt.NDArray[np.float64]:
    """Return the error before each epoch and after the last, float64[epochs + 1].

    The error is measured against the average of the honest clients' exact numbers, so with noise it
    ends at what noise leaves. Whoever is away at the end reads once more before the last figure.
    """
    rng = np.random.default_rng(world.seed)
    exact, messages, plan = _drawn(world, rng)
    states = {
        client: GossipState(plan, client, _vector(messages[i]))
        for i, client in enumerate(plan.clients)
    }
    lying = set(plan.clients[: int(world.liars * world.clients)])
    honest = [i for i, client in enumerate(plan.clients) if client not in lying]
    centre = exact[honest].mean(axis=0)
    start = np.linalg.norm(exact[honest] - centre, axis=1).max()

    def error() -> float:
        averages = np.array([states[plan.clients[i]].average for i in honest])
        return float(np.linalg.norm(averages - centre, axis=1).max() / start)

    mail: dict[str, list[Share]] = {client: [] for client in plan.clients}
    errors = [error()]
    for epoch in range(world.epochs):
        outgoing: list[tuple[str, Share]] = []
        for client in plan.clients:
            state, away = states[client], rng.random() < world.away
            if away:
                state.epoch += 1
                continue
            _read(state, mail[client])
            pushed = state.push()
            if client in lying:
                pushed = {peer: _lie(share, plan) for peer, share in pushed.items()}
            outgoing.extend(pushed.items())
        for peer, share in outgoing:
            mail[peer].append(share)
        if epoch == world.epochs - 1:
            for client in plan.clients:
                _read(states[client], mail[client])
        errors.append(error())
    return np.array(errors)


def _drawn(
    world: GossipWorld, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], GossipPlan]:
    """Return every client's exact numbers, its message, and the plan."""
    length = len(public_slots(_VARIABLES, (0, 1)))
    exact = rng.normal(0, 1, (world.clients, length))
    messages = exact + rng.normal(0, world.noise, exact.shape) if world.noise else exact
    plan = GossipPlan(
        clients=tuple(f"c{i:04d}" for i in range(world.clients)),
        round=1,
        seed=rng.bytes(32),
        length=length,
        norm_bound=6.0 * float(np.sqrt(length * (1.0 + world.noise**2))) / 3.0,
        degree=world.degree,
        epochs=world.epochs,
    )
    return exact, messages, plan


def honest_errors(world: GossipWorld) -> npt.NDArray[np.float64]:
    """Return what `gossip_errors` does for a world without liars, all clients at once."""
    rng = np.random.default_rng(world.seed)
    exact, messages, plan = _drawn(world, rng)
    place = {client: i for i, client in enumerate(plan.clients)}
    values, weights = messages.copy(), np.ones(world.clients)
    waiting, waiting_weights = np.zeros_like(values), np.zeros(world.clients)
    centre, part = exact.mean(axis=0), 1.0 / (plan.peers + 1)
    start = np.linalg.norm(exact - centre, axis=1).max()
    errors = [float(np.linalg.norm(messages - centre, axis=1).max() / start)]
    for epoch in range(world.epochs):
        here = rng.random(world.clients) >= world.away
        values[here] += waiting[here]
        weights[here] += waiting_weights[here]
        waiting[here], waiting_weights[here] = 0.0, 0.0
        average = values / weights[:, None]
        values[here] *= part
        weights[here] *= part
        norm = np.linalg.norm(average, axis=1)
        short = np.minimum(1.0, plan.norm_bound / np.maximum(norm, 1e-300))
        sent = np.where(here, np.minimum(weights, LARGEST_WEIGHT * part), 0.0)
        pushed = average * (short * sent)[:, None]
        for client, i in place.items():
            if here[i]:
                peers = [place[peer] for peer in plan.neighbours(epoch, client)]
                waiting[peers] += pushed[i]
                waiting_weights[peers] += sent[i]
        if epoch == world.epochs - 1:
            values, weights = values + waiting, weights + waiting_weights
        now = values / weights[:, None]
        errors.append(float(np.linalg.norm(now - centre, axis=1).max() / start))
    return np.array(errors)


def _read(state: GossipState, shares: list[Share]) -> None:
    for share in shares:
        state.add(share)
    shares.clear()


def _lie(share: Share, plan: GossipPlan) -> Share:
    """Return the worst share that is believed: as long and as heavy as the plan allows."""
    weight = LARGEST_WEIGHT / (plan.peers + 1)
    direction = np.full(plan.length, plan.norm_bound / np.sqrt(plan.length))
    return replace(share, weight=weight, values=direction * weight)
