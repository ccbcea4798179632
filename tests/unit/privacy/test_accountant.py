"""The accountant against dp-accounting, mpmath, the guard and the ledger; the known figures."""

import math
import random
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import dp_accounting
import mpmath
import pytest

from hyperfed.errors import PrivacyBudgetExhausted, PrivacyError
from hyperfed.privacy.accountant import (
    Composition,
    PrivacyAccountant,
    charges_of,
    cost_of,
    rho_of,
    running_budget,
)
from hyperfed.privacy.guard import PrivacyGuard
from hyperfed.privacy.mechanisms import plan_release
from hyperfed.privacy.rdp import (
    analytic_epsilon,
    analytic_sigma,
    pld_epsilon,
    rdp_epsilon,
    rdp_filter,
)
from hyperfed.protocol.entries import (
    EntryKind,
    LedgerEntry,
    Mechanism,
)
from hyperfed.protocol.ledger import Chained
from hyperfed.registry.registry import Budget

pytestmark = pytest.mark.unit

EPSILON, DELTA = Decimal(10), Decimal("0.0001")
NIGHT = plan_release(
    epsilon=Decimal(1), delta=Decimal("0.00001"), clip_norm=1.0, slots=100
).mechanism
BASIC = Mechanism(kind="basic", epsilon=Decimal(1), delta=Decimal("0.00001"))


def accountant(*mechanisms: Mechanism) -> PrivacyAccountant:
    return PrivacyAccountant(epsilon=EPSILON, delta=DELTA, mechanisms=mechanisms)


def noise(sigma: int, sensitivity: int) -> Mechanism:
    return replace(NIGHT, sigma=sigma, sensitivity=sensitivity)


# -- the known figures -----------------------------------------------------------------------------


def test_ten_nights_by_basic_composition() -> None:
    assert accountant().nights_left([BASIC]) == 10
    spent = accountant(*[BASIC] * 10)
    assert spent.nights_left([BASIC]) == 0
    with pytest.raises(PrivacyBudgetExhausted):
        spent.charged([BASIC])


def test_fifty_eight_nights_by_rdp_and_sixty_seven_by_pld() -> None:
    assert accountant().nights_left([NIGHT]) == 58
    assert accountant().nights_left_pld(NIGHT) == 67
    spent = accountant(*[NIGHT] * 58)
    assert spent.nights_left([NIGHT]) == 0
    assert not spent.fits([NIGHT])


def test_a_year_needs_sigma_8_70_by_pld_and_9_29_by_the_filter_that_is_enforced() -> None:
    exact = float(dp_accounting.get_sigma_gaussian(10, 1e-4)) * math.sqrt(365)
    enforced = math.sqrt(365 / (2 * float(rdp_filter(EPSILON, DELTA).rho)))
    assert (round(exact, 2), round(enforced, 2)) == (8.70, 9.29)


def test_a_night_of_integer_noise_costs_1_09_where_the_continuous_formula_says_1() -> None:
    assert NIGHT.epsilon == Decimal("1.0926")
    assert analytic_epsilon(NIGHT.sigma / NIGHT.sensitivity, Decimal("0.00001")) == pytest.approx(
        Decimal(1), abs=Decimal("0.001")
    )


# -- against others --------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.73, 8.7, 50.0])
def test_epsilon_is_that_of_dp_accounting_and_never_below(sigma: float) -> None:
    rho = Fraction(1) / Fraction(2 * Fraction(sigma) ** 2)
    theirs = dp_accounting.rdp.RdpAccountant()
    theirs.compose(dp_accounting.GaussianDpEvent(sigma), 7)
    mine, exact = rdp_epsilon(7 * rho, DELTA), theirs.get_epsilon(float(DELTA))
    assert exact <= float(mine) <= exact * (1 + 1e-4)


@pytest.mark.parametrize("order", [1.5, 3.0, 4.7, 17, 64, 256])
@pytest.mark.parametrize("rho", [0.001, 0.036, 0.5, 3.0])
def test_the_conversion_of_every_order_agrees_with_mpmath(order: float, rho: float) -> None:
    """Canonne, Kamath, Steinke 2020, Proposition 12, written out to fifty digits."""
    theirs, _ = dp_accounting.rdp.compute_epsilon([order], [order * rho], float(DELTA))
    with mpmath.workdps(50):
        a = mpmath.mpf(order)
        mine = (
            a * mpmath.mpf(rho)
            + mpmath.log(1 - 1 / a)
            - mpmath.log(mpmath.mpf(float(DELTA)) * a) / (a - 1)
        )
    assert theirs == pytest.approx(max(0.0, float(mine)), rel=1e-9)


def test_the_filter_is_the_best_single_order_and_its_threshold_is_met_exactly() -> None:
    limit = rdp_filter(EPSILON, DELTA)
    alone = dp_accounting.rdp.RdpAccountant(orders=[float(limit.order)])
    alone.compose(dp_accounting.GaussianDpEvent(1 / math.sqrt(2 * float(limit.rho))))
    assert (
        float(EPSILON) * (1 - 1e-7)
        <= alone.get_epsilon(float(DELTA))
        <= float(EPSILON) * (1 + 1e-12)
    )
    with mpmath.workdps(50):
        a = mpmath.mpf(str(limit.order))
        assert (
            a * (mpmath.mpf(limit.rho.numerator) / limit.rho.denominator)
            + mpmath.log(1 - 1 / a)
            - mpmath.log(mpmath.mpf("0.0001") * a) / (a - 1)
            <= 10
        )


@pytest.mark.parametrize(
    ("epsilon", "delta"),
    [("0.1", "0.000001"), ("1", "0.00001"), ("8.5", "0.00001"), ("20", "0.00001")],
)
def test_the_analytic_mechanism_agrees_with_mpmath_also_above_epsilon_8(
    epsilon: str, delta: str
) -> None:
    """Balle and Wang 2018, Theorem 8: delta = Phi(1/(2s) - e s) - exp(e) Phi(-1/(2s) - e s). The
    classic formula's noise does not reach it there.
    """

    def delta_of(sigma: float) -> mpmath.mpf:
        with mpmath.workdps(50):
            s, e = mpmath.mpf(sigma), mpmath.mpf(epsilon)
            return mpmath.ncdf(1 / (2 * s) - e * s) - mpmath.exp(e) * mpmath.ncdf(
                -1 / (2 * s) - e * s
            )

    sigma = analytic_sigma(Decimal(epsilon), Decimal(delta))
    assert float(delta) * 0.999 <= float(delta_of(sigma)) <= float(delta)
    classic = math.sqrt(2 * math.log(1.25 / float(delta))) / float(epsilon)
    assert (float(delta_of(classic)) > float(delta)) == (float(epsilon) > 8)


def test_pld_agrees_with_dp_accountings_accountant() -> None:
    theirs = dp_accounting.pld.PLDAccountant(value_discretization_interval=1e-3)
    theirs.compose(dp_accounting.GaussianDpEvent(3.0), 20)
    assert float(pld_epsilon(Fraction(20, 18), DELTA)) == pytest.approx(
        theirs.get_epsilon(float(DELTA)), abs=5e-3
    )


# -- rules -----------------------------------------------------------------------------------------


def test_the_first_charge_decides_how_a_ledger_is_composed() -> None:
    assert accountant().composition is Composition.NOTHING
    assert accountant(NIGHT).composition is Composition.RDP
    free = Mechanism(kind="basic", epsilon=Decimal(0), delta=Decimal(0))
    assert accountant(free).composition is Composition.NOTHING
    assert accountant(free, NIGHT).composition is Composition.RDP
    by_sum = accountant(BASIC, NIGHT)
    assert by_sum.composition is Composition.BASIC
    assert by_sum.total.epsilon == 1 + NIGHT.epsilon
    assert by_sum.nights_left([NIGHT]) == 7  # 1 + 8 * 1.0926 <= 10


def test_an_rdp_ledger_takes_a_pure_epsilon_and_refuses_a_delta_with_nothing_set_aside() -> None:
    pure = Mechanism(kind="basic", epsilon=Decimal("0.1"), delta=Decimal(0))
    after = accountant(NIGHT).charged([pure])
    assert after.rho == rho_of(NIGHT) + Fraction(1, 200)
    with pytest.raises(PrivacyBudgetExhausted, match="set aside"):
        accountant(NIGHT).charged([BASIC])


def test_selection_sets_half_of_delta_aside_and_spends_it() -> None:
    night = plan_release(
        epsilon=Decimal(1), delta=Decimal("0.00001"), clip_norm=1.0, slots=1, edges_per_client=5
    )
    # ten times 0.000005 is the half of 0.0001
    assert accountant().nights_left(night.mechanisms) == 10
    smaller = plan_release(
        epsilon=Decimal(1), delta=Decimal("0.000001"), clip_norm=1.0, slots=1, edges_per_client=5
    )
    left = accountant().nights_left(smaller.mechanisms)
    assert 40 < left < 100
    assert accountant(*smaller.mechanisms * left).nights_left(smaller.mechanisms) == 0


def test_nights_left_is_what_charging_one_by_one_gives() -> None:
    small = PrivacyAccountant(epsilon=Decimal(3), delta=DELTA)
    charged, nights = small, 0
    while charged.fits([NIGHT]):
        charged, nights = charged.charged([NIGHT]), nights + 1
        assert small.nights_left([NIGHT]) == nights + charged.nights_left([NIGHT])


def test_no_noise_costs_nothing_and_a_budget_without_delta_takes_no_noise() -> None:
    assert accountant(*[BASIC] * 10).fits([])
    assert (
        PrivacyAccountant(epsilon=Decimal(1), delta=Decimal(0)).why_not([NIGHT])
        == "the budget has no delta, and noise needs one"
    )


def test_what_meets_the_filters_threshold_exactly_fits_and_a_digit_more_does_not() -> None:
    spent = accountant(noise(100, 1))
    room = (spent.filter.rho - spent.rho) * Fraction(spent.filter.order)
    assert room.denominator % 3, "a decimal number"
    exact = Decimal(room.numerator) / Decimal(room.denominator)
    for epsilon, nights in ((exact, 1), (exact + Decimal("1e-20"), 0), (exact / 4, 4)):
        pure = Mechanism(kind="basic", epsilon=epsilon, delta=Decimal(0))
        assert spent.fits([pure]) == (nights > 0)
        assert spent.nights_left([pure]) == nights
    assert spent.charged([replace(BASIC, epsilon=exact, delta=Decimal(0))]).share == 1


def test_the_share_is_of_epsilon_or_of_delta_whichever_is_more_spent() -> None:
    for epsilon, delta, share in ((1, "0.00002", 0.2), (3, "0.00002", 0.3), (3, "0", 0.3)):
        basic = Mechanism(kind="basic", epsilon=Decimal(epsilon), delta=Decimal(delta))
        assert accountant(basic).share == accountant(basic).total.share == share
    pure = PrivacyAccountant(
        epsilon=Decimal(1),
        delta=Decimal(0),
        mechanisms=(Mechanism(kind="basic", epsilon=Decimal("0.5"), delta=Decimal(0)),),
    )
    assert pure.share == 0.5
    assert PrivacyAccountant(epsilon=Decimal(0), delta=Decimal(0)).share == 0
    noised = accountant(NIGHT)
    assert noised.share == float(rho_of(NIGHT) / noised.filter.rho)
    selecting = accountant(replace(noise(1000, 1), delta=DELTA / 4, selection_delta=DELTA / 4))
    assert selecting.share == 0.5, "a quarter of delta is half of what is set aside"


def test_a_night_costs_what_its_mechanisms_cost_together() -> None:
    together = (NIGHT.epsilon + 1, NIGHT.delta + BASIC.delta)
    assert cost_of([NIGHT, BASIC]) == together
    assert cost_of([]) == (0, 0)
    twice, delta = cost_of([NIGHT, NIGHT])
    assert twice == rdp_epsilon(2 * rho_of(NIGHT), delta) < 2 * NIGHT.epsilon


def test_noise_alone_is_told_at_the_best_order_and_beside_pure_epsilons_at_the_filters() -> None:
    spent = accountant(NIGHT)
    best = rdp_epsilon(rho_of(NIGHT), DELTA)
    assert spent.total.epsilon == best
    mixed = spent.charged([Mechanism(kind="basic", epsilon=Decimal("0.001"), delta=Decimal(0))])
    order, overhead = mixed.filter.order, mixed.filter.overhead
    assert mixed.total.epsilon == Decimal(float(Fraction(order) * mixed.rho)) + overhead
    assert best < mixed.total.epsilon < EPSILON


def test_what_costs_nothing_fits_into_a_budget_that_was_cut_below_what_is_spent() -> None:
    overspent = accountant(*[BASIC] * 11)
    assert not overspent.fits([BASIC])
    assert overspent.fits([])
    assert overspent.fits([Mechanism(kind="basic", epsilon=Decimal(0), delta=Decimal(0))])


def test_what_a_void_refunds_is_not_charged() -> None:
    entries = ledger_of([(NIGHT, False), (BASIC, True), (BASIC, False)])
    assert charges_of(entries) == [(1, NIGHT), (3, BASIC)]


def test_nights_that_cost_nothing_never_end() -> None:
    free = Mechanism(kind="basic", epsilon=Decimal(0), delta=Decimal(0))
    for budget in (accountant(), PrivacyAccountant(epsilon=Decimal(1), delta=Decimal(0))):
        assert budget.nights_left([free]) == budget.nights_left([]) == 1_000_000


@pytest.mark.parametrize(
    ("later", "what"),
    [
        ({"unit": "record"}, "the unit"),
        ({"minimum_support": 1}, "the minimum support"),
        ({"epsilon": EPSILON + 1}, "epsilon from"),
        ({"delta": DELTA * 2}, "delta from"),
    ],
)
def test_a_registry_that_loosens_a_running_budget_is_refused(later: dict, what: str) -> None:
    first = Budget(epsilon=EPSILON, delta=DELTA, minimum_support=3)
    with pytest.raises(PrivacyError, match=what):
        running_budget([first, replace(first, **later)])
    assert running_budget([first]) == first


def test_of_several_budgets_the_tightest_holds() -> None:
    first = Budget(epsilon=Decimal(5), delta=DELTA)
    tight = replace(first, epsilon=Decimal(2))
    assert running_budget([first, tight, tight]).epsilon == 2
    with pytest.raises(PrivacyError, match="epsilon from 2 to 5"):  # nor back to what it was
        running_budget([first, tight, first])


@pytest.mark.parametrize(
    ("first", "later", "what"),
    [
        ((0, 0), (1, 1), "gossip's epsilon from 0 to 1"),  # rounds may have spent it by now
        ((2, 2), (3, 2), "gossip's epsilon from 2 to 3"),
        ((2, 2), (2, 3), "gossip's delta"),
        ((2, 2), (1, 2), "epsilon from 3 to 4"),  # gossip may have spent it by now
        ((2, 2), (0, 0), "epsilon from 3 to 5"),
    ],
)
def test_what_is_gossips_and_what_is_the_rounds_is_promised_for_good(
    first: tuple[int, int], later: tuple[int, int], what: str
) -> None:
    def shared(epsilon: int, delta: int) -> Budget:
        return Budget(
            epsilon=Decimal(5),
            delta=DELTA,
            gossip_epsilon=Decimal(epsilon),
            gossip_delta=DELTA * delta / 10,
        )

    with pytest.raises(PrivacyError, match=what):
        running_budget([shared(*first), shared(*later)])
    assert running_budget([shared(2, 2)]).epsilon == 3


def test_rounds_cannot_spend_gossips_share() -> None:
    """What the ledger admits and what gossip's guard admits stay within the budget together."""
    budget = Budget(
        epsilon=EPSILON, delta=DELTA, gossip_epsilon=EPSILON / 4, gossip_delta=DELTA / 4
    )
    rest = running_budget([budget])
    assert (rest.epsilon + budget.gossip_epsilon, rest.delta + budget.gossip_delta) == (
        EPSILON,
        DELTA,
    )
    assert PrivacyAccountant.of_ledger([], rest).nights_left([NIGHT]) < PrivacyAccountant.of_ledger(
        [], Budget(epsilon=EPSILON, delta=DELTA)
    ).nights_left([NIGHT])


# -- a thousand histories --------------------------------------------------------------------------


def ledger_of(history: list[tuple[Mechanism, bool]]) -> list[Chained]:
    """A ledger with a reserve for each, and a void where it was refunded."""
    entries: list[Chained] = []
    for number, (mechanism, refunded) in enumerate(history, 1):
        for kind in (EntryKind.RESERVE, EntryKind.VOID if refunded else EntryKind.COMMIT):
            entry = LedgerEntry(
                federation="f",
                sequence=len(entries) + 1,
                previous=b"",
                kind=kind,
                round=number,
                id=b"" if kind is EntryKind.COMMIT else number.to_bytes(32, "little"),
                mechanisms=(mechanism,) if kind is EntryKind.RESERVE else (),
                time=datetime(2026, 1, 1, tzinfo=UTC),
            )
            entries.append(Chained(entry=entry, digest=b""))
    return entries


@pytest.mark.slow
def test_guard_accountant_ledger_and_dp_accounting_agree_on_a_thousand_histories() -> None:
    rng = random.Random(20261124)
    refused = 0
    for _ in range(1000):
        budget = Budget(
            epsilon=Decimal(rng.choice(["2", "5", "10"])),
            delta=Decimal(rng.choice(["0.0001", "0.000001"])),
        )
        basic = rng.random() < 0.5
        mine = PrivacyAccountant(epsilon=budget.epsilon, delta=budget.delta)
        guard = PrivacyGuard(budget.epsilon, budget.delta)
        history: list[tuple[Mechanism, bool]] = []
        for step in range(rng.randint(1, 12)):
            if basic:
                m = Mechanism(
                    kind="basic",
                    epsilon=Decimal(rng.randint(1, 30)) / 10,
                    delta=Decimal(rng.randint(0, 3)) / 10**6,
                )
            else:
                m = noise(sigma=rng.randint(100, 1000), sensitivity=rng.randint(50, 200))
            assert mine.fits([m]) == guard.can_charge([m])
            if not mine.fits([m]):
                refused += 1
                with pytest.raises(PrivacyBudgetExhausted):
                    guard.charge([m], operation=f"{step}")
                continue
            refunded = rng.random() < 0.2
            history.append((m, refunded))
            if not refunded:
                mine = mine.charged([m])
                guard.charge([m], operation=f"{step}")
        entries = ledger_of(history)
        read = PrivacyAccountant.of_ledger(entries, budget)
        again = PrivacyGuard.from_ledger(
            entries, max_epsilon=budget.epsilon, max_delta=budget.delta
        )
        assert read.total == mine.total == guard.accountant.total == again.accountant.total
        assert read.total.epsilon <= budget.epsilon
        if not basic and mine.mechanisms:
            theirs = dp_accounting.rdp.RdpAccountant()
            for m in mine.mechanisms:
                theirs.compose(dp_accounting.GaussianDpEvent(m.sigma / m.sensitivity))
            exact = theirs.get_epsilon(float(budget.delta))
            assert (
                exact <= float(mine.total.epsilon) * (1 + 1e-9)
                or mine.total.epsilon == budget.epsilon
            )
            assert float(mine.total.epsilon) <= exact * (1 + 1e-4)
    assert refused > 500


def test_the_exact_curve_counts_no_nights_of_anything_but_noise() -> None:
    selecting = replace(NIGHT, selection_delta=Decimal("0.000001"))
    for mechanism in (selecting, BASIC):
        assert accountant().nights_left_pld(mechanism) is None


def test_the_exact_total_is_told_of_noise_alone() -> None:
    """Where rows were selected, or something is known as (epsilon, delta) only, it would be less
    than what was spent."""
    selecting = replace(NIGHT, selection_delta=Decimal("0.000001"))
    pure = accountant(NIGHT).total
    assert pure.pld is not None
    assert 0 < pure.pld <= pure.epsilon
    assert accountant(NIGHT, selecting).total.pld is None
    small = replace(BASIC, epsilon=Decimal("0.01"), delta=Decimal(0))
    assert accountant(NIGHT, small).total.pld is None
