"""What a private release says about itself: for a machine as fields, for a person as sentences (DESIGN section 6).

1. Every private result carries one; a result without one claims nothing.
2. epsilon and delta are those of the integers that were noised, by RDP: not what was asked for, what holds.
3. What is not covered is part of the statement.

What it does not do: compute (`mechanisms`, `accountant`).
"""

import math
from dataclasses import dataclass
from decimal import Decimal

from hyperfed.errors import PrivacyError

__all__ = ["NOT_COVERED", "PrivacyStatement"]

NOT_COVERED = {
    "central": (
        "who takes part and when",
        "the size and timing of messages",
        "the coordinator and its auditors, who see the sums before their noise and every update",
        "trust scores and states, which only they can read",
        "interventions and whatever else clients publish elsewhere",
        "the time that drawing the noise takes",
    ),
    "local": (
        "who takes part and when",
        "the size and timing of messages",
        "what a client publishes elsewhere",
        "clients that do not follow the protocol, who protect themselves only",
        "the time that drawing the noise takes",
    ),
}


_ADDED_UP = {"rdp": "added up as Rényi DP of noise fixed in advance", "basic": "added up by basic composition"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyStatement:
    """place: "central" or "local"; unit: whose data is protected; relation: what neighbouring inputs are ("zero-out": the unit's contribution is zero or not).

    discovery: "public" (every slot of the vocabulary noised) or "selected"; slots: how many values were noised; vocabulary: its digest. clip_norm: the L2
    bound of a client's effects; record_bound: of one record's influence (0: unit client); clients: how many were summed (public). sigma, sensitivity,
    grid: of the integers, grid = units in a clip; noise_std: of a released mean; group_noise_std: of each basket's own means, ascending by name (empty:
    no baskets); cut: means below it are not shown; threshold: clients an edge needs to be
    selected as often as not (0: public). epsilon, delta: of tonight; total_epsilon, total_delta: of the ledger with tonight, by `composition`;
    budget_epsilon, budget_delta: never exceeded. not_covered: in words.
    """

    place: str
    unit: str
    relation: str
    discovery: str
    slots: int
    vocabulary: bytes
    clip_norm: float
    record_bound: float
    clients: int
    mechanism: str
    sigma: int
    sensitivity: int
    grid: int
    noise_std: float
    group_noise_std: tuple[float, ...]
    cut: float
    threshold: float
    epsilon: Decimal
    delta: Decimal
    total_epsilon: Decimal
    total_delta: Decimal
    composition: str
    budget_epsilon: Decimal
    budget_delta: Decimal
    not_covered: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.place not in NOT_COVERED or self.unit not in ("client", "record") or self.discovery not in ("public", "selected"):
            raise PrivacyError("names no place, unit or discovery we know", subject="privacy statement")
        numbers = (self.epsilon, self.delta, self.total_epsilon, self.total_delta, self.budget_epsilon, self.budget_delta)
        if not all(n.is_finite() and n >= 0 for n in numbers) or min(self.sigma, self.sensitivity, self.grid, self.clients) < 1:
            raise PrivacyError("numbers of noise are positive, of budgets finite", subject="privacy statement")

    @property
    def sentences(self) -> str:
        """The statement in words."""
        what = "one record of one client" if self.unit == "record" else "one client"
        chosen = (
            f"all {self.slots} possible edges of the vocabulary {self.vocabulary.hex()[:12]}, whether or not anybody has them"
            if self.discovery == "public"
            else f"the {self.slots} edges that enough clients name, by a count noised for this choice (about {self.threshold:.0f} clients are needed)"
        )
        attested = f" (each client attests that one record moves them by at most {self.record_bound:g})" if self.unit == "record" else ""
        where = "to their sum the coordinator" if self.place == "central" else "each client to its own message"
        return (
            f"Differentially private for {what}: with and without its contribution (counted as zero; that it took part is public), what is released "
            f"here has nearly the same law, epsilon {_plain(self.epsilon)} and delta {_plain(self.delta)} tonight, "
            f"epsilon {_plain(self.total_epsilon)} and delta {_plain(self.total_delta)} with all nights before "
            f"({_ADDED_UP.get(self.composition, self.composition)}), never above {_plain(self.budget_epsilon)} and {_plain(self.budget_delta)}. "
            f"Released are means over {self.clients} clients of effects on {chosen}. Each client's effects are clipped to L2 norm {self.clip_norm:g}"
            f"{attested} and rounded to integers, {self.grid} to a clip; {where} adds {self.mechanism} noise of standard deviation {self.sigma} where "
            f"one {self.unit} moves the integers by at most {self.sensitivity}. On a mean that is {self.noise_std:.3g}; "
            f"means below {self.cut:.3g} are not shown. {self._baskets}Not covered: {'; '.join(self.not_covered)}."
        )

    @property
    def clients_needed(self) -> int:
        """How many clients, with noise like tonight's, one edge needs on which every client spends its whole clip, to be shown as often as not."""
        ratio = self.cut / self.clip_norm
        return max(1, math.ceil(self.clients * (ratio if self.place == "central" else ratio**2)), math.ceil(self.threshold))

    @property
    def _baskets(self) -> str:
        if not self.group_noise_std:
            return ""
        least, most = min(self.group_noise_std), max(self.group_noise_std)
        width = f"{least:.3g}" if least == most else f"{least:.3g} to {most:.3g}"
        return (
            f"Sums are taken in {len(self.group_noise_std)} baskets and noised one by one; a client is in one of them, so that all of them, and the global "
            f"mean, which is computed from the noised ones, cost what one sum costs. On a basket's own mean the noise is {width}. "
        )


def _plain(number: Decimal) -> str:
    """Without trailing zeros: the same words whether the numbers were computed or have travelled."""
    return f"{number.normalize():f}"
