"""Plan and draw the noise of a private round of statistics, which protects one row.

1. What one row does to the moments follows from the client's clip alone (`statistics.clipped`): no
   bound is attested. The unit is the record. C^2 is `grid` steps, and one row moves the whole
   numbers by at most grid * sqrt(reach) + sqrt(moments) steps, rounded up.
2. Noise is discrete Gaussian, of sigma = 2^15 steps, on every moment of the upper triangle. It is
   charged by RDP, as all noise is. The exact curve (PLD) of discrete noise is known for one number,
   not for a vector moved in several coordinates, and that of continuous noise proves nothing about
   it: so it is charged nowhere.
3. "central": the coordinator adds it once to the sum of whole numbers. "local": each client adds it
   to its own; the noise on the sum is then sqrt(clients) times as large. "shares": each client does
   so too, but nobody sees a message, so that the noise of all who are honest protects each. The
   grid is finer by the root of the shares that the policy counts on.
4. Clients weigh 1 each. n, who takes part and the variables are public.
5. Nothing here is logged, and no error names a value.

What it does not do: see rows (`statistics.clipped`), find edges, charge or sign.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hyperfed.errors import PrivacyError
from hyperfed.packets import PolicyPack
from hyperfed.privacy.clipping import MAX_BOUND, MAX_SLOTS
from hyperfed.privacy.discrete_gaussian import MAX_SIGMA, RandomBytes, discrete_gaussian
from hyperfed.privacy.mechanisms import LEAST_BOUND, PlannedRelease, gaussian_mechanism
from hyperfed.privacy.noise_source import NoiseSource, fresh_noise
from hyperfed.privacy.rdp import analytic_sigma
from hyperfed.statistics.clipped import reach, steps_of
from hyperfed.statistics.record import Statistics, block_lags

__all__ = [
    "is_noised_sum",
    "is_noised_total",
    "moment_count",
    "noised_statistics",
    "plan_moments",
    "released_sum",
    "step_of",
]

_NOTHING = "privacy policy"


def moment_count(variables: int, lags: tuple[int, ...]) -> int:
    """Return how many moments get noise: those of the upper triangle."""
    width = variables * len(block_lags(lags))
    return width * (width + 1) // 2


def plan_moments(policy: PolicyPack, variables: int, *, shares: int = 0) -> PlannedRelease:
    """Return the release that a private policy of statistics asks for.

    shares: with noise in shares, how many protect each client; 0: as many as the policy counts on.
    They decide what the night costs; noise and grid are the policy's. Raises PrivacyError where
    there are too many moments, or the noise leaves no usable grid.
    """
    count = moment_count(variables, policy.lags)
    if count > MAX_SLOTS:
        raise PrivacyError(
            f"{count} moments; at most {MAX_SLOTS} can be noised",
            subject=_NOTHING,
            remedy="Name fewer lags or variables",
        )
    square = reach(policy.lags, policy.statistics.centring)
    whole = math.sqrt(max(1, policy.noise_shares)) * MAX_SIGMA
    most = int(whole / analytic_sigma(policy.privacy_epsilon, policy.privacy_delta))
    truncation = math.isqrt(count - 1) + 1
    room = max(0, most - truncation)
    grid = min(math.isqrt(room * room // square), MAX_BOUND)
    if grid < LEAST_BOUND:
        raise PrivacyError(
            f"so much noise leaves a grid of {grid} steps for a whole clip; {LEAST_BOUND} are "
            "needed",
            subject=_NOTHING,
            remedy="Allow a larger epsilon for each round, or name fewer variables or lags",
        )
    mechanism = gaussian_mechanism(
        math.isqrt(grid * grid * square - 1) + 1 + truncation,
        policy.privacy_delta,
        place=policy.privacy,
        unit="record",
        shares=shares or policy.noise_shares,
        numbers=count if policy.noise_shares else 0,
    )
    clip = policy.statistics.row_norm * policy.statistics.row_norm
    return PlannedRelease(
        clip_norm=clip,
        bound=grid,
        mechanism=mechanism,
        epsilon=mechanism.epsilon,
        delta=policy.privacy_delta,
        record_bound=clip * math.sqrt(square),
    )


def step_of(planned: PlannedRelease) -> float:
    """Return the size of a step, in public units: C^2 / grid."""
    return planned.clip_norm / planned.bound


def noised_statistics(
    statistics: Statistics,
    planned: PlannedRelease,
    *,
    random_bytes: RandomBytes | None = None,
) -> Statistics:
    """Return what a client sends in a local round: its clipped moments with noise of its own.

    Each call draws anew and has to be charged. Raises PrivacyError where the night is not of local
    noise, or the moments are not of clipped rows.
    """
    if planned.mechanism.place != "local" or statistics.form != "clipped":
        raise PrivacyError(
            "needs moments of clipped rows and a night of local noise", subject="noised message"
        )
    steps, sigma = steps_of(statistics, step_of(planned)), planned.mechanism.sigma
    drawn = (
        discrete_gaussian(sigma, len(steps))
        if random_bytes is None
        else discrete_gaussian(sigma, len(steps), random_bytes=random_bytes)
    )
    return replace(statistics, moments=_moments(steps + drawn, planned), form="noised")


def released_sum(
    statistics: Mapping[str, Statistics],
    planned: PlannedRelease,
    *,
    noise: NoiseSource = fresh_noise,
) -> tuple[Statistics, float]:
    """Return the noised sum of clients' statistics, and the standard deviation of its noise.

    With local noise it is the sum of what the clients noised, in the order of their ids. Raises
    PrivacyError where there are no clients, or one's moments are not those of the round.
    """
    form = "clipped" if planned.mechanism.place == "central" else "noised"
    clients = [statistics[client] for client in sorted(statistics)]
    if not clients or any(
        one.form != form or len(one.moments) != len(clients[0].moments) for one in clients
    ):
        raise PrivacyError(
            f"needs clients, and moments of the form {form} of each", subject="private release"
        )
    step = step_of(planned)
    total: npt.NDArray[np.int64] = np.zeros(len(clients[0].moments), dtype=np.int64)
    for one in clients:
        total += steps_of(one, step)
    std = planned.noise_std
    if form == "clipped":
        stream = noise("moments", planned.mechanism, total)
        total += discrete_gaussian(planned.mechanism.sigma, len(total), random_bytes=stream)
    else:
        std *= math.sqrt(len(clients))
    rows = sum(one.n for one in clients)
    summed = replace(clients[0], moments=_moments(total, planned), n=rows, form="noised")
    return summed, std


def is_noised_sum(
    noised: Statistics, statistics: Mapping[str, Statistics], planned: PlannedRelease
) -> bool:
    """Return whether a noised sum is that of these statistics, as far as anyone can tell."""
    ordered, step = [statistics[client] for client in sorted(statistics)], step_of(planned)
    exact = sum((steps_of(one, step) for one in ordered), np.zeros(len(noised.moments), np.int64))
    return is_noised_total(noised, exact, planned, rows=sum(one.n for one in ordered))


def is_noised_total(
    noised: Statistics,
    exact: npt.NDArray[np.int64],
    planned: PlannedRelease,
    *,
    rows: int,
) -> bool:
    """Return whether a noised sum is that of exact steps of so many rows, as far as one can tell.

    Local messages add up to it exactly. With central noise, the difference must be as large as its
    noise: squares of many normal numbers have a chi-square law, whose tails of 1e-9 are taken by
    Wilson and Hilferty's formula. Of few moments, too little noise cannot be told.
    """
    if noised.n != rows or len(noised.moments) != len(exact):
        return False
    difference = (steps_of(noised, step_of(planned)) - exact).astype(np.float64)
    if planned.mechanism.place == "local":
        return not difference.any()
    count = len(difference)
    ratio = float(np.square(difference / planned.mechanism.sigma).sum()) / count
    small = 2 / (9 * count)
    low, high = (1 - small + side * 6 * math.sqrt(small) for side in (-1, 1))
    return max(low, 0.0) ** 3 <= ratio <= high**3


def _moments(steps: npt.NDArray[np.int64], planned: PlannedRelease) -> npt.NDArray[np.float64]:
    """Return whole numbers of steps as moments, in public units."""
    return np.asarray(steps * step_of(planned), dtype=np.float64)
