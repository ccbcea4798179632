"""`simulate`: a federation in memory, played for some nights, with liars if wanted: what would the policy do with them? Touches no drop-box."""

from dataclasses import replace
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, State

from hyperfed.demo import flip_signs
from hyperfed.packets import PolicyPack
from hyperfed.report.outcome import outcome_of
from hyperfed.report.view import view_of
from hyperfed.testing.federation import SmallFederation

__all__ = ["simulate"]


@task(name="play", cache_policy=NO_CACHE)
def play(clients: int, liars: int, nights: int, policy: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a night: counted, edges, and the mean weight of liars and of the others."""
    federation = SmallFederation(clients=clients, policy=replace(PolicyPack(), **policy))
    lying, rows = set(federation.clients[:liars]), []
    for night in range(1, nights + 1):
        federation.open(night)
        for client in federation.clients:
            update = federation.update(client)
            if client in lying and update.edges is not None:
                update = replace(update, edges=flip_signs(update.edges))
            federation.submit(client, update, round_id=night)
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
def simulate(clients: int = 8, liars: int = 2, nights: int = 5, policy: dict[str, Any] | None = None) -> State[dict[str, Any]]:
    """Play a federation whose clients found the same chain of four variables; liars negate every effect.

    Args:
        clients: How many there are, at most 200.
        liars: How many of them lie, fewer than all.
        nights: How many nights are played, at most 60.
        policy: Fields of the policy pack that differ from its defaults, such as {"vote_min": 0.25}.
    """
    rows = play(min(max(clients, 1), 200), min(liars, clients - 1), min(nights, 60), policy or {})
    create_table_artifact(key="simulation", table=rows, description=f"{clients} clients, {liars} of them lie, {nights} nights")
    last = rows[-1]
    get_run_logger().info("flow=simulate nights=%d edges=%d", len(rows), last["edges"])
    return Completed(message=f"after {len(rows)} nights: {last['edges']} edges, liars weigh {last['weight of liars']}", data={"nights": rows})
