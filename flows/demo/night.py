"""Play one night of the demonstration.

The round is opened, the states submit, the flow runs, and what came out is compared with what would
have.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from flows.demo.progress import Steps
from flows.demo.us_states import BLOCK, Federation
from hyperfed.client import ClientMemory, ClientSession
from hyperfed.client_agent import FederationClientAgent, statistics_update
from hyperfed.demo import VARIABLES, flip_signs, series, states
from hyperfed.demo.figures import (
    Kept,
    Votes,
    kept,
    merged_votes,
    summed_votes,
    without_noise,
)
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.engines.var import VarEngine
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack, Update
from hyperfed.privacy.moments import plan_moments
from hyperfed.statistics import Statistics, statistics_of
from hyperfed.statistics.clipped import clipped_statistics
from hyperfed.storage.store import ObjectStore
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["LIARS", "PlayedNight", "play_night"]

LIARS = 14
"""How many states lie."""
FIRST_LIE = 3
"""The first night in which they lie."""
_KNOWN_UNTIL = {1: 1984, 2: 1985}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedNight:
    """Holds a night of the demonstration, and what came out of it."""

    round: int
    """Number of its round."""
    summary: dict[str, Any]
    """What the flow returned."""
    liars: tuple[str, ...]
    """The states that lied."""
    votes: Votes
    """Votes of every edge that anyone reported, at bounded trust."""
    plain: Votes
    """Votes of the same edges by the plain mean."""
    kept_bounded: Kept | None
    """What of the night before was kept at bounded trust; None in the first night."""
    kept_plain: Kept | None
    """What of the night before was kept by the plain mean; None in the first night."""
    weights: dict[str, float]
    """Weight of each client that was counted in this night, in [0, 1]."""
    weight_liars: float | None
    """Mean weight of the liars; None where none was counted."""
    weight_others: float | None
    """Mean weight of the others; None where none was counted."""


def play_night(
    federation: Federation,
    store: ObjectStore,
    round_id: int,
    *,
    last: PlayedNight | None,
    null: float,
    steps: Steps,
) -> PlayedNight:
    """Open a round, let the states submit, run the round, and compare.

    `last` is the night before, None in the first. `null` is the vote that chance alone reaches.
    """
    from flows.federation_round import federation_round
    from flows.open_round import open_round

    names: dict[str, Any] = {
        "drop_box": BLOCK,
        "coordinator_keys": BLOCK,
        "federation_policy": BLOCK,
    }
    windows = federation.registry.windows
    open_round(now=windows.opens(round_id) + timedelta(minutes=1), **names)
    liars = _liars() if round_id >= FIRST_LIE else ()
    steps.night(round_id, len(states()) + 1)
    updates, policy = _submit_all(federation, store, round_id, liars, steps)
    steps.say("the federation round runs")
    # Prefect returns the data of the state that a flow returns, and its type says the state
    summary: dict[str, Any] = federation_round(  # type: ignore[assignment]
        now=windows.deadline(round_id) + timedelta(minutes=5), **names
    )
    steps.advance(summary["headline"])
    stores = [
        HypergraphStore.from_update(updates[state], vocabulary=federation.vocabulary)
        for state in updates
    ]
    if policy.payload == "edges":
        votes, plain = (
            merged_votes(stores, list(updates), bounded=bounded) for bounded in (True, False)
        )
    else:
        votes, plain = (
            summed_votes(updates, without_noise(policy), federation.vocabulary, bounded=bounded)
            for bounded in (True, False)
        )
    weights = _weights(federation, store, round_id)
    return PlayedNight(
        round=round_id,
        summary=summary,
        liars=liars,
        votes=votes,
        plain=plain,
        kept_bounded=kept(last.votes, votes, null=null, cut=PolicyPack().vote_min)
        if last
        else None,
        kept_plain=kept(last.votes, plain, null=null, cut=PolicyPack().vote_min) if last else None,
        weights=weights,
        weight_liars=_mean([w for c, w in weights.items() if c in liars]),
        weight_others=_mean([w for c, w in weights.items() if c not in liars]),
    )


def _liars() -> tuple[str, ...]:
    """Return the fourteen liars, which are the same in every run."""
    drawn = np.random.default_rng(0).choice(len(states()), LIARS, replace=False)
    return tuple(sorted(states()[i] for i in drawn))


def _weights(federation: Federation, store: ObjectStore, round_id: int) -> dict[str, float]:
    """Return this night's weight of each counted client, as the round's state has it."""
    state = DropBoxReader(store, fingerprint=federation.fingerprint).state(round_id)
    return (
        {c.client: c.weight for c in state.value.clients if c.last_round == round_id}
        if state
        else {}
    )


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _submit_all(
    federation: Federation, store: ObjectStore, round_id: int, liars: tuple[str, ...], steps: Steps
) -> tuple[dict[str, Update], PolicyPack]:
    """Let every state discover on its own data and submit a signed, sealed update.

    Returns what they sent, by state, and the policy of the round. Where sums are noised it is what
    they would send without clip and noise.
    """
    now = federation.registry.windows.opens(round_id) + timedelta(hours=20)

    def one(item: tuple[int, str]) -> tuple[str, Update]:
        number, client = item
        values = series(client, _KNOWN_UNTIL.get(round_id, 1986))
        engine = VarEngine(values, VARIABLES, rng=number)
        memory = ClientMemory(federation.folder / "memory" / f"{client}.json")
        session = ClientSession(
            store,
            client_id=client,
            key_pair=federation.keys[client],
            fingerprint=federation.fingerprint,
            memory=memory,
        )
        plan = session.plan_at(now)
        agent = FederationClientAgent(
            engine, client, policy=plan.value.policy, vocabulary=plan.value.vocabulary
        )
        update = agent.get_shareable_update()
        if client in liars and update.edges is not None:
            update = replace(update, edges=flip_signs(update.edges))
        exact = leaving = update
        policy, vocabulary = plan.value.policy, plan.value.vocabulary
        if policy.payload != "edges":
            rows = _turned(values) if client in liars else values
            beside = update if policy.payload == "both" else None
            moments = statistics_of(rows, names=VARIABLES, vocabulary=vocabulary, lags=policy.lags)
            exact = leaving = statistics_update(moments, beside=beside)
            if policy.privacy != "none":
                leaving = statistics_update(_clipped(rows, policy, vocabulary))
        session.submit(leaving, now=now, plan=plan)
        policies.append(plan.value.policy)
        return client, exact

    policies: list[PolicyPack] = []
    updates = {}
    with ThreadPoolExecutor(4) as pool:
        for client, update in pool.map(one, enumerate(states())):
            updates[client] = update
            steps.tick(f"{client} discovers, signs, seals, submits")
    return updates, policies[0]


def _clipped(
    rows: npt.NDArray[np.float64], policy: PolicyPack, vocabulary: Vocabulary
) -> Statistics:
    """Return the statistics of a private night; with local noise, the session adds it."""
    return clipped_statistics(
        rows,
        names=VARIABLES,
        vocabulary=vocabulary,
        lags=policy.lags,
        row_norm=policy.statistics.row_norm,
        grid=plan_moments(policy, len(vocabulary)).bound,
        centring=policy.statistics.centring,
    )


def _turned(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a liar's series: every second variable upside down, which turns what acts on what."""
    sign = np.where(np.arange(values.shape[1]) % 2, -1.0, 1.0)
    return np.asarray(values * sign)
