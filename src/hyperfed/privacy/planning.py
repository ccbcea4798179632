"""Before the first night: what noise a number of nights needs, what a policy has to say for it, and what can be seen through it.

1. The noise is the least that the enforced filter lets through so many times; what the exact curve of continuous noise would ask for is told beside it.
2. What can be seen: a mean of N clients stands out where it is above `cut` (`release.noise_cut`); one exactly there does so every other night.
   A client's whole clip spread over E edges of equal strength gives each clip / sqrt(E); so at most (clip / cut)^2 equally strong edges that *every*
   client has can be seen at once. Below one, none can.
3. A plan that shows nothing is called useless, in words.
4. Baskets (of equal size) cost nothing and add noise to the global mean: sqrt(baskets) under central noise, none under local (`groups`).
5. Discovery "selected": half of delta pays for the choices, in equal parts a night; how many edges are chosen is bounded by how often clients name any.

What it does not do: know anybody's data.
"""

import math
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal

from hyperfed.errors import PrivacyError
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.mechanisms import Night, plan_night
from hyperfed.privacy.rdp import analytic_epsilon, analytic_sigma, rdp_filter
from hyperfed.privacy.release import noise_cut

__all__ = ["NightPlan", "plan_nights"]

_FEW_EDGES = 10
_USUAL_DELTA = Decimal("0.00001")  # of a night, where no choice of edges has to be paid for


@dataclass(frozen=True, slots=True, kw_only=True)
class NightPlan:
    """night: one of `nights` alike; multiplier: its noise in sensitivities, by the filter; multiplier_pld: what the exact curve of continuous noise asks for.

    policy_epsilon, policy_delta: privacy_epsilon and privacy_delta of a policy that lasts so long. noise_std: on an edge's mean over `clients`, of all baskets;
    basket_noise_std: on that of one basket; cut: what stands out; edges_visible: see rule 2; clients_for_one, clients_for_ten: how many clients one
    edge and ten equal ones need. expected_error: of a mean that no client clips, mean absolute, noise alone. slots: noised; where they are
    selected, at most so many are.
    """

    night: Night
    nights: int
    clients: int
    baskets: int
    slots: int
    multiplier: float
    multiplier_pld: float
    policy_epsilon: Decimal
    policy_delta: Decimal
    noise_std: float
    basket_noise_std: float
    expected_error: float
    cut: float
    edges_visible: int
    clients_for_one: int
    clients_for_ten: int

    @property
    def useful(self) -> bool:
        return self.edges_visible >= 1

    @property
    def verdict(self) -> str:
        """Plainly, whether it is worth it."""
        unit, who = self.night.mechanism.unit, _clients(self.clients)
        need = f"One edge that all have needs {_clients(self.clients_for_one)}, ten need {self.clients_for_ten:,}."
        if not self.useful:
            why = f"with {who} the noise hides everything, even an edge on which every client spends its whole clip"
            if self.night.selection is not None and self.clients < self.night.selection.clients_needed:
                why = f"an edge is chosen where about {self.night.selection.clients_needed:.0f} clients name it, and there are {self.clients}"
            other = "" if unit == "record" or self.night.selection is not None else ", or the record as unit"
            return f"Useless: {why}. {need} More clients, fewer nights, a larger budget{other} would help."
        most = f"{self.edges_visible} equally strong {'edge' if self.edges_visible == 1 else 'edges'} that all {who} have"
        if self.edges_visible < min(_FEW_EDGES, self.slots):
            return f"Barely useful: at most {most} can be told from noise. {need}"
        return f"Useful: up to {most} can be told from noise. {need}"


def _clients(number: int) -> str:
    return f"{number:,} client" + ("" if number == 1 else "s")


def plan_nights(
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
) -> NightPlan:
    """The plan of `nights` nights alike inside (epsilon, delta). slots: possible edges (not looked at with edges_per_client > 0: discovery by selection).

    Raises PrivacyError where no grid is fine enough for the noise it takes.
    """
    if nights < 1 or clients < 1 or slots < 1 or not 1 <= baskets <= clients:
        raise PrivacyError("at least one night, one possible edge, one basket and a client in each are needed", subject="budget plan")
    for_noise = delta / 2 if edges_per_client else delta
    multiplier = math.sqrt(nights / (2 * float(rdp_filter(epsilon, for_noise).rho))) * (1 + 1e-12)
    policy_delta = Context(prec=6, rounding=ROUND_FLOOR).divide(delta, Decimal(nights)) if edges_per_client else min(delta, _USUAL_DELTA)

    def one(**asked: float | Decimal) -> Night:
        return plan_night(
            **{"epsilon": epsilon, **asked},  # type: ignore[arg-type]
            delta=policy_delta,
            clip_norm=clip_norm,
            slots=slots,
            place=place,
            unit=unit,
            record_bound=record_bound,
            edges_per_client=edges_per_client,
        )

    empty = PrivacyAccountant(epsilon=epsilon, delta=delta)
    night = one(multiplier=multiplier)
    if (fits := empty.nights_left(night.mechanisms)) < nights:
        raise PrivacyError(f"{fits} of {nights} nights fit", subject="budget plan", remedy="This is a defect; please report it with the numbers")
    wanted = Context(prec=3, rounding=ROUND_FLOOR).plus(analytic_epsilon(multiplier, policy_delta / 2 if edges_per_client else policy_delta))
    while empty.nights_left(one(epsilon=wanted).mechanisms) < nights:
        wanted = wanted.next_minus(Context(prec=3))
    if night.selection is not None:
        slots = max(1, int(clients * edges_per_client / night.selection.clients_needed))
    over, inside = (math.sqrt(clients), math.sqrt(clients / baskets)) if place == "local" else (clients / math.sqrt(baskets), clients / baskets)
    std = night.noise_std / over
    cut = noise_cut(std, slots)
    visible = min(slots, int((clip_norm / cut) ** 2))

    def needed(edges: int) -> int:
        share = noise_cut(night.noise_std, slots) * math.sqrt(edges) / clip_norm
        enough = math.ceil(share**2 if place == "local" else share * math.sqrt(baskets))
        return max(enough, math.ceil(night.selection.clients_needed)) if night.selection is not None else enough

    return NightPlan(
        night=night,
        nights=nights,
        clients=clients,
        baskets=baskets,
        slots=slots,
        multiplier=multiplier,
        multiplier_pld=analytic_sigma(epsilon, delta) * math.sqrt(nights),
        policy_epsilon=wanted,
        policy_delta=policy_delta,
        noise_std=std,
        basket_noise_std=night.noise_std / inside,
        expected_error=std * math.sqrt(2 / math.pi),
        cut=cut,
        edges_visible=0 if night.selection is not None and clients < night.selection.clients_needed else visible,
        clients_for_one=needed(1),
        clients_for_ten=needed(_FEW_EDGES),
    )
