"""Plan, before the first round, what noise some rounds need and what can be seen through it.

1. The noise is the least with which the enforced filter admits that number of rounds. What the
   exact curve of continuous noise would ask for is shown beside it.
2. A mean of N clients can be seen where it is above `cut` (`release.noise_cut`); a mean of exactly
   that size can be seen in every other round. A client's whole clip spread over E edges of equal
   strength gives each clip / sqrt(E). So at most (clip / cut)^2 equally strong edges that *every*
   client has can be seen at once. Where that is below one, none can.
3. A plan that shows nothing is called useless, in words.
4. Baskets (of equal size) cost nothing and add noise to the global mean: sqrt(baskets) under
   central noise, none under local noise (`groups`). Noise in shares takes none.
5. Discovery "selected": half of delta pays for the choices, in equal parts for each round. How many
   edges are chosen is bounded by how often clients name any.

A plan also says what a policy has to state for it (`policy_epsilon`, `policy_delta`).

What it does not do: know anybody's data, or plan rounds of statistics (`planned_sums`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal

from hyperfed.errors import PrivacyError
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.mechanisms import PlannedRelease, plan_release
from hyperfed.privacy.rdp import analytic_epsilon, analytic_sigma, rdp_filter
from hyperfed.privacy.release import noise_cut

__all__ = [
    "BudgetPlan",
    "check_counted_on",
    "lasting_epsilon",
    "night_multiplier",
    "plan_budget",
]

_FEW_EDGES = 10
_USUAL_DELTA = Decimal("0.00001")  # of a night that pays for no choice of edges


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPlan:
    """Describes a number of equal rounds, their noise, and what can be seen through it."""

    release: PlannedRelease
    """One of the nights."""
    nights: int
    """How many nights there are."""
    clients: int
    """How many clients are counted each night."""
    baskets: int
    """How many baskets of equal size the clients are in."""
    slots: int
    """Possible edges that get noise. Where edges are selected, it is the largest number that can be
    chosen.
    """
    multiplier: float
    """Noise of a night in sensitivities, by the filter."""
    multiplier_pld: float
    """Noise in sensitivities that the exact curve of continuous noise asks for."""
    policy_epsilon: Decimal
    """The `privacy_epsilon` of a policy whose budget lasts so many nights."""
    policy_delta: Decimal
    """The `privacy_delta` of that policy."""
    noise_std: float
    """Standard deviation of the noise on an edge's mean over the clients of all baskets."""
    basket_noise_std: float
    """Standard deviation of the noise on an edge's mean over the clients of one basket."""
    expected_error: float
    """Mean absolute error, from noise alone, of a mean that no client clips."""
    cut: float
    """Smallest |mean| that stands out of the noise."""
    edges_visible: int
    """How many equally strong edges that every client has can be seen at once (rule 2 of the
    module).
    """
    clients_for_one: int
    """How many clients are needed to see one edge."""
    clients_for_ten: int
    """How many clients are needed to see ten equally strong edges."""

    @property
    def useful(self) -> bool:
        """Whether at least one edge can be seen."""
        return self.edges_visible >= 1

    @property
    def verdict(self) -> str:
        """The verdict in plain words: whether the plan is worth it."""
        unit, who = self.release.mechanism.unit, _clients(self.clients)
        need = (
            f"One edge that all have needs {_clients(self.clients_for_one)}, ten need "
            f"{self.clients_for_ten:,}."
        )
        if not self.useful:
            why = (
                f"with {who} the noise hides everything, even an edge on which every client "
                "spends its whole clip"
            )
            if (
                self.release.selection is not None
                and self.clients < self.release.selection.clients_needed
            ):
                why = (
                    f"an edge is chosen where about {self.release.selection.clients_needed:.0f} "
                    f"clients name it, and there are {self.clients}"
                )
            record_advice = (
                ""
                if unit == "record" or self.release.selection is not None
                else ", or the record as unit"
            )
            return (
                f"Useless: {why}. {need} More clients, fewer nights, a larger budget"
                f"{record_advice} would help."
            )
        most = (
            f"{self.edges_visible} equally strong "
            f"{'edge' if self.edges_visible == 1 else 'edges'} that all {who} have"
        )
        if self.edges_visible < min(_FEW_EDGES, self.slots):
            return f"Barely useful: at most {most} can be told from noise. {need}"
        return f"Useful: up to {most} can be told from noise. {need}"


def _clients(number: int) -> str:
    return f"{number:,} client" + ("" if number == 1 else "s")


def night_multiplier(nights: int, epsilon: Decimal, delta: Decimal) -> float:
    """Return the least noise, in sensitivities, with which the filter admits so many nights."""
    return math.sqrt(nights / (2 * float(rdp_filter(epsilon, delta).rho))) * (1 + 1e-12)


def lasting_epsilon(
    night: Callable[[Decimal], PlannedRelease],
    budget: PrivacyAccountant,
    nights: int,
    multiplier: float,
    delta: Decimal,
) -> Decimal:
    """Return the largest epsilon of a policy, of three digits, whose nights the budget admits.

    night: returns the release of an epsilon. multiplier: the noise of a night in sensitivities, by
    which the search begins at the exact curve's epsilon at `delta`.
    """
    asked = Context(prec=3, rounding=ROUND_FLOOR).plus(analytic_epsilon(multiplier, delta))
    while budget.nights_left(night(asked).mechanisms) < nights:
        asked = asked.next_minus(Context(prec=3))
    return asked


def check_counted_on(noise_shares: int, clients: int) -> None:
    """Raise PrivacyError where `clients` cannot leave so many shares beside a client's own."""
    if clients <= noise_shares:
        raise PrivacyError(
            f"{clients} clients leave fewer than {noise_shares} shares beside a client's own",
            subject="budget plan",
            rule="R-193",
            remedy="Count on fewer shares; helpers' organisations and colluders leave none either",
        )


def plan_budget(
    *,
    nights: int,
    epsilon: Decimal,
    delta: Decimal,
    clip_norm: float,
    clients: int,
    slots: int,
    place: str = "central",
    unit: str = "client",
    record_bound: float = 0.0,
    baskets: int = 1,
    edges_per_client: int = 0,
    noise_shares: int = 0,
) -> BudgetPlan:
    """Return the plan of `nights` equal rounds inside (epsilon, delta).

    `slots` is the number of possible edges. It is ignored with edges_per_client > 0, where edges
    are discovered by selection. `noise_shares` is how many shares a night counts on, where the
    place is "shares". Raises PrivacyError where no grid is fine enough for the noise it takes, or
    where fewer clients are expected than shares are counted on.
    """
    if nights < 1 or clients < 1 or slots < 1 or not 1 <= baskets <= clients:
        raise PrivacyError(
            "at least one night, one possible edge, one basket and a client in each are needed",
            subject="budget plan",
        )
    if (place == "shares") != (noise_shares > 0) or (noise_shares and baskets > 1):
        raise PrivacyError(
            f"noise is {place}, in {noise_shares} shares, and there are {baskets} baskets",
            subject="budget plan",
            remedy="Give noise in shares a number of shares that a night counts on, and no baskets",
        )
    check_counted_on(noise_shares, clients)
    multiplier = night_multiplier(nights, epsilon, delta / 2 if edges_per_client else delta)
    policy_delta = (
        Context(prec=6, rounding=ROUND_FLOOR).divide(delta, Decimal(nights))
        if edges_per_client
        else min(delta, _USUAL_DELTA)
    )

    def night_plan(**wishes: float | Decimal) -> PlannedRelease:
        return plan_release(
            **{"epsilon": epsilon, **wishes},  # type: ignore[arg-type]
            delta=policy_delta,
            clip_norm=clip_norm,
            slots=slots,
            place=place,
            unit=unit,
            record_bound=record_bound,
            edges_per_client=edges_per_client,
            noise_shares=noise_shares,
        )

    empty = PrivacyAccountant(epsilon=epsilon, delta=delta)
    planned = night_plan(multiplier=multiplier)
    if (fits := empty.nights_left(planned.mechanisms)) < nights:
        raise PrivacyError(
            f"{fits} of {nights} nights fit",
            subject="budget plan",
            remedy="This is a defect; please report it with the numbers",
        )
    policy_epsilon = lasting_epsilon(
        lambda asked: night_plan(epsilon=asked),
        empty,
        nights,
        multiplier,
        policy_delta / 2 if edges_per_client else policy_delta,
    )
    if planned.selection is not None:
        slots = max(1, int(clients * edges_per_client / planned.selection.clients_needed))
    over, inside = (
        (math.sqrt(clients), math.sqrt(clients / baskets))
        if place in ("local", "shares")
        else (clients / math.sqrt(baskets), clients / baskets)
    )
    std = planned.noise_std / over
    cut = noise_cut(std, slots)
    visible = min(slots, int((clip_norm / cut) ** 2))

    def clients_needed(edges: int) -> int:
        share = noise_cut(planned.noise_std, slots) * math.sqrt(edges) / clip_norm
        enough = math.ceil(share * math.sqrt(baskets) if place == "central" else share**2)
        enough = max(enough, noise_shares + 1)
        return (
            max(enough, math.ceil(planned.selection.clients_needed))
            if planned.selection is not None
            else enough
        )

    return BudgetPlan(
        release=planned,
        nights=nights,
        clients=clients,
        baskets=baskets,
        slots=slots,
        multiplier=multiplier,
        multiplier_pld=analytic_sigma(epsilon, delta) * math.sqrt(nights),
        policy_epsilon=policy_epsilon,
        policy_delta=policy_delta,
        noise_std=std,
        basket_noise_std=planned.noise_std / inside,
        expected_error=std * math.sqrt(2 / math.pi),
        cut=cut,
        edges_visible=0
        if planned.selection is not None and clients < planned.selection.clients_needed
        else visible,
        clients_for_one=clients_needed(1),
        clients_for_ten=clients_needed(_FEW_EDGES),
    )
