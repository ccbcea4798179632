"""`PacketValidator`: every rule it names is tripped by a packet that breaks this rule and no other,
and says so with object, rule and remedy.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

import hyperfed.validator.validator
from hyperfed.client_agent import statistics_update
from hyperfed.errors import BoundsError, PacketError, RefusedError
from hyperfed.packets import PolicyPack, SumsPolicy, Update
from hyperfed.protocol.digests import policy_digest
from hyperfed.protocol.object_keys import Keys
from hyperfed.statistics import statistics_of
from hyperfed.tables.tables import EdgeTable
from hyperfed.testing.federation import SmallFederation
from hyperfed.validator.admission import Arrival
from hyperfed.validator.validator import PacketValidator
from tests.unit.validator.broken_packets import (
    BREAKS,
    CASES,
    KEY,
    WHO,
    context,
    deltas,
    edges,
    send,
)


@pytest.mark.parametrize(("rule", "which"), CASES, ids=[f"{r}-{i}" for r, i in CASES])
def test_a_packet_trips_exactly_the_rule_it_breaks(
    fed: SmallFederation, rule: str, which: int
) -> None:
    """By `verify`, and by `admit`, whose refusal carries object, rule, reason and remedy; nothing
    is admitted.
    """
    data, key, changes = (*BREAKS[rule][which](fed), {})[:3]
    validator = PacketValidator(context=context(fed, **changes))
    with pytest.raises(PacketError) as caught:
        validator.verify(data, key=key)
    assert caught.value.rule == rule
    admission = PacketValidator(context=context(fed, **changes)).admit(
        [Arrival(key=key, size=len(data), data=data)]
    )
    assert admission.admitted == ()
    (refused,) = admission.refused
    assert (refused.key, refused.rule) == (key, rule)
    assert refused.reason
    assert refused.remedy
    assert refused.reason.isprintable()


def test_every_rule_of_the_docstring_is_tripped_here_or_below() -> None:
    named = set(re.findall(r"R-\d+", hyperfed.validator.validator.__doc__ or ""))
    # have tests/attack/test_values_in_refusals.py
    assert named - {"R-92", "R-93", "R-141", "R-142"} <= BREAKS.keys()
    assert {"R-92", "R-93"} <= named


def test_the_honest_packet_trips_none(fed: SmallFederation) -> None:
    admitted = PacketValidator(context=context(fed)).verify(send(fed, sequence=8), key=KEY)
    assert (admitted.client, admitted.made_for, admitted.sequence, admitted.update) == (
        WHO,
        5,
        8,
        fed.update(WHO),
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda f: send(f, sequence=8, created=f.night(5) + timedelta(seconds=600)),
        lambda f: send(f, sequence=8, expires=f.night(5) - timedelta(seconds=599)),
        lambda f: send(
            f, sequence=8, created=f.night(5), expires=f.night(5) + timedelta(microseconds=1)
        ),
        lambda f: send(f, sequence=8),
        lambda f: send(f, sequence=8, update=edges(f, lag=np.full(3, 3, np.uint16))),
        lambda f: send(f, sequence=8, update=edges(f, stability=np.full(3, 0.1))),
        lambda f: send(
            f,
            sequence=8,
            update=edges(f, effect=np.full(3, 0.05), ci_low=np.zeros(3), ci_high=np.ones(3)),
        ),
        lambda f: send(
            f, sequence=8, update=Update(measured=[0, 1, 2, 3], edges=EdgeTable.empty())
        ),
    ],
    ids=[
        "600 s early",
        "expired 599 s ago",
        "valid for an instant",
        "next sequence",
        "longest lag",
        "least stability",
        "least effect",
        "no edges",
    ],
)
def test_what_just_fits_is_admitted(
    fed: SmallFederation, make: Callable[[SmallFederation], bytes]
) -> None:
    PacketValidator(context=context(fed, highest={fed.keys[WHO].key_id: 7})).verify(
        make(fed), key=KEY
    )


def test_a_late_update_within_the_policys_staleness_is_admitted(fed: SmallFederation) -> None:
    """Made for round 3 under round 3's policy, read in round 5."""
    theirs = policy_digest(PolicyPack(g_min=0.5))
    data, key = send(fed, round=3, policy=theirs), Keys.inbox(3, WHO, 0)
    admitted = PacketValidator(context=context(fed, policies={3: theirs})).verify(data, key=key)
    assert admitted.made_for == 3
    with pytest.raises(RefusedError) as caught:
        PacketValidator(context=context(fed)).verify(data, key=key)
    assert caught.value.rule == "R-87"


def test_a_late_message_of_local_noise_was_noised_by_the_rounds_own_policy() -> None:
    """R-87. Round 1's policy is known and was kept to; round 2 accounts for another noise than
    site-01 has drawn.
    """
    local = PolicyPack(privacy="local", strategy="mean", trust_min=0, max_lag=1, max_staleness=1)
    for epsilon, expected in ((2, "R-87"), (1, "")):
        federation = SmallFederation(policy=local)
        federation.open(1)
        federation.open(2, privacy_epsilon=epsilon)
        federation.submit(WHO, round_id=1)
        federation.submit("site-02", round_id=2)
        federation.run(1, now=federation.registry.windows.deadline(2))
        before = federation.decided()
        judged = federation.judge(2)
        late = [("site-01", 1)] * (not expected)
        assert [(a.client, a.made_for) for a in judged.admitted] == [*late, ("site-02", 2)]
        assert [(r.client, r.made_for, r.rule) for r in judged.refused] == [
            ("site-01", 1, expected)
        ] * bool(expected)
        assert all("noised by another policy" in r.reason and r.remedy for r in judged.refused)
        assert federation.decided() == before


ONE_MESSAGE = {
    "R-98": PolicyPack(privacy="local", strategy="mean", trust_min=0),
    "R-164": PolicyPack(
        payload="statistics",
        lags=(1,),
        strategy="mean",
        max_staleness=0,
        trust_min=0,
        organisation_cap=0,
        aggregation="secure-sum",
        statistics=SumsPolicy(short_bias="kept"),
    ),
}


@pytest.mark.parametrize("rule", ONE_MESSAGE)
def test_a_second_message_is_refused_where_it_would_tell_more(
    fed: SmallFederation, rule: str
) -> None:
    policy = ONE_MESSAGE[rule]
    judging = context(fed, plan=replace(fed.plan(5), policy=policy))
    data = send(fed, policy=policy_digest(policy))
    with pytest.raises(RefusedError, match="in slot 0") as caught:
        PacketValidator(context=judging).authenticate(data, key=Keys.inbox(5, WHO, 1))
    assert caught.value.rule == rule
    PacketValidator(context=judging).authenticate(data, key=KEY)


def test_what_the_policy_does_not_take_is_not_even_made(fed: SmallFederation) -> None:
    """R-142: as moments were counted the round takes none, not as statistics that were read."""
    data = np.random.default_rng(0).normal(size=(40, 4))
    one = statistics_of(data, names=fed.vocabulary.names, vocabulary=fed.vocabulary, lags=(0,))
    with pytest.raises(RefusedError, match="10 moments; the policy allows 0"):
        PacketValidator(context=context(fed)).verify(
            send(fed, update=statistics_update(one)), key=KEY
        )


def test_the_reason_names_both_vocabularies(fed: SmallFederation) -> None:
    with pytest.raises(RefusedError) as caught:
        PacketValidator(context=context(fed)).verify(send(fed, vocabulary=b"v" * 32), key=KEY)
    assert (b"v" * 32).hex()[:16] in caught.value.problem
    assert fed.vocabulary.digest.hex()[:16] in caught.value.problem


def test_admission_needs_a_context(fed: SmallFederation) -> None:
    with pytest.raises(RefusedError, match="context"):
        PacketValidator(fed.registry).verify(send(fed), key=KEY)


def test_changes_apply_to_the_base_that_they_name(fed: SmallFederation) -> None:
    asked: list[tuple[str, bytes]] = []

    def base_of(client: str, digest: bytes) -> Update:
        asked.append((client, digest))
        return fed.update(WHO)

    admitted = PacketValidator(context=context(fed, base_of=base_of)).verify(
        send(fed, update=deltas()), key=KEY
    )
    assert asked == [(WHO, b"b" * 32)]
    assert admitted.update is not None
    assert admitted.update.edges is not None
    assert admitted.update.edges.effect[0] == fed.update(WHO).edges.effect[0] + 1  # type: ignore[union-attr]
    validator = PacketValidator(context=context(fed, base_of=base_of))
    validator.verify(send(fed), key=KEY)
    assert len(asked) == 1, "a whole table has no base, and none is read"


def test_changes_that_overflow_are_refused_without_a_warning(fed: SmallFederation) -> None:
    huge = np.full(3, 1.7e308)
    base = edges(fed, effect=huge, ci_low=huge, ci_high=huge)
    update = deltas()
    update = replace(update, deltas=replace(update.deltas, weight_delta=np.array([1.7e308])))  # type: ignore[type-var]
    with pytest.raises(BoundsError, match="finite"):
        PacketValidator(context=context(fed, base_of=lambda *_: base)).verify(
            send(fed, update=update), key=KEY
        )


def test_a_header_that_is_looked_at_alone_is_no_replay_either(fed: SmallFederation) -> None:
    validator = PacketValidator(context=context(fed))
    data = send(fed, sequence=8)
    assert validator.authenticate(data, key=KEY).header.sequence == 8
    with pytest.raises(RefusedError, match="nonce was seen before"):
        validator.authenticate(data, key=KEY)


def test_what_is_reopened_is_of_its_client_and_round(fed: SmallFederation) -> None:
    validator, data = PacketValidator(context=context(fed)), send(fed, sequence=8)
    options = {"key": KEY, "key_pair": context(fed).key_pair, "base_of": None}
    for client, made_for in ((WHO, 4), ("site-99", 5)):
        with pytest.raises(RefusedError, match=f"not {client}'s for round {made_for}"):
            validator.reopen(data, client=client, made_for=made_for, **options)  # type: ignore[arg-type]
    again = validator.reopen(data, client=WHO, made_for=5, **options)  # type: ignore[arg-type]
    assert again.update == fed.update(WHO)
