"""What an update may carry under its plan: the plan's lags alone (R-90); and a message of local
noise one noised effect for every possible edge, and nothing that was not noised (R-91).
"""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from hyperfed.errors import BoundsError, RefusedError
from hyperfed.packets import CausalSemanticPack, Claims, Knowledge, PolicyPack, Update
from hyperfed.privacy.mechanisms import plan_release
from hyperfed.privacy.release import noised_message
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable
from hyperfed.testing.federation import SmallFederation
from hyperfed.validator.policy import check_against_policy

ONE = "site-01"
LOCAL = PolicyPack(privacy="local", strategy="mean", trust_min=0, max_lag=1)
SLOTS = 4 * 3 + 16


@pytest.fixture
def fed() -> SmallFederation:
    fed = SmallFederation(policy=LOCAL)
    fed.open(1)
    return fed


def message(fed: SmallFederation) -> Update:
    night = plan_release(
        epsilon=Decimal(1), delta=Decimal("0.00001"), clip_norm=1.0, slots=SLOTS, place="local"
    )
    return noised_message(fed.update(ONE), night, vocabulary=fed.vocabulary, lags=(0, 1))


def hyperedges() -> HyperedgeTable:
    return HyperedgeTable.build(
        sources=[[0, 1]],
        target=[2],
        lag=[1],
        effect=[0.5],
        confidence=0.5,
        stability=0.5,
        hits=3,
        n=30,
    )


MORE = {
    "a loss": {"claims": Claims(loss=0.125)},
    "a loss of zero": {"claims": Claims(loss=0.0)},
    "hyperedges": {"hyperedges": hyperedges()},
    "a semantic pack": {"semantic": CausalSemanticPack(dag_edges=[(0, 1, 0.5)])},
}


@pytest.mark.parametrize(
    ("lags", "looked_at", "lag", "problem"),
    [
        ((1, 3), (1, 2), 1, "looked at lag 2; the policy names 1, 3"),
        ((1, 3), None, 2, "edges with lag 2; the policy names 1, 3"),
        ((), (1, 5), 1, "looked at lag 5; the policy allows up to 4"),
        ((), None, 5, "edges with lag 5; the policy allows up to 4"),
        ((1, 3), (1, 3), 1, ""),
        ((1, 3), (1,), 1, ""),
        ((1, 3), None, 3, ""),
        ((), (0, 4), 4, ""),
    ],
)
def test_an_update_looks_at_the_plans_lags_alone(
    lags: tuple[int, ...], looked_at: tuple[int, ...] | None, lag: int, problem: str
) -> None:
    fed = SmallFederation(policy=PolicyPack(max_lag=4, lags=lags))
    plan = fed.open(1).value
    update = fed.update(ONE)
    assert update.edges is not None
    moved = replace(update.edges, lag=np.full(len(update.edges), lag, np.uint16))
    update = replace(update, edges=moved, lags=looked_at)
    if not problem:
        check_against_policy(update, plan, subject="x")
        return
    with pytest.raises(BoundsError) as caught:
        check_against_policy(update, plan, subject="x")
    assert (caught.value.problem, caught.value.rule) == (problem, "R-90")


@pytest.mark.parametrize("what", [*MORE, "an edge less"])
def test_a_local_message_that_carries_more_or_less_than_noise_is_refused(
    fed: SmallFederation, what: str
) -> None:
    noised = message(fed)
    assert noised.edges is not None
    assert len(noised.edges) == SLOTS
    less = replace(
        noised.edges,
        **{
            name: getattr(noised.edges, name)[1:]
            for name in noised.edges.__dataclass_fields__
            if getattr(noised.edges, name) is not None
        },
    )
    update = replace(noised, **MORE.get(what, {"edges": less}))  # type: ignore[arg-type]
    fed.put(fed.envelope(ONE, update=update), ONE)
    before = fed.objects()
    judged = fed.judge()
    assert judged.admitted == ()
    assert [(r.client, r.rule, "is not a noised message" in r.reason) for r in judged.refused] == [
        (ONE, "R-91", True)
    ]
    assert fed.objects() == before


def test_the_message_alone_is_admitted(fed: SmallFederation) -> None:
    fed.put(fed.envelope(ONE, update=message(fed)), ONE)
    judged = fed.judge()
    assert ([a.client for a in judged.admitted], judged.refused) == ([ONE], ())


def test_an_edge_into_what_an_experiment_set_is_refused() -> None:
    fed = SmallFederation(policy=PolicyPack())
    plan = fed.open(1).value
    update = fed.update(ONE)
    assert update.edges is not None
    target = int(update.edges.target[0])
    source = int(update.edges.source[0])
    free = replace(update, semantic=CausalSemanticPack(interventions=[{"variable": source}]))
    check_against_policy(free, plan, subject="update")
    cut = replace(update, semantic=CausalSemanticPack(interventions=[{"variable": target}]))
    with pytest.raises(RefusedError, match="which it says an experiment set") as caught:
        check_against_policy(cut, plan, subject="update")
    assert caught.value.rule == "R-91"
    named = replace(update, semantic=CausalSemanticPack(interventions=[{"variable": "x"}]))
    check_against_policy(named, plan, subject="update")


def test_an_edge_that_the_plans_knowledge_forbids_is_refused() -> None:
    fed = SmallFederation(policy=PolicyPack())
    names, update = fed.vocabulary.names, fed.update(ONE)
    assert update.edges is not None
    ends = (names[int(update.edges.source[0])], names[int(update.edges.target[0])])
    plan = fed.open(1).value
    for known in (
        Knowledge(forbidden=(ends,)),
        Knowledge(tiers=((ends[1],), (ends[0],))),
    ):
        judged = replace(plan, policy=replace(plan.policy, knowledge=known))
        with pytest.raises(RefusedError, match="which the plan's knowledge forbids") as caught:
            check_against_policy(update, judged, subject="update")
        assert caught.value.rule == "R-91"
    turned = Knowledge(forbidden=(ends[::-1],), tiers=((ends[0],), (ends[1],)))
    judged = replace(plan, policy=replace(plan.policy, knowledge=turned))
    check_against_policy(update, judged, subject="update")


def edges(effect: float, stability: float, interval: tuple[float, float] | None) -> EdgeTable:
    low, high = interval or (None, None)
    return EdgeTable.build(
        source=[0],
        target=[1],
        lag=[0],
        effect=[effect],
        ci_low=None if low is None else [low],
        ci_high=None if high is None else [high],
        confidence=stability,
        stability=stability,
        hits=1,
        n=30,
    )


@pytest.mark.parametrize(
    ("effect", "stability", "interval", "good"),
    [
        (0.25, 0.25, None, True),
        (-0.25, 0.25, None, True),
        (0.24, 0.25, None, False),
        (0.25, 0.24, None, False),
        (0.1, 0.0, (0.0, 0.2), True),
        (0.1, 0.0, None, False),
        (0.1, 0.0, (0.1, 0.1), False),
        (0.1, 0.1, (0.0, 0.2), False),
    ],
)
def test_a_weak_row_carries_an_estimate_with_its_interval_and_no_vote(
    effect: float, stability: float, interval: tuple[float, float] | None, good: bool
) -> None:
    fed = SmallFederation(policy=PolicyPack(g_min=0.25, stability_min=0.25))
    plan = fed.open(1).value
    update = replace(fed.update(ONE), edges=edges(effect, stability, interval))
    if good:
        check_against_policy(update, plan, subject="x")
        return
    with pytest.raises(RefusedError, match=r"of a row that votes.*R-91") as caught:
        check_against_policy(update, plan, subject="x")
    assert "estimate" in caught.value.remedy


def test_as_many_rows_and_votes_as_the_policy_allows_are_taken() -> None:
    fed = SmallFederation(policy=PolicyPack())
    update, plan = fed.update(ONE), fed.open(1).value
    assert update.edges is not None
    count = len(update.edges)
    votes = CausalSemanticPack(dag_edges=[(i, i + 1, 0.5) for i in range(3)])
    for most, good in ((count, True), (count - 1, False)):
        bounded = replace(plan, policy=replace(plan.policy, n_proposals=most))
        if good:
            check_against_policy(update, bounded, subject="x")
        else:
            with pytest.raises(RefusedError, match=f"{count} edges; the policy allows {most}"):
                check_against_policy(update, bounded, subject="x")
    sparse = replace(update, edges=edges(0.5, 0.5, None), semantic=votes)
    check_against_policy(
        sparse, replace(plan, policy=replace(plan.policy, n_proposals=3)), subject="x"
    )
    with pytest.raises(RefusedError, match="3 dag edges; at most 2"):
        check_against_policy(
            sparse, replace(plan, policy=replace(plan.policy, n_proposals=2)), subject="x"
        )


def test_hyperedges_are_taken_beside_edges() -> None:
    fed = SmallFederation(policy=PolicyPack())
    update = replace(fed.update(ONE), hyperedges=hyperedges())
    check_against_policy(update, fed.open(1).value, subject="x")


@pytest.mark.parametrize(("stability", "good"), [(0.25, True), (0.24, False)])
def test_where_every_effect_may_be_shared_a_row_is_stable_enough(
    stability: float, good: bool
) -> None:
    plan = SmallFederation(policy=PolicyPack(g_min=0.0, stability_min=0.25)).open(1).value
    update = Update(measured=np.arange(2), edges=edges(0.001, stability, None))
    if good:
        check_against_policy(update, plan, subject="x")
        return
    with pytest.raises(RefusedError, match=r"0\.24; the policy wants at least 0 and 0\.25"):
        check_against_policy(update, plan, subject="x")


CENTRAL = PolicyPack(privacy="central", strategy="mean", trust_min=0.0, max_lag=1)


def test_a_private_round_takes_no_estimate_of_a_weak_row() -> None:
    plan = SmallFederation(policy=replace(CENTRAL, g_min=0.25)).open(1).value
    weak = Update(measured=np.arange(2), edges=edges(0.1, 0.0, (0.0, 0.2)))
    with pytest.raises(RefusedError, match=r"an \|effect\| or a stability below") as caught:
        check_against_policy(weak, plan, subject="x")
    assert "of a row that votes" not in caught.value.problem


def test_what_cannot_be_merged_is_quoted_where_no_noise_hides_it() -> None:
    """R-99, and R-141."""
    fed = SmallFederation(policy=PolicyPack())
    plan = fed.open(1).value
    large = Update(measured=np.arange(2), edges=edges(7.25e30, 0.5, None))
    for policy, quoted in ((plan.policy, True), (CENTRAL, False)):
        with pytest.raises(BoundsError) as caught:
            check_against_policy(large, replace(plan, policy=policy), subject="x")
        assert (caught.value.rule, "7.25e+30" in caught.value.problem) == ("R-99", quoted)


def test_a_local_message_has_every_edge_whatever_is_known(fed: SmallFederation) -> None:
    known = Knowledge(forbidden=(("heat", "load"),))
    plan = replace(fed.plan(1), policy=replace(LOCAL, knowledge=known))
    check_against_policy(message(fed), plan, subject="x")


@pytest.mark.parametrize(
    ("policy", "attested", "good"),
    [
        (replace(CENTRAL, record_bound=0.5), 0.5, True),
        (replace(CENTRAL, record_bound=0.5), 0.51, False),
        (replace(CENTRAL, record_bound=0.5), None, False),
        (CENTRAL, None, True),
        (PolicyPack(record_bound=0.5), None, True),
    ],
)
def test_a_record_moves_no_more_than_a_private_policy_counts_on(
    policy: PolicyPack, attested: float | None, good: bool
) -> None:
    fed = SmallFederation()
    plan = replace(fed.open(1).value, policy=policy)
    update = replace(fed.update(ONE), claims=Claims(record_bound=attested))
    if good:
        check_against_policy(update, plan, subject="x")
        return
    with pytest.raises(RefusedError, match=f"attests a record bound of {attested}") as caught:
        check_against_policy(update, plan, subject="x")
    assert caught.value.rule == "R-91"
