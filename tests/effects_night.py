"""A small federation whose clients add noise in shares to their effects, under masks."""

from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hyperfed.client import masked
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.packets import Claims, PolicyPack, Update
from hyperfed.privacy.clipping import clip_l2, to_grid
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.policy import release_of
from hyperfed.privacy.slots import dense, public_slots
from hyperfed.registry.registry import Budget
from hyperfed.secure_aggregation.noised_effects import effects_vector
from hyperfed.tables.tables import EdgeTable
from tests.noised_night import WARDS, NoisedNight
from tests.secure_night import VOCABULARY

CLIENT_BUDGET = Budget(epsilon=Decimal(2000), unit="client")


def effects_policy(shares: int = 4, epsilon: int = 400, **changes: Any) -> PolicyPack:
    """Return a policy of effects whose noise counts on so many shares."""
    fields: dict[str, Any] = {
        "payload": "edges",
        "lags": (1,),
        "strategy": "mean",
        "max_staleness": 0,
        "trust_min": 0.0,
        "organisation_cap": 0.0,
        "aggregation": "secure-sum",
        "privacy": "shares",
        "privacy_epsilon": Decimal(epsilon),
        "noise_shares": shares,
        "clip_norm": 1.0,
    }
    return PolicyPack(**(fields | changes))


def effects_update(
    *effects: float, record_bound: float | None = None, edges: tuple[tuple[int, int], ...] = ()
) -> Update:
    """Return a client's effects: heat drives load, and load drives wear, unless said otherwise."""
    pairs = np.array(edges or ((0, 1), (1, 2)))
    table = EdgeTable.build(
        source=pairs[:, 0],
        target=pairs[:, 1],
        lag=np.ones(len(pairs), np.uint16),
        effect=np.array(effects),
        confidence=0.9,
        stability=0.8,
        hits=20,
        n=100,
    )
    return Update(
        measured=np.arange(3, dtype=np.uint32),
        edges=table,
        lags=(1,),
        claims=Claims(record_bound=record_bound),
    )


class EffectsNight(NoisedNight):
    """A federation of wards that add up their effects."""

    def __init__(
        self,
        members: tuple[str, ...] = WARDS,
        *,
        shares: int = 4,
        epsilon: int = 400,
        budget: Budget = CLIENT_BUDGET,
        changes: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(members, shares=shares, budget=budget, **more)
        self.federation.policy = effects_policy(shares, epsilon, **(changes or {}))

    @property
    def release(self) -> PlannedRelease:
        """The night, as the policy plans it."""
        fed = self.federation
        planned = release_of(fed.policy, fed.vocabulary, fed.registry.budget)
        assert planned is not None
        return planned

    def update_of(self, client: str) -> Update:
        at = self.members.index(client)
        bound = self.federation.policy.record_bound or None
        return effects_update(0.5 + 0.01 * at, 0.6 - 0.01 * at, record_bound=bound)

    def steps_of(self, update: Update) -> npt.NDArray[np.int64]:
        """Return what an update comes to before its noise, int64[possible edges]."""
        assert update.edges is not None
        planned, slots = self.release, public_slots(len(VOCABULARY), self.federation.policy.lags)
        return to_grid(
            clip_l2(dense(update.edges, slots), planned.clip_norm),
            clip_norm=planned.clip_norm,
            bound=planned.bound,
        )


def model_of(night: EffectsNight) -> GlobalModel:
    """Return the model of round 1."""
    found = night.federation.reader().result(1)
    assert found is not None
    assert isinstance(found.value, GlobalModel)
    return found.value


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[npt.NDArray[np.uint64]]:
    """Return a list that gets every vector that a client noises, before its masks."""
    vectors = list[npt.NDArray[np.uint64]]()

    def kept(*args: Any, **more: Any) -> npt.NDArray[np.uint64]:
        vectors.append(effects_vector(*args, **more))
        return vectors[-1]

    monkeypatch.setattr(masked, "effects_vector", kept)
    return vectors
