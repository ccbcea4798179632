"""Turn clipped statistics into a vector with a share of noise, and a noised sum into statistics.

1. The vector is the number of rows, and then the upper triangle of the moments in whole steps of
   the round's grid, each with the client's share of noise. Nothing is rounded here: moments of
   clipped rows are whole numbers of steps, and how far one record moves them is known
   (`statistics.clipped`).
2. No sum wraps: the bound on a number leaves room for `SPREADS` standard deviations of a share,
   which no draw exceeds in the life of any federation (its probability is below exp(-2000)).
3. A sum is looked at, because no message is (R-176): its rows are a whole number of at least as
   many as each client needs, and no moment is beyond what so many clipped rows and so many shares
   reach. A noised sum need not be positive semidefinite.

What it does not do: it does not mask (`masking`), or charge (`client.noised`).
"""

import os

import numpy as np

from hyperfed.config import MAX_SAMPLES
from hyperfed.errors import AggregationError, PrivacyError
from hyperfed.privacy.discrete_gaussian import RandomBytes
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.moments import step_of
from hyperfed.secure_aggregation.fixed_point import to_fixed_point
from hyperfed.secure_aggregation.noise import add_noise_share
from hyperfed.secure_aggregation.streams import Words
from hyperfed.statistics.clipped import steps_of
from hyperfed.statistics.making import least_rows
from hyperfed.statistics.record import Statistics, block_lags

__all__ = ["SPREADS", "noised_sum_of", "noised_vector"]

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
    if night.place != "shares" or statistics.form != "clipped":
        raise PrivacyError("needs moments of clipped rows and a night of shares", subject=subject)
    steps = steps_of(statistics, step_of(planned))
    if len(steps) != night.numbers or len(statistics.counts) or statistics.intervened:
        raise PrivacyError(
            "is not of all variables in all rows, or of an experiment",
            subject=subject,
            rule="R-186",
            remedy="`hyperfed submit` makes moments of clipped rows where the plan asks for them",
        )
    words = to_fixed_point(
        np.concatenate([[float(statistics.n)], steps.astype(np.float64)]),
        cohort=cohort,
        scale=1,
        room=SPREADS * night.sigma,
        subject=subject,
    )
    words[1:] = add_noise_share(words[1:], night.sigma, random_bytes=random_bytes)
    return words


def noised_sum_of(
    total: Words,
    planned: PlannedRelease,
    *,
    clients: int,
    variables: int,
    lags: tuple[int, ...],
    rows_min: int = 0,
) -> Statistics:
    """Return the noised statistics that an opened total of `clients` messages stands for.

    Raises AggregationError where no clients' rows and noise have such a sum (R-176).
    """
    night, numbers = planned.mechanism, total.view(np.int64)
    width = variables * len(block_lags(lags))
    rows, steps = int(numbers[0]), numbers[1:]
    least = clients * max(2, least_rows(width, rows_min))
    most = min(rows * planned.bound + SPREADS * night.sigma * clients, _EXACT)
    problem = ""
    if not least <= rows <= MAX_SAMPLES:
        problem = f"is of {rows} rows; {clients} clients have at least {least}"
    elif len(steps) != night.numbers or ((steps > most) | (steps < -most)).any():
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
