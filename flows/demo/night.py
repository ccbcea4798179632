"""One night of the demonstration: the round is opened, the states submit, the flow runs, and what came out is compared with what would have."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np

from flows.demo.progress import Steps
from flows.demo.us_states import BLOCK, Federation
from hyperfed.client import ClientMemory, ClientSession
from hyperfed.client_agent import FederationClientAgent
from hyperfed.demo import VARIABLES, flip_signs, series, states
from hyperfed.demo.figures import Kept, Votes, kept, merged_votes
from hyperfed.dropbox import DropBoxReader
from hyperfed.engines.var import VarEngine
from hyperfed.hypergraph import HypergraphStore
from hyperfed.packets import PolicyPack, Update
from hyperfed.store import ObjectStore

__all__ = ["LIARS", "Night", "play_night"]

LIARS = 14
FIRST_LIE = 3
_KNOWN_UNTIL = {1: 1984, 2: 1985}


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """summary: what the flow returned; votes: of every edge anyone reported, at bounded trust; kept_*: of the night before; trust_*: mean weights."""

    round: int
    summary: dict[str, Any]
    liars: tuple[str, ...]
    votes: Votes
    kept_bounded: Kept | None
    kept_plain: Kept | None
    trust_liars: float | None
    trust_others: float | None


def play_night(federation: Federation, store: ObjectStore, round_id: int, *, last: Night | None, null: float, steps: Steps) -> Night:
    """Open, submit, run, compare."""
    from flows.federation_round import federation_round
    from flows.open_round import open_round

    names: dict[str, Any] = {"drop_box": BLOCK, "coordinator_keys": BLOCK, "federation_policy": BLOCK}
    windows = federation.registry.windows
    open_round(now=windows.opens(round_id) + timedelta(minutes=1), **names)
    liars = _liars() if round_id >= FIRST_LIE else ()
    updates = _submit_all(federation, store, round_id, liars, steps)
    steps.say(f"night {round_id}: the federation round runs")
    summary: dict[str, Any] = federation_round(now=windows.deadline(round_id) + timedelta(minutes=5), **names)
    steps.advance(summary["headline"])
    stores = [HypergraphStore.from_update(updates[state], vocabulary=federation.vocabulary) for state in updates]
    votes, plain = (merged_votes(stores, list(updates), bounded=bounded) for bounded in (True, False))
    weights = _weights(federation, store, round_id)
    return Night(
        round=round_id,
        summary=summary,
        liars=liars,
        votes=votes,
        kept_bounded=kept(last.votes, votes, null=null, cut=PolicyPack().vote_min) if last else None,
        kept_plain=kept(last.votes, plain, null=null, cut=PolicyPack().vote_min) if last else None,
        trust_liars=_mean([w for c, w in weights.items() if c in liars]),
        trust_others=_mean([w for c, w in weights.items() if c not in liars]),
    )


def _liars() -> tuple[str, ...]:
    """The fourteen, drawn once and for all."""
    drawn = np.random.default_rng(0).choice(len(states()), LIARS, replace=False)
    return tuple(sorted(states()[i] for i in drawn))


def _weights(federation: Federation, store: ObjectStore, round_id: int) -> dict[str, float]:
    """Tonight's bounded trust by client, as the round's state says."""
    state = DropBoxReader(store, fingerprint=federation.fingerprint).state(round_id)
    return {c.client: c.weight for c in state.value.clients} if state else {}


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _submit_all(federation: Federation, store: ObjectStore, round_id: int, liars: tuple[str, ...], steps: Steps) -> dict[str, Update]:
    """Every state discovers on its own data and drops its signed, sealed update; what they sent, by state."""
    now = federation.registry.windows.opens(round_id) + timedelta(hours=20)

    def one(item: tuple[int, str]) -> tuple[str, Update]:
        number, client = item
        engine = VarEngine(series(client, _KNOWN_UNTIL.get(round_id, 1986)), VARIABLES, rng=number)
        memory = ClientMemory(federation.folder / "memory" / f"{client}.json")
        session = ClientSession(store, client_id=client, keys=federation.keys[client], fingerprint=federation.fingerprint, memory=memory)
        plan = session.plan_at(now)
        agent = FederationClientAgent(engine, client, policy=plan.value.policy, vocabulary=plan.value.vocabulary)
        update = agent.get_shareable_update()
        if client in liars and update.edges is not None:
            update = replace(update, edges=flip_signs(update.edges))
        session.submit(update, now=now, plan=plan)
        return client, update

    updates = {}
    with ThreadPoolExecutor(4) as pool:
        for client, update in pool.map(one, enumerate(states())):
            updates[client] = update
            steps.tick(f"night {round_id}: {client} discovers, signs, seals, submits")
    return updates
