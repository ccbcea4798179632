"""Running a round without Prefect: which round is meant, waiting with a clock of the caller's, and
that running it again is harmless.
"""

from datetime import timedelta

import pytest

from hyperfed.coordinator import RoundRunner
from hyperfed.coordinator.opening import RoundTerms
from hyperfed.coordinator.running import check_ended, round_to_open, round_to_run, run_round
from hyperfed.errors import BoundsError, ConfigError, QuorumMissed, RoundError
from hyperfed.protocol.machine import Why
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation


def _runner(federation: SmallFederation, *, round_id: int = 1) -> RoundRunner:
    return RoundRunner(
        federation.store,
        key_pair=federation.coordinator,
        now=federation.night(round_id),
        fingerprint=federation.fingerprint,
    )


def test_which_round_a_moment_stands_for() -> None:
    federation = SmallFederation()
    registry, genesis = federation.registry, federation.registry.genesis
    before, first, second = (genesis + timedelta(hours=h) for h in (-1, 1, 25))
    assert round_to_open(registry, before)[0] == 0
    assert "round 1 opens at 2026-01-01 00:00" in str(round_to_open(registry, before)[1])
    assert round_to_run(registry, before) == round_to_open(registry, before)
    assert round_to_open(registry, first) == (1, None)
    assert round_to_run(registry, first) == (
        0,
        "no window has ended yet: there is no round to run",
    )
    assert (round_to_open(registry, second), round_to_run(registry, second)) == (
        (2, None),
        (1, None),
    )
    for moment in (before, first, second):
        assert round_to_open(registry, moment, wanted=7) == (7, None)
        assert round_to_run(registry, moment, wanted=7) == (7, None)


def test_an_open_window_is_not_run_and_nothing_moves() -> None:
    federation = SmallFederation()
    plan = federation.open(1).value
    federation.submit_all()
    objects = federation.objects()
    runner = RoundRunner(
        federation.store,
        key_pair=federation.coordinator,
        now=plan.deadline - timedelta(seconds=1),
        fingerprint=federation.fingerprint,
    )
    with pytest.raises(RoundError, match="its window is open until") as caught:
        run_round(runner, 1)
    assert "`hyperfed round status 1`" in caught.value.remedy
    assert federation.objects() == objects
    check_ended(plan, plan.deadline)


def test_stragglers_are_awaited_until_they_are_there_and_no_longer() -> None:
    federation = SmallFederation()
    federation.open(1)
    federation.submit("site-01")
    federation.submit("site-02")
    slept: list[float] = []
    told: list[str] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            federation.submit("site-03", now=federation.night(1) - timedelta(minutes=1))

    stage = run_round(_runner(federation), 1, delay_s=100, poll_s=30, sleep=sleep, tell=told.append)
    assert (stage.why, stage.counted, slept) == (Why.COMMITTED, 3, [30, 30])
    assert [line for line in told if "waiting for 1 of 3 clients" in line] == told[:2]
    assert "site-03" in told[0]
    assert told[2:4] == [
        "collect: 3 of 3 clients have an update here",
        "validate: 3 admitted, 0 refused",
    ]


def test_a_quorum_goes_on_when_the_time_is_used_up_and_a_short_time_is_one_more_look() -> None:
    federation = SmallFederation()
    federation.open(1)
    federation.submit("site-01")
    federation.submit("site-02")
    slept: list[float] = []
    stage = run_round(_runner(federation), 1, delay_s=5, poll_s=30, sleep=slept.append)
    assert (stage.counted, slept) == (2, [5])


def test_without_a_delay_nobody_is_awaited_and_below_quorum_nothing_moves() -> None:
    federation = SmallFederation()
    federation.open(1)
    federation.submit("site-01")
    objects = federation.objects()

    def never(seconds: float) -> None:
        pytest.fail("waited")

    with pytest.raises(QuorumMissed, match="1 of the 2 clients needed") as caught:
        run_round(_runner(federation), 1, sleep=never)
    assert "(without a Prefect server: `round run 1`)" in caught.value.remedy
    assert federation.objects() == objects
    federation.submit("site-02")
    assert run_round(_runner(federation), 1, sleep=never).counted == 2


def test_a_round_that_has_ended_is_verified_and_nothing_changes() -> None:
    federation = SmallFederation()
    federation.open(1)
    federation.submit_all()
    first = run_round(_runner(federation), 1)
    objects, told = federation.objects(), list[str]()
    assert run_round(_runner(federation), 1, tell=told.append) == first
    assert federation.objects() == objects
    assert told == ["round 1 has ended already: its digests are verified, nothing is run again"]


def test_it_gives_what_the_runner_gives() -> None:
    """The stages one by one, and all in one go, end in the same bytes."""
    federation = SmallFederation()
    federation.open(1)
    federation.submit_all()
    stores = (MemoryStore(), MemoryStore())
    for store in stores:
        for key, data in federation.objects().items():
            store.put_if_absent(key, data)
    one, other = (
        RoundRunner(
            store,
            key_pair=federation.coordinator,
            now=federation.night(1),
            fingerprint=federation.fingerprint,
        )
        for store in stores
    )
    assert run_round(one, 1) == other.run(1)
    ends = [
        {info.key: store.read(info.key, max_bytes=1 << 20) for info in store.list("")}
        for store in stores
    ]
    assert ends[0] == ends[1]
    assert "rounds/00000001/result" in ends[0]


def test_terms_are_judged_when_they_are_made() -> None:
    terms = RoundTerms.of(
        variables=["a", "b"], domains=["x", "y"], quorum=2, policy={"vote_min": 0.25}
    )
    assert terms.policy.vote_min == 0.25
    assert [(v.name, v.domain) for v in terms.vocabulary.variables] == [("a", "x"), ("b", "y")]
    assert terms.policy.lags == (1, 2), "new plans name the lags"
    for policy, lags in (
        ({"lags": [1, 12]}, (1, 12)),
        ({"lags": []}, ()),
        ({"max_lag": 3}, (1, 2, 3)),
        ({"max_lag": 0}, (0,)),
        ({"max_lag": 12, "lags": (12,)}, (12,)),
    ):
        assert RoundTerms.of(variables=["a"], policy=policy).policy.lags == lags
    with pytest.raises(ConfigError, match="1 domains for 2 variables"):
        RoundTerms.of(variables=["a", "b"], domains=["x"])
    with pytest.raises(BoundsError, match="unique"):
        RoundTerms.of(variables=["a", "a"])
    with pytest.raises(BoundsError):
        RoundTerms.of(variables=["a", "b"], policy={"vote_min": 2.0})
    with pytest.raises(ConfigError, match="vote_mn: is no field of the policy pack"):
        RoundTerms.of(variables=["a", "b"], policy={"vote_mn": 0.25})
    for wrong in ({"max_lag": "2"}, {"max_lag": -1}, {"lags": 2}, {"lags": [70]}):
        with pytest.raises(BoundsError):
            RoundTerms.of(variables=["a", "b"], policy=wrong)
