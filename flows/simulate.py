"""`simulate`: a federation in memory, played for some nights, with liars if wanted: what would the policy do with them? Touches no drop-box."""

from dataclasses import replace
from typing import Any

import numpy as np
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, State

from hyperfed.hypergraph import HypergraphStore
from hyperfed.packets import PolicyPack, Update
from hyperfed.report.outcome import outcome_of
from hyperfed.report.view import view_of
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.simulator.run import attacked_stores

__all__ = ["simulate"]


@task(name="play", cache_policy=NO_CACHE)
def play(clients: int, liars: int, nights: int, attack: str, policy: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a night: counted, edges, and the mean weight of liars and of the others."""
    federation = SmallFederation(clients=clients, policy=replace(PolicyPack(), **policy))
    lying, rows, rng = set(federation.clients[:liars]), [], np.random.default_rng(0)
    for night in range(1, nights + 1):
        federation.open(night)
        honest = {client: HypergraphStore.from_update(federation.update(client), vocabulary=federation.vocabulary) for client in federation.clients}
        for client, sent in attacked_stores(honest, sorted(lying), attack, rng).items():
            federation.submit(client, Update(measured=sent.measured, edges=sent.edges), round_id=night)
        federation.run(night)
        view = view_of(federation.reader(), night)
        weights = {row.client: row.weight for row in view.trust if row.weight is not None}
        said = outcome_of(view)
        rows.append(
            {name: said[name] for name in ("round", "outcome", "counted", "edges")}
            | {
                "excluded": len(said["excluded"]),
                "weight of liars": _mean([w for c, w in weights.items() if c in lying]),
                "weight of the others": _mean([w for c, w in weights.items() if c not in lying]),
            }
        )
    return rows


def _mean(values: list[float]) -> float | None:
    return round(sum(values) / len(values), 3) if values else None


@flow(name="simulate", flow_run_name="simulate {clients} clients, {liars} liars, {nights} nights", persist_result=False)
def simulate(clients: int = 8, liars: int = 2, nights: int = 5, attack: str = "sign-flip", policy: dict[str, Any] | None = None) -> State[dict[str, Any]]:
    """Play a federation whose clients found the same chain of four variables, by signed rounds in memory; `hyperfed simulate` has larger worlds.

    Args:
        clients: How many there are, at most 200.
        liars: How many of them lie, fewer than all.
        nights: How many nights are played, at most 60.
        attack: What liars do, such as sign-flip, alie, mimic or collusion (hyperfed.testing.attackers).
        policy: Fields of the policy pack that differ from its defaults, such as {"rule": "multi-krum", "f": 2}.
    """
    rows = play(min(max(clients, 1), 200), min(liars, clients - 1), min(nights, 60), attack, policy or {})
    create_table_artifact(key="simulation", table=rows, description=f"{clients} clients, {liars} of them lie ({attack}), {nights} nights")
    last = rows[-1]
    get_run_logger().info("flow=simulate nights=%d edges=%d", len(rows), last["edges"])
    return Completed(message=f"after {len(rows)} nights: {last['edges']} edges, liars weigh {last['weight of liars']}", data={"nights": rows})
