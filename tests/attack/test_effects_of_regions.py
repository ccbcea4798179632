"""Regions with a robust rule of their own add up their results under masks in a country (R-203).

Two regions of seven clients each, with coordinators and bounded trust of their own, and four lone
wards are six clients of a country whose effects are summed with noise in shares.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hyperfed.client import masked
from hyperfed.client.night import submit_update
from hyperfed.coordinator.runner import Why
from hyperfed.engines import FederationEngine
from hyperfed.errors import RefusedError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack, Update
from hyperfed.secure_aggregation.noised_effects import effects_vector
from hyperfed.tables.tables import EdgeTable
from hyperfed.testing.federation import SmallFederation
from tests.attack.test_effects_secure_rounds import opened
from tests.effects_night import EffectsNight, effects_update, model_of
from tests.secure_night import VOCABULARY

pytestmark = pytest.mark.attack

WARDS = ("ward-1", "ward-2", "ward-3", "ward-4")
MEMBERS = ("region-east", "region-west", *WARDS)
LIE = effects_update(-9.0, 9.0, edges=((0, 1), (2, 0)))


def played(
    name: str, effect: float, *, liar: Update | None = None, **policy: Any
) -> tuple[SmallFederation, GlobalModel]:
    """Play a night of a region of seven clients, of which one may lie."""
    pack = PolicyPack(lags=(1,), **policy)
    fed = SmallFederation(clients=7, name=name, vocabulary=VOCABULARY, policy=pack)
    fed.open(1)
    for at, client in enumerate(fed.clients):
        honest = effects_update(effect + 0.02 * at, effect - 0.01 * at)
        fed.submit(client, liar if liar is not None and client == "site-07" else honest)
    fed.run(1)
    found = fed.reader().result(1)
    assert found is not None
    assert isinstance(found.value, GlobalModel)
    return fed, found.value


def of_result(model: GlobalModel) -> Update:
    """Return a region's result as its client's update."""
    measured, edges = FederationEngine(model).discover().to_edges(VOCABULARY)
    return Update(measured=measured, edges=edges, lags=(1,))


@pytest.fixture
def seeded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[npt.NDArray[np.int64]]]:
    """Draw every client's noise from a seed of its own, and give each client's noise."""
    noise = list[npt.NDArray[np.int64]]()

    def from_seed(edges: EdgeTable, *args: Any, **more: Any) -> npt.NDArray[np.uint64]:
        seed = 100 + MEMBERS.index(more["subject"].split()[2])
        nothing = edges.take(np.zeros(len(edges), dtype=bool))
        alone, sent = (
            effects_vector(one, *args, **more, random_bytes=np.random.default_rng(seed).bytes)
            for one in (nothing, edges)
        )
        noise.append(alone.view(np.int64))
        return sent

    monkeypatch.setattr(masked, "effects_vector", from_seed)
    return noise


def means_of(night: EffectsNight, regions: dict[str, SmallFederation]) -> dict[Any, float]:
    """Play a night of the country, and return its means by the ends of their edges."""
    fed = night.federation
    night.opens()
    for client in MEMBERS:
        if client not in regions:
            fed.submit(client, night.update_of(client))
            continue
        below = regions[client].session("site-01")
        sent = submit_update(
            fed.session(client), None, below=below, now=fed.opens(1) + timedelta(hours=1)
        )
        assert sent["sent"]
    assert opened(night).federation.run(1, now=fed.night(1) + timedelta(minutes=5)).why is (
        Why.COMMITTED
    )
    return {(r["source"], r["target"]): r["effect"] for r in model_of(night).edges.rows()}


def test_the_countrys_mean_is_that_of_clipped_regional_results_and_wards(
    seeded: list[npt.NDArray[np.int64]],
) -> None:
    """To the last step of the grid, with the noise of every client known."""
    night = EffectsNight(members=MEMBERS)
    east, west = played("east", 0.5), played("west", 0.8)
    means = means_of(night, {"region-east": east[0], "region-west": west[0]})
    planned = night.release
    updates = [of_result(east[1]), of_result(west[1]), *map(night.update_of, WARDS)]
    steps = [night.steps_of(update) for update in updates]
    # the west's two effects are longer than a clip, and the east's are not
    assert np.linalg.norm(steps[0]) < np.linalg.norm(steps[1]) <= planned.bound
    assert np.linalg.norm(steps[1]) == pytest.approx(planned.bound, abs=2)
    assert len(seeded) == 6
    total = np.sum(steps, axis=0) + np.sum(seeded, axis=0)
    expected = total * (planned.clip_norm / planned.bound / 6)
    assert set(means) == {(0, 1), (1, 2)}
    for ends, slot in (((0, 1), 1), ((1, 2), 5)):
        assert np.float32(means[ends]) == np.float32(expected[slot])
    fed = night.federation
    assert audit(fed.store, fed.fingerprint, fed.coordinator).findings == ()


def _distance(night: EffectsNight, one: GlobalModel, other: GlobalModel) -> float:
    """Return how far two results are apart as the country clips them (L2)."""
    steps = [night.steps_of(of_result(model)) for model in (one, other)]
    planned = night.release
    return float(np.linalg.norm(steps[0] - steps[1])) * planned.clip_norm / planned.bound


def test_a_liar_inside_a_region_moves_the_country_as_far_as_the_regions_rule_lets_it(
    seeded: list[npt.NDArray[np.int64]],
) -> None:
    """One of seven sends effects of another sign, and an edge that nobody has, nine times as large.

    The region's votes drop the edge that it made up, and its bounded trust keeps the sizes of the
    others; in a region that takes plain means they move further. What reaches the country is a
    sixth of what moved the region, since six are summed.
    """
    moved = {}
    for rule in ("bounded-trust", "mean"):
        honest, lied = (
            played("east", 0.5, liar=liar, rule=rule, trust_min=0.0) for liar in (None, LIE)
        )
        night, other = EffectsNight(members=MEMBERS), EffectsNight(members=MEMBERS)
        before = means_of(night, {"region-east": honest[0]})
        after = means_of(other, {"region-east": lied[0]})
        region_moved = _distance(night, honest[1], lied[1])
        ends = set(before) | set(after)
        country = np.linalg.norm([before.get(e, 0.0) - after.get(e, 0.0) for e in ends])
        assert set(before) == set(after) == {(0, 1), (1, 2)}
        assert country == pytest.approx(region_moved / 6, abs=1e-5)
        moved[rule] = (region_moved, float(country))
    assert moved["bounded-trust"][0] == pytest.approx(0.011, abs=0.001)  # docs/secure-sums.md
    assert moved["mean"][0] > 10 * moved["bounded-trust"][0]


def test_a_region_that_follows_the_protocol_moves_the_mean_by_two_clips_over_clients(
    seeded: list[npt.NDArray[np.int64]],
) -> None:
    """A region whose coordinator makes its result up sends it by the protocol: it is clipped."""
    night, other = EffectsNight(members=MEMBERS), EffectsNight(members=MEMBERS)
    honest = night.steps_of(effects_update(0.6, 0.8))
    lie = other.steps_of(effects_update(-0.6e9, -0.8e9))
    bound = night.release.bound
    assert np.linalg.norm(honest - lie) <= 2 * bound
    made_up = effects_update(-0.6e9, -0.8e9)
    for one, update in ((night, effects_update(0.6, 0.8)), (other, made_up)):
        fed = one.federation
        one.opens()
        fed.submit("region-east", update)
        one.submit_all(but=("region-east",))
        assert opened(one).federation.run(1, now=fed.night(1) + timedelta(minutes=5)).why is (
            Why.COMMITTED
        )
    before, after = (
        {(r["source"], r["target"]): r["effect"] for r in model_of(one).edges.rows()}
        for one in (night, other)
    )
    assert set(before) == set(after) == {(0, 1), (1, 2)}
    moved = np.linalg.norm([before[ends] - after[ends] for ends in before])
    assert moved == pytest.approx(2 * 1.0 / 6, rel=1e-3)


def test_a_result_that_attests_no_record_bound_hides_no_records() -> None:
    """Nobody knows how far one record of one client moves what a robust rule makes of them."""
    records = replace(EffectsNight().federation.registry.budget, unit="record")
    east = played("east", 0.5)[0]
    for changes in (
        {"record_bound": 0.05},
        {"record_bound": 0.05, "privacy": "central", "aggregation": "seen", "noise_shares": 0},
    ):
        night = EffectsNight(members=MEMBERS, budget=records, epsilon=20, changes=changes)
        fed = night.federation
        night.opens()
        before, now = fed.objects(), fed.opens(1) + timedelta(hours=1)
        session = fed.session("region-east")
        with pytest.raises(RefusedError, match="attests no record bound") as refused:
            submit_update(session, None, below=east.session("site-01"), now=now)
        assert refused.value.rule == "R-203"
        assert fed.objects() == before
        session.record_bound = 0.05  # somebody answers for it, as for a client's own records
        assert submit_update(session, None, below=east.session("site-01"), now=now)["sent"]
