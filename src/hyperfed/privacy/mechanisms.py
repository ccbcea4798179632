"""Fix a round's noise before any data is seen: from (epsilon, delta), clip and unit to integers.

1. Noise is discrete Gaussian with sigma = 2^15 grid units. The grid is chosen so that sigma is, in
   sensitivities, at least what the analytic Gaussian mechanism asks for (Balle and Wang 2018; the
   classic formula under-noises above epsilon 8).
2. What a round costs is computed from the integers' RDP (`rdp`): about 9 % more epsilon than the
   analytic formula gives for continuous noise. That number, not the one asked for, is charged and
   stated.
3. Unit "client": one client moves the integer sum by at most its clip, `bound`. Unit "record": one
   record moves it by as much as it moves its client's vector, as the client attests, plus the
   rounding. Truncation may move each coordinate by one more unit, so by sqrt(slots) in all.
4. Relation "zero-out": the unit's contribution becomes zero. Who takes part is public, so the
   number of clients may divide the sum.
5. Noise in shares: each share has 2^15 steps, and the grid is finer by the root of the shares that
   the policy counts on. What the freeze leaves of them decides what the night costs.
6. Discovery "selected" is two mechanisms of equal noise: one on how many clients name each edge,
   for the choice, and one on the effects of the chosen edges. Half of delta pays for the choice.

What it does not do: see data, draw noise (`release`), or know a budget (`accountant`).
"""

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import NormalDist

from hyperfed.errors import PrivacyError
from hyperfed.privacy.accountant import rho_of
from hyperfed.privacy.clipping import MAX_BOUND, largest_bound
from hyperfed.privacy.discrete_gaussian import MAX_SIGMA
from hyperfed.privacy.rdp import analytic_sigma, rdp_epsilon
from hyperfed.protocol.entries import (
    Mechanism,
)

__all__ = ["LEAST_BOUND", "PlannedRelease", "Selection", "gaussian_mechanism", "plan_release"]

LEAST_BOUND = 32
"""Fewest grid units in a clip; on a coarser grid truncation decides, not noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Describes how a round selects the edges that get a mean.

    An edge is chosen where its scaled count of clients plus noise reaches `threshold`.
    """

    edges_per_client: int
    """Largest number of edges that one client may name."""
    scale: int
    """Factor by which counts of clients are multiplied, in grid units."""
    threshold: int
    """Smallest scaled count plus noise with which an edge is chosen."""
    mechanism: Mechanism
    """The noise on the counts, as it is charged."""

    @property
    def clients_needed(self) -> float:
        """The number of clients at which an edge is chosen as often as not."""
        return self.threshold / self.scale


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRelease:
    """Describes the release of one round, as it is planned before any data is seen."""

    clip_norm: float
    """L2 bound of one client's effects."""
    bound: int
    """The clip in grid units."""
    mechanism: Mechanism
    """The noise on the effects, as it is charged."""
    epsilon: Decimal
    """Epsilon that the night costs at `delta`."""
    delta: Decimal
    """Delta that the night costs."""
    record_bound: float = 0.0
    """How far one record may move a client's effects (L2); 0 where the unit is a client."""
    selection: Selection | None = None
    """How edges are chosen, or None where the whole public vocabulary gets noise."""

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """The mechanisms that the ledger is charged, in the order of their use."""
        return (
            (self.mechanism,)
            if self.selection is None
            else (self.selection.mechanism, self.mechanism)
        )

    @property
    def noise_std(self) -> float:
        """The standard deviation of the noise on a sum, in units of the effects.

        With local noise it is that of the noise on one message.
        """
        return self.mechanism.sigma * self.clip_norm / self.bound

    @property
    def multiplier(self) -> float:
        """The ratio of sigma to sensitivity."""
        return self.mechanism.multiplier


def plan_release(
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
    noise_shares: int = 0,
    shares: int = 0,
) -> PlannedRelease:
    """Return the release that (epsilon, delta) asks for, or `multiplier` where it is given.

    `slots` is the number of coordinates that get noise. `record_bound` is how far one record moves
    a client's clipped vector at most (unit "record"). With edges_per_client > 0, edges are
    discovered by partition selection. `noise_shares` is how many shares the noise counts on, where
    it is in shares; `shares` how many protect each client by the freeze, 0: as many. Raises
    PrivacyError where the arguments contradict each other, or where the noise leaves no usable
    grid.
    """
    if unit == "record" and not 0 < record_bound <= 2 * clip_norm:
        raise PrivacyError(
            f"record_bound is {record_bound!r}; a number above 0 and at most twice the clip is "
            "needed where the unit is a record",
            subject="privacy policy",
            remedy="State in the policy how far one record may move a client's effects (L2)",
        )
    if edges_per_client and (unit != "client" or place != "central"):
        raise PrivacyError(
            "edges are selected privately at client level by the coordinator only",
            subject="privacy policy",
            remedy="Set discovery = 'public', or use the unit client and central noise",
        )
    noise_delta = delta / 2 if edges_per_client else delta
    stages = 2 if edges_per_client else 1
    noise_multiplier = (
        multiplier if multiplier is not None else analytic_sigma(epsilon, noise_delta)
    ) * math.sqrt(stages)
    # the grid is finer by the root of the shares that the policy counts on
    most = int(math.sqrt(max(1, noise_shares)) * MAX_SIGMA / noise_multiplier)
    finest = min(int(math.sqrt(max(1, noise_shares)) * MAX_BOUND), largest_bound(slots))
    bound, sensitivity = _grid(
        most, clip_norm, slots, record_bound if unit == "record" else None, finest
    )
    stage_delta = noise_delta / stages
    effects = gaussian_mechanism(
        sensitivity,
        stage_delta,
        place=place,
        unit=unit,
        shares=shares or noise_shares,
        numbers=slots if noise_shares else 0,
    )
    selection = (
        _selection(most, edges_per_client, stage_delta, delta / 2) if edges_per_client else None
    )
    rho = rho_of(effects) + (rho_of(selection.mechanism) if selection else 0)
    return PlannedRelease(
        clip_norm=clip_norm,
        bound=bound,
        mechanism=effects,
        epsilon=rdp_epsilon(rho, noise_delta),
        delta=delta,
        record_bound=record_bound if unit == "record" else 0.0,
        selection=selection,
    )


def _grid(
    most: int, clip_norm: float, slots: int, record_bound: float | None, finest: int
) -> tuple[int, int]:
    """Return (bound, sensitivity) in grid units, with sensitivity <= most and bound <= finest.

    Raises PrivacyError where the grid is too coarse.
    """
    if record_bound is None:
        bound = sensitivity = min(most, finest)
    else:
        rounding = math.isqrt(max(slots, 1) - 1) + 1
        bound = min(int((most - rounding) * clip_norm / record_bound), finest)
        sensitivity = math.ceil(bound * record_bound / clip_norm) + rounding
        while sensitivity > most and bound > 0:
            bound -= 1
            sensitivity = math.ceil(bound * record_bound / clip_norm) + rounding
    if bound < LEAST_BOUND:
        raise PrivacyError(
            f"so much noise leaves a grid of {max(bound, 0)} steps for a whole clip; "
            f"{LEAST_BOUND} are needed",
            subject="privacy policy",
            remedy="Allow a larger epsilon for each round, or (unit record) fewer possible edges",
        )
    return bound, sensitivity


def gaussian_mechanism(
    sensitivity: int,
    delta: Decimal,
    *,
    place: str,
    unit: str,
    selection_delta: Decimal = Decimal(0),
    shares: int = 0,
    numbers: int = 0,
) -> Mechanism:
    """Return noise of the largest sigma over a sensitivity, as the ledger is charged for it.

    With `shares`, that is the noise of each, on `numbers` numbers.
    """
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
        shares=shares,
        numbers=numbers,
    )
    return replace(noise, epsilon=rdp_epsilon(rho_of(noise), delta))


def _selection(
    most: int, edges_per_client: int, delta: Decimal, selection_delta: Decimal
) -> Selection:
    """Return the selection whose scaled counts have a sensitivity of at most `most`.

    An edge that one client alone names is chosen with probability at most selection_delta /
    edges_per_client, so that all of its edges together stay within selection_delta. For integers t
    >= 1, P(noise >= t) <= P(N(0, sigma^2) >= t - 1). Source: Canonne, Kamath, Steinke 2020, tail
    bounds.
    """
    scale = int(most / math.sqrt(edges_per_client))
    if scale < LEAST_BOUND:
        raise PrivacyError(
            f"{edges_per_client} edges a client leave no grid for their counts",
            subject="privacy policy",
            remedy="State fewer edges_per_client, or a larger epsilon for each round",
        )
    sensitivity = math.isqrt(edges_per_client * scale * scale - 1) + 1
    tail = float(selection_delta) / edges_per_client
    threshold = scale + math.ceil(-MAX_SIGMA * NormalDist().inv_cdf(tail)) + 1
    mechanism = gaussian_mechanism(
        sensitivity, delta, place="central", unit="client", selection_delta=selection_delta
    )
    return Selection(
        edges_per_client=edges_per_client, scale=scale, threshold=threshold, mechanism=mechanism
    )
