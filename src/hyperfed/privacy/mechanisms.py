"""A night's noise, fixed before anything is looked at: from (epsilon, delta), clip and unit to integers.

1. Noise is discrete Gaussian with sigma = 2^15 grid units; the grid is chosen so that sigma is, in sensitivities, at least what the analytic Gaussian
   mechanism asks for (Balle and Wang 2018; the classic formula under-noises above epsilon 8).
2. What a night costs is computed from the integers' RDP (`rdp`): about 9 % more epsilon than the analytic formula says of continuous noise. That number,
   not the one asked for, is charged and stated.
3. Unit "client": one client moves the integer sum by at most its clip, `bound`. Unit "record": by what one record moves its client's vector, as the client
   attests, plus the rounding: truncation may move each coordinate by one more unit, so sqrt(slots) in all.
4. Relation "zero-out": the unit's contribution becomes zero; who takes part is public, so the number of clients may divide the sum.
5. Discovery "selected" is two mechanisms of equal noise: counts of clients an edge for the choice, effects for the chosen. Half of delta pays for the choice.

What it does not do: see data, draw noise (`release`), know a budget (`accountant`).
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist

from hyperfed.errors import PrivacyError
from hyperfed.privacy.accountant import rho_of
from hyperfed.privacy.clipping import MAX_BOUND
from hyperfed.privacy.discrete_gaussian import MAX_SIGMA
from hyperfed.privacy.rdp import analytic_sigma, rdp_epsilon
from hyperfed.protocol.objects import Mechanism

__all__ = ["Night", "Selection", "plan_night"]

_LEAST_BOUND = 32  # grid units in a clip: below that truncation, not noise, decides what is seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Partition selection: `edges_per_client` each client may name; counts are scaled by `scale`; an edge is chosen where scaled count + noise >= threshold."""

    edges_per_client: int
    scale: int
    threshold: int
    mechanism: Mechanism

    @property
    def clients_needed(self) -> float:
        """At how many clients an edge is chosen as often as not."""
        return self.threshold / self.scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One night's release. bound: the clip in grid units; epsilon at delta: what it costs; record_bound: of one
    record (0: unit client); selection: None for the whole public vocabulary."""

    clip_norm: float
    bound: int
    mechanism: Mechanism
    epsilon: Decimal
    delta: Decimal
    record_bound: float = 0.0
    selection: Selection | None = None

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """What the ledger is charged, in the order of use."""
        return (self.mechanism,) if self.selection is None else (self.selection.mechanism, self.mechanism)

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on a sum (local: on one message), in units of the effects."""
        return self.mechanism.sigma * self.clip_norm / self.bound

    @property
    def multiplier(self) -> float:
        """sigma over sensitivity."""
        return self.mechanism.sigma / self.mechanism.sensitivity


def plan_night(
    *,
    epsilon: Decimal,
    delta: Decimal,
    clip_norm: float,
    slots: int,
    place: str = "central",
    unit: str = "client",
    record_bound: float = 0.0,
    edges_per_client: int = 0,
    multiplier: float | None = None,
) -> Night:
    """The night that (epsilon, delta) asks for, or `multiplier` where given.

    slots: coordinates noised; record_bound: how far one record moves a client's clipped vector at most (unit "record"); edges_per_client > 0: discovery by
    partition selection. Raises PrivacyError where the noise asked for leaves no usable grid.
    """
    if unit == "record" and not 0 < record_bound <= 2 * clip_norm:
        raise PrivacyError(
            f"record_bound is {record_bound!r}; a number above 0 and at most twice the clip is needed where the unit is a record",
            subject="privacy policy",
            remedy="Say in the policy how far one record may move a client's effects (L2)",
        )
    if edges_per_client and (unit != "client" or place != "central"):
        raise PrivacyError(
            "edges are selected privately at client level by the coordinator only",
            subject="privacy policy",
            remedy="discovery = 'public', or unit client and central",
        )
    noise_delta = delta / 2 if edges_per_client else delta
    stages = 2 if edges_per_client else 1
    wanted = (multiplier if multiplier is not None else analytic_sigma(epsilon, noise_delta)) * math.sqrt(stages)
    most = int(MAX_SIGMA / wanted)
    bound, sensitivity = _grid(most, clip_norm, slots, record_bound if unit == "record" else None)
    each = noise_delta / stages
    effects = _mechanism(sensitivity, each, place=place, unit=unit)
    selection = _selection(most, edges_per_client, each, delta / 2) if edges_per_client else None
    rho = rho_of(effects) + (rho_of(selection.mechanism) if selection else 0)
    return Night(
        clip_norm=clip_norm,
        bound=bound,
        mechanism=effects,
        epsilon=rdp_epsilon(rho, noise_delta),
        delta=delta,
        record_bound=record_bound if unit == "record" else 0.0,
        selection=selection,
    )


def _grid(most: int, clip_norm: float, slots: int, record_bound: float | None) -> tuple[int, int]:
    """(bound, sensitivity) in grid units, sensitivity <= most."""
    if record_bound is None:
        bound = sensitivity = min(most, MAX_BOUND)
    else:
        rounding = math.isqrt(max(slots, 1) - 1) + 1
        bound = min(int((most - rounding) * clip_norm / record_bound), MAX_BOUND)
        sensitivity = math.ceil(bound * record_bound / clip_norm) + rounding
        while sensitivity > most and bound > 0:
            bound -= 1
            sensitivity = math.ceil(bound * record_bound / clip_norm) + rounding
    if bound < _LEAST_BOUND:
        raise PrivacyError(
            f"so much noise leaves a grid of {max(bound, 0)} steps for a whole clip; {_LEAST_BOUND} are needed",
            subject="privacy policy",
            remedy="A larger epsilon a night, or (unit record) fewer possible edges",
        )
    return bound, sensitivity


def _mechanism(sensitivity: int, delta: Decimal, *, place: str, unit: str, selection_delta: Decimal = Decimal(0)) -> Mechanism:
    noise = Mechanism(
        kind="gaussian",
        epsilon=Decimal(0),
        delta=delta + selection_delta,
        sigma=MAX_SIGMA,
        sensitivity=sensitivity,
        place=place,
        relation="zero-out",
        unit=unit,
        selection_delta=selection_delta,
    )
    return Mechanism(
        kind="gaussian",
        epsilon=rdp_epsilon(rho_of(noise), delta),
        delta=noise.delta,
        sigma=noise.sigma,
        sensitivity=sensitivity,
        place=place,
        relation=noise.relation,
        unit=unit,
        selection_delta=selection_delta,
    )


def _selection(most: int, edges_per_client: int, delta: Decimal, selection_delta: Decimal) -> Selection:
    """An edge that one client alone names is chosen with probability at most selection_delta / edges_per_client, so that all of its edges together stay within
    selection_delta. P(noise >= t) <= P(N(0, sigma^2) >= t - 1) for integers t >= 1 (Canonne, Kamath, Steinke 2020, tail bounds)."""
    scale = int(most / math.sqrt(edges_per_client))
    if scale < _LEAST_BOUND:
        raise PrivacyError(
            f"{edges_per_client} edges a client leave no grid for their counts",
            subject="privacy policy",
            remedy="Fewer edges_per_client, or a larger epsilon a night",
        )
    sensitivity = math.isqrt(edges_per_client * scale * scale - 1) + 1
    tail = float(selection_delta) / edges_per_client
    threshold = scale + math.ceil(-MAX_SIGMA * NormalDist().inv_cdf(tail)) + 1
    mechanism = _mechanism(sensitivity, delta, place="central", unit="client", selection_delta=selection_delta)
    return Selection(edges_per_client=edges_per_client, scale=scale, threshold=threshold, mechanism=mechanism)
