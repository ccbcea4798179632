"""A night in which effects are summed under masks, with noise in shares: R-200 to R-202."""

import math
import tomllib
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from hyperfed.client import session
from hyperfed.coordinator.opening import RoundTerms
from hyperfed.coordinator.runner import Why
from hyperfed.errors import BoundsError, PrivacyError, QuorumMissed, RefusedError
from hyperfed.hypergraph.explanation import edge_sentences
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.kernels.layout import Z95
from hyperfed.operations.audit import audit
from hyperfed.packets import Claims, PolicyPack, Update
from hyperfed.privacy.mechanisms import plan_release
from hyperfed.privacy.release import noise_cut
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Budget
from hyperfed.report import html_report, markdown_page, view_of
from hyperfed.report.site import SiteContent, site_files
from tests.effects_night import (
    EffectsNight,
    drawn,
    effects_policy,
    effects_update,
    model_of,
)
from tests.noised_night import NoisedNight, ended

pytestmark = pytest.mark.unit

AFTER = timedelta(minutes=5)
RECORDS = Budget(epsilon=Decimal(2000), unit="record")


def test_a_night_of_effects_is_charged_opened_and_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    night, vectors = EffectsNight(), drawn(monkeypatch)
    fed, planned = night.federation, night.release
    assert ended(night) is Why.COMMITTED
    (charge,) = fed.reader().ledger()[0].entry.mechanisms
    assert charge == planned.mechanism
    assert (charge.place, charge.shares, charge.numbers, charge.unit) == ("shares", 4, 9, "client")
    model = model_of(night)
    # the released means are the opened sum of what the clients noised, to the last digit
    total = np.sum(vectors, axis=0, dtype=np.uint64).view(np.int64)
    means = total * (planned.clip_norm / planned.bound / 6)
    std = planned.noise_std / math.sqrt(6)
    shown = {(row["source"], row["target"]): row for row in model.edges.rows()}
    at = {(0, 1): 1, (1, 2): 5}
    assert set(shown) >= set(at)  # one night of twenty shows an edge of noise
    for ends, slot in at.items():
        assert np.float32(shown[ends]["effect"]) == np.float32(means[slot])
        assert shown[ends]["ci_high"] == pytest.approx(means[slot] + Z95 * std, rel=1e-6)
        assert shown[ends]["n"] == 0
    exact = np.sum([night.steps_of(night.update_of(ward)) for ward in night.members], axis=0)
    noise = (total - exact) / (planned.mechanism.sigma * math.sqrt(6))
    assert 0.05 < noise.std() < 3
    said = model.privacy
    assert said is not None
    assert (said.shares, said.clients, said.released, said.slots) == (4, 6, "effects", 9)
    assert said.noise_std == pytest.approx(std)
    assert said.cut == pytest.approx(noise_cut(std, 9))
    assert "noise of 4 of the 6 clients" in model.statement
    assert "rows" not in " ".join(said.not_covered)
    assert model.opened_by == night.helpers
    assert model.moments is None
    for key in (None, fed.coordinator):
        report = audit(fed.store, fed.fingerprint, key)
        assert report.findings == ()
        assert report.checked["openings"] == 1
        assert report.checked.get("noise compared", 0) == (key is not None)


@pytest.mark.parametrize("kind", [EffectsNight, NoisedNight])
def test_pages_of_a_round_with_noise_in_shares_say_what_was_summed(
    kind: type[EffectsNight | NoisedNight],
) -> None:
    """Every page of the site, an edge's sentences, and the page of the round."""
    night = kind(epsilon=400)
    fed = night.federation
    fed.amend(budget=replace(fed.registry.budget, epsilon=Decimal(2000)))
    assert ended(night) is Why.COMMITTED
    found = fed.reader().result(1)
    assert found is not None
    assert isinstance(found.value, GlobalModel)
    rows = found.value.rows()
    assert rows
    for row in rows:
        said = " ".join(edge_sentences(found.value, row))
        assert "found in the noised sum of 6 clients, which nobody sees one by one" in said
    view = view_of(fed.reader(), 1)
    assert "6 of 10 clients counted" in markdown_page(view)
    assert "noise of 4 of the 6 clients" in html_report([view])
    content = SiteContent.read(fed.reader(), fed.reader().ledger(), last=5, sets=None)
    assert any("noised sum of 6 clients" in page for page in site_files(content).values())


def test_records_are_protected_where_each_client_attests_a_bound() -> None:
    night = EffectsNight(budget=RECORDS, epsilon=20, changes={"record_bound": 0.05})
    fed, planned = night.federation, night.release
    assert ended(night) is Why.COMMITTED
    (charge,) = fed.reader().ledger()[0].entry.mechanisms
    # one record moves as many steps as it moves its client's clip, and a step in each number
    assert charge.sensitivity == math.ceil(planned.bound * 0.05) + 3
    assert charge.unit == "record"
    said = model_of(night).privacy
    assert said is not None
    assert "each client attests that one record moves them by at most 0.05" in said.sentences
    assert audit(fed.store, fed.fingerprint, fed.coordinator).findings == ()


@pytest.mark.parametrize("bound", [None, 0.06])
def test_who_attests_no_fitting_bound_sends_nothing_and_spends_nothing(bound: float | None) -> None:
    night = EffectsNight(budget=RECORDS, epsilon=20, changes={"record_bound": 0.05})
    fed = night.federation
    night.opens()
    before = fed.objects()
    with pytest.raises(RefusedError, match="record bound") as refused:
        fed.submit("ward-1", effects_update(0.5, 0.6, record_bound=bound))
    assert refused.value.rule == "R-91"
    assert fed.objects() == before
    guard = fed.memories["ward-1"].privacy_guard(fed.registry.budget)
    assert not guard.accountant.mechanisms
    fed.submit("ward-1", effects_update(0.5, 0.6, record_bound=0.05))


def test_a_message_tells_nothing_of_what_was_measured_or_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two clients, one of which measured less and found nothing, send messages of one form."""
    night = EffectsNight()
    fed = night.federation
    night.opens()
    none = effects_update(0.5, 0.6).edges
    assert none is not None
    poor = Update(
        measured=np.array([0, 1], dtype=np.uint32),
        edges=none.take(np.zeros(2, dtype=bool)),
        lags=(1,),
        claims=Claims(loss=3.0),
    )
    sent, sign = list[Update](), session.signed_update

    def kept(update: Update, *args: Any, **more: Any) -> tuple[bytes, int, str]:
        sent.append(update)
        return sign(update, *args, **more)

    monkeypatch.setattr(session, "signed_update", kept)
    fed.submit("ward-1", night.update_of("ward-1"))
    fed.submit("ward-2", poor)
    first, second = sent
    assert first.masked is not None
    assert second.masked is not None
    assert len(first.masked.values) == len(second.masked.values) == 9
    for name in ("measured", "lags", "claims", "edges", "semantic", "statistics"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert first.claims == Claims()


def test_more_shares_than_counted_on_cost_less() -> None:
    costs = {}
    for missing in ((), ("ward-6",)):
        night = EffectsNight(shares=3)
        assert ended(night, but=missing) is Why.COMMITTED
        (charge,) = night.federation.reader().ledger()[0].entry.mechanisms
        costs[charge.shares] = charge.epsilon
        said = model_of(night).privacy
        assert said is not None
        assert (said.epsilon, said.shares) == (charge.epsilon, charge.shares)
    assert costs[4] < costs[3] == EffectsNight(shares=3).release.epsilon


def test_below_the_shares_that_a_plan_counts_on_nothing_is_frozen_or_opened() -> None:
    night = EffectsNight()
    fed = night.federation
    with pytest.raises(QuorumMissed, match="fewer than 4 shares of noise"):
        ended(night, but=("ward-6",))
    assert fed.reader().freeze(1) is None
    assert fed.run(1, now=fed.plan(1).close_by).why is Why.VOID
    assert not fed.objects(Keys.manifest(1))


def test_the_pages_example_is_a_policy() -> None:
    page = (Path(__file__).parents[3] / "docs" / "secure-sums.md").read_text(encoding="utf-8")
    part = page.split("## Effects in shares", 1)[1].split("\n\n")[1]
    fields = tomllib.loads(dedent(part))["policy"]
    policy = RoundTerms.of(variables=["heat", "load"], policy=fields).policy
    assert policy == effects_policy(12, 4)


@pytest.mark.parametrize("unit", ["client", "record"])
def test_the_grid_of_shares_is_finer_than_that_of_central_noise(unit: str) -> None:
    given: dict[str, Any] = {
        "epsilon": Decimal(2),
        "delta": Decimal("0.00001"),
        "clip_norm": 1.0,
        "slots": 36,
        "unit": unit,
        "record_bound": 0.1 if unit == "record" else 0.0,
    }
    shared = plan_release(**given, place="shares", noise_shares=16)
    central = plan_release(**given)
    assert shared.bound == pytest.approx(4 * central.bound, rel=1e-3)
    assert shared.epsilon == pytest.approx(central.epsilon, rel=Decimal("0.002"))
    assert shared.noise_std * 4 == pytest.approx(central.noise_std, rel=1e-3)
    assert shared.multiplier == pytest.approx(central.multiplier, rel=1e-3)


def test_a_small_record_bound_does_not_make_the_noise_larger_than_is_needed() -> None:
    """A clip has more steps than 2^20 then, as many more as the root of the shares."""
    given: dict[str, Any] = {
        "epsilon": Decimal(4),
        "delta": Decimal("0.00001"),
        "clip_norm": 1.0,
        "slots": 36,
        "unit": "record",
        "record_bound": 0.02,
    }
    shared = plan_release(**given, place="shares", noise_shares=16)
    central = plan_release(**given)
    assert shared.bound == 4 * central.bound == 1 << 22
    assert shared.noise_std * 4 == pytest.approx(central.noise_std)
    assert shared.epsilon == pytest.approx(central.epsilon, rel=Decimal("0.01"))


@pytest.mark.parametrize(
    "changes",
    [
        {"privacy": "none", "noise_shares": 0},
        {"discovery": "selected"},
    ],
)
def test_effects_under_masks_have_noise_on_every_possible_edge(changes: dict[str, Any]) -> None:
    with pytest.raises(PrivacyError, match="effects under masks") as refused:
        effects_policy(**changes)
    assert refused.value.rule == "R-200"
    assert isinstance(effects_policy(), PolicyPack)


@pytest.mark.parametrize(
    "changes",
    [{"basket_minimum": 2}, {"max_staleness": 1}, {"organisation_cap": 1.0}, {"payload": "both"}],
)
def test_what_needs_single_messages_stays_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((BoundsError, PrivacyError)) as refused:
        replace(effects_policy(), **changes)
    assert "Set " in refused.value.remedy or "Name the lags" in refused.value.remedy
