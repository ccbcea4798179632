"""Statistics at their bounds: of missing cells, of private rounds, and under masks (R-162, R-163,
R-170, R-186, R-187).
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from hyperfed.client_agent import statistics_update
from hyperfed.codec import to_record
from hyperfed.errors import BoundsError, PacketError, RefusedError
from hyperfed.packets import CausalSemanticPack, Claims, PolicyPack, SumsPolicy, Update
from hyperfed.packets.masked import MaskedNumbers
from hyperfed.privacy.moments import plan_moments, step_of
from hyperfed.protocol.objects import Plan
from hyperfed.secure_aggregation.statistics_vector import vector_length
from hyperfed.statistics import Statistics
from hyperfed.statistics.record import triangle
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import DeltaTable, EdgeTable
from hyperfed.tables.vocabulary import Variable, Vocabulary
from hyperfed.testing.federation import SmallFederation
from hyperfed.validator.content_limits import check_counts
from hyperfed.validator.policy import check_against_policy
from hyperfed.validator.statistics import check_statistics
from tests.secure_night import POLICY as SECURE

pytestmark = pytest.mark.unit

VOCABULARY = Vocabulary((Variable("a", low=-2.0, high=2.0), Variable("b"), Variable("c")))
SUMS = PolicyPack(payload="statistics", lags=(1,), statistics=SumsPolicy(rows_min=30))
CENTRAL = PolicyPack(
    payload="statistics",
    lags=(1,),
    strategy="mean",
    max_staleness=0,
    trust_min=0.0,
    privacy="central",
    privacy_epsilon=Decimal(4),
    statistics=SumsPolicy(row_norm=5.0),
)
LOCAL = replace(CENTRAL, privacy="local")
ROWS, WIDTH = 64, 6
LENGTH = WIDTH * (WIDTH + 1) // 2
DIAGONAL = triangle(np.eye(WIDTH))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return SmallFederation(policy=SUMS, vocabulary=VOCABULARY).open(1).value


def of_policy(plan: Plan, policy: PolicyPack) -> Plan:
    return replace(plan, policy=policy)


def statistics(moments: Any = ROWS * DIAGONAL, **changes: Any) -> Statistics:
    fields = {"variables": np.arange(3), "lags": (1,), "n": ROWS, "moments": moments}
    return Statistics(**(fields | changes))


def rule_of(update: Update, plan: Plan) -> str:
    """Return the rule by which an update's statistics are refused, "" where they are taken."""
    try:
        check_statistics(update, plan, subject="packet")
    except PacketError as error:
        return error.rule if error.remedy else "no remedy"
    return ""


@pytest.mark.parametrize(("pair", "expected"), [(0, ""), (1, "R-162"), (2, "")])
def test_a_pair_of_columns_has_no_rows_or_several(plan: Plan, pair: int, expected: str) -> None:
    """Of one row the moment would be its product, and of none there is no moment."""
    counts = np.full(LENGTH, ROWS, dtype=np.uint64)
    counts[1] = pair
    update = statistics_update(statistics(counts=counts))
    assert rule_of(update, plan) == expected


def test_a_variance_is_within_its_public_range_to_the_last_digit(plan: Plan) -> None:
    """Of values the range bounds those that have one; normal scores have one for all."""
    most = 1 + 1e-9
    ranks = of_policy(plan, replace(SUMS, statistics=replace(SUMS.statistics, form="ranks")))
    for judged, form, column, expected in (
        (plan, "values", "a", "R-163"),
        (plan, "values", "b", ""),
        (ranks, "ranks", "b", "R-163"),
    ):
        for variance, rule in ((most, ""), (np.nextafter(most, 2), expected)):
            diagonal = np.ones(WIDTH)
            diagonal["abc".index(column)] = variance
            one = statistics(ROWS * triangle(np.diag(diagonal)), form=form)
            assert rule_of(statistics_update(one), judged) == rule


@pytest.mark.parametrize("policy", [CENTRAL, LOCAL], ids=["central", "local"])
def test_a_private_moment_is_in_whole_steps_and_within_what_rows_can_have(
    plan: Plan, policy: PolicyPack
) -> None:
    judged, planned = of_policy(plan, policy), plan_moments(policy, len(VOCABULARY))
    local = policy.privacy == "local"
    most = ROWS * planned.bound + (64 * planned.mechanism.sigma if local else 0)
    form = "noised" if local else "clipped"

    def sent(steps: float, **changes: Any) -> Update:
        moments = DIAGONAL * steps * step_of(planned)
        return statistics_update(statistics(moments, form=form, **changes))

    check_against_policy(sent(7), judged, subject="packet")
    for steps, rule in (
        (most, ""),
        (-most, ""),
        (most + 1, "R-187"),
        (-most - 1, "R-187"),
        (7.5, "R-186"),
    ):
        assert rule_of(sent(steps), judged) == rule
    assert rule_of(sent(7, counts=np.full(LENGTH, ROWS)), judged) == "R-186"
    assert rule_of(sent(7, intervened=(1,)), judged) == "R-186"
    fewer = sent(7).statistics
    assert fewer is not None
    assert rule_of(statistics_update(fewer.without([2])), judged) == "R-186"


# -- under masks -----------------------------------------------------------------------------------


NUMBERS = vector_length(3, (1,), counts=True)


def masked(**changes: Any) -> Update:
    fields = {
        "measured": np.arange(3),
        "edges": EdgeTable.empty(),
        "lags": (1,),
        "masked": numbers(NUMBERS),
    }
    return Update(**(fields | changes))


ONE_EDGE = EdgeTable.build(
    source=[0], target=[1], lag=[1], effect=[0.5], confidence=[0.5], stability=[0.5]
)
ONE_HYPEREDGE = HyperedgeTable.build(
    sources=[[0, 1]], target=[2], lag=[1], effect=[0.5], confidence=[0.5], stability=[0.5]
)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"masked": None}, RefusedError),
        ({"edges": ONE_EDGE}, RefusedError),
        ({"hyperedges": ONE_HYPEREDGE}, RefusedError),
        ({"semantic": CausalSemanticPack(confounders=[1])}, RefusedError),
        ({"claims": Claims(loss=0.5)}, RefusedError),
        ({"masked": MaskedNumbers(values=np.arange(NUMBERS - 1))}, BoundsError),
        ({"measured": np.arange(2)}, BoundsError),
        ({"lags": None}, BoundsError),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_secure_sum_takes_masked_numbers_and_nothing_beside_them(
    plan: Plan, changes: dict[str, Any], kind: type[PacketError]
) -> None:
    """R-170: what stands beside masked numbers would tell of a single client."""
    secure = of_policy(plan, SECURE)
    check_against_policy(masked(), secure, subject="packet")
    with pytest.raises(kind) as caught:
        check_against_policy(masked(**changes), secure, subject="packet")
    assert caught.value.rule == "R-170"
    assert "sums none" not in caught.value.problem


def test_another_round_takes_no_masked_numbers(plan: Plan) -> None:
    with pytest.raises(RefusedError, match="the round sums none") as caught:
        check_against_policy(masked(), plan, subject="packet")
    assert caught.value.rule == "R-170"


# -- before anything is made of a body (R-142) -----------------------------------------------------


def deltas(rows: int) -> DeltaTable:
    changes = np.zeros(rows)
    return DeltaTable(
        source=np.zeros(rows, np.uint32),
        target=np.ones(rows, np.uint32),
        lag=np.arange(rows, dtype=np.uint16),
        weight_delta=changes,
        ci_low_delta=changes,
        ci_high_delta=changes,
        hits_delta=np.zeros(rows, np.int32),
    )


def test_as_many_numbers_as_the_policy_allows_are_stated(plan: Plan) -> None:
    edges = PolicyPack(n_proposals=1)
    two = EdgeTable.build(
        source=[0, 1], target=[1, 2], lag=1, effect=0.5, confidence=0.5, stability=0.5
    )
    cases: list[tuple[PolicyPack, dict[str, Any], dict[str, Any], str]] = [
        (
            SECURE,
            to_record(masked()),
            to_record(masked(masked=numbers(NUMBERS + 1))),
            f"{NUMBERS + 1} numbers",
        ),
        (SUMS, to_record(statistics_update(statistics())), {}, ""),
        (edges, {}, to_record(statistics_update(statistics())), "21 moments; the policy allows 0"),
        (edges, {"edges": to_record(ONE_EDGE)}, {"edges": to_record(two)}, "2 edges"),
        (edges, {"deltas": to_record(deltas(2))}, {"deltas": to_record(deltas(3))}, "3 deltas"),
    ]
    for policy, good, bad, said in cases:
        judged = of_policy(plan, policy)
        check_counts(good, judged, subject="packet")
        if said:
            with pytest.raises(RefusedError, match=said) as caught:
                check_counts(bad, judged, subject="packet")
            assert caught.value.rule == "R-91"


def numbers(count: int) -> MaskedNumbers:
    return MaskedNumbers(values=np.arange(count))
