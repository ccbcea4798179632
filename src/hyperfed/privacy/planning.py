"""Before the first night: what noise a number of nights needs, and what can be seen through it.

1. The noise is the least that the enforced filter lets through so many times; what the exact curve of continuous noise would ask for is told beside it.
2. What can be seen: a mean of N clients stands out where it is above `cut` (`release.noise_cut`). A client's whole clip spread over E edges of equal strength
   gives each clip / sqrt(E); so at most (clip / cut)^2 equally strong edges that *every* client has can be seen at once. Below one, none can.
3. A plan that shows nothing is called useless, in words.

What it does not do: know anybody's data.
"""

import math
from dataclasses import dataclass
from decimal import Decimal

from hyperfed.errors import PrivacyError
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.mechanisms import Night, plan_night
from hyperfed.privacy.rdp import analytic_sigma, rdp_filter
from hyperfed.privacy.release import noise_cut

__all__ = ["NightPlan", "plan_nights"]

_FEW_EDGES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class NightPlan:
    """night: one of `nights` alike; multiplier: its noise in sensitivities, by the filter; multiplier_pld: what the exact curve of continuous noise asks for.

    noise_std: on an edge's mean over `clients`; cut: what stands out; edges_visible: see rule 2; clients_for_one, clients_for_ten: how many clients one edge
    and ten equal ones need. expected_error: of a mean that no client clips, mean absolute, noise alone.
    """

    night: Night
    nights: int
    clients: int
    slots: int
    multiplier: float
    multiplier_pld: float
    noise_std: float
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
        unit = self.night.mechanism.unit
        need = f"One edge that all have needs {self.clients_for_one} clients, ten need {self.clients_for_ten}."
        if not self.useful:
            return (
                f"Useless: with {self.clients} clients the noise hides everything, even an edge on which every client spends its whole clip. {need} "
                f"More clients, fewer nights, a larger budget{'' if unit == 'record' else ', or the record as unit'} would help."
            )
        if self.edges_visible < _FEW_EDGES:
            return f"Barely useful: at most {self.edges_visible} equally strong edges that all {self.clients} clients have can be told from noise. {need}"
        return f"Useful: up to {self.edges_visible} equally strong edges that all {self.clients} clients have can be told from noise. {need}"


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
) -> NightPlan:
    """The plan of `nights` nights alike inside (epsilon, delta). Raises PrivacyError where no grid is fine enough for the noise it takes."""
    if nights < 1 or clients < 1 or slots < 1:
        raise PrivacyError("at least one night, one client and one possible edge are needed", subject="budget plan")
    multiplier = math.sqrt(nights / (2 * float(rdp_filter(epsilon, delta).rho))) * (1 + 1e-12)
    night = plan_night(epsilon=epsilon, delta=delta, clip_norm=clip_norm, slots=slots, place=place, unit=unit, record_bound=record_bound, multiplier=multiplier)
    fits = PrivacyAccountant(epsilon=epsilon, delta=delta).nights_left(night.mechanisms)
    if fits < nights:
        raise PrivacyError(f"{fits} of {nights} nights fit", subject="budget plan", remedy="This is a defect; please report it with the numbers")
    over = math.sqrt(clients) if place == "local" else clients
    std = night.noise_std / over
    cut = noise_cut(std, slots)

    def needed(edges: int) -> int:
        share = noise_cut(night.noise_std, slots) * math.sqrt(edges) / clip_norm
        return math.ceil(share**2 if place == "local" else share)

    return NightPlan(
        night=night,
        nights=nights,
        clients=clients,
        slots=slots,
        multiplier=night.multiplier,
        multiplier_pld=analytic_sigma(epsilon, delta) * math.sqrt(nights),
        noise_std=std,
        expected_error=std * math.sqrt(2 / math.pi),
        cut=cut,
        edges_visible=min(slots, int((clip_norm / cut) ** 2)),
        clients_for_one=needed(1),
        clients_for_ten=needed(_FEW_EDGES),
    )
