"""The merge of one key range: votes first, then the effects of what stays. What a strategy keeps, and how sure it is.

1. Sums by key run over the range's rows in client order. Only rows of kept keys, by clients that count, go on to the effects.
2. The rules of strategies, order statistics and support are `hyperfed.reconciler`'s (its rules 1 to 5); here is what they compute.

What it does not do: know stores, weigh clients.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hyperfed.merge.compiled import machine_code
from hyperfed.merge.electorate import Electorate, class_weights
from hyperfed.merge.order import effect_trust, held, median_effects, median_votes, trimmed_effects, trimmed_votes
from hyperfed.merge.packed import NARROW, PackedRows
from hyperfed.merge.pooling import Pooled, pool_effects
from hyperfed.merge.segments import distinct
from hyperfed.merge.shares import equal, share_median, share_trimmed

__all__ = ["COLUMNS", "COORDINATE_RULES", "MergeRule", "merged_rows", "no_rows"]

COORDINATE_RULES = ("median", "trimmed-mean", "bulyan")
COLUMNS = (
    "keys", "effect", "confidence", "stability", "vote", "std_error", "tau2", "i2", "support", "reporting", "measured_by", "samples", "hits", "pooled",
)  # fmt: skip

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRule:
    """What of a `StoreReconciler` a range needs: its fields of these names."""

    strategy: str
    vote_min: float
    bounded: bool
    rule: str
    f: int

    @property
    def judges_effects(self) -> bool:
        """Whether an effect far from its key's other effects loses weight (`merge.order`, rule 4)."""
        return self.strategy == "consensus" and self.bounded and self.rule == "bounded-trust"


class _Read(Protocol):
    @property
    def rows(self) -> npt.NDArray[np.int64]: ...

    def column(self, name: str) -> npt.NDArray[Any]: ...

    def widths(self) -> Floats | None: ...


def no_rows() -> Columns:
    """The columns of no rows."""
    return dict.fromkeys(COLUMNS, np.zeros(0)) | {"keys": np.zeros(0, np.uint64)}


def merged_rows(rule: MergeRule, read: _Read, keys: npt.NDArray[np.uint64], numbered: npt.NDArray[np.int32], electorate: Electorate, weight: Floats) -> Columns:
    """`COLUMNS` of the keys that stay, ascending.

    read: the range's rows, client after client; keys: uint64[keys] distinct, ascending; numbered: int32[rows], the position of each row's key;
    weight: float64[clients] >= 0.
    """
    size, stores, counts = len(keys), len(weight), read.rows
    codes, which = distinct(electorate.classes(keys))
    voters, count = class_weights(electorate, codes, weight)
    voters, measured_by = voters[which], count[which]
    compiled = machine_code(len(numbered))
    if compiled is not None and not rule.f and rule.rule not in COORDINATE_RULES:
        return _compiled_rows(compiled, rule, read, keys, numbered, voters, measured_by, weight)
    segment = numbered.astype(np.intp)  # numpy takes by its own integers in a third of the time
    w = np.repeat(weight, counts)
    effect, confidence, stability = (read.column(name).astype(np.float64, copy=False) for name in ("effect", "confidence", "stability"))
    vote = np.sign(effect) * confidence * stability
    heard = w > 0
    reported = np.bincount(segment, w, size)
    mean = np.divide(np.bincount(segment, w * vote, size), voters, out=np.zeros(size), where=voters > 0)
    if rule.rule in COORDINATE_RULES:
        mean = _middle_votes(rule, segment[heard], size, vote[heard], w[heard], voters, measured_by, weight)
    keep = (reported > 0) & _stays(rule, segment, size, mean, w * confidence, voters, stores)
    if rule.f:
        keep &= np.bincount(segment, np.sign(vote) * np.sign(mean)[segment] > 0, size) > rule.f
    bounds = bool(rule.f) or rule.rule in COORDINATE_RULES
    everyone = (segment, effect, np.sign(vote) * np.sign(mean)[segment] > 0) if bounds else None
    # only rows of kept keys, by clients that count, go on
    rows = heard if keep.all() else heard & keep[segment]
    number, all_stay = np.cumsum(keep, dtype=np.intp) - 1, bool(rows.all())
    if not all_stay:
        effect, confidence, stability, vote, w = effect[rows], confidence[rows], stability[rows], vote[rows], w[rows]
        segment = number[segment[rows]]
    size, mean, voters, measured_by = int(keep.sum()), mean[keep], voters[keep], measured_by[keep]
    width = read.widths()
    samples, hits, client = read.column("n"), read.column("hits"), np.repeat(np.arange(stores), counts)
    if not all_stay:
        width, samples, hits, client = None if width is None else width[rows], samples[rows], hits[rows], client[rows]
    robust = rule.judges_effects
    pooled = pool_effects(
        segment,
        size,
        effect=effect,
        vote=vote,
        weight=w * effect_trust(segment, size, effect, client=client, clients=stores) if robust else w,
        width=width,
    )
    sign = np.sign(mean)
    if everyone is not None:
        pooled = _held(rule, pooled, segment, effect, sign, everyone, keep, number, None if equal(weight) else w / weight.max())
    supports = np.sign(vote) == sign[segment]
    total = np.bincount(segment, w, size)
    if rule.strategy in ("consensus", "mean"):
        backing = np.bincount(segment, w * supports, size)
        strength = np.divide(np.bincount(segment, w * supports * stability, size), backing, out=np.zeros(size), where=backing > 0)
        sure = np.divide(np.abs(mean), strength, out=np.zeros(size), where=strength > 0)
    else:
        strength, sure = np.bincount(segment, w * stability, size) / total, np.bincount(segment, w * confidence, size) / total
    samples = np.minimum(samples, np.uint64(1 << 53))
    return {
        "keys": keys[keep],
        "effect": pooled.effect,
        "confidence": np.clip(sure, 0.0, 1.0),
        "stability": np.clip(strength, 0.0, 1.0),
        "vote": np.clip(mean, -1.0, 1.0) + 0.0,
        "std_error": pooled.std_error,
        "tau2": pooled.tau2,
        "i2": pooled.i2,
        "pooled": pooled.pooled,
        "support": np.bincount(segment, supports, size),
        "reporting": np.bincount(segment, minlength=size),
        "measured_by": measured_by,
        "samples": np.minimum(np.bincount(segment, samples, size), 2.0**63),
        "hits": np.minimum(np.bincount(segment, hits, size), 2.0**32 - 1),
    }


def _compiled_rows(
    compiled: Any,
    rule: MergeRule,
    read: _Read,
    keys: npt.NDArray[np.uint64],
    segment: npt.NDArray[np.int32],
    voters: Floats,
    measured_by: npt.NDArray[np.int64],
    weight: Floats,
) -> Columns:
    """`merged_rows` of a rule without order statistics, key by key. voters, measured_by: [keys]."""
    strategy = {"union": 0, "intersection": 1, "weighted": 2}.get(rule.strategy, 3)
    how = (weight, voters, strategy, rule.vote_min, rule.judges_effects)
    if isinstance(read, PackedRows) and read.records.dtype == NARROW:
        stays, columns, pooled = compiled.merged_records(segment, len(keys), read.rows, read.records, *how)
    else:
        width = read.widths()
        effect, confidence, stability, n, hits = (read.column(name) for name in ("effect", "confidence", "stability", "n", "hits"))
        stays, columns, pooled = compiled.merged(segment, len(keys), read.rows, (effect, confidence, stability), width, n, hits, *how)
    kept = np.ascontiguousarray(columns[stays].T)
    names = ("effect", "confidence", "stability", "vote", "std_error", "tau2", "i2", "support", "reporting", "samples", "hits")
    merged = dict(zip(names, kept, strict=True)) | {"keys": keys[stays], "measured_by": measured_by[stays], "pooled": pooled[stays]}
    return merged | {"reporting": merged["reporting"].astype(np.int64)}


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
    """float64[keys]: the order statistic of each key's votes that a coordinate rule takes, of rows that count; weights enter where they differ."""
    if equal(weight):
        return median_votes(segment, size, vote, measured_by) if rule.rule == "median" else trimmed_votes(segment, size, vote, measured_by, rule.f)
    largest = float(weight.max())
    if rule.rule == "median":
        return share_median(segment, size, vote, share / largest, voters / largest)
    return share_trimmed(segment, size, vote, share / largest, voters / largest, rule.f)


def _held(
    rule: MergeRule,
    pooled: Pooled,
    segment: Rows,
    effect: Floats,
    sign: Floats,
    everyone: tuple[Rows, Floats, Bools],
    keep: Bools,
    number: Rows,
    share: Floats | None,
) -> Pooled:
    """`pooled` by the rule's order statistic, held to what f liars cannot move; a standard error grows by how far its effect was moved.

    segment, effect: rows of the clients that count; everyone: segment, effect and support of all rows, whatever their weight, before keys were left out;
    share: rows' weights relative to the largest client's, None where all are equal."""
    moved = pooled.effect
    if rule.rule in COORDINATE_RULES and share is not None:
        length: Floats = np.bincount(segment, share, len(sign)).astype(np.float64)
        moved = share_median(segment, len(sign), effect, share, length)
        if rule.rule != "median":
            moved = np.where(length > 2 * rule.f, share_trimmed(segment, len(sign), effect, share, length, rule.f), moved)
    elif rule.rule == "median":
        moved = median_effects(segment, len(sign), effect)
    elif rule.rule in COORDINATE_RULES:
        moved = trimmed_effects(segment, len(sign), effect, rule.f)
    if rule.f:
        at, value, supports = everyone
        kept = keep[at]
        moved = held(moved, number[at[kept]], value[kept], supports[kept], sign, rule.f)
    error = np.where(pooled.pooled, np.hypot(pooled.std_error, moved - pooled.effect), 0.0)
    return replace(pooled, effect=moved, std_error=error)


def _stays(rule: MergeRule, segment: Rows, size: int, mean: Floats, sure: Floats, voters: Floats, stores: int) -> Bools:
    """bool[keys]: what the strategy keeps."""
    if rule.strategy == "union":
        return np.ones(size, dtype=bool)
    if rule.strategy == "intersection":
        return np.asarray(np.bincount(segment, minlength=size) == stores)
    if rule.strategy == "weighted":
        return np.asarray(np.bincount(segment, sure, size) >= rule.vote_min * voters)
    return np.asarray(np.abs(mean) >= rule.vote_min)
