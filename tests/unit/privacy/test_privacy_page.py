"""docs/privacy.md: every number on it is computed here again, and found there."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.mechanisms import plan_release
from hyperfed.privacy.planning import BudgetPlan, plan_budget
from hyperfed.privacy.rdp import rdp_epsilon, rdp_filter
from hyperfed.privacy.slots import slot_count

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[3] / "docs" / "privacy.md").read_text()
DELTA = Decimal("0.00001")
NIGHT = plan_release(epsilon=Decimal(1), delta=DELTA, clip_norm=1.0, slots=28)


def year(clients: int, **options: object) -> BudgetPlan:
    return plan_budget(
        nights=365,
        epsilon=Decimal(10),
        delta=Decimal("0.0001"),
        clip_norm=1.0,
        clients=clients,
        slots=slot_count(4, (0, 1)),
        **options,
    )  # type: ignore[arg-type]


def test_what_a_night_costs() -> None:
    rho = Fraction(NIGHT.mechanism.sensitivity**2, 2 * NIGHT.mechanism.sigma**2)
    assert f"**{NIGHT.epsilon} at delta 1e-5 where the" in PAGE
    replaced = rdp_epsilon(4 * rho, DELTA)  # against replacing: twice the sensitivity
    assert f"({float(replaced):.2f} epsilon instead of {NIGHT.epsilon} a night" in PAGE


def test_how_many_nights_fit() -> None:
    budget = PrivacyAccountant(epsilon=Decimal(10), delta=Decimal("0.0001"))
    assert (
        f"| RDP filter (order {rdp_filter(Decimal(10), Decimal('0.0001')).order.normalize():f}) "
        f"| {budget.nights_left(NIGHT.mechanisms)} |" in PAGE
    )
    assert (
        f'| exact curve of continuous noise ("PLD") | {budget.nights_left_pld(NIGHT.mechanism)} |'
        in PAGE
    )
    assert f"needs **{year(20).multiplier:.2f}** sensitivities" in PAGE
    assert f"would do with **{year(20).multiplier_pld:.2f}**" in PAGE
    assert f'`privacy_epsilon = "{year(20).policy_epsilon}"`' in PAGE


def test_what_a_choice_of_edges_needs() -> None:
    chosen = plan_release(
        epsilon=Decimal(1), delta=DELTA, clip_norm=1.0, slots=1, edges_per_client=10
    )
    assert chosen.selection is not None
    assert (
        f"needs many clients an edge: {chosen.selection.clients_needed:.0f} at 10 edges a" in PAGE
    )


@pytest.mark.parametrize(
    ("line", "plan"),
    [
        ("| 20 hospitals, unit client | **useless**", year(20)),
        ("| 48 clients, unit client | at most {edges} equally strong edges", year(48)),
        ("| 200 clients, unit client | up to {edges} of 28 such edges |", year(200)),
        (
            "| 200 clients in 4 baskets, unit client | up to {edges} such edges",
            year(200, baskets=4),
        ),
        (
            "| 20 hospitals, unit record, bound 0.02 | useful: up to {edges};",
            year(20, unit="record", record_bound=0.02),
        ),
        (
            "| 20 hospitals, unit record, bound 0.02, local noise | useful: up to {edges};",
            year(20, unit="record", record_bound=0.02, place="local"),
        ),
        (
            "| 200 clients, local noise, unit client | **useless**: one edge needs {one} clients |",
            year(200, place="local"),
        ),
    ],
)
def test_the_table_of_plans(line: str, plan: BudgetPlan) -> None:
    assert line.format(edges=plan.edges_visible, one=plan.clients_for_one) in PAGE
    assert plan.useful is ("**useless**" not in line)
