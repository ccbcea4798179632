"""Pool the effects of each key over the clients that estimated it.

1. The first way is taken where clients with a known interval hold more than half of the weight of
   those that estimated. It is inverse variance with a random-effects term tau² (DerSimonian & Laird
   1986) over those with an interval. Weights w enter as in the general method of moments
   (DerSimonian & Kacker 2007, eq. 6), with a = w / v and A = sum a:

       Q = sum a (y - mean)²,  tau² = max(0, (Q - sum w (A - a) / A) / (sum a (A - a) / A))

   With all w = 1 this is DerSimonian-Laird itself. Q is first multiplied by (k - 1) / m, where m is
   the median of a chi-square of k - 1 degrees, (k - 1) (1 - 2 / (9 (k - 1)))³ (Wilson & Hilferty
   1931): tau² is then as often too large as too small (Viechtbauer 2021), and so is I² = max(0, (Q
   - E[Q | tau = 0]) / Q) of the same Q (Higgins & Thompson 2002). The effect is sum b y / sum b
   with b = w / (v + tau²).
2. The standard error is that of Hartung & Knapp (2001) and Sidik & Jonkman (2002), modified so that
   it is never below the usual one (Röver, Knapp & Friede 2015): sqrt(max(1, q) sum w b) / sum b,
   with q = sum b (y - mean)² / sum w (B - b) / B and B = sum b. The interval takes Student's t with
   k - 1 degrees, and the prediction interval effect +- t sqrt(tau² + error²) with k - 2 (Higgins,
   Thompson & Spiegelhalter 2009). k is the number of clients that the weights are worth, (sum w)² /
   sum w² (Kish 1965), rounded. Of one client the interval is its own.
3. The test of no effect is that t test. Clients that could have estimated and sent nothing count
   as estimates of 0 of the same spread: with the share r of the weight reporting, 1/t² grows by
   (1 - r) / k, and the clients are k / r. A key is tested where k is 2 or more and r at least a
   half: a minority can neither pass a test nor add to the tests that others must pass.
4. Otherwise (rule 1) the effect is the mean weighted by w |vote|, or by w where nobody votes. No
   standard error is then claimed, and nothing is tested.
5. Outliers. Where n clients, five or more, estimate a key, a weight is whole up to 3 + 10 / n
   standard deviations from the median effect, and falls linearly to 0 at half as many again. The
   deviation of a row is 1.4826 times the median absolute deviation, or its own standard error where
   that is larger: what honest clients differ by stays whole, and tau² loses about a hundredth. The
   median deviation of few is itself unsure, hence the 10 / n. A deviation of a millionth of the
   median effect counts as none, because equal effects differ by as much where they were rounded.
   So does one of 2**-1000.
6. No claim of a single client decides the precision. A width counts as at least a quarter of the
   lower median of its key's widths. After that no reporter's a is above the sum of the others' a.
   Where its w alone is above the others' together, the limit is w times their mean precision. The
   reporter's v grows until that holds. A reporter without weight, or without an interval, enters
   neither the lower median nor these sums. Where outliers are weighed and three or more estimate a
   key, a width below the lower median counts in b only as far as the effect supports it: whole up
   to one deviation (rule 5) from the median effect, and as the lower median from two on. tau² is
   found from the widths as they are, so that what precise clients differ by stays in it.
7. A mean is summed from 0, and corrected by the mean of what is left around it: no client's effect
   is subtracted from another's. The range of means without one client each is summed without that
   client, at the same tau². Equal effects pool to exactly themselves, and a mean never leaves the
   range of the values that it is a mean of.
8. Nothing overflows: effects lie within +-`MAX_EFFECT` (R-99), and a width counts as at least
   2**-350 (4e-106) and at most 2**120. Nothing underflows: means are taken of 2**900 times the
   effects, and divided by it, which is exact.

What it does not do: it keeps no key and weighs no client (`rows`, `aggregation`).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import numpy.typing as npt

from hyperfed.kernels.layout import (
    LEAST_ESTIMATES,
    LEAST_WIDTH,
    MOST_WIDTH,
    NOTHING,
    ROUNDED,
    SILENT,
    UP,
    Z95,
)
from hyperfed.merge.lines import Segments, blocks_of, line_sum, line_sums_without
from hyperfed.merge.student_t import t_quantiles, t_two_sided

__all__ = ["FORMULA", "Pooled", "effect_trust", "pool_effects"]

FORMULA = 4
"""The version of what a merge computes.

A freeze names the version that it was made under (R-66). One that names none was made under version
1, which centred effects on the first reporter's and took every interval as it was. Under 2, not
looking at a lag was a vote of 0, receipts told no client how it was weighed, intervals were normal,
weights shrank tau², and trust was by agreement alone. Under 3, tau² and I² were more often too
small than too large, and a narrow interval counted wherever its effect lay.
"""


# standard deviations up to which a weight is whole: so many, and so many more over the clients
_LIMIT, _MORE = 3.0, 10.0
_FADE = 0.5  # of that limit: as much further out a weight is 0
_COMPARED = 3  # clients from which a median effect says whose interval is borne out
_ROUNDING = 1e-9  # of a share

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pooled:
    """Holds the pooled effect of each key, and how sure it is. All columns are [keys]."""

    effect: Floats
    """The pooled effect."""
    std_error: Floats
    """The standard error of the effect, 0 where `pooled` is False."""
    half: Floats
    """Half the width of the 95 % interval, 0 where `pooled` is False."""
    predicted: Floats
    """Half the width of the 95 % prediction interval, 0 where fewer than three clients count."""
    low: Floats
    """The smallest effect that is pooled without one of the clients; 0 or less of one client."""
    high: Floats
    """The largest effect that is pooled without one of the clients; 0 or more of one client."""
    tau2: Floats
    """The variance between clients, 0 where `pooled` is False."""
    i2: Floats
    """The share of the variation that is between clients, in [0, 1], 0 where `pooled` is False."""
    worth: Floats
    """How many clients the weights are worth, 0 where `pooled` is False."""
    share: Floats
    """The share in [0, 1] of the weight of those who could estimate that has an interval."""
    pooled: Bools
    """Whether the effect was pooled by inverse variance (rule 1)."""

    @property
    def tested(self) -> Bools:
        """Whether the key is tested (rule 3), bool[keys]."""
        enough = (self.worth >= 1.5) & (self.share >= 0.5 - _ROUNDING)
        return np.asarray(enough & (self.std_error > 0))

    def p_values(self) -> Floats:
        """Return float64[keys] in [0, 1]: the two-sided p-values of no effect (rule 3).

        They are 1 where a key is not tested.
        """
        tested = self.tested
        worth, share = np.where(tested, self.worth, 2.0), np.where(tested, self.share, 1.0)
        t = np.minimum(np.abs(self.effect) / np.where(tested, self.std_error, 1.0), 1e100)
        silent = np.maximum(1.0 - share, 0.0) / worth
        t = np.where(silent > 0, t / np.sqrt(1.0 + silent * t * t), t)
        df = np.floor(worth / share + 0.5).astype(np.int64) - 1
        return np.where(tested, t_two_sided(t, df), 1.0)

    @classmethod
    def empty(cls, keys: int) -> "Pooled":
        """Return columns of zeros, to be filled."""
        return cls(
            **{
                f.name: np.zeros(keys, dtype=bool if f.name == "pooled" else np.float64)
                for f in fields(cls)
            }
        )


def pool_effects(
    segment: Segments,
    keys: int,
    *,
    effect: Floats,
    vote: Floats,
    weight: Floats,
    width: Floats | None,
    voters: Floats | None = None,
    weigh_outliers: bool = False,
    averaged: Floats | None = None,
) -> Pooled:
    """Pool the rows of each key, given in client order and numbered by `segment`.

    `effect`, `vote` and `weight` are float64[rows], finite, with |effect| <= `MAX_EFFECT` and
    weight >= 0. `width` is float64[rows], ci_high - ci_low, 0 where it is unknown; it is None where
    no client gives one. `voters` is float64[keys], the weight of the clients that could have
    estimated each key; None: that of those who did. `weigh_outliers` says whether outliers lose
    weight (rule 5). `averaged` is float64[rows], what is averaged in place of the effects, which
    then only tell outliers. What a key without a row of weight gets is not defined.
    """
    out = Pooled.empty(keys)
    widths = np.zeros(len(effect)) if width is None else width
    for block in blocks_of(segment, keys):
        y, w, wide = (block.gather(column) for column in (effect, weight, widths))
        values = y if averaged is None else block.gather(averaged)
        mine = np.zeros(len(block.keys)) if voters is None else voters[block.keys]
        columns = _pooled(y, values, partial(block.gather, vote), w, wide, mine, weigh_outliers)
        for name, column in columns.items():
            getattr(out, name)[block.keys] = column
    return out


def effect_trust(
    segment: Segments, keys: int, effect: Floats, width: Floats | None = None
) -> Floats:
    """Return float64[rows] in [0, 1]: how much each effect counts among those of its key (rule 5).

    The arguments are those of `pool_effects`; all rows have weight.
    """
    trust = np.ones(len(effect))
    widths = np.zeros(len(effect)) if width is None else width
    for block in blocks_of(segment, keys):
        there, wide = block.there, block.gather(widths)
        v, _ = _variances(wide, there & (wide > 0))
        count = there.sum(axis=0)
        part = _outlier_weights(_deviations(block.gather(effect), v, there, count), count)
        trust[block.at[there]] = part[there]
    return trust


def _pooled(
    effect: Floats,
    averaged: Floats,
    votes: Callable[[], Floats],
    weight: Floats,
    width: Floats,
    voters: Floats,
    weigh_outliers: bool,
) -> dict[str, Floats | Bools]:
    """Return the columns of `Pooled` of a block, whose arguments are [rows of a key, keys].

    `votes` returns such a column, and is called where some effects are taken by votes.
    """
    there = weight > 0
    has_width = there & (width > 0)
    v, usual = _variances(width, has_width)
    total_weight = line_sum(weight)
    w, borne = weight, np.ones(1)
    if weigh_outliers:
        count = there.sum(axis=0)
        far = _deviations(effect, v, there, count)
        w, borne = weight * _outlier_weights(far, count), _borne_out(far, count)
    heard = np.where(has_width, w, 0.0)
    total_heard = line_sum(heard)
    enough = 2 * total_heard > line_sum(w)
    scaled = averaged * UP
    # a key without an interval divides by 0, and its effect is then taken by votes
    with np.errstate(divide="ignore", invalid="ignore"):
        a = heard / v
        others, sum_a = _capped(a, v, heard)
        q = line_sum(_times_square(a, averaged - _mean(scaled, a / sum_a)))
        others /= sum_a
        expected = line_sum(heard * others)
        spread = line_sum(np.multiply(a, others, out=others))
        worth = total_heard**2 / line_sum(heard * heard)
        q = q / _chi_square_median(worth - 1.0)
        several = (spread > 0) & (q > expected)
        tau2 = np.where(several, (q - expected) / spread, 0.0)
        i2 = np.where(several, q - expected, 0.0) / np.where(several, q, 1.0)
        b = heard / _believed(v, usual, borne, tau2)
        sum_b = line_sum(b)
        part = b / sum_b
        effects = _mean(scaled, part)
        rest = line_sums_without(b)
        rest /= sum_b
        free = line_sum(np.multiply(heard, rest, out=rest))
        ratio = line_sum(_times_square(b, averaged - effects)) / free
        ratio = np.where((free > 0) & (ratio > 1.0), ratio, 1.0)
        error = np.sqrt(ratio * line_sum(heard * b)) / sum_b
    strength = b
    if not enough.all():
        by_vote = np.abs(votes()) * w
        by_vote = np.where(line_sum(by_vote) <= SILENT, w, by_vote)
        strength = np.where(enough, b, by_vote)
        with np.errstate(divide="ignore", invalid="ignore"):
            effects = np.where(enough, effects, _mean(scaled, by_vote / line_sum(by_vote)))
            part = strength / line_sum(strength)
        error, tau2, i2, worth = (
            np.where(enough, column, 0.0) for column in (error, tau2, i2, worth)
        )
    k = np.floor(np.where(enough, worth, 0.0) + 0.5).astype(np.int64)
    low, high = _without_one(averaged, scaled, strength, part)
    return {
        "effect": effects,
        "std_error": error,
        "half": np.where(k >= 2, t_quantiles(0.95, np.maximum(k - 1, 1)), Z95) * error,
        "predicted": np.where(
            k >= 3,
            t_quantiles(0.95, np.maximum(k - 2, 1)) * np.sqrt(tau2 + error * error),
            0.0,
        ),
        "low": low,
        "high": high,
        "tau2": tau2,
        "i2": i2,
        "worth": worth,
        "share": np.divide(
            line_sum(np.where(has_width, weight, 0.0)),
            np.maximum(voters, total_weight),
            out=np.zeros(len(total_weight)),
            where=total_weight > 0,
        ),
        "pooled": enough,
    }


def _variances(width: Floats, has_width: Bools) -> tuple[Floats, Floats]:
    """Return the variance that each interval counts as, and that of each key's lower median.

    The first has the shape of `width`, the second is float64[keys]. The floor of rule 6 and the
    bounds of rule 8 are applied. Unknown widths give the least.
    """
    count = has_width.sum(axis=0)
    ranked = _ranked(width, has_width)
    middle = ranked[np.arange(len(count)), np.maximum(count - 1, 0) // 2]
    middle = np.where(count > 0, middle, 0.0)
    floor = 0.25 * middle
    v = np.where(has_width, width, 0.0)
    np.maximum(v, floor, out=v)
    np.clip(v, LEAST_WIDTH, MOST_WIDTH, out=v)
    v /= 2 * Z95
    v *= v
    usual = np.clip(middle, LEAST_WIDTH, MOST_WIDTH) / (2 * Z95)
    return v, usual * usual


def _chi_square_median(degrees: Floats) -> Floats:
    """Return the median of a chi-square over its mean, below one degree that of one (rule 1)."""
    root = 1.0 - 2.0 / (9.0 * np.maximum(degrees, 1.0))
    return root * root * root


def _believed(v: Floats, usual: Floats, borne: Floats, tau2: Floats) -> Floats:
    """Return the variance that a client's estimate has as one of its key (rule 6).

    `borne` is of the shape of `v`, or a single 1.
    """
    held = v - usual
    held *= borne
    held += usual
    return np.where(v < usual, held, v) + tau2


def _times_square(share: Floats, gap: Floats) -> Floats:
    """Return share * gap**2, in place of `gap`."""
    gap *= gap
    return np.multiply(share, gap, out=gap)


def _deviations(effect: Floats, v: Floats, there: Bools, count: Ints) -> Floats:
    """Return how many standard deviations each effect is from its key's median (rule 5).

    `count` is int64[keys], how many of a key's rows are `there`.
    """
    ranked = _ranked(effect, there)
    centre = _medians(ranked, count)
    ranked -= centre[:, None]
    np.abs(ranked, out=ranked)
    ranked.sort(axis=1)
    common = np.maximum(1.4826 * _medians(ranked, count), np.abs(centre) * ROUNDED + NOTHING)
    gap = effect - centre
    np.abs(gap, out=gap)
    gap /= np.maximum(common, np.sqrt(v))
    return gap


def _outlier_weights(far: Floats, count: Ints) -> Floats:
    """Return the weights of rule 5, of the shape of `far`, which holds `_deviations`."""
    limit = _LIMIT + _MORE / np.maximum(count, 1)
    trust = (1.0 + _FADE) * limit - far
    trust /= _FADE * limit
    np.clip(trust, 0.0, 1.0, out=trust)
    trust[:, count < LEAST_ESTIMATES] = 1.0
    return trust


def _borne_out(far: Floats, count: Ints) -> Floats:
    """Return how far each effect bears out a narrow interval, in [0, 1] (rule 6)."""
    borne = 2.0 - far
    np.clip(borne, 0.0, 1.0, out=borne)
    borne[:, count < _COMPARED] = 1.0
    return borne


def _ranked(values: Floats, there: Bools) -> Floats:
    """Return float64[keys, rows of a key]: each key's values in order, after them infinity."""
    ranked = np.ascontiguousarray(np.where(there, values, np.inf).T)
    ranked.sort(axis=1)
    return ranked


def _medians(ranked: Floats, count: Ints) -> Floats:
    """Return float64[keys]: the median of each key's values, 0 where it has none.

    `ranked` is as `_ranked` returns it, and `count` is int64[keys], how many values a key has.
    """
    line = np.arange(len(count))
    low = ranked[line, np.maximum(count - 1, 0) // 2]
    high = ranked[line, count // 2 % ranked.shape[1]]
    return np.where(count > 0, low / 2 + high / 2, 0.0)


def _capped(a: Floats, v: Floats, heard: Floats) -> tuple[Floats, Floats]:
    """Return for each row the sum of the other rows' a in its key, and each key's sum of all.

    The first has the shape of `a`, the second is float64[keys]. `a` and `v` are held to the cap of
    rule 6 in place. At most one row of a key can be above the cap.
    """
    total = line_sum(a)
    above = 2 * a > total
    if above.any():
        rest = line_sum(np.where(above, 0.0, a))
        weight = line_sum(np.where(above, 0.0, heard))
        is_capped = above & (rest > 0)
        most = np.where(is_capped, np.maximum(rest, heard * (rest / weight)), np.inf)
        np.maximum(v, heard / most, out=v)
        np.minimum(a, most, out=a)
        total = line_sum(a)
    return line_sums_without(a), total


def _mean(scaled: Floats, part: Floats) -> Floats:
    """Return float64[keys]: the mean of values of which each counts for its part (rule 7).

    `scaled` is `UP` times the values, and the parts of a key add up to 1.
    """
    mean = line_sum(part * scaled)
    rest = scaled - mean
    rest *= part
    return np.asarray((mean + line_sum(rest)) / UP)


def _without_one(
    value: Floats, scaled: Floats, share: Floats, part: Floats
) -> tuple[Floats, Floats]:
    """Return the smallest and the largest mean without one row of weight each (rule 7).

    `scaled` is `UP` times the values, and `part` is each share of the sum of its key's.
    """
    rest = line_sums_without(part)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = line_sums_without(part * scaled)
        mean /= rest
        mean /= UP
    silent = ~(share > 0)
    alone = ~(silent | (rest > 0))
    mean[alone] = 0.0
    mean[silent] = np.inf
    low = mean.min(axis=0)
    mean[silent] = -np.inf
    high = mean.max(axis=0)
    # without its only client nothing is left of an edge
    only = alone.any(axis=0)
    if not only.any():
        return low, high
    effect = np.where(silent, 0.0, value).sum(axis=0)
    return np.where(only, np.minimum(effect, 0.0), low), np.where(
        only, np.maximum(effect, 0.0), high
    )
