"""Play private rounds of effects: how far the noised means are off, and which edges they show.

1. 20 clients have rows of their own of a VAR(1) of 6 variables, and the built-in engine finds their
   effects. Delta is 1e-5; the unit is a client, or a record that moves its client's effects by at
   most `RECORD_BOUND`. The policy's g_min is `SMALLEST`; true effects are twice as large.
2. Every release is the library's own: clip, whole numbers, discrete Gaussian noise by the
   coordinator, by each client, or in shares of which 12 are counted on, and the cut of what stands
   out of the noise.
"""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from hyperfed.client_agent import FederationClientAgent
from hyperfed.engines import VarEngine
from hyperfed.packets import PolicyPack, Update
from hyperfed.privacy.clipping import clip_l2
from hyperfed.privacy.mechanisms import PlannedRelease, plan_release
from hyperfed.privacy.release import (
    Released,
    central_means,
    local_means,
    noised_message,
    opened_means,
    released_graph,
)
from hyperfed.privacy.slots import dense, public_slots
from hyperfed.secure_aggregation.noised_effects import effects_sum_of, effects_vector
from hyperfed.simulator.evidence.linear_worlds import World, var_world
from hyperfed.simulator.evidence.pooled_rows import edges_of
from hyperfed.tables.tables import EdgeTable

__all__ = ["filled_effects", "measure_effects"]

CLIENTS, SHARES, ROWS = 20, 12, 400
EPSILONS = (1, 4)
CLIP, RECORD_BOUND, SMALLEST = 1.0, 0.02, 0.1
_WAYS = {
    "central": "central noise",
    "shares": f"in {SHARES} of {CLIENTS} shares",
    "local": "local noise",
}
_BEGIN, _END = "<!-- effects: made by benchmarks/private_sums.py -->", "<!-- end -->"

Cells = Sequence[dict[str, Any]]


def updates_of(seed: int) -> tuple[World, list[Update]]:
    """Return a world, and what each client finds in its own rows of it."""
    rng = np.random.default_rng([seed, CLIENTS])
    world = var_world(rng)
    policy = PolicyPack(
        privacy="central", strategy="mean", trust_min=0.0, lags=world.lags, g_min=SMALLEST
    )
    updates = []
    for client in range(CLIENTS):
        engine = VarEngine(world.sample(ROWS, rng), world.names, lags=world.lags, rng=rng)
        agent = FederationClientAgent(
            engine, f"site-{client:02d}", policy=policy, vocabulary=world.vocabulary
        )
        updates.append(agent.get_shareable_update())
    return world, updates


def released(world: World, updates: Sequence[Update], night: PlannedRelease) -> Released:
    """Return the means of one private round, by the library's own release."""
    about: dict[str, Any] = {"vocabulary": world.vocabulary, "lags": world.lags}
    tables = [update.edges or EdgeTable.empty() for update in updates]
    equal = [1.0] * len(updates)
    if night.mechanism.place == "central":
        return central_means(tables, equal, night, **about)
    if night.mechanism.place == "local":
        sent = [noised_message(update, night, **about).edges for update in updates]
        return local_means([one or EdgeTable.empty() for one in sent], equal, night, **about)
    vectors = [
        effects_vector(table, night, **about, cohort=len(updates), subject="simulated client")
        for table in tables
    ]
    total = np.zeros(night.mechanism.numbers, dtype=np.uint64)
    for vector in vectors:
        total += vector
    steps = effects_sum_of(total, night, clients=len(updates))
    return opened_means(steps, night, clients=len(updates), **about)


def play_effects(
    world: World, updates: Sequence[Update], *, epsilon: int, place: str, unit: str
) -> dict[str, float]:
    """Return how far the means of one round are off, and how many of its edges are true."""
    slots = public_slots(len(world.names), world.lags)
    night = plan_release(
        epsilon=Decimal(epsilon),
        delta=Decimal("0.00001"),
        clip_norm=CLIP,
        slots=len(slots),
        place=place,
        unit=unit,
        record_bound=RECORD_BOUND if unit == "record" else 0.0,
        noise_shares=SHARES if place == "shares" else 0,
    )
    means = released(world, updates, night)
    exact = np.mean(
        [clip_l2(dense(one.edges or EdgeTable.empty(), slots), CLIP) for one in updates], axis=0
    )
    graph = released_graph(means, vocabulary=world.vocabulary, least=SMALLEST)
    shown = edges_of(world, graph.edges, np.ones(len(graph.edges)))
    return {
        "rmse": float(np.sqrt(np.mean(np.square(means.mean - exact)))),
        "found": len(shown & world.edges),
        "false": len(shown - world.edges),
        "edges": len(world.edges),
    }


def measure_effects(
    seeds: Sequence[int], *, progress: Callable[[str], None] = lambda said: None
) -> list[dict[str, Any]]:
    """Play every round, and return one cell for each unit, way and epsilon."""
    worlds = [updates_of(seed) for seed in seeds]
    cells: list[dict[str, Any]] = []
    for unit in ("client", "record"):
        for place in _WAYS:
            for epsilon in EPSILONS:
                played = [
                    play_effects(world, updates, epsilon=epsilon, place=place, unit=unit)
                    for world, updates in worlds
                ]
                cells.append(
                    {"unit": unit, "place": place, "epsilon": epsilon}
                    | {
                        name: [round(one[name], 5) for one in played]
                        for name in ("rmse", "found", "false", "edges")
                    }
                )
        progress(f"effects of a {unit}: {[cell['rmse'][0] for cell in cells[-len(_WAYS) * 2 :]]}")
    return cells


def filled_effects(page: str, cells: Cells) -> str:
    """Return the page with its table of private effects made anew."""
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    head = [f"epsilon {e}: {what}" for e in EPSILONS for what in ("error", "edges shown")]
    rows = ["| hides | noise | " + " | ".join(head) + " |", "|---" * (2 + len(head)) + "|"]
    for unit in ("client", "record"):
        for place, name in _WAYS.items():
            said = []
            for epsilon in EPSILONS:
                wanted = (unit, place, epsilon)
                (cell,) = [
                    one for one in cells if (one["unit"], one["place"], one["epsilon"]) == wanted
                ]
                error = math.sqrt(float(np.mean(np.square(cell["rmse"]))))
                found, false, edges = (sum(cell[n]) for n in ("found", "false", "edges"))
                said += [f"{error:.3f}", f"{found} of {edges}, {false} false"]
            rows.append(f"| a {unit} | {name} | " + " | ".join(said) + " |")
    table = "\n".join(rows)
    return f"{before}{_BEGIN}\n\n{table}\n\n{_END}{after}"
