"""Turn clipped statistics into a vector of whole steps, and a noised sum into statistics.

1. The vector is the number of rows, and then the upper triangle of the moments in whole steps of
   the round's grid. With noise in shares each has the client's share; with central noise the
   coordinator adds all of it to the opened sum. Nothing is rounded here: moments of clipped rows
   are whole numbers of steps, and how far one record moves them is known (`statistics.clipped`).
2. No sum wraps: the bound on a number leaves room for `SPREADS` standard deviations of a share,
   which no draw exceeds in the life of any federation (its probability is below exp(-2000)).
3. A sum is looked at, because no message is (R-176): its rows are a whole number of at least as
   many as each client needs, and no moment is beyond what so many clipped rows and so many shares
   reach. A noised sum need not be positive semidefinite. It is never looked at before its noise:
   that a liar's round ends void would tell more of the others than was charged (R-209).

What it does not do: it does not mask (`masking`), or charge (`client.noised`).
"""

import os

import numpy as np

from hyperfed.config import MAX_SAMPLES
from hyperfed.errors import AggregationError, PrivacyError
from hyperfed.privacy.discrete_gaussian import RandomBytes, discrete_gaussian
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.moments import moment_count, step_of
from hyperfed.privacy.noise_source import NoiseSource
from hyperfed.secure_aggregation.fixed_point import to_fixed_point
from hyperfed.secure_aggregation.noise import add_noise_share
from hyperfed.secure_aggregation.streams import Words
from hyperfed.statistics.clipped import steps_of
from hyperfed.statistics.making import least_rows
from hyperfed.statistics.record import Statistics, block_lags

__all__ = ["SPREADS", "clipped_vector", "noised_sum_of", "noised_total", "noised_vector"]

SPREADS = 64
"""How many standard deviations of noise a number has room for."""
_EXACT = 1 << 50


def noised_vector(
    statistics: Statistics,
    planned: PlannedRelease,
    *,
    cohort: int,
    subject: str,
    random_bytes: RandomBytes = os.urandom,
) -> Words:
    """Return the numbers that a client masks, uint64[1 + moments], its share of noise added.

    Each call draws anew, and has to be charged. cohort: how many clients the plan invites. Raises
    PrivacyError where the night is not of shares, or the moments are not of clipped rows of all
    variables, and BoundsError for a number that could wrap.
    """
    night = planned.mechanism
    if night.place != "shares":
        raise PrivacyError("needs a night of shares", subject=subject)
    words = clipped_vector(
        statistics, planned, moments=night.numbers, cohort=cohort, subject=subject
    )
    words[1:] = add_noise_share(words[1:], night.sigma, random_bytes=random_bytes)
    return words


def clipped_vector(
    statistics: Statistics, planned: PlannedRelease, *, moments: int, cohort: int, subject: str
) -> Words:
    """Return the numbers that a client masks before any noise, uint64[1 + moments].

    moments: how many the plan has. Raises PrivacyError where these are not of clipped rows of all
    variables, and BoundsError for a number that could wrap.
    """
    if statistics.form != "clipped":
        raise PrivacyError("needs moments of clipped rows", subject=subject)
    steps = steps_of(statistics, step_of(planned))
    if len(steps) != moments or len(statistics.counts) or statistics.intervened:
        raise PrivacyError(
            "is not of all variables in all rows, or of an experiment",
            subject=subject,
            rule="R-186",
            remedy="`hyperfed submit` makes moments of clipped rows where the plan asks for them",
        )
    return to_fixed_point(
        np.concatenate([[float(statistics.n)], steps.astype(np.float64)]),
        cohort=cohort,
        scale=1,
        room=SPREADS * planned.mechanism.sigma,
        subject=subject,
    )


def noised_total(total: Words, planned: PlannedRelease, noise: NoiseSource) -> Words:
    """Return an opened total with the coordinator's noise on every moment (R-208).

    Its number of rows is public, and stays exact. Sums are modulo 2^64 before and after. Raises
    PrivacyError where the night is not of central noise.
    """
    night = planned.mechanism
    if night.place != "central":
        raise PrivacyError("is not planned for a coordinator", subject="night")
    steps = total[1:].view(np.int64)
    drawn = discrete_gaussian(night.sigma, len(steps), random_bytes=noise("moments", night, steps))
    return np.concatenate([total[:1], total[1:] + drawn.astype(np.int64).view(np.uint64)])


def noised_sum_of(
    total: Words,
    planned: PlannedRelease,
    *,
    clients: int,
    variables: int,
    lags: tuple[int, ...],
    rows_min: int = 0,
) -> Statistics:
    """Return the noised statistics that a noised total of `clients` messages stands for.

    Raises AggregationError where no clients' rows and noise have such a sum (R-176).
    """
    night, numbers = planned.mechanism, total.view(np.int64)
    width = variables * len(block_lags(lags))
    rows, steps = int(numbers[0]), numbers[1:]
    least = clients * max(2, least_rows(width, rows_min))
    draws = clients if night.place == "shares" else 1
    most = min(rows * planned.bound + SPREADS * night.sigma * draws, _EXACT)
    problem = ""
    if not least <= rows <= MAX_SAMPLES:
        problem = f"is of {rows} rows; {clients} clients have at least {least}"
    elif len(steps) != moment_count(variables, lags) or ((steps > most) | (steps < -most)).any():
        problem = "has a moment that rows of the policy's norm and their noise cannot have"
    if problem:
        raise AggregationError(
            f"{problem}: no rows have such a sum",
            subject="opened sum",
            rule="R-176",
            remedy="A client sent numbers that are no moments, and nobody can see which. The round "
            "ends without a result once its close_by is past, and stays charged",
        )
    return Statistics(
        variables=np.arange(variables, dtype=np.uint32),
        lags=lags,
        n=rows,
        moments=np.asarray(steps * step_of(planned), dtype=np.float64),
        form="noised",
    )
