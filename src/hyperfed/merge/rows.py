"""Merge one key range: decide what stays, and pool the effects of every key.

1. Sums by key run over the range's rows in client order. Rows of confidence and stability 0 (weak
   ones, R-91) are estimates: they are pooled, and are no report, no support and no vote. Effects
   count as at most `MAX_EFFECT`. Larger ones are refused (R-99), except in a row that is counted by
   a freeze from before that rule.
2. Every key is pooled and tested, also one that does not stay: an error rate is one of all that was
   looked at. By the cut "fdr" the keys with p <= `fdr_max` stay here; the rest of that rule needs
   all ranges (`reconciler.merged_rows`).
3. A client whose trust is a quarter or more pools with its whole weight, and one of less with four
   times its weight. Trust comes from the same night: a client that happens to agree with the others
   has more of it, so means weighted by it would be too large and look too sure.
4. Every rule that bears liars judges effects (`merge.pooling`, rule 5). With f stated, the effects
   that the standard error is computed from are held, one by one, to the range that remains of a
   key's effects without the f smallest and f largest. Like the effect, the interval then describes
   what f liars cannot move: the mean, held to that range as a whole.
5. Clients without weight are heard nowhere, and stay in the denominators: `measured_by` counts all
   that could have reported a key, `positive` and `negative` all that estimated it.
6. The rules of strategies, order statistics and support are `hyperfed.reconciler.reconcile`'s (its
   rules 1 to 5). This module holds what they compute.

What it does not do: it neither knows graphs nor weighs clients.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hyperfed.config import MAX_EFFECT
from hyperfed.merge.eligible_voters import EligibleVoters, blocks, class_weights
from hyperfed.merge.order import (
    Ordered,
    held,
    median_effects,
    median_votes,
    trimmed_effects,
    trimmed_votes,
)
from hyperfed.merge.pooling import Pooled, pool_effects
from hyperfed.merge.segments import distinct
from hyperfed.merge.shares import equal, share_median, share_trimmed

__all__ = ["COLUMNS", "COORDINATE_RULES", "TESTED", "MergeRule", "merged_rows", "no_rows"]

COORDINATE_RULES = ("median", "trimmed-mean", "bulyan")
COLUMNS = (
    "keys",
    "effect",
    "confidence",
    "stability",
    "vote",
    "std_error",
    "half",
    "predicted",
    "low",
    "high",
    "tau2",
    "i2",
    "p",
    "support",
    "reporting",
    "measured_by",
    "positive",
    "negative",
    "samples",
    "hits",
    "pooled",
    "supporters",
)
TESTED = "tested"
"""Beside `COLUMNS`: the p-values of all keys of the range that are tested, kept or not."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRule:
    """Holds what a range needs of a `StoreReconciler`: the fields of the same names."""

    strategy: str
    vote_min: float
    bounded: bool
    rule: str
    f: int
    cut: str = "vote"
    fdr_max: float = 0.05

    @property
    def weighs_outliers(self) -> bool:
        """Whether an effect far from its key's others loses weight (`merge.pooling`, rule 5)."""
        return (
            self.strategy == "consensus" and self.bounded and self.rule not in ("mean", "adaptive")
        )

    @property
    def doubles(self) -> bool:
        """Whether an experiment's votes weigh double: not in an order statistic, where f liars who
        say that they experimented would be as long as 2f (`merge.shares`, rule 1).
        """
        return self.rule not in COORDINATE_RULES


class _Read(Protocol):
    """Gives the rows of a range without keys and votes: part of a `ranges.RangeRows`."""

    @property
    def rows(self) -> npt.NDArray[np.int64]: ...

    def column(self, name: str) -> npt.NDArray[Any]: ...

    def widths(self) -> Floats | None: ...


def no_rows() -> Columns:
    """Return the columns of a merge that keeps no rows."""
    return dict.fromkeys((*COLUMNS, TESTED), np.zeros(0)) | {
        "keys": np.zeros(0, np.uint64),
        "supporters": np.zeros((0, 0), np.uint8),
    }


def merged_rows(
    rule: MergeRule,
    read: _Read,
    keys: npt.NDArray[np.uint64],
    numbered: npt.NDArray[np.int32],
    eligible_voters: EligibleVoters,
    weight: Floats,
    whole: Floats,
) -> Columns:
    """Return `COLUMNS` of the keys that stay, by ascending key, and `TESTED`.

    `read` gives the range's rows, client after client. `keys` is uint64[keys], distinct and
    ascending. `numbered` is int32[rows], the position of each row's key. `weight` is
    float64[clients] >= 0, and `whole`, what it would be with whole trust, at least as much.
    """
    size, clients, counts = len(keys), len(weight), read.rows
    codes, which = distinct(eligible_voters.classes(keys))
    doubling = rule.doubles
    voters, count, all_count = class_weights(eligible_voters, codes, weight, doubling=doubling)
    voters, count, all_count = voters[which], count[which], all_count[which]
    doubled = eligible_voters.doubled(codes)
    segment = numbered.astype(np.intp)  # numpy takes by its own integers in a third of the time
    trusted = np.minimum(4.0 * weight, whole)
    w, estimating = np.repeat(weight, counts), np.repeat(trusted, counts)
    if doubled is not None:  # an experiment's edges: no vote into what it set, more out of it
        client, code = np.repeat(np.arange(clients), counts), which[segment]
        could = np.concatenate([part for _, part in blocks(eligible_voters, codes)], axis=1)
        times = could[client, code] * (1.0 + doubling * doubled[client, code])
        w, estimating = w * times, estimating * times
    effect, confidence, stability = (
        read.column(name).astype(np.float64, copy=False)
        for name in ("effect", "confidence", "stability")
    )
    effect = np.clip(effect, -MAX_EFFECT, MAX_EFFECT)
    vote = np.sign(effect) * confidence * stability
    heard, votes = w > 0, (confidence > 0) | (stability > 0)
    reported = np.bincount(segment, w * votes, size)
    mean = np.divide(
        np.bincount(segment, w * vote, size), voters, out=np.zeros(size), where=voters > 0
    )
    if rule.rule in COORDINATE_RULES:
        is_vote = heard & votes
        mean = _middle_votes(
            rule, segment[is_vote], size, vote[is_vote], w[is_vote], voters, count, weight
        )
    estimators = class_weights(eligible_voters, codes, trusted, doubling=doubling)[0][which]
    pooled = _pooled(rule, read, segment, effect, vote, estimating, mean, estimators, weight)
    p = pooled.p_values()
    if rule.cut == "fdr":
        # what only clients without weight estimated has no effect
        keep = (p <= rule.fdr_max) & (np.bincount(segment, estimating > 0, size) > 0)
    else:
        keep = (reported > 0) & _stays(
            rule, segment[votes], size, mean, (w * confidence)[votes], voters, clients
        )
    supports = vote * np.sign(mean).take(segment) > 0
    if rule.f:
        keep &= np.bincount(segment, supports, size) > rule.f
    merged = _evidence(rule, read, segment, effect, confidence, stability, supports, w, mean)
    merged |= {
        "keys": keys,
        "vote": np.clip(mean, -1.0, 1.0) + 0.0,
        "measured_by": all_count,
        "p": p,
        "effect": pooled.effect,
        "low": np.minimum(pooled.low, pooled.effect),
        "high": np.maximum(pooled.high, pooled.effect),
    }
    merged |= {
        name: getattr(pooled, name)
        for name in ("std_error", "half", "predicted", "tau2", "i2", "pooled")
    }
    return {name: column[keep] for name, column in merged.items()} | {
        TESTED: p[pooled.tested],
        "supporters": _supporters(segment, heard & supports, keep, counts),
    }


def _pooled(
    rule: MergeRule,
    read: _Read,
    segment: Rows,
    effect: Floats,
    vote: Floats,
    w: Floats,
    mean: Floats,
    voters: Floats,
    weight: Floats,
) -> Pooled:
    """Return the pooled effects of all keys, held by the rule where it bears f liars."""
    size = len(mean)
    common: dict[str, Any] = {
        "vote": vote,
        "weight": w,
        "width": read.widths(),
        "voters": voters,
        "weigh_outliers": rule.weighs_outliers,
    }
    if not rule.f and rule.rule not in COORDINATE_RULES:
        return pool_effects(segment, size, effect=effect, **common)
    low, high = Ordered(segment, size, effect).inner(rule.f)
    inner = np.clip(effect, low[segment], high[segment])
    pooled = pool_effects(segment, size, effect=effect, averaged=inner, **common)
    sign = np.sign(mean)
    there = np.bincount(segment, w, size) > 0
    # a key that nobody with weight estimated does not stay; the rules need a row for each
    rows = there[segment]
    number = np.cumsum(there) - 1
    everyone = (
        number[segment[rows]],
        effect[rows],
        np.sign(vote[rows]) * sign[segment[rows]] > 0,
    )
    heard = w > 0
    # clipping takes as many from the honest end as from the liars': the mean is taken without it
    whole = pool_effects(segment, size, effect=effect, **common).effect if rule.f else pooled.effect
    moved = _moved(
        rule,
        whole[there],
        number[segment[heard]],
        effect[heard],
        sign[there],
        everyone,
        None if equal(weight) else w[heard] / weight.max(),
    )
    shift = np.zeros(size)
    shift[there] = moved - pooled.effect[there]
    error = np.where(pooled.pooled, np.hypot(pooled.std_error, shift), 0.0)
    wider = np.divide(error, pooled.std_error, out=np.ones(size), where=pooled.std_error > 0)
    return replace(
        pooled,
        effect=pooled.effect + shift,
        std_error=error,
        half=pooled.half * wider,
        predicted=pooled.predicted * wider,
    )


def _evidence(
    rule: MergeRule,
    read: _Read,
    segment: Rows,
    effect: Floats,
    confidence: Floats,
    stability: Floats,
    supports: Bools,
    w: Floats,
    mean: Floats,
) -> Columns:
    """Return the counts of each key, and the confidence and stability that it votes with later.

    `supports` is bool[rows], whether a row's vote has the sign of its key's mean.
    """
    size, heard = len(mean), w > 0
    votes = (confidence > 0) | (stability > 0)
    if rule.strategy in ("consensus", "mean"):
        (strength,) = _weighted_means(segment, w * supports, size, stability)
        sure = np.divide(np.abs(mean), strength, out=np.zeros(size), where=strength > 0)
    else:
        strength, sure = _weighted_means(segment, w * votes, size, stability, confidence)
    samples = np.minimum(read.column("n"), np.uint64(1 << 53))
    return {
        "confidence": np.clip(sure, 0.0, 1.0),
        "stability": np.clip(strength, 0.0, 1.0),
        "support": np.bincount(segment, supports & heard, size),
        "reporting": np.bincount(segment, votes & heard, size),
        "positive": np.bincount(segment, effect > 0, size),
        "negative": np.bincount(segment, effect < 0, size),
        "samples": np.minimum(np.bincount(segment, samples * heard, size), 2.0**63),
        "hits": np.minimum(np.bincount(segment, read.column("hits") * heard, size), 2.0**32 - 1),
    }


def _weighted_means(segment: Rows, share: Floats, size: int, *columns: Floats) -> list[Floats]:
    """Return float64[keys]: each column's mean by key, weighted by the rows' shares."""
    total = np.bincount(segment, share, size)
    return [
        np.divide(
            np.bincount(segment, share * column, size), total, out=np.zeros(size), where=total > 0
        )
        for column in columns
    ]


def _supporters(
    segment: Rows, supports: Bools, keep: Bools, counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """Return uint8[kept keys, clients / 8]: a bit for each client that supports a kept key."""
    number = np.cumsum(keep) - 1
    rows = np.flatnonzero(supports & keep[segment])
    bits = np.zeros((int(keep.sum()), len(counts)), dtype=bool)
    bits[number[segment[rows]], np.repeat(np.arange(len(counts)), counts)[rows]] = True
    return np.packbits(bits, axis=1)


def _middle_votes(
    rule: MergeRule,
    segment: Rows,
    size: int,
    vote: Floats,
    share: Floats,
    voters: Floats,
    measured_by: npt.NDArray[np.int64],
    weight: Floats,
) -> Floats:
    """Return float64[keys]: the order statistic of each key's votes that a coordinate rule takes.

    The rows are those that count. Weights enter where they differ.
    """
    if equal(weight):
        return (
            median_votes(segment, size, vote, measured_by)
            if rule.rule == "median"
            else trimmed_votes(segment, size, vote, measured_by, rule.f)
        )
    largest = float(weight.max())
    if rule.rule == "median":
        return share_median(segment, size, vote, share / largest, voters / largest)
    return share_trimmed(segment, size, vote, share / largest, voters / largest, rule.f)


def _moved(
    rule: MergeRule,
    pooled: Floats,
    segment: Rows,
    effect: Floats,
    sign: Floats,
    everyone: tuple[Rows, Floats, Bools],
    share: Floats | None,
) -> Floats:
    """Return float64[keys]: the rule's order statistic in place of the pooled effects.

    It is held to what f liars cannot move.

    `segment` and `effect` are the rows of the clients that count. `everyone` holds segment, effect
    and support of all rows of the keys, whatever their weight. `share` is the rows' weights
    relative to the largest client's, or None where all are equal.
    """
    moved = pooled
    if rule.rule in COORDINATE_RULES and share is not None:
        length: Floats = np.bincount(segment, share, len(sign)).astype(np.float64)
        moved = share_median(segment, len(sign), effect, share, length)
        if rule.rule != "median":
            moved = np.where(
                length > 2 * rule.f,
                share_trimmed(segment, len(sign), effect, share, length, rule.f),
                moved,
            )
    elif rule.rule == "median":
        moved = median_effects(segment, len(sign), effect)
    elif rule.rule in COORDINATE_RULES:
        moved = trimmed_effects(segment, len(sign), effect, rule.f)
    return held(moved, *everyone, sign, rule.f) if rule.f else moved


def _stays(
    rule: MergeRule,
    segment: Rows,
    size: int,
    mean: Floats,
    sure: Floats,
    voters: Floats,
    clients: int,
) -> Bools:
    """Return bool[keys]: which keys the strategy keeps."""
    if rule.strategy == "union":
        return np.ones(size, dtype=bool)
    if rule.strategy == "intersection":
        return np.asarray(np.bincount(segment, minlength=size) == clients)
    if rule.strategy == "weighted":
        return np.asarray(np.bincount(segment, sure, size) >= rule.vote_min * voters)
    return np.asarray(np.abs(mean) >= rule.vote_min)
