"""Turn a client's effects into a vector with a share of noise, and look at an opened sum of them.

1. The vector has one number for each possible edge of the plan, found or not, and nothing else: no
   votes, no counts, no intervals (R-201). Effects are clipped to the plan's L2 norm, and truncated
   to whole steps of the round's grid, so that one client moves the sum by at most one clip.
2. Each number gets the client's share of noise. No sum wraps: there is room for `SPREADS` standard
   deviations of a share.
3. A sum is looked at, because no message is (R-176): it has a number for each possible edge, and
   neither a number nor the whole is longer than so many clips and shares can be. Honest noise is
   longer with a probability below exp(-64). For sub-Gaussian noise of width s in d numbers, its
   squared norm is above s^2 (d + 2 sqrt(d t) + 2 t) with a probability of at most exp(-t). Source:
   Hsu, Kakade and Zhang, A tail inequality for quadratic forms of subgaussian random vectors,
   2012, theorem 2.1. Discrete Gaussians are sub-Gaussian of their own width (Canonne, Kamath and
   Steinke, 2020).

What it cannot do: say that a shorter sum is honest. One client can set the mean to anything that is
no longer than a clip and that noise. It does not mask (`masking`), or charge (`client.noised`).
"""

import math
import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.errors import AggregationError, PrivacyError
from hyperfed.privacy.clipping import clip_l2, to_grid
from hyperfed.privacy.discrete_gaussian import RandomBytes
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.slots import dense, public_slots
from hyperfed.secure_aggregation.fixed_point import to_fixed_point
from hyperfed.secure_aggregation.noise import add_noise_share
from hyperfed.secure_aggregation.noised_statistics import SPREADS
from hyperfed.secure_aggregation.streams import Words
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["effects_sum_of", "effects_vector", "longest_sum"]

_TAIL = 64.0  # honest noise is longer with a probability below exp(-64)


def effects_vector(
    edges: EdgeTable,
    planned: PlannedRelease,
    *,
    vocabulary: Vocabulary,
    lags: Sequence[int],
    cohort: int,
    subject: str,
    random_bytes: RandomBytes = os.urandom,
) -> Words:
    """Return the numbers that a client masks, uint64[possible edges], its share of noise added.

    Each call draws anew, and has to be charged. lags: those of the plan. cohort: how many clients
    the plan invites. Raises PrivacyError where the night is not one of shares of these numbers, or
    an effect is not finite.
    """
    night, slots = planned.mechanism, public_slots(len(vocabulary), lags)
    if night.place != "shares" or night.numbers != len(slots):
        raise PrivacyError(
            "needs a night of shares, and a number for each possible edge", subject=subject
        )
    steps = to_grid(
        clip_l2(dense(edges, slots), planned.clip_norm),
        clip_norm=planned.clip_norm,
        bound=planned.bound,
    )
    words = to_fixed_point(
        steps.astype(np.float64),
        cohort=cohort,
        scale=1,
        room=SPREADS * night.sigma,
        subject=subject,
    )
    return add_noise_share(words, night.sigma, random_bytes=random_bytes)


def longest_sum(planned: PlannedRelease, *, clients: int, numbers: int) -> float:
    """Return how long so many numbers of a sum of honest messages are at most (L2), in steps."""
    noise = planned.mechanism.sigma * math.sqrt(clients)
    squared = numbers + 2 * math.sqrt(numbers * _TAIL) + 2 * _TAIL
    return clients * planned.bound + noise * math.sqrt(squared)


def effects_sum_of(total: Words, planned: PlannedRelease, *, clients: int) -> npt.NDArray[np.int64]:
    """Return the steps that an opened total of `clients` messages stands for, int64[numbers].

    Raises AggregationError where no clients' clips and noise have such a sum (R-176).
    """
    steps, count = total.view(np.int64), planned.mechanism.numbers
    numbers = steps.astype(np.float64)
    problem = ""
    if len(steps) != count:
        problem = f"has {len(steps)} numbers; there are {count} possible edges"
    elif float(np.abs(numbers).max()) > longest_sum(planned, clients=clients, numbers=1):
        problem = f"has a mean that no {clients} clips and their noise can have"
    elif math.sqrt(float(np.dot(numbers, numbers))) > longest_sum(
        planned, clients=clients, numbers=count
    ):
        problem = f"is longer than {clients} clips and their noise can be"
    if problem:
        raise AggregationError(
            f"{problem}: no effects have such a sum",
            subject="opened sum",
            rule="R-176",
            remedy="A client sent numbers that are no clipped effects, and nobody can see which. "
            "The round ends without a result once its close_by is past, and stays charged",
        )
    return steps
