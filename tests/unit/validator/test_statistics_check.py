"""Rules R-160 to R-163: which statistics a round takes, and which it refuses with its rule."""

from dataclasses import replace

import numpy as np
import pytest

from hyperfed.client_agent import statistics_update
from hyperfed.codec import to_record
from hyperfed.errors import BoundsError, PacketError, PrivacyError, RefusedError
from hyperfed.packets import PolicyPack, SumsPolicy, Update
from hyperfed.protocol.objects import Plan
from hyperfed.statistics import Statistics, statistics_of
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Variable, Vocabulary
from hyperfed.testing.federation import SmallFederation
from hyperfed.validator.content_limits import check_counts
from hyperfed.validator.policy import check_against_policy

pytestmark = pytest.mark.unit

NAMES = ("a", "b", "c")
VOCABULARY = Vocabulary((Variable("a", low=-2.0, high=2.0), Variable("b"), Variable("c")))
POLICY = PolicyPack(payload="statistics", lags=(1,), statistics=SumsPolicy(rows_min=30))


def statistics(lags: tuple[int, ...] = (1,), rows: int = 50, **options: object) -> Statistics:
    data = np.random.default_rng(0).normal(size=(rows, 3))
    return statistics_of(data, names=NAMES, vocabulary=VOCABULARY, lags=lags, **options)


@pytest.fixture(scope="module")
def plan() -> Plan:
    fed = SmallFederation(policy=POLICY, vocabulary=VOCABULARY)
    fed.open(1)
    return fed.plan(1)


def refusal(update: Update, plan: Plan) -> str:
    with pytest.raises(PacketError) as caught:
        check_against_policy(update, plan, subject="packet")
    assert caught.value.remedy
    return caught.value.rule


def test_what_the_plan_asks_for_is_taken(plan: Plan) -> None:
    check_against_policy(statistics_update(statistics()), plan, subject="packet")


def test_another_payload_than_the_plans_is_refused(plan: Plan) -> None:
    """R-160."""
    edges = Update(measured=np.arange(3), edges=EdgeTable.empty(), lags=(1,))
    assert refusal(edges, plan) == "R-160"
    of_edges = replace(plan, policy=PolicyPack(lags=(1,)))
    assert refusal(statistics_update(statistics()), of_edges) == "R-160"
    check_against_policy(edges, of_edges, subject="packet")
    one = EdgeTable.build(
        source=[0], target=[1], lag=[1], effect=[1.0], confidence=[1.0], stability=[1.0]
    )
    beside = Update(measured=np.arange(3), edges=one, lags=(1,))
    both = statistics_update(statistics(), beside=beside)
    assert refusal(both, plan) == "R-160"
    check_against_policy(
        both, replace(plan, policy=replace(POLICY, payload="both")), subject="packet"
    )


def test_other_lags_or_another_form_are_refused(plan: Plan) -> None:
    """R-161."""
    assert refusal(statistics_update(statistics((1, 2))), plan) == "R-161"
    assert refusal(statistics_update(statistics(form="ranks")), plan) == "R-161"


def test_too_few_rows_are_refused(plan: Plan) -> None:
    """R-162."""
    assert refusal(statistics_update(statistics(rows=30)), plan) == "R-162"
    check_against_policy(statistics_update(statistics(rows=31)), plan, subject="packet")
    check_against_policy(statistics_update(statistics(rows=31)), plan, subject="packet")


def test_a_variance_beyond_the_public_range_is_refused(plan: Plan) -> None:
    """R-163."""
    good = statistics()
    scaled = replace(good, moments=good.moments * 400.0)
    assert refusal(statistics_update(scaled), plan) == "R-163"


def test_more_moments_than_the_plan_has_are_refused_before_they_are_read(plan: Plan) -> None:
    """R-91 and R-142: no client makes the coordinator build what it will refuse."""
    wide = Vocabulary.of(*(f"v{i}" for i in range(12)))
    data = np.random.default_rng(0).normal(size=(100, 12))
    one = statistics_of(data, names=wide.names, vocabulary=wide, lags=(1,))
    plain = to_record(statistics_update(one))
    with pytest.raises(RefusedError, match="300 moments; the policy allows 21"):
        check_counts(plain, plan, subject="packet")
    check_counts(to_record(statistics_update(statistics())), plan, subject="packet")


def test_an_update_whose_statistics_are_of_other_data_is_none() -> None:
    one = statistics()
    for changes in ({"measured": np.arange(2)}, {"lags": (2,)}):
        with pytest.raises(BoundsError, match="other variables, lags or experiments"):
            replace(statistics_update(one), **changes)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"payload": "sums"}, "edges, statistics, both"),
        ({"payload": "statistics"}, "lags"),
        ({"payload": "statistics", "lags": (0, 1)}, "lags"),
        ({"payload": "both", "lags": (1,), "rule": "median"}, "bounded-trust"),
        ({"payload": "both", "lags": (1,), "strategy": "union"}, "consensus"),
        ({"payload": "both", "lags": (1,), "weigh_by": "reputation"}, "weigh_by"),
        (
            {
                "payload": "statistics",
                "lags": (1,),
                "privacy": "central",
                "strategy": "mean",
                "trust_min": 0.0,
            },
            "row_norm above 0",
        ),
    ],
)
def test_a_policy_takes_no_payload_that_does_not_work(fields: dict[str, object], said: str) -> None:
    with pytest.raises((BoundsError, PrivacyError)) as caught:
        PolicyPack(**fields)
    assert said in str(caught.value)
