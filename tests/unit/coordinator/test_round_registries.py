"""Who coordinates, under which registry: keys that come and go between the stages of a round."""

from dataclasses import replace
from datetime import timedelta

import pytest

from hyperfed.crypto.envelope import PacketType
from hyperfed.errors import ConfigError, RegistryError, RoundError
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import KeyRecord
from hyperfed.testing.federation import SmallFederation, key_of


def test_a_coordinator_whose_key_is_not_registered_writes_nothing() -> None:
    fed = SmallFederation()
    with pytest.raises(ConfigError, match="is not the coordinator's"):
        fed.runner(1, key_pair=key_of("mallory")).open_round(
            1, policy=fed.policy, vocabulary=fed.vocabulary
        )
    fed.open(1)
    fed.submit_all()
    sealed_to_us = fed.runner(1)
    arrivals = sealed_to_us.collect(1)
    admission = sealed_to_us.validate(arrivals)
    before = fed.objects()
    with pytest.raises(RegistryError, match="is not the coordinator's in round 1"):
        fed.runner(1, key_pair=key_of("mallory")).freeze(1, admission)
    assert fed.objects() == before, "an unverifiable freeze would occupy its key for ever"
    assert fed.run(1).why is Why.COMMITTED


def test_a_second_registered_coordinator_finishes_what_the_first_began() -> None:
    fed = SmallFederation()
    second = key_of("second")
    fed.amend(coordinators=(*fed.registry.coordinators, KeyRecord(keys=second.public)))
    fed.open(1)
    fed.submit_all()
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    other = fed.runner(1, key_pair=second, now=fed.night(1) + timedelta(hours=1))
    assert other.run(1).why is Why.COMMITTED
    assert fed.reader().result(1).signed.header.key_id == second.key_id  # type: ignore[union-attr]


def test_a_revocation_between_validation_and_freeze_works_at_once() -> None:
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    admission = fed.judge(1)
    fed.revoke("site-02", from_round=1)
    stage = fed.runner(1).freeze(1, admission)
    assert (stage.counted, stage.refused) == (2, 1)
    assert fed.runner(1).conclude(1).why is Why.COMMITTED
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert frozen.value.registry_version == 2
    assert [(r.client, r.rule) for r in frozen.value.refused] == [("site-02", "R-81")]


def test_a_registry_that_changes_after_the_freeze_changes_nothing_of_it() -> None:
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    fed.revoke("site-02", from_round=1)
    assert fed.runner(1).run(1).counted == 3


def test_a_plan_that_contradicts_the_registry_is_refused() -> None:
    fed = SmallFederation()
    plan = fed.open(1).value
    longer = replace(
        plan, round=2, opens=fed.opens(2), deadline=fed.opens(9), close_by=fed.opens(9)
    )
    fed.store.put_if_absent(
        Keys.plan(2),
        sign_object(
            Keys.plan(2), PacketType.PLAN, longer, key_pair=fed.coordinator, time=fed.opens(2)
        ).data,
    )
    with pytest.raises(RoundError, match="does not follow from registry") as info:
        fed.run(2)
    assert info.value.rule == "R-52"
    with pytest.raises(RoundError):
        fed.submit("site-01", round_id=2)
