"""Let the clients of one process gossip, as `HierarchicalFederation.gossip` does.

1. A client's message is noised when it is first needed in a round and kept for the whole round:
   what was drawn is sent again as it was drawn. A second message would reveal more than was
   charged, so a correction of the update comes too late for the round's gossip.
2. The guard is charged once a round, before anything is drawn: every client pays the same, for its
   own data.
3. From there on only `GossipState` works, which begins with noised messages and nothing else.

What it does not do: speak over a drop-box (`client.gossip`).
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hyperfed.gossip import GossipPlan, GossipState, NoisedVector
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import Update
from hyperfed.privacy import PrivacyGuard
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.release import noised_message
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["GossipDraws", "GossipedAverage"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GossipedAverage:
    """Holds what the clients of one basket have of its average after a number of epochs."""

    clients: tuple[str, ...]
    """The members that took part, ascending."""
    averages: npt.NDArray[np.float64]
    """float64[clients, slots]: what each of them has, one number for each possible edge."""

    @property
    def disagreement(self) -> float:
        """The largest distance (L2) of a member from the mean of all members' averages."""
        return float(np.linalg.norm(self.averages - self.averages.mean(axis=0), axis=1).max())


@dataclass(slots=True)
class GossipDraws:
    """Holds the noised messages of one round."""

    round: int = 0
    """The round that they were drawn in."""
    vectors: dict[str, NoisedVector] = field(default_factory=dict)
    """The message of each client that has drawn one."""

    def gossiped(
        self,
        stores: Mapping[str, HypergraphStore],
        groups: Mapping[str, Sequence[str]],
        *,
        noise: PlannedRelease,
        guard: PrivacyGuard,
        vocabulary: Vocabulary,
        lags: Sequence[int],
        round_id: int,
        epochs: int,
    ) -> dict[str, GossipedAverage]:
        """Return what each group's clients have after their epochs, by the group's name.

        Raises PrivacyBudgetExhausted or PrivacyError; nothing is drawn then.
        """
        if self.round != round_id:
            self.round, self.vectors = round_id, {}
        members_of = {name: sorted(clients) for name, clients in groups.items() if len(clients) > 1}
        if not members_of:
            return {}
        guard.charge(noise.mechanisms, operation=f"gossip/{round_id}")
        for client in (client for members in members_of.values() for client in members):
            if client not in self.vectors:
                store = stores[client]
                message = noised_message(
                    Update(measured=store.measured, edges=store.edges),
                    noise,
                    vocabulary=vocabulary,
                    lags=lags,
                )
                self.vectors[client] = NoisedVector.of_message(
                    message, variables=len(vocabulary), lags=lags
                )
        return {
            name: self._averaged(name, members, noise, round_id=round_id, epochs=epochs)
            for name, members in members_of.items()
        }

    def _averaged(
        self,
        name: str,
        members: Sequence[str],
        noise: PlannedRelease,
        *,
        round_id: int,
        epochs: int,
    ) -> GossipedAverage:
        length = len(self.vectors[members[0]].values)
        plan = GossipPlan(
            clients=tuple(members),
            round=round_id,
            seed=hashlib.sha256(f"{name}/{round_id}".encode()).digest(),
            length=length,
            norm_bound=noise.clip_norm + noise.noise_std * (math.sqrt(length) + 6.0),
            epochs=epochs,
        )
        states = {client: GossipState(plan, client, self.vectors[client]) for client in members}
        for _ in range(epochs):
            pushed = [share for state in states.values() for share in state.push().items()]
            for peer, share in pushed:
                states[peer].add(share)
        return GossipedAverage(
            clients=tuple(members), averages=np.array([states[c].average for c in members])
        )
